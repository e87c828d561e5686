"""Two hosts, one address, one client that never stops asking: a failover you can watch.

Builds kalived (as root on Debian: installs what that needs), makes two hosts and a client on one bridge (network namespaces; nothing of this machine's network is
touched), runs a daemon on each host from an ordinary configuration file, lets the client ping the shared address a
thousand times a second, and then breaks things. Every time shown is the kernel's own timestamp on the client's side.

Nothing is left behind, also after Ctrl-C.
"""

import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

from lab import box, daemon, net, wire  # noqa: E402
from lab.capture import Capture  # noqa: E402
from lab.stats import human  # noqa: E402

VIP, ADDRESS = "192.0.2.1", {"a": "192.0.2.11", "b": "192.0.2.12", "client": "192.0.2.20"}
PRIORITY = {"a": 200, "b": 100}

CONFIG = """\
vrrp_instance web {{
    interface eth0
    version 3
    virtual_router_id 51
    priority {priority}
    advert_int {interval:g}
    virtual_ipaddress {{
        {vip}/24
    }}
}}
"""


class Paint:
    """Colour where a person looks, none in a file."""

    def __init__(self, on):
        code = (lambda n: f"\033[{n}m") if on else (lambda n: "")
        self.bold, self.dim, self.green, self.red, self.blue, self.off = (code(n) for n in (1, 2, 32, 31, 36, 0))


def arguments():
    p = argparse.ArgumentParser(prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--daemon", default="kalived", metavar="WHICH",
                   help="kalived (default) or keepalived, optionally with a path: keepalived:/usr/sbin/keepalived")
    p.add_argument("--advert-int", type=float, default=0.1, metavar="S",
                   help="advertisement interval in seconds, 0.01 to 2, in steps of 0.01 (default 0.1)")
    p.add_argument("--no-build", action="store_true", help="use the release binary that is there")
    p.add_argument("--logs", action="store_true", help="print both daemons' logs at the end")
    p.add_argument("--keep", metavar="DIR", help="copy configurations, logs and the capture to DIR at the end")
    p.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR, or output that is no terminal)")
    args = p.parse_args()
    steps = round(args.advert_int * 100)
    if not 1 <= steps <= 200 or abs(args.advert_int * 100 - steps) > 1e-6:
        p.error("--advert-int: 0.01 to 2 seconds, in steps of 0.01 (VRRPv3 carries centiseconds)")
    return args


class Demo:
    """The two hosts, the client, and the story."""

    def __init__(self, args):
        self.args, self.interval = args, round(args.advert_int * 1e9)
        self.paint = Paint(sys.stdout.isatty() and not args.no_color and "NO_COLOR" not in os.environ)
        self.kind = daemon.Kind(args.daemon)
        self.table = []

    def say(self, text=""):
        print(text, flush=True)

    def title(self, text):
        self.say(f"\n{self.paint.bold}{text}{self.paint.off}")

    def wait_for_owner(self, owner, *daemons):
        """Until a host has the address."""
        limit = 10 + 5 * self.args.advert_int
        daemon.wait_for(f"host {owner} holds {VIP}", lambda: daemon.has(owner, VIP), limit, *daemons)

    def settle(self):
        """A calm second, and always longer than a Master_Down_Interval (less than four intervals)."""
        time.sleep(max(1.0, 4 * self.args.advert_int))

    # -- the stage

    def build_network(self):
        net.bridge("br0")
        for name, address in ADDRESS.items():
            net.host(name)
            net.plug(name, "br0")
            net.ip("addr", "add", f"{address}/24", "dev", "eth0", ns=name)
        self.mac = {name: net.mac(name) for name in ADDRESS}
        # 2,000 packets a second: room for more than a minute between two looks.
        self.cap = Capture("client", room=150_000, keep=bool(self.args.keep))
        conf = lambda n: CONFIG.format(priority=PRIORITY[n], interval=self.args.advert_int, vip=VIP)
        self.nodes = {n: daemon.Daemon(self.kind, n, conf(n), detail=True) for n in ("a", "b")}

    def start(self):
        p = self.paint
        self.say(f"{p.bold}{self.kind.version()}{p.off}  {p.dim}{self.kind.path}{p.off}")
        self.say(f"""
    host a {ADDRESS['a']}         host b {ADDRESS['b']}         client {ADDRESS['client']}
    priority {PRIORITY['a']}              priority {PRIORITY['b']}              pings {VIP} each 1 ms
         |                         |                         |
    -----+-------------------------+-------------------------+-----  one bridge
""")
        self.say(f"{p.dim}The configuration of host b:{p.off}")
        self.say("".join(f"    {line}\n" for line in open(self.nodes["b"].conf).read().splitlines()))
        begun = time.time_ns()
        for n in ("a", "b"):
            self.nodes[n].start()
        self.wait_for_owner("a", *self.nodes.values())
        first = next((x for x in self.cap.packets() if isinstance(x, wire.Advert) and x.mac == self.mac["a"]), None)
        after = human(first.t - begun) if first else "?"
        self.say(f"Both started. {p.green}Host a is Master{p.off} after {after}, adverts each {human(self.interval)}.")
        probe = [sys.executable, "-B", os.path.join(HERE, "prober.py"), VIP, "1"]
        subprocess.Popen(["ip", "netns", "exec", "client", *probe], stdin=subprocess.DEVNULL, start_new_session=True)
        self.settle()

    # -- what was seen

    def probes(self, begin, end):
        """Numbers sent and numbers answered in a span of time; a gap in the numbers is a probe that never left."""
        sent, answered = {}, set()
        for x in self.cap.packets():
            if isinstance(x, wire.Echo):
                if x.request:
                    sent[x.number] = x.t
                else:
                    answered.add(x.number)
        inside = [n for n, t in sent.items() if begin <= t < end]
        numbers = range(min(inside), max(inside) + 1) if inside else range(0)
        return len(numbers), sum(1 for n in numbers if n not in answered)

    def act(self, name, heading, blow, loser, winner, floor, floor_name):
        """Breaks something with `blow`, waits for the take-over, and tells what was seen, from the last advert on.

        `floor`: how long the RFC lets `winner` wait after that advert; None where it does not wait for silence.
        """
        p = self.paint
        self.title(heading)
        was_cut = time.time_ns()
        cut = blow()
        self.wait_for_owner(winner, self.nodes[winner])
        self.settle()
        seen = self.cap.packets()
        adverts = [x for x in seen if isinstance(x, wire.Advert)]
        first = next((x for x in adverts if x.mac == self.mac[winner] and x.t > was_cut), None)
        if first is None:
            raise RuntimeError(f"no advert of host {winner} was seen")
        last = [x for x in adverts if x.mac == self.mac[loser] and x.t < first.t][-1]
        new = self.mac[winner]
        after = [x for x in seen if x.t >= first.t]
        garp = next((x for x in seen if isinstance(x, wire.Garp) and x.mac == new and x.t > was_cut), None)
        moved = next((x for x in after if isinstance(x, wire.Echo) and x.request and x.dst_mac == new), None)
        back = next((x for x in after if isinstance(x, wire.Echo) and not x.request and x.src_mac == new), None)
        sent, lost = self.probes(was_cut - 200_000_000, seen[-1].t - 50_000_000)

        last_text = f"host {loser}: last advert" + (", priority 0: \"I am leaving\"" if last.priority == 0 else "")
        events = [(last.t, last_text)]
        if floor is not None:
            events.append((cut, f"{p.red}{name}{p.off}"))
        over = first.t - last.t - floor if floor is not None else None
        took = f"  {p.dim}= {floor_name} {human(floor)} + {human(over)}{p.off}" if floor is not None else ""
        events.append((first.t, f"{p.green}host {winner}: first advert as Master{p.off}{took}"))
        events += [(x.t, text) for x, text in (
            (garp, f"host {winner}: first gratuitous ARP"),
            (moved, f"client's ARP entry points to host {winner}: first probe sent there"),
            (back, f"first probe answered by host {winner}"),
        ) if x]
        zero = last.t
        for t, text in sorted(events, key=lambda e: e[0]):
            self.say(f"  {p.dim}{(t - zero) / 1e6:>+10.3f} ms{p.off}   {text}")
        colour = p.green if lost <= 1 else p.bold
        self.say(f"  {'':13}   client: {sent} probes, {colour}{lost} lost{p.off}")
        self.table.append((heading.split(". ", 1)[-1].split(":")[0], first.t - last.t, floor, over, sent, lost))

    # -- the blows

    def crash(self):
        return self.nodes["a"].kill()

    def come_back(self):
        self.nodes["a"].start()
        return time.time_ns()

    def cut_power(self):
        net.ip("link", "set", "port-a", "down")
        at = time.time_ns()
        self.nodes["a"].kill()
        return at

    def power_on(self):
        net.set_only("a", f"{ADDRESS['a']}/24")
        net.ip("link", "set", "port-a", "up")
        return self.come_back()

    def leave(self):
        rc, at = self.nodes["a"].stop()
        if rc != 0:
            self.say(f"  {self.paint.red}host a's daemon ended with {rc}, not 0{self.paint.off}")
        return at

    def run(self):
        down = wire.master_down_ns(PRIORITY["b"], self.args.advert_int)
        skew = wire.skew_ns(PRIORITY["b"], self.args.advert_int)
        self.build_network()
        self.start()
        self.act("kill -9 of host a's daemon", "1. kill -9: the Master's daemon dies, its host lives on", self.crash,
                 "a", "b", down, "Master_Down_Interval")
        note = "(host a's kernel still had the address and answered until the client was told)"
        self.say(f"  {self.paint.dim}{note}{self.paint.off}")
        self.act("", "2. restart: the higher priority takes the address back", self.come_back, "b", "a", None, "")
        self.act("host a loses power", "3. power cut: the Master's host disappears", self.cut_power,
                 "a", "b", down, "Master_Down_Interval")
        self.act("", "4. power returns: host a takes over again", self.power_on, "b", "a", None, "")
        self.act("SIGTERM to host a's daemon", "5. planned stop: the Master says goodbye", self.leave,
                 "a", "b", skew, "Skew_Time")
        self.summary()

    def summary(self):
        self.title("In one table")
        rows = [("", "last advert to takeover", "asked by RFC 9568", "over it", "probes lost")]
        for name, took, floor, over, sent, lost in self.table:
            rows.append((name, human(took), human(floor), human(over), f"{lost} of {sent}"))
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        for r in rows:
            self.say("  " + r[0].ljust(widths[0]) + "".join("   " + r[i].rjust(widths[i]) for i in range(1, 5)))
        self.say()

    def finish(self):
        if self.args.logs:
            for n, d in getattr(self, "nodes", {}).items():
                if os.path.exists(d.log):
                    self.say(f"--- log of host {n}\n{d.tail(1000)}")
        if self.args.keep:
            os.makedirs(self.args.keep, exist_ok=True)
            subprocess.run(["cp", "-r", f"{box.WORK}/.", self.args.keep], check=True)
            if hasattr(self, "cap"):
                self.cap.save(f"{self.args.keep}/client.pcap")
            self.say(f"kept in {self.args.keep}")


def main():
    args = arguments()
    if box.MARK not in os.environ and not args.no_build and args.daemon == "kalived":
        daemon.build("--bin", "kalived")
    box.enter()
    demo = Demo(args)
    try:
        demo.run()
    except KeyboardInterrupt:
        print("\ninterrupted: everything is taken down")
        return 130
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    finally:
        demo.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
