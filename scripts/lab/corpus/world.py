"""One daemon with one file, in network, mount, process and host-name namespaces of its own.

`run(job)` is called inside the box (scripts/lab/box.sh) and is its first process: when it ends, by whatever means, everything that it started
and mounted is gone. The daemon sees a copy of the root file system (overlay) in which every program that the file names is one that
does nothing and succeeds; the file's own commands never run. Interfaces are cables (veth) with the file's names; their other ends are
in a second namespace, where the peers' addresses are and where the frames are read.
"""

import json
import os
import re
import shutil
import subprocess
import time

from . import answers, frames, needs as needing

BOX = "/run/corpus"
ROOT = f"{BOX}/root"
CONF = "/etc/keepalived/keepalived.conf"
SYSCTLS = ("arp_ignore", "arp_filter", "arp_announce", "rp_filter", "accept_local", "promote_secondaries", "disable_ipv6", "accept_ra")
#: A second burst of gratuitous ARP comes 5 s after the first.
SETTLE = 6.5
_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
for _name in ("PYTHONHOME",):
    if _name in os.environ:
        _ENV[_name] = os.environ[_name]


def call(*cmd, check=False, seconds=20):
    """Runs a command; its output, empty where it failed."""
    try:
        done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=_ENV, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as e:
        if check:
            raise
        return f"{e}" if check is None else ""
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(cmd)}: {done.stderr.strip()}")
    return done.stdout + done.stderr if check is None else done.stdout


class Namespace:
    """A network namespace that a sleeping process holds."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL, env=_ENV)
        self.path = f"/proc/{self.holder.pid}/ns/net"
        while True:
            with open(f"/proc/{self.holder.pid}/comm") as f:
                if f.read().strip() == "sleep":
                    break
            time.sleep(0.01)
        self.call("ip", "link", "set", "lo", "up")

    def inside(self, *cmd):
        """The command, to be run inside."""
        return ["nsenter", f"--net={self.path}", *cmd]

    def call(self, *cmd, **how):
        """Runs a command inside."""
        return call(*self.inside(*cmd), **how)

    def json(self, *cmd):
        """Its output as a value; an empty list where there is none."""
        try:
            return json.loads(self.call(*cmd) or "[]")
        except ValueError:
            return []

    def sysctl(self, values):
        """Sets sysctls."""
        text = "; ".join(f"echo {v} >/proc/sys/net/{k}" for k, v in values.items())
        self.call("sh", "-c", text)


def make_root(job):
    """The root that the daemon sees."""
    call("mount", "-t", "tmpfs", "corpus", "/run", check=True)
    for part in ("upper", "work", "root"):
        os.makedirs(f"{BOX}/{part}")
    call("mount", "-t", "overlay", "corpus", "-o", f"lowerdir=/,upperdir={BOX}/upper,workdir={BOX}/work", ROOT, check=True)
    for part, kind in (("run", "tmpfs"), ("tmp", "tmpfs"), ("proc", "proc")):
        os.makedirs(f"{ROOT}/{part}", exist_ok=True)
        call("mount", "-t", kind, kind, f"{ROOT}/{part}", check=True)
    os.chmod(f"{ROOT}/tmp", 0o1777)
    os.chmod(f"{ROOT}/run", 0o755)
    call("mount", "--rbind", "/dev", f"{ROOT}/dev", check=True)
    call("mount", "--bind", "/sys", f"{ROOT}/sys")
    shutil.rmtree(f"{ROOT}/etc/keepalived", ignore_errors=True)
    os.makedirs(f"{ROOT}/etc/keepalived")
    with open(ROOT + CONF, "wb") as f:
        f.write(job["text"].encode("latin-1"))
    shutil.copy(job["kalived"], f"{ROOT}/usr/sbin/kalived")
    os.chmod(f"{ROOT}/usr/sbin/kalived", 0o755)


def programs(names, does="true"):
    """Under each of these names the program that does nothing and succeeds, or that fails; with None there is none."""
    content = None
    if does:
        with open(os.path.realpath(shutil.which(does, path=_ENV["PATH"])), "rb") as f:
            content = f.read()
    for name in sorted(names):
        path = name if name.startswith("/") else f"/usr/bin/{name}"
        path = os.path.normpath(path)
        if not re.fullmatch(r"[^\0\n]{2,200}", path) or path == CONF:
            continue
        try:
            # A symbolic link is followed within the root: an absolute one would lead out of it.
            full = call("chroot", ROOT, "realpath", "-m", path).strip() or path
            os.makedirs(os.path.dirname(ROOT + full), exist_ok=True)
            if os.path.lexists(ROOT + full):
                os.unlink(ROOT + full)
            if content is not None:
                with open(ROOT + full, "wb") as f:
                    f.write(content)
                os.chmod(ROOT + full, 0o755)
        except OSError:
            continue


def furnish(job, needs):
    """Programs, users, files that the file names. The programs do nothing."""
    with open(f"{ROOT}/etc/passwd") as f:
        present = {line.split(":")[0] for line in f}
    for number, (user, *_) in enumerate(needs["users"], 2001):
        # As on Debian, where the package makes no such user.
        if user not in present and user != "keepalived_script" and re.fullmatch(r"[\w.-]+", user):
            present.add(user)
            for file, line in (("passwd", f"{user}:x:{number}:{number}::/:/bin/sh\n"), ("group", f"{user}:x:{number}:\n")):
                with open(f"{ROOT}/etc/{file}", "a") as f:
                    f.write(line)
    programs({*needs["programs"], "/bin/sh", "/bin/bash"})
    if job.get("no_programs"):
        programs(needs["check_programs"], None)
    for path in needs["files"]:
        try:
            os.makedirs(os.path.dirname(ROOT + path), exist_ok=True)
            with open(ROOT + path, "x") as f:
                f.write("0\n")
        except OSError:
            continue


def processes(needs):
    """Processes of the names that the file tracks."""
    shell = os.path.realpath(shutil.which("dash", path=_ENV["PATH"]) or shutil.which("sh", path=_ENV["PATH"]))
    os.makedirs(f"{BOX}/programs", exist_ok=True)
    started = []
    for words in needs["processes"]:
        path = f"{BOX}/programs/{os.path.basename(words[0])}"
        if not os.path.exists(path):
            shutil.copy(shell, path)
        # A shell that waits for its first line; the words after its name are what it was not told to do.
        started.append(subprocess.Popen([words[0], "-s", "--", *words[1:]] if len(words) == 1 else words, executable=path,
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return started


def cable(host, wire, number, name):
    """A cable with an interface of that name."""
    end = f"w{number}"
    wire.call("ip", "link", "add", "name", end, "type", "veth", "peer", "name", name, "netns", str(host.holder.pid))
    wire.sysctl({f"ipv6/conf/{end}/accept_dad": 0})
    wire.call("ip", "link", "set", end, "address", f"02:00:00:00:01:{number:02x}", "up")
    host.call("ip", "link", "set", "dev", name, "address", f"02:00:00:00:00:{number:02x}")
    host.call("ip", "link", "set", "dev", name, "up")
    return end


def addresses(host, wire, needs, ends):
    """Addresses of the interfaces, of the peers, and routes to them."""
    for number, name in enumerate(needs["interfaces"], 1):
        for word in [*needs["addresses"].get(name, ()), f"172.31.{number}.1/24"]:
            host.call("ip", "addr", "add", word, "dev", name, *(("nodad",) if ":" in word else ("brd", "+")))
    own = {word.split("/")[0] for words in needs["addresses"].values() for word in words}
    for name, peers in needs["peers"].items():
        for peer in peers:
            if peer in own or name not in ends:
                continue
            size = "128" if ":" in peer else "32"
            wire.call("ip", "addr", "add", f"{peer}/{size}", "dev", ends[name])
            host.call("ip", "route", "add", f"{peer}/{size}", "dev", name)
    for gateway, name in needs["gateways"]:
        name = name if name in ends else next(iter(ends), None)
        if name:
            host.call("ip", "route", "add", f"{gateway}/{'128' if ':' in gateway else '32'}", "dev", name)
            wire.call("ip", "addr", "add", f"{gateway}/{'128' if ':' in gateway else '32'}", "dev", ends[name])


def reachable(host, wire, needs, ends):
    """Gives the other end of the first cable the addresses of the real servers."""
    first = next(iter(ends), None)
    own = {word.split("/")[0] for words in needs["addresses"].values() for word in words}
    for address in sorted({s[0] for s in needs["servers"]} - own if first else ()):
        size = "128" if ":" in address else "32"
        wire.call("ip", "addr", "add", f"{address}/{size}", "dev", ends[first], *(("nodad",) if ":" in address else ()))
        host.call("ip", "route", "add", f"{address}/{size}", "dev", first)
    if first:
        # Replies go to whichever address the check came from.
        wire.call("ip", "route", "add", "default", "dev", ends[first])
        wire.call("ip", "-6", "route", "add", "default", "dev", ends[first])


def table(host):
    """The IPVS table."""
    return host.call("ipvsadm", "-Sn")


def observe(host):
    """What a daemon can have changed."""
    values = host.call("sh", "-c", "cd /proc/sys/net; grep -s . " + " ".join(f"ipv[46]/conf/*/{s}" for s in SYSCTLS))
    ipvs = table(host) if os.path.exists("/proc/net/ip_vs") or _have_ipvs(host) else None
    return {
        "links": host.json("ip", "-j", "-d", "addr", "show"),
        "routes": [[*host.json("ip", "-N", "-j", "-d", family, "route", "show", "table", "all")] for family in ("-4", "-6")],
        "rules": [[*host.json("ip", "-N", "-j", family, "rule", "show")] for family in ("-4", "-6")],
        "nft": host.call("nft", "-s", "list", "ruleset"),
        "sysctl": dict(line.split(":", 1) for line in values.splitlines() if ":" in line),
        "ipvs": ipvs,
        "ipvs daemon": host.call("ipvsadm", "-Ln", "--daemon") if ipvs is not None else None,
        "ipvs timeouts": host.call("ipvsadm", "-Ln", "--timeout") if ipvs is not None else None,
    }


def _have_ipvs(host):
    return bool(shutil.which("ipvsadm", path=_ENV["PATH"])) and host.call("sh", "-c", "[ -e /proc/net/ip_vs ] && echo yes").strip() == "yes"


# keepalived writes its first FAULT in small letters.
STATE = re.compile(r"\(([^)]+)\) [Ee]ntering (\w+) (?:STATE|state)")


def states(log):
    """The last state of each instance in a log."""
    found = {}
    for name, state in STATE.findall(log):
        found[name] = state
    return found


def argv(job):
    """How the daemon is started."""
    name = job["daemon"]
    path = "/usr/sbin/kalived" if name == "kalived" else "/usr/sbin/keepalived"
    more = ["-i", job["id"]] if job["id"] else []
    # Without IPVS in the kernel keepalived's health checkers end, and all of it with them.
    if not os.path.exists("/proc/net/ip_vs"):
        more.append("-P")
    return [path, "-f", CONF, "-n", "-l", "-G", "-D", *more]


def discover(job, host, wire):
    """What the file needs; the interfaces are there afterwards. Lines that kalived does not run yet are taken out, and named."""
    more = ["-i", job["id"]] if job["id"] else []
    taken = []
    test = call("chroot", ROOT, "/usr/sbin/kalived", "--offline", "-f", CONF, *more, "-t", check=None)
    lines = job["text"].split("\n")
    for number, keyword in re.findall(r"keepalived\.conf:(\d+):\d+: fatal: `(\w+)` is not supported yet", test):
        lines[int(number) - 1] = ""
        taken.append(keyword)
    if taken:
        job["text"] = "\n".join(lines)
        with open(ROOT + CONF, "wb") as f:
            f.write(job["text"].encode("latin-1"))
    dump = call("chroot", ROOT, "/usr/sbin/kalived", "--offline", "--show-secrets", "-f", CONF, *more, "--dump-conf")
    needs = needing.of(job["text"], dump)
    if job.get("servers"):
        needs.interfaces = needs.interfaces or ["eth0"]
    for _ in range(3):
        for number, name in enumerate(needs.interfaces, 1):
            if not os.path.exists(f"{BOX}/cable-{number}"):
                cable(host, wire, number, name)
                open(f"{BOX}/cable-{number}", "w").close()
        log = call(*host.inside("chroot", ROOT, "/usr/sbin/keepalived", "-f", CONF, *more, "-l", "-G", "-t"), check=None, seconds=5)
        if not needs.complaints(log):
            break
    return {"needs": needs.plain(), "text": job["text"], "taken": taken}


def run(job):
    """One daemon with one file: what it did to the host, what it sent, its log."""
    call("hostname", "node")
    make_root(job)
    host, wire = Namespace(), Namespace()
    for ns in (host, wire):
        ns.sysctl({"ipv6/conf/all/accept_dad": 0, "ipv6/conf/default/accept_dad": 0, "ipv6/conf/all/disable_ipv6": 0,
                   "ipv6/conf/default/accept_ra": 0})
    needs = job["needs"]
    if needs is None:
        return discover(job, host, wire)
    ends = {name: cable(host, wire, number, name) for number, name in enumerate(needs["interfaces"], 1)}
    furnish(job, needs)
    addresses(host, wire, needs, ends)
    running = processes(needs)
    if job.get("answer"):
        # Whatever a check calls refuses at once.
        wire.call("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
        wire.call("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")
        first = next(iter(ends), None)
        if first:
            host.call("ip", "route", "add", "default", "dev", first)
            host.call("ip", "-6", "route", "add", "default", "dev", first)
            wire.sysctl({f"ipv4/conf/{ends[first]}/proxy_arp": 1, f"ipv4/conf/{ends[first]}/rp_filter": 0})
    if job.get("servers"):
        reachable(host, wire, needs, ends)
        served = answers.Answers(wire.path, needs["servers"], BOX)
    for name in needs["namespaces"]:
        os.makedirs(f"{ROOT}/run/netns", exist_ok=True)
        open(f"{ROOT}/run/netns/{name}", "w").close()
        call("mount", "--bind", host.path, f"{ROOT}/run/netns/{name}", check=True)
    time.sleep(0.3)  # link-local addresses
    capture = frames.Capture(wire.path)
    before = observe(host)
    names = {int(end[1:]): name for name, end in ends.items()}
    log_path = f"{BOX}/log"
    command = ["chroot", ROOT, *argv(job)]
    with open(log_path, "wb") as log:
        started = time.monotonic()
        daemon = subprocess.Popen(command if needs["namespaces"] else host.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=_ENV)
    read = lambda: open(log_path, errors="replace").read()
    last, since = None, started
    while time.monotonic() - started < job["limit"] and daemon.poll() is None:
        now = states(read())
        if now != last:
            last, since = now, time.monotonic()
        expected = {n for n in needs["instances"] if n} | set(last)
        done = last and all(last.get(n) == "MASTER" for n in expected)
        if (done or not expected) and time.monotonic() - since > job["settle"]:
            break
        time.sleep(0.2)
    tables = {}

    def later(when):
        end = time.monotonic() + needs["verdict"]
        while time.monotonic() < end and daemon.poll() is None:
            time.sleep(2)
        tables[when] = table(host)

    if job.get("servers") and needs["verdict"]:
        later("with all servers up")
        served.half()
        programs(needs["check_programs"], None if job.get("no_programs") else "false")
        later("with half of the servers down")
        served.all()
        programs(needs["check_programs"], None if job.get("no_programs") else "true")
        later("with the servers back")
    ended = daemon.poll()
    after = observe(host)
    stopped = time.monotonic()
    if ended is None:
        daemon.terminate()
        try:
            ended = daemon.wait(6)
        except subprocess.TimeoutExpired:
            ended = "does not end"
            daemon.kill()
        time.sleep(0.3)
        left = observe(host)
    else:
        stopped, left = None, after
    seen = []
    for one in capture.close():
        number, _, rest = one.key.partition(" ")
        key = f"{names.get(int(number[1:]), number)} {rest}"
        seen.append([one.kind, key, one.plain.hex(), one.words, round(one.at - started, 3)])
    for p in running:
        p.kill()
    return {"before": before, "after": after, "left": left, "seen": seen, "states": states(read()) if stopped is None else last,
            "tables": tables, "answers": sorted(served.errors) if job.get("servers") else [], "exit": ended, "early": stopped is None, "took": round((stopped or time.monotonic()) - started, 2), "log": read()[-60000:]}
