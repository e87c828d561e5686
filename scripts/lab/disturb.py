"""Everything that goes on beside VRRP, and what it does to the adverts of one Master at 10 ms under four busy loops.

The figure is the longest time between two adverts on the peer's side of the cable, less the interval. Each scenario begins with
a Master that is in peace, disturbs it while the capture runs, and says how often the disturbance really happened, so that a
figure without a disturbance is seen to be none.
"""

import os
import signal
import subprocess
import sys
import time

from . import box, daemon, net, servers, stats, wire
from .capture import Capture
from .witness import Witness, explains

INTERVAL = 0.01
SPINNERS = 4
#: The gap that counts as one too many: an interval and a millisecond.
LIMIT_NS = 11_000_000

MASTER = """vrrp_instance vr1 {{
    interface eth0
    version 3
    virtual_router_id 1
    priority 200
    advert_int 0.01
    virtual_ipaddress {{
        10.1.0.1/32
    }}
{more}}}
"""

GLOBALS = "global_defs {\n    vrrp_garp_master_delay 1\n    script_user root\n    enable_script_security\n}\n"


def script(name, text):
    """An executable file in the box; its path. Everything above it is root's, as script security wants it."""
    path = f"{box.WORK}/{name}"
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def vrrp_script(name, command, interval=1, timeout=1, weight=0):
    """One vrrp_script."""
    return (f'vrrp_script {name} {{\n    script "{command}"\n    interval {interval}\n    timeout {timeout}\n'
            f"    weight {weight}\n}}\n")


def track(names):
    """The block that tracks them."""
    return "    track_script {\n" + "".join(f"        {n}\n" for n in names) + "    }\n"


class Beside:
    """A disturbance: configuration, what happens each second, how often it happened."""

    def __init__(self, pair, kind):
        self.pair, self.kind, self.done = pair, kind, 0

    conf = GLOBALS + MASTER.format(more="")

    def ready(self, d):
        """Once, before the capture."""

    def second(self, d, n):
        """Each second of the capture."""

    def count(self, d):
        """How often it happened in all."""
        return self.done

    def after(self, d):
        """Once, when the capture is closed."""


class Nothing(Beside):
    """Only the busy loops: what all others are to be seen against."""


class Scripts(Beside):
    """50 check scripts a second."""

    def __init__(self, *a):
        super().__init__(*a)
        self.mark = f"{box.WORK}/ran"
        run = script("check.sh", f"#!/bin/sh\nprintf x >> {self.mark}\nexit 0\n")
        names = [f"s{n}" for n in range(50)]
        self.conf = GLOBALS + "".join(vrrp_script(n, run) for n in names) + MASTER.format(more=track(names))

    def ready(self, d):
        open(self.mark, "w").close()

    def count(self, d):
        return os.path.getsize(self.mark)


class Stubborn(Beside):
    """A check script that ignores SIGTERM and leaves a child behind, killed again and again."""

    def __init__(self, *a):
        super().__init__(*a)
        self.mark = f"{box.WORK}/stubborn"
        run = script("stubborn.sh", f"#!/bin/sh\nprintf x >> {self.mark}\ntrap '' TERM\nsleep 100 &\nwhile :; do sleep 1; done\n")
        self.conf = GLOBALS + vrrp_script("bad", run, 1, 1, 1) + MASTER.format(more=track(["bad"]))

    def count(self, d):
        return os.path.getsize(self.mark) if os.path.exists(self.mark) else 0


class Hooks(Beside):
    """254 more instances, all with a notify script, change state at once every three seconds."""

    def __init__(self, *a):
        super().__init__(*a)
        self.mark = f"{box.WORK}/told"
        hook = script("hook.sh", f"#!/bin/sh\nprintf x >> {self.mark}\n")
        one = ("vrrp_instance h{v} {{\n    interface eth1\n    version 3\n    virtual_router_id {v}\n    priority 100\n"
               "    advert_int 1\n    notify {hook}\n    virtual_ipaddress {{\n        10.2.0.{v}/32\n    }}\n}}\n")
        self.conf = GLOBALS + MASTER.format(more="") + "".join(one.format(v=v, hook=hook) for v in range(2, 256))
        net.cable("a", "eth1", "b", "eth1")
        net.ip("addr", "add", "10.3.0.1/24", "dev", "eth1", ns="a")

    def second(self, d, n):
        if n % 3 == 0:
            net.ip("link", "set", "eth1", "down", ns="a")
        elif n % 3 == 1:
            net.ip("link", "set", "eth1", "up", ns="a")

    def count(self, d):
        return os.path.getsize(self.mark) if os.path.exists(self.mark) else 0


class BlockedLog(Hooks):
    """The same, and no process reads the log: the pipe is full."""

    def ready(self, d):
        pass

    def start(self, d):
        """Standard error is a pipe that is full before the daemon starts."""
        rd, wr = os.pipe()
        os.set_blocking(wr, False)
        try:
            while os.write(wr, b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(wr, True)
        self.keep = rd
        argv = d.kind.argv(d.conf, f"{box.WORK}/{d.ns}.pid", True)
        d.proc = subprocess.Popen(["ip", "netns", "exec", d.ns, *argv], stdin=subprocess.DEVNULL, stdout=wr, stderr=wr,
                                  start_new_session=True)
        os.close(wr)


class HungHelper(Scripts):
    """The process that looks after files, processes and host names hangs, as on a directory of a dead file server."""

    def ready(self, d):
        super().ready(d)
        for pid in d.pids():
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"--helper" in f.read().split(b"\0"):
                    os.kill(pid, signal.SIGSTOP)
                    self.done += 1

    def count(self, d):
        return self.done


class Reload(Beside):
    """A configuration with 37,000 real servers is reloaded ten times."""

    def __init__(self, *a):
        super().__init__(*a)
        self.conf = GLOBALS + MASTER.format(more="") + servers.text(37_000, 600).split("}\n", 1)[1]

    def second(self, d, n):
        if n % 2 == 0 and self.done < 10:
            # Every other one changes something, so that there is something to do.
            with open(d.conf, "w") as f:
                f.write(self.conf.replace("priority 200", f"priority {200 + self.done % 2}"))
            os.kill(d.proc.pid, signal.SIGHUP)
            self.done += 1


class Upgrade(Beside):
    """The binary is upgraded in place (by itself) every three seconds."""

    def second(self, d, n):
        if n % 3 == 1:
            run = subprocess.run(["ip", "netns", "exec", "a", d.kind.path, "upgrade", "-p", f"{box.WORK}/a.pid"],
                                 capture_output=True, text=True, timeout=60)
            if run.returncode:
                raise RuntimeError(f"upgrade: {run.returncode} {run.stdout}{run.stderr}\n{d.tail()}")
            self.done += 1


SCENES = {
    "beside": Nothing, "scripts": Scripts, "stubborn": Stubborn, "hooks": Hooks, "log": BlockedLog, "helper": HungHelper,
    "reload": Reload, "upgrade": Upgrade,
}
NAMES = (*SCENES, "crash")
#: What keepalived cannot do (a full pipe stops it for ever), or has no counterpart for.
OURS = {"log", "helper", "upgrade", "crash"}


def spinners():
    """The busy loops, of ordinary priority."""
    spin = [sys.executable, "-c", "while True: pass"]
    return [subprocess.Popen(spin, start_new_session=True) for _ in range(SPINNERS)]


def end(processes):
    """Ends them."""
    for p in processes:
        p.kill()
        p.wait()


def run(make_pair, kind, name, seconds):
    """One scenario for one daemon."""
    if name == "crash":
        return crash(make_pair, kind, max(3, int(seconds / 4)))
    seconds = max(seconds, 24) if name == "reload" else seconds
    pair, busy = make_pair(), []
    try:
        scene = SCENES[name](pair, kind)
        d = pair.daemon(kind, "a", scene.conf)
        scene.start(d) if hasattr(scene, "start") else d.start()
        daemon.wait_for("vr1 is Master", lambda: daemon.has("a", "10.1.0.1"), 30, d)
        time.sleep(2.5)
        busy = spinners()
        scene.ready(d)
        witness = Witness(box.WORK)
        time.sleep(0.5)
        with Capture("b", room=int(seconds * 3 / INTERVAL) + 4000) as cap:
            begin, wall, n = time.monotonic(), time.time_ns(), 0
            while (now := time.monotonic() - begin) < seconds:
                scene.second(d, n)
                n += 1
                cap.packets()
                time.sleep(max(0.0, begin + n - time.monotonic()))
            wall_end = time.time_ns()
            seen = [x.t for x in cap.close() if isinstance(x, wire.Advert) and x.vrid == 1 and wall <= x.t < wall_end]
        stalls = witness.close()
        happened = scene.count(d)
        scene.after(d)
        if not d.running():
            raise RuntimeError(f"{kind.name} ended in the middle:\n{d.tail()}")
    finally:
        end(busy)
        pair.close()
    if len(seen) < 2:
        raise RuntimeError(f"{kind.name}: no adverts on the wire while {name}")
    gaps = [b - a for a, b in zip(seen, seen[1:])]
    own = [b - a for a, b in zip(seen, seen[1:]) if not explains(stalls, a, b)]
    over = [g - int(INTERVAL * 1e9) for g in gaps]
    return {
        "happened": happened, "adverts": len(seen), "longest_gap_ns": max(gaps), "longest_own_ns": max(own),
        "over_p99_ns": stats.percentile(over, 99), "too_long": sum(g > LIMIT_NS for g in gaps),
        "too_long_own": sum(g > LIMIT_NS for g in own), "stalls": len(stalls), "capture_dropped": cap.dropped,
    }


def crash(make_pair, kind, rounds):
    """The core is killed with SIGKILL at 100 ms adverts, under the same busy loops: does the peer take over?"""
    pair, busy, silences, takeovers = make_pair(), [], [], 0
    try:
        text = GLOBALS + MASTER.format(more="").replace("0.01", "0.1")
        a, b = pair.daemon(kind, "a", text), pair.daemon(kind, "b", text.replace("priority 200", "priority 100"))
        a.start()
        daemon.wait_for("a is Master", lambda: daemon.has("a", "10.1.0.1"), 30, a)
        b.start()
        time.sleep(2)
        busy = spinners()
        for _ in range(rounds):
            time.sleep(11)  # a core that dies twice within ten seconds is not resumed
            with Capture("b", room=4000) as cap:
                time.sleep(0.5)
                core = next(p for p in a.pids() if b"--core" in open(f"/proc/{p}/cmdline", "rb").read())
                os.kill(core, signal.SIGKILL)
                time.sleep(1.5)
                seen = [x for x in cap.close() if isinstance(x, wire.Advert)]
            mac = net.mac("b")
            takeovers += any(x.mac == mac for x in seen)
            times = [x.t for x in seen if x.mac != mac]
            silences.append(max(y - x for x, y in zip(times, times[1:])))
            if not daemon.has("a", "10.1.0.1"):
                raise RuntimeError(f"the address left host a\n{a.tail()}")
    finally:
        end(busy)
        pair.close()
    return {"happened": rounds, "takeovers": takeovers, "longest_gap_ns": max(silences),
            "median_gap_ns": stats.percentile(silences, 50)}
