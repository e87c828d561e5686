"""`scripts/bench --exact`: the figures that depend on the programs alone, from a machine whose clock counts instructions.

One machine (vm.py) for each measurement and daemon: it boots, runs one of the scripts below, and ends. Read first: vm.py,
guest/lab.sh, guest/tap.c, guest/floor.c. What the project promises of these figures stands in bounds.tsv and nowhere else.
"""

import concurrent.futures
import datetime
import json
import os
import subprocess
import sys

from . import daemon, servers, vm
from .stats import compare, human

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDS = os.path.join(HERE, "bounds.tsv")

ABOUT = """\
Boots Debian's kernel in qemu's software emulation, on one processor whose clock counts instructions, once for each
measurement and daemon, and measures on a veth cable inside with the kernel's timestamps. The figures depend on the programs,
the kernel and the compiler, not on this machine or on what else it does: two runs of the same binaries print the same.
  It measures: how much work stands between a due time and the packet, whether work that is not an advert stands in its way,
processor time, memory. It does not measure: caches, memory latency, real interrupts and network cards, several
processors; `scripts/bench` without --exact measures these, on your machine.
  When a takeover falls between the ticks of the kernel's clock, and beside which other work, depends on the last detail of a
binary. So takeovers are measured several times, at other moments, and of each figure the worst is shown."""


# -- configurations: the same text for both daemons

def instance(name, dev, vrid, interval, addresses, priority=200, more=""):
    """One vrrp_instance; more addresses than an advert should carry are excluded from it."""
    def block(word, lines):
        return f"    {word} {{\n" + "".join(f"        {x}\n" for x in lines) + "    }\n" if lines else ""

    return (f"vrrp_instance {name} {{\n    state BACKUP\n    interface {dev}\n    version 3\n    virtual_router_id {vrid}\n"
            f"    priority {priority}\n    advert_int {interval:g}\n{more}"
            + block("virtual_ipaddress", addresses[:20]) + block("virtual_ipaddress_excluded", addresses[20:]) + "}\n")


#: For takeovers: the second burst of announcements (after 5 s) is outside the window, so what counts is the first.
PLAIN = "global_defs {\n    router_id lab\n    script_user root\n}\n"
#: For the rest: both bursts are over before the window begins.
GLOBALS = PLAIN.replace("}", "    vrrp_garp_master_delay 1\n}")


def routers(count, interval, devices=("eth0",), priority=200):
    """`count` virtual routers with an address each, at most 250 on one interface."""
    def one(n):
        dev, vrid = devices[n // 250], n % 250 + 1
        return instance(f"r{n}", dev, vrid, interval, [f"10.{80 + n // 250}.0.{vrid}/32"], priority)
    return GLOBALS + "".join(one(n) for n in range(count))


def many_addresses(count, priority, more=""):
    """One router with `count` addresses, 100 ms."""
    addresses = [f"10.78.{1 + n // 250}.{1 + n % 250}/32" for n in range(count)]
    return PLAIN + instance("one", "eth0", 51, 0.1, addresses, priority, more)


def many_routers(priority, family, interval):
    """255 routers with an address each on one interface."""
    if family == 4:
        return PLAIN + "".join(instance(f"r{v}", "eth0", v, interval, [f"10.78.1.{v}/32"], priority)
                                 for v in range(1, 256))
    return PLAIN + "".join(instance(f"r{v}", "eth0", v, interval, [f"fe80::1:{v:x}/64"], priority)
                             for v in range(1, 256))


def with_scripts(count):
    """One router at 10 ms that tracks `count` scripts of one second each."""
    tracked = "    track_script {\n" + "".join(f"        s{n} weight 1\n" for n in range(count)) + "    }\n"
    scripts = "".join(f'vrrp_script s{n} {{\n    script "/bin/true"\n    interval 1\n    user root\n}}\n'
                      for n in range(count))
    return GLOBALS + scripts + instance("one", "eth0", 1, 0.01, ["10.77.1.9/32"], more=tracked)


# -- what runs inside

ADVERTS = """
cables eth0
start a.conf
sleep 5
ip netns exec peer tap adverts tap1 {seconds} {interval_us} $(family $PID)
memory $(family $PID)
tell a.conf
kill $PID; wait $PID
"""
# The same adverts from guest/floor.c, in the same machine.
FLOOR = """
ip netns exec peer tap adverts tap1 4 10000 >/dev/null &
tap=$!
sleep 1
floor eth0 20 1000 2
wait $tap
"""
BESIDE = """
cables eth0
start a.conf
sleep {settle}
(sleep 1; {beside}) &
ip netns exec peer tap adverts tap1 {seconds} 10000 $(family $PID)
tell a.conf
kill $PID; wait $PID
"""
SPREAD = """
cables eth0 eth1 eth2 eth3
start a.conf
sleep 14
ip netns exec peer tap adverts tap1 {seconds} {interval_us} $(family $PID)
tell a.conf
kill $PID; wait $PID
"""
# Two hosts on a bridge, the cable of the Master is cut. Both hosts' ends have an address of their own before they start.
TAKEOVER = """
ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip link set br0 up
for n in m b; do
    ip netns add $n; ip -n $n link set lo up
    ip link add port$n type veth peer name eth0 netns $n
    ip link set port$n master br0 up
    [ $n = m ] && host=1 || host=2
    for f in all default eth0; do ip netns exec $n sh -c "echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad"; done
    ip -n $n addr add 10.78.0.$host/16 dev eth0
    ip -n $n link set eth0 up
done
sleep 2
start m.conf m
sleep {{apart}}
start b.conf b
sleep {settle}
tap takeover br0 {seconds} {floor_us} &
tap=$!
sleep {{before}}
ip link set portm down
wait $tap
tell b.conf
kill -9 $(family $PID)
"""
# The same, seen by a third host on that bridge: what it hears on its own interface, and whom its ARP entries name in the end. It has
# talked to each address before.
CLIENT = TAKEOVER.replace("for n in m b; do", "for n in m b c; do").replace("[ $n = m ] && host=1 || host=2", """\
case $n in m) host=1;; b) host=2;; c) host=3;; esac""").replace("tap takeover br0", """\
echo 8192 >/proc/sys/net/ipv4/neigh/default/gc_thresh3; echo 8192 >/proc/sys/net/ipv4/neigh/default/gc_thresh2
mac() {{{{ ip netns exec $1 cat /sys/class/net/eth0/address; }}}}
awk -v n={count} -v mac=$(mac m) 'BEGIN {{{{ for (i = 0; i < n; i++)
    print "neigh add 10.78." 1 + int(i / 250) "." 1 + i % 250 " lladdr " mac " dev eth0 nud stale" }}}}' >/tmp/neigh
ip -n c -batch /tmp/neigh
ip netns exec c tap takeover eth0""").replace("tell b.conf", """\
echo "@ {{{{\\"follow\\":$(ip -n c neigh show dev eth0 | grep -c $(mac b))}}}}"
tell b.conf""")

# The same while the third host sends an echo request to the first and to the last address every millisecond. VRID 51 has that MAC.
VIRTUAL_MAC = "00:00:5e:00:01:33"
PROBES = CLIENT.replace("ip netns exec c tap takeover eth0 {seconds} {floor_us}", "tap client eth0 {seconds} {floor_us} c {watched}")
# Of two routers in IPv6, and without entries that are there before.
PROBES6 = TAKEOVER.replace("for n in m b; do", "for n in m b c; do").replace("[ $n = m ] && host=1 || host=2", """\
case $n in m) host=1;; b) host=2;; c) host=3;; esac""").replace("tap takeover br0 {seconds} {floor_us}", """\
ip -n c addr add fd78::3/64 dev eth0
tap client eth0 {seconds} {floor_us} c {watched}""")

# Routers at 100 ms on four cables. Their peers' addresses are nobody's, at the MAC of the other end: it drops what comes, and answers nothing.
FAST = """
cables eth0 eth1 eth2 eth3
for n in 1 2 3 4; do
    dev=eth$((n - 1)) mac=$(ip netns exec peer cat /sys/class/net/tap$n/address)
    ip addr add fd00:77:$n::1/64 dev $dev nodad
    for p in 2 3 4 5; do
        ip neigh add 10.77.$n.$p lladdr $mac dev $dev nud permanent
        ip neigh add fd00:77:$n::$p lladdr $mac dev $dev nud permanent
    done
done
start a.conf
sleep {settle}
ip netns exec peer tap adverts tap1 2 100000 $(family $PID)
memory $(family $PID)
tell a.conf
kill $PID; wait $PID
ip netns exec peer tap adverts tap1 3 100000 >/dev/null &
tap=$!
sleep 1
floor eth0 {burst} {step_us} 2 {peer}
wait $tap
"""
# Beside a router at 10 ms, 800 processes that write and six that compute.
STRESS = """\
for i in $(seq 800); do
    (while [ ! -e /tmp/end ]; do dd if=/dev/zero of=/tmp/w$i bs=64k count=1 conv=fsync 2>/dev/null; done) &
done
for i in 1 2 3 4 5 6; do (while [ ! -e /tmp/end ]; do :; done) & done
sleep 5; : >/tmp/end"""
# Interfaces of containers come and go, a thousand pairs a minute.
CHURN = """\
for i in $(seq 100); do
    ip link add c$i type veth peer name d$i; ip link set c$i up; ip link set d$i up; ip link del c$i; sleep 0.05
done"""

# Checks of real servers, and one router at 10 ms beside them. The server listens before the daemon is there; `settle`: until every check
# has been made, and both bursts of announcements are over.
CHECKS = """
KEEPALIVED=
ulimit -n 65536
echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range
echo 1 >/proc/sys/net/ipv4/tcp_max_tw_buckets
cables eth0
ip route add local 10.64.0.0/12 dev lo
{server} &
server=$!
sleep 1
start a.conf
sleep {settle}
{begin}
open=$(descriptors $(family $PID))
ip netns exec peer tap adverts tap1 {window} 10000 $(family $PID)
echo "@ {{\\"descriptors\\":$(($(descriptors $(family $PID)) - open))}}"
{end}
memory $(family $PID)
tell a.conf
kill $PID; wait $PID
"""
# A takeover by a Backup that checks real servers: they answer on its own host, and every check has been made before the cable is cut.
CHECKING = TAKEOVER.replace("start b.conf b", """\
ulimit -n 65536
ip netns exec b sh -c 'echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range
echo 1 >/proc/sys/net/ipv4/tcp_max_tw_buckets
ip route add local 10.64.0.0/12 dev lo'
ip netns exec b {server} &
sleep 1
start b.conf b""")
# From nothing to a full IPVS table.
FILL = """
KEEPALIVED=
cables eth0
ip netns exec peer tap adverts tap1 {seconds} 10000 &
tap=$!
sleep 1
idle=$(cut -d' ' -f2 /proc/uptime | tr -d .) from=$(serve now)
start a.conf
serve table {seconds} {count} $from
awk -v a=$idle '{{ gsub(/\\./, "", $2); printf "@ {{\\"idle_cs\\":%d}}\\n", $2 - a }}' /proc/uptime
memory $(family $PID)
wait $tap
tell a.conf
kill $PID; wait $PID
"""

#: Later by so many milliseconds: parts of the kernel's tick of 4 ms, and of the time between the adverts of two groups of routers.
PHASES = (0, 1.3, 2.9)

#: Programs of guest/.
GUEST = ["tap", "floor", "serve"]
MODULES = ["veth", "bridge", "crc32c_generic"]
IPVS = ["ip_vs", "ip_vs_rr", "ip_vs_wrr"]


class Scene:
    """A measurement: its title, its script and files, what is shown of it."""

    def __init__(self, title, script, files, rows, both=True, memory=512, mips=1000, before=None, moments=1,
                 modules=(), web=False, long=False):
        self.title, self.script, self.files, self.rows = title, script, files, rows
        self.both, self.memory, self.mips = both, memory, mips
        #: Seconds from when the tap listens to when the cable is cut, and at how many moments; None: nothing is cut.
        self.before, self.moments = before, moments
        #: More modules of the kernel; whether nginx is in the machine.
        self.modules, self.web = modules, web
        #: It takes minutes: `--check` runs it only where `--only` names it.
        self.long = long

    def scripts(self):
        """What runs inside, once for each machine."""
        if self.before is None:
            return [self.script]
        return [self.script.format(apart=f"{2 + ms / 1000:.4f}", before=f"{self.before + 1.4 * ms / 1000:.4f}")
                for ms in PHASES[:self.moments]]


GAP = [("longest_gap_ns", "longest gap between two adverts", "time"), ("late_gaps", "gaps over 11 ms", "count"),
       ("median_ns", "deviation, median", "time")]
CPU = [("cpu_ns_per_s", "processor time per second", "time"), ("cpu_ns_per_advert", "processor time per advert", "time")]
MOVE = [("first_advert_late_ns", "first advert, over Master_Down_Interval", "time"),
        ("first_garp_after_ns", "first announcement, after that advert", "time"),
        ("last_garp_after_ns", "last address announced, after that advert", "time"),
        ("announced", "addresses announced", "count"),
        ("twice_before_all", "announced twice before all were once (1: yes)", "count")]
ALL = [("last_router_late_ns", "latest first advert, over Master_Down_Interval", "time"),
       ("without_advert", "routers without an advert", "count"),
       ("announced", "addresses announced", "count"),
       ("own_garp_after_ns", "latest announcement, after the advert of the same router", "time"),
       ("last_garp_after_ns", "last address announced, after the first advert of any", "time")]


def floor_us(interval, priority):
    """Master_Down_Interval of VRRPv3."""
    step = round(interval * 1e6)
    return 3 * step + (256 - priority) * step // 256


def takeover(count, vmac=False):
    """Cable of the Master cut, one router with `count` addresses; `vmac`: on a virtual MAC interface."""
    more = "    use_vmac\n" if vmac else ""
    script = TAKEOVER.format(settle=3 + count / 250, seconds=1.4 + count / 700, floor_us=floor_us(0.1, 100))
    return Scene(f"Takeover, {count} address{'es' * (count > 1)}{', virtual MAC' * vmac}, 100 ms", script,
                 {"m.conf": many_addresses(count, 200, more), "b.conf": many_addresses(count, 100, more)}, MOVE, before=0.33, moments=2,
                 modules=["macvlan"] if vmac else ())


def client(count):
    """The same as another host on the bridge sees it."""
    script = CLIENT.format(settle=3 + count / 250, seconds=1.4 + count / 500, floor_us=floor_us(0.1, 100), count=count)
    return Scene(f"The same {count} as a client on the bridge sees it", script,
                 {"m.conf": many_addresses(count, 200), "b.conf": many_addresses(count, 100)},
                 [*MOVE[1:], ("follow", "addresses that the client takes to the new Master", "count")], before=0.33)


def probed(count, vmac=False, family=4):
    """What an echo request every millisecond shows of a takeover."""
    more = "    use_vmac\n" if vmac else ""
    if family == 6:
        files = {f"{who}.conf": PLAIN + instance("one", "eth0", 51, 0.1, ["fe80::78:1/64", "fd78::1:1/64"], priority)
                 for who, priority in (("m", 200), ("b", 100))}
        text, watched = PROBES6, "fd78::1:1"
    else:
        files = {f"{who}.conf": many_addresses(count, priority, more) for who, priority in (("m", 200), ("b", 100))}
        text = PROBES.replace("$(mac m)", VIRTUAL_MAC) if vmac else PROBES
        watched = " ".join(f"10.78.{1 + n // 250}.{1 + n % 250}" for n in sorted({0, count - 1}))
    script = text.format(settle=3 + count / 250, seconds=1.4 + count / 700, floor_us=floor_us(0.1, 100), count=count, watched=watched)
    where = [("port_after_ns", "the bridge has the virtual MAC at its port, after it", "time")] if vmac else [
        ("entry_after_ns", "the client's entries have its MAC, after it", "time")]
    return Scene(f"A client of {count} address{'es' * (count > 1)}{', virtual MAC' * vmac}{', IPv6' * (family == 6)}, 100 ms", script, files,
                 [MOVE[0], ("answer_after_ns", "the client is answered, after that advert", "time"), *where,
                  ("lost_after", "1 ms probes without an answer, after it", "count"),
                  ("lost", "1 ms probes without an answer, in all", "count")],
                 before=0.33, modules=["macvlan"] if vmac else ())


def fast(count, peers=0):
    """`count` routers of both families on four cables at 100 ms, each with so many unicast peers; 0: multicast."""
    def one(n):
        cable, family, vrid = n % 4 + 1, 6 if n // 4 % 2 else 4, n // 8 + 1
        net = f"fd00:77:{cable}::" if family == 6 else f"10.77.{cable}."
        more = f"    unicast_src_ip {net}1\n    unicast_peer {{\n" + "".join(f"        {net}{p + 2}\n" for p in range(peers)) + "    }\n"
        vip = f"fe80::1:{n + 1:x}/64" if family == 6 else f"10.{80 + n // 250}.0.{n % 250 + 1}/32"
        return instance(f"r{n}", f"eth{cable - 1}", vrid, 0.1, [vip], more=more if peers else "")
    burst = max(1, count * max(1, peers) // 100)
    script = FAST.format(settle=5 + count / 100, burst=burst, step_us=100_000 * burst // (count * max(1, peers)),
                         peer="10.77.1.2" if peers else "")
    to = f"{peers} unicast peer{'s' * (peers > 1)}" if peers else "multicast"
    return Scene(f"{count:,} router{'s' * (count > 1)} at 100 ms, {to}", script, {"a.conf": GLOBALS + "".join(map(one, range(count)))},
                 [("on_the_wire", "adverts on the first cable, of those due", "share"),
                  ("cpu_ns_per_packet", "processor time per packet", "time"),
                  ("floor_ns_per_packet", "the same by a bare loop of sendto(2), IPv4", "time"),
                  ("pss_kib", "memory of all processes (PSS)", "KiB")], memory=1024, long=True)


#: (routers, unicast peers) of `fast`.
FAST_SCENES = {f"fast{count}" + (f"x{peers}" if peers else ""): (count, peers) for count in (1, 255, 1000) for peers in (0, 1, 4)}


def all_routers(family, interval):
    """Cable of the Master cut, 255 routers."""
    script = TAKEOVER.format(settle=4 + 5 * interval, seconds=1.5 + 7 * interval, floor_us=floor_us(interval, 100))
    return Scene(f"Takeover of 255 routers, IPv{family}, {interval * 1000:.0f} ms", script,
                 {"m.conf": many_routers(200, family, interval), "b.conf": many_routers(100, family, interval)}, ALL,
                 before=2.2 * interval, moments=3)


def group255():
    """The same, all of them members of one sync group: they become Master together, when the last of them may."""
    scene = all_routers(4, 0.1)
    members = "vrrp_sync_group g {\n    group {\n" + "".join(f"        r{v}\n" for v in range(1, 256)) + "    }\n}\n"
    scene.title = "Takeover of a sync group of 255, 100 ms"
    scene.files = {name: text + members for name, text in scene.files.items()}
    scene.rows = [("spread_ns", "last member's first advert, after the first member's", "time"), *ALL[1:]]
    return scene


CHECKED = [("cpu_ns_per_s", "processor time per second", "time"), ("pss_kib", "memory of all processes (PSS)", "KiB"),
           ("checks", "checks in the window", "count"), ("interval_share", "mean interval, of the one that is asked for", "share"),
           ("interval_worst_ns", "interval, largest deviation", "time"),
           ("busiest_10ms", "most checks within 10 ms, the start included", "count"),
           ("descriptors", "open descriptors, more after the window than before", "count"),
           ("longest_gap_ns", "longest gap between two adverts", "time")]


def checking(count, interval):
    """Cable of the Master cut, and the Backup checks `count` real servers every `interval` seconds."""
    settle = 9 + interval
    script = CHECKING.format(settle=settle, seconds=1.5, floor_us=floor_us(0.1, 100),
                             server=f"serve tcp 80 {settle + 4} 1 {interval * 1000:.0f}")
    return Scene(f"Takeover by a Backup with {count:,} TCP checks every {interval} s, 100 ms", script,
                 {"m.conf": many_addresses(1, 200), "b.conf": many_addresses(1, 100) + servers.checked("tcp", count, interval)},
                 MOVE[:2], both=False, before=0.33, moments=3, memory=1024, modules=IPVS, long=True)


def checks(title, kind, count, interval, services=1, server=None, port=80):
    """`count` real servers that are checked every `interval` seconds; `services`: so many virtual servers name them."""
    settle, window = 9 + interval, max(9, 3 * interval)
    own = server or f"serve {kind} {port} {2 + settle + window} {window} {interval * 1000:.0f}"
    # An access log has a line for each.
    lines = "wc -l </tmp/access"
    begin, end = ("", "wait $server") if not server else (
        f"lines=$({lines})", f'echo "@ {{\\"checks\\":$(($({lines}) - lines))}}"; kill $server')
    script = CHECKS.format(server=own, settle=settle, window=window, begin=begin, end=end)
    text = GLOBALS + instance("one", "eth0", 1, 0.01, ["10.77.1.9/32"]) + servers.checked(kind, count, interval, services, port)
    rows = [r for r in CHECKED if not server or not r[0].startswith(("interval", "busiest"))]
    return Scene(title, script, {"a.conf": text}, rows, memory=1024, modules=IPVS, web=bool(server),
                 long=True)


def fill(title, count):
    """From the start to a table with `count` destinations; none: without virtual servers."""
    text = GLOBALS + instance("one", "eth0", 1, 0.01, ["10.77.1.9/32"])
    if count:
        text += servers.text(count, 600).split("}\n", 1)[1]
    full = [("filled_ns", "table complete, after the start", "time"), ("busy_ns", "processor time of the machine until then", "time")]
    return Scene(title, FILL.format(seconds=15, count=count), {"a.conf": text},
                 [("first_advert_ns", "first advert, after the start", "time"), *(full if count else []),
                  ("pss_kib", "memory of all processes then (PSS)", "KiB"), *GAP[:1]], memory=2048, modules=IPVS, long=True)


def scenes():
    """All of them, in the order in which they are shown."""
    one = GLOBALS + instance("one", "eth0", 1, 0.01, ["10.77.1.9/32"])
    beside = lambda text, settle=5, seconds=5: BESIDE.format(settle=settle, seconds=seconds, beside=text)
    spread = SPREAD.format(seconds=10, interval_us=1_000_000)
    four = ("eth0", "eth1", "eth2", "eth3")
    ten = GLOBALS + "".join(instance(f"r{n}", f"eth{n % 4}", n + 1, 1, [f"10.80.0.{n + 1}/32"]) for n in range(10))
    # At several moments: what stands in the way of an advert is short, and one reload may miss it.
    reload = "for i in 1 2 3 4; do kill -HUP $PID; sleep 4.0013; done"
    # A tool of the operator's ends when it is done, not when no advert is due: a kernel before 6.7 frees its memory in one piece.
    compare = "for i in 1 2 3 4; do kalived reload --dry-run -p /run/a.conf/pid >/dev/null; sleep 2.0013; done"
    upgrade = "for i in 1 2 3; do kalived upgrade -p /run/a.conf/pid || echo upgrade failed; sleep 1.0013; done"
    return {
        "one": Scene("One router at 10 ms", ADVERTS.format(seconds=5, interval_us=10_000), {"a.conf": one},
                     [("drift_ns", "mean interval error (drift)", "time"), ("median_ns", "deviation, median", "time"),
                      ("p99_ns", "deviation, 99th percentile", "time"), ("max_ns", "deviation, largest", "time"),
                      *CPU[:1], ("pss_kib", "memory of all processes (PSS)", "KiB")]),
        "many": Scene("200 routers at 10 ms", ADVERTS.format(seconds=4, interval_us=10_000) + FLOOR, {"a.conf": routers(200, 0.01)},
                      [("on_the_wire", "adverts on the wire, of those due", "share"), *GAP[:1], *CPU,
                       ("floor_ns_per_s", "the same by a bare loop of sendto(2)", "time"),
                       ("p99_ns", "deviation, 99th percentile", "time"),
                       ("pss_kib", "memory of all processes (PSS)", "KiB")], memory=1024, mips=500),
        "scripts": Scene("One router at 10 ms, 50 scripts a second", beside(":"), {"a.conf": with_scripts(50)}, GAP),
        # Trap 25.
        "stress": Scene("One router at 10 ms, 800 processes that write and six that compute", beside(STRESS, seconds=5), {"a.conf": one},
                        [*GAP, ("p99_ns", "deviation, 99th percentile", "time")], memory=2048),
        # Trap 59.
        "churn": Scene("One router at 10 ms, 1,000 interfaces a minute come and go", beside(CHURN, seconds=7), {"a.conf": one}, [*GAP, *CPU[:1]]),
        # Trap 2: 2,313 virtual servers.
        "reload": Scene("One router at 10 ms, 37,000 real servers reloaded four times", beside(reload, 8, 19),
                        {"a.conf": one + servers.text(37_000, 600).split("}\n", 1)[1]}, GAP, memory=2048),
        "compare": Scene("One router at 10 ms, 37,000 real servers compared four times (reload --dry-run)", beside(compare, 8, 15),
                         {"a.conf": one + servers.text(37_000, 600).split("}\n", 1)[1]}, GAP, memory=2048, both=False),
        "upgrade": Scene("One router at 10 ms, three upgrades", beside(upgrade), {"a.conf": one}, GAP, both=False),
        "takeover1": takeover(1), "takeover500": takeover(500), "client500": client(500),
        "probes1": probed(1), "probes1vmac": probed(1, True), "probes1v6": probed(1, family=6), "probes500": probed(500),
        "probes500vmac": probed(500, True),
        "takeover2000": takeover(2000), "client2000": client(2000), "vmac500": takeover(500, True), "vmac2000": takeover(2000, True),
        "routers4": all_routers(4, 1), "routers4fast": all_routers(4, 0.1), "routers6": all_routers(6, 1),
        "group255": group255(),
        "tcp10000": checks("10,000 TCP checks every 3 s, one router at 10 ms", "tcp", 10_000, 3),
        "tcp1000": checks("1,000 TCP checks every 3 s, one router at 10 ms", "tcp", 1_000, 3),
        "checking10000": checking(10_000, 3),
        "shared1000": checks("The same 1,000 backends in ten virtual servers", "tcp", 1_000, 3, services=10),
        "http1000": checks("1,000 HTTP checks every second, one router at 10 ms", "http", 1_000, 1),
        "tls200": checks("200 TLS checks every second, one router at 10 ms", "tls", 200, 1, port=443,
                         server="nginx -p /tmp -c /lab/nginx.conf"),
        "fill0": fill("Start, one router at 10 ms", 0),
        "fill37000": fill("Start with 37,000 real servers, one router at 10 ms", 37_000),
        "spread10": Scene("10 routers at 1 s", spread, {"a.conf": ten}, CPU),
        "spread1000": Scene("1,000 routers at 1 s", spread, {"a.conf": routers(1000, 1, four)},
                            [*CPU, ("max_ns", "deviation, largest (a quarter of the routers)", "time")], memory=1024),
        **{name: fast(*how) for name, how in FAST_SCENES.items()},
    }


# -- running

def guest(name):
    """A program of guest/, compiled for this machine."""
    source, out = os.path.join(HERE, "guest", f"{name}.c"), os.path.join(vm.cache(), name)
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(source):
        done = subprocess.run([vm.which("cc"), "-O2", "-o", f"{out}.new", source], capture_output=True, text=True)
        if done.returncode:
            raise vm.Unavailable(f"cc {name}.c: {done.stderr.strip()[-200:]}")
        os.rename(f"{out}.new", out)
    return out


NGINX = """
daemon off; master_process off; pid /tmp/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
    access_log /tmp/access; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u;
    scgi_temp_path /tmp/s;
    server {
        listen 443 ssl backlog=4096; ssl_certificate /lab/cert.pem; ssl_certificate_key /lab/key.pem; keepalive_timeout 0;
        location / { return 200 "ok"; }
    }
}
"""


def web(image):
    """nginx with a certificate of its own, made once for this checkout."""
    nginx, openssl = vm.which("nginx"), vm.which("openssl")
    if not nginx or not openssl:
        raise RuntimeError("nginx and openssl are needed (apt-get install nginx openssl)")
    made = [os.path.join(vm.cache(), name) for name in ("cert.pem", "key.pem")]
    if not all(map(os.path.exists, made)):
        subprocess.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "36500",
                        "-subj", "/CN=lab", "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    image.program(nginx, "/bin/nginx")
    for path in made:
        image.copy(path, f"/lab/{os.path.basename(path)}")
    image.add("/lab/nginx.conf", NGINX)


def measure(kernel, scene, script, kind, mips, seconds, log=None):
    """One machine; the figures that its script printed."""
    image = vm.base(kernel, [*MODULES, *scene.modules])
    image.program(kind.path, f"/bin/{kind.name}")
    for name in GUEST:
        image.program(guest(name), f"/bin/{name}")
    if scene.web:
        web(image)
    image.add("/etc/keepalived/x", "")
    for name, text in scene.files.items():
        image.add(f"/lab/{name}", text)
    with open(os.path.join(HERE, "guest", "lab.sh")) as f:
        image.add("/lab/lab.sh", f.read())
    image.add("/lab/main.sh", f"DAEMON={kind.name}\n. ./lab.sh\n{script}\nexit 0\n")
    lines = vm.boot(kernel, image, scene.memory, mips or scene.mips, seconds)
    if log:
        with open(log, "w") as f:
            f.write("\n".join(lines) + "\n")
    found = {}
    for line in lines:
        _, mark, text = line.partition("@ {")  # the first line has the firmware's words before it
        if mark:
            found.update(json.loads("{" + text))
    if not found or found.get("adverts") == 0:
        raise RuntimeError(f"{scene.title}: {kind.name}: nothing was measured\n" + "\n".join(lines[-15:]))
    if found.get("drops"):
        raise RuntimeError(f"{scene.title}: {kind.name}: the tap lost {found['drops']} packets")
    return found


#: Of these figures the smallest is the worst.
MORE_IS_BETTER = ("announced", "checks", "filled", "follow", "on_the_wire", "adverts", "routers", "probes", "answered_before")


def worst(one, other):
    """Of two runs the worse figures. -1 is "never"."""
    def pick(key):
        a, b = one.get(key, -1), other.get(key, -1)
        return min(a, b) if key in MORE_IS_BETTER or -1 in (a, b) else max(a, b)
    return {key: pick(key) for key in {**one, **other}}


def complete(name, found):
    """What follows from the figures and the scene."""
    if name == "many":
        found["on_the_wire"] = found["adverts"] / (200 * 4 / 0.01)
    if name in FAST_SCENES:  # the tap sees one cable of four
        count, peers = FAST_SCENES[name]
        a_second = 10 * count * max(1, peers)
        found["on_the_wire"] = found["adverts"] / (2 * 10 * -(-count // 4) * max(1, peers))
        found["cpu_ns_per_packet"] = round(found["cpu_ns_per_s"] / (a_second * found["on_the_wire"]))
        found["floor_ns_per_packet"] = round(found["floor_ns_per_s"] / a_second)
    if name.startswith("fill"):  # in hundredths of a second; -1: it was never full
        full = found["filled_ns"]
        found["busy_ns"] = full if full < 0 else full - found["idle_cs"] * 10_000_000
    if name.startswith("spread"):  # the tap sees one cable of four
        found["cpu_ns_per_advert"] = round(found["cpu_ns_per_s"] / int(name[len("spread"):]))
    return found


# -- showing and judging

def show(value, unit):
    """A figure for people."""
    if value is None:
        return "-"
    return {"time": lambda v: human(v) if v >= 0 else "never" if v == -1 else human(v), "count": str,
            "KiB": lambda v: f"{v / 1024:.1f} MiB", "share": lambda v: f"{v:.1%}"}[unit](value)


def table(results, names):
    """(title, text, figures, how they compare)."""
    for name, scene in scenes().items():
        if name not in results:
            continue
        for key, text, unit in scene.rows:
            values = [(results[name].get(n) or {}).get(key) for n in names]
            words = "-"
            # -1 is "never"; a share, or a count, speaks for itself.
            if unit in ("time", "KiB") and len(values) == 2 and None not in values and -1 not in values:
                words = compare(key, *values)
            yield scene.title, text, [show(v, unit) for v in values], words


def print_table(results, names, markdown):
    """For a terminal, or for README.md."""
    lines, last = list(table(results, names)), None
    width = max(len(text) for _, text, _, _ in lines)
    if markdown:
        print("| | " + " | ".join(names) + f" | {names[0]} is |\n|---|" + "---:|" * (len(names) + 1))
    for title, text, values, words in lines:
        if title != last:
            last = title
            print(f"| **{title}** |" + " |" * (len(names) + 1) if markdown else
                  f"\n{title}\n  {'':{width}}" + "".join(f"{n:>14}" for n in names) + f"{names[0] + ' is':>24}")
        print(f"| {text} | " + " | ".join(values) + f" | {words} |" if markdown else
              f"  {text:{width}}" + "".join(f"{v:>14}" for v in values) + f"{words:>24}")


def bounds():
    """(scene, figure, relation, bound, unit, against)."""
    with open(BOUNDS) as f:
        rows = [line.split("#")[0].split() for line in f]
    return [(r[0], r[1], r[2], float(r[3]), r[4] if len(r) > 4 else None) for r in rows if r]


def judge(results):
    """Each bound with its figure: (text, holds)."""
    known = scenes()
    for name, key, relation, bound, against in bounds():
        if name not in results:
            continue
        unit = next((u for k, _, u in known[name].rows if k == key), "count")
        mine = (results[name].get("kalived") or {}).get(key)
        limit, words = bound, show(bound, unit)
        if against:
            scene, who = against.split(":") if ":" in against else (name, against)
            base = (results.get(scene, {}).get(who) or {}).get(key)
            limit = None if base is None else bound * base
            words = f"{bound:g} x {show(base, unit)} ({who}{', ' + scene if scene != name else ''})"
        holds = mine is not None and limit is not None and mine != -1 and (mine <= limit if relation == "<=" else mine >= limit)
        yield f"{name} {key}: {show(mine, unit)}, bound {relation} {words}", holds


def wanted(only, names, check):
    """(scene, daemon) to run. To check bounds, keepalived runs only where a bound is a multiple of its figure."""
    needed = {(a.split(":")[0] if ":" in a else s) for s, _, _, _, a in bounds() if a and a.endswith("keepalived")}
    bounded = {s for s, _, _, _, _ in bounds()} | {a.split(":")[0] for *_, a in bounds() if a and ":" in a}
    short = set(only) == set(scenes())
    for name, scene in scenes().items():
        if name not in only or check and (name not in bounded or scene.long and short):
            continue
        for n in names:
            if n == "kalived" or scene.both and (not check or name in needed):
                yield name, n


def run(args):
    """`scripts/bench --exact`; the exit code."""
    names = [s.partition(":")[0] for s in args.daemons.split(",")]
    try:
        kinds = {n: daemon.Kind(s) for n, s in zip(names, args.daemons.split(","))}
        kernel = vm.Kernel()
        for name in GUEST:
            guest(name)
    except vm.Unavailable as e:
        print(f"bench: {e}", file=sys.stderr)
        return 77
    if args.out:
        os.makedirs(args.out, exist_ok=True)
    results, failed = {}, []
    jobs = list(wanted(args.only, names, args.check))
    with concurrent.futures.ThreadPoolExecutor(args.jobs or os.cpu_count()) as pool:
        running, runs = {}, {}
        for name, n in jobs:
            scene = scenes()[name]
            for i, script in enumerate(scene.scripts()):
                log = os.path.join(args.out, f"exact-{name}-{n}-{i}.log") if args.out else None
                running[pool.submit(measure, kernel, scene, script, kinds[n], args.mips, args.limit, log)] = (name, n)
        for done in concurrent.futures.as_completed(running):
            name, n = running[done]
            try:
                found = done.result()
                runs.setdefault(f"{name} {n}", []).append(found)
                before = results.setdefault(name, {}).get(n)
                results[name][n] = complete(name, worst(before, found) if before else found)
                print(f"{name}: {n}: done", file=sys.stderr, flush=True)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as e:
                failed.append(f"{name}: {n}: {e}")
                print(failed[-1], file=sys.stderr, flush=True)
    verdicts = list(judge(results))
    if results:
        print_table(results, names, args.markdown)
    versions = "; ".join(k.version() for k in kinds.values())
    slow = [name for name, scene in scenes().items() if scene.mips != 1000 and name in results]
    speeds = args.mips or "1,000" + f" (500: {', '.join(slow)})" * bool(slow)
    print(f"\n{versions}; Linux {kernel.version}, a processor of {speeds} MIPS, emulated.")
    if args.out:
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        path = os.path.join(args.out, f"exact-{date.replace(':', '')[:17]}.json")
        with open(path, "w") as f:
            json.dump({"date": date, "kernel": kernel.version, "mips": args.mips, "versions": versions,
                       "results": results, "runs": runs, "bounds": [{"bound": t, "holds": h} for t, h in verdicts],
                       "failed": failed}, f, indent=1)
        print(f"written to {path}", file=sys.stderr)
    if args.check:
        print()
        for text, holds in verdicts:
            print(f"{'ok     ' if holds else 'FAILED '} {text}")
        for text in failed:
            print(f"FAILED  {text.splitlines()[0]}")
        bad = sum(not h for _, h in verdicts) + len(failed)
        print(f"exact: {len(verdicts) + len(failed) - bad} passed, {bad} failed")
        return int(bad > 0)
    return int(bool(failed))
