"""A VRRP daemon on a host: kalived or keepalived, started, killed, stopped, and how much processor time it used."""

import os
import shutil
import signal
import subprocess
import time

from . import box, net

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Kind:
    """Which program, and how it is started."""

    def __init__(self, spec):
        """`kalived`, `keepalived`, or either with a path: `keepalived:/opt/keepalived`."""
        self.name, _, path = spec.partition(":")
        if self.name not in ("kalived", "keepalived"):
            raise SystemExit(f"unknown daemon {spec!r}: kalived or keepalived, optionally with :PATH")
        self.path = path or (built() if self.name == "kalived" else shutil.which("keepalived", path=_path()))
        if not self.path:
            raise SystemExit("keepalived is not installed: apt-get install keepalived")

    def argv(self, conf, pid, detail):
        """In the foreground, to standard error, in detail (-D) if asked.

        keepalived gets -G (no syslog): inside the box nobody listens on /dev/log, and syslog(3) would then write each
        line to the machine's console, which takes a millisecond or two on a serial line and would be measured as
        keepalived's slowness.
        """
        more = ["-D"] if detail else []
        if self.name == "kalived":
            return [self.path, "--config", conf, "-n", "-l", *more, "-p", pid]
        return [self.path, "-f", conf, "-n", "-l", "-G", *more, "-P", "-p", pid, "-r", pid + ".vrrp"]

    def version(self):
        """First line of `--version`."""
        try:
            done = subprocess.run([self.path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=10)
            return ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]
        except (OSError, subprocess.TimeoutExpired):
            return "?"


def _path():
    # Debian keeps daemons where an ordinary user's PATH does not look.
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def built():
    """Where cargo puts the release binary of this checkout."""
    return os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target"), "release", "kalived")


def pulse():
    """The program that drives the daemon's loop without any protocol (examples/pulse.rs)."""
    return os.path.join(os.path.dirname(built()), "examples", "pulse")


def build(*what):
    """`cargo build --release` of what is run; ends the script with cargo's own message when it fails."""
    try:
        cmd = ["cargo", "build", "--release", *what]
        rc = subprocess.run(cmd, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        raise SystemExit("cargo is not installed: run scripts/setup as root, or see https://rustup.rs") from None
    if rc:
        raise SystemExit(rc)


class Daemon:
    """One daemon on one host."""

    def __init__(self, kind, ns, conf_text, detail=False):
        self.kind, self.ns, self.detail = kind, ns, detail
        self.conf = f"{box.WORK}/{ns}.conf"
        self.log = f"{box.WORK}/{ns}.log"
        self.proc = None
        with open(self.conf, "w") as f:
            f.write(conf_text)

    def start(self):
        """Starts it; fails if it ends within a tenth of a second."""
        with open(self.log, "ab") as log:
            argv = self.kind.argv(self.conf, f"{box.WORK}/{self.ns}.pid", self.detail)
            self.proc = subprocess.Popen(
                ["ip", "netns", "exec", self.ns, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        time.sleep(0.1)
        if self.proc.poll() is not None:
            code = self.proc.returncode
            raise RuntimeError(f"{self.kind.path} on {self.ns} ended at once with {code}:\n{self.tail()}")
        return self

    def tail(self, lines=15):
        """The end of its log."""
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def pids(self):
        """The process and its descendants."""
        found, last = [self.proc.pid], 0
        while last < len(found):
            try:
                for task in os.listdir(f"/proc/{found[last]}/task"):
                    with open(f"/proc/{found[last]}/task/{task}/children") as f:
                        found += [int(p) for p in f.read().split()]
            except OSError:
                pass
            last += 1
        return found

    def kill(self):
        """SIGKILL to all of it, as if power was cut; the wall clock, in nanoseconds, just before.

        The parent is stopped first: so it can neither start a new child when the old one dies, nor can a child hear that its
        parent is gone and say farewell. Then its children go, and it goes last.
        """
        pids = self.pids()
        os.kill(pids[0], signal.SIGSTOP)
        at = time.time_ns()
        for pid in pids[1:] + pids[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait(timeout=10)
        # We are the box's first process, so a dead daemon's children are ours to reap. Until then their process
        # numbers exist, and a daemon that finds one in its pid file believes that it runs already.
        for pid in pids[1:]:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
        return at

    def stop(self, seconds=10):
        """SIGTERM, as `systemctl stop` does; exit code, and the wall clock just before."""
        at = time.time_ns()
        self.proc.terminate()
        try:
            return self.proc.wait(timeout=seconds), at
        except subprocess.TimeoutExpired:
            self.kill()
            return None, at

    def running(self):
        """Whether it still runs."""
        return self.proc is not None and self.proc.poll() is None

    def speaker(self):
        """The process that speaks VRRP: kalived's says so on its command line, keepalived's is the only child."""
        pids = self.pids()
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if b"--core" in f.read().split(b"\0"):
                        return pid
            except OSError:
                pass
        return pids[-1]

    def cpu_ns(self):
        """Processor time, user and system, of all its processes and threads, in nanoseconds.

        The processes' CPU clocks (clock_getcpuclockid(3)): the scheduler's own sum, which utime + stime in /proc round
        to ticks of 10 ms.
        """
        return sum(time.clock_gettime_ns(((~pid) << 3) | 2) for pid in self.pids())

    def rt(self):
        """Scheduling policy and priority of the process that speaks VRRP, for the report."""
        pid = self.speaker()
        names = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
        policy = os.sched_getscheduler(pid) & ~getattr(os, "SCHED_RESET_ON_FORK", 0x40000000)
        return f"{names.get(policy, policy)} {os.sched_getparam(pid).sched_priority}"


def wait_for(what, test, seconds, *daemons):
    """Polls until `test()`; on time-out, an error that shows the daemons' logs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return
        for d in daemons:
            if not d.running():
                code = d.proc.returncode
                raise RuntimeError(f"{d.kind.name} on {d.ns} ended with {code} while waiting: {what}\n{d.tail()}")
        time.sleep(0.05)
    logs = "\n".join(f"--- {d.ns}\n{d.tail()}" for d in daemons)
    raise RuntimeError(f"not within {seconds} s: {what}\n{logs}")


def has(ns, address, dev="eth0"):
    """Whether a host holds an address, for `wait_for`."""
    return address in net.addresses(ns, dev)
