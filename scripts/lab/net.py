"""Hosts and cables: network namespaces, veth pairs, a bridge. Only meaningful inside the box (box.py)."""

import json
import subprocess


def ip(*args, ns=None, check=True):
    """One `ip` command, in a namespace if named."""
    cmd = ["ip", *(["-n", ns] if ns else []), *args]
    done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(cmd)}: {done.stderr.strip()}")
    return done.stdout


def host(name, **sysctls):
    """A new host with its loopback up. Sysctls are written `net__ipv4__ip_forward=1`."""
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", ns=name)
    for key, value in sysctls.items():
        sysctl(name, key.replace("__", "/"), value)
    return name


def sysctl(ns, path, value):
    """Writes /proc/sys/PATH as the namespace sees it."""
    write = ["ip", "netns", "exec", ns, "sh", "-c", f'echo "$1" > /proc/sys/{path}', "sh", str(value)]
    subprocess.run(write, check=True, stdin=subprocess.DEVNULL, timeout=20)


def cable(ns1, if1, ns2, if2):
    """A veth pair, both ends up. `None` is the box itself."""
    end = lambda ns: ["netns", ns] if ns else []
    ip("link", "add", "name", if1, *end(ns1), "type", "veth", "peer", "name", if2, *end(ns2))
    ip("link", "set", if1, "up", ns=ns1)
    ip("link", "set", if2, "up", ns=ns2)


def bridge(name):
    """A switch in the box. No spanning tree and no snooping, so it forwards from the first packet on."""
    ip("link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
    ip("link", "set", name, "up")


def plug(ns, bridge_name):
    """Connects eth0 of a host to the bridge; the port is called port-HOST."""
    cable(ns, "eth0", None, f"port-{ns}")
    ip("link", "set", f"port-{ns}", "master", bridge_name)


def mac(ns, dev="eth0"):
    """Hardware address, as six bytes."""
    return bytes.fromhex(json.loads(ip("-j", "link", "show", "dev", dev, ns=ns))[0]["address"].replace(":", ""))


def index(ns, dev="eth0"):
    """Interface index."""
    return json.loads(ip("-j", "link", "show", "dev", dev, ns=ns))[0]["ifindex"]


def addresses(ns, dev="eth0"):
    """IPv4 addresses on an interface, without prefix length."""
    found = json.loads(ip("-j", "-4", "addr", "show", "dev", dev, ns=ns, check=False) or "[]")
    return {a["local"] for link in found for a in link.get("addr_info", [])}


def set_only(ns, address, dev="eth0"):
    """Leaves nothing but `address` (with prefix length): what a host has after it booted."""
    ip("-4", "addr", "flush", "dev", dev, ns=ns)
    ip("addr", "add", address, "dev", dev, ns=ns)
