"""What a configuration file needs of its host: interfaces, addresses, programs, users, processes, files.

Read from `kalived --dump-conf`, in which variables, conditions and repetitions are expanded, and from what keepalived's `-t` complains of.
"""

import ipaddress
import re
import shlex

#: Lines whose value is a command.
COMMANDS = ("script", "misc_path", "quorum_up", "quorum_down", "startup_script", "shutdown_script")
#: Names of interfaces in keepalived's complaints.
COMPLAINTS = (r"nterface '?([^\s,']+)'? (?:for|doesn't|does not|specified|not found|non)", r"[Cc]an'?t find interface ([^\s,]+)",
              r"unknown interface '?([^\s,']+)", r"ssign ip address \S+ to unknown ([^\s,]+)",
              r"track(?:ed)? interface:? ([^\s,]+)", r"(?:dev|if|interface) ([^\s,]+) (?:that )?(?:is unknown|doesn't exist|does not exist)")


class Node:
    """A line of the file with the lines of its block."""

    def __init__(self, words):
        self.words, self.lines = words, []

    @property
    def name(self):
        """The keyword."""
        return self.words[0] if self.words else ""

    def walk(self):
        """It and everything in its block."""
        yield self
        for line in self.lines:
            yield from line.walk()


#: What answers a check: the protocol of the server. A TCP_CHECK is content with any of them.
SERVERS = {"TCP_CHECK": "tcp", "HTTP_GET": "http", "SSL_GET": "tls", "SMTP_CHECK": "smtp", "UDP_CHECK": "udp", "DNS_CHECK": "udp"}
#: keepalived's defaults of a check, and the longest that is waited for one, in seconds.
DELAY, TIMEOUT, RETRY, LONGEST = 60.0, 5.0, 3, 400.0


def split(text):
    """The words of a line, quotes taken away; a stray quote is a character."""
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()


def tree(text):
    """The blocks of a dump: it has one statement a line."""
    root = Node([])
    stack = [root]
    for line in text.splitlines():
        line = line.strip()
        if line == "}":
            if len(stack) > 1:
                stack.pop()
            continue
        block = line.endswith("{")
        node = Node(split(line[:-1] if block else line))
        if node.words:
            stack[-1].lines.append(node)
            if block:
                stack.append(node)
    return root


def address(word):
    """An address without its prefix, or None."""
    try:
        return ipaddress.ip_interface(word)
    except ValueError:
        return None


def valid_name(name):
    """Whether the kernel takes it as the name of an interface."""
    return 0 < len(name) < 16 and not re.search(r"[/\s:]", name) and name not in (".", "..", "lo")


def word(node, name, default):
    """The value of a line of a block."""
    return next((n.words[1] for n in node.lines if n.name == name and len(n.words) > 1), default)


def number(node, name, default):
    """The same, as a number."""
    try:
        return float(word(node, name, default))
    except ValueError:
        return default


class Needs:
    """Lists and dictionaries of plain values, so that it passes through JSON."""

    def __init__(self, text, dump):
        self.interfaces = []
        self.addresses = {}  # interface: [address/length]
        self.peers = {}  # interface: [address]
        self.gateways = []  # [address, interface]
        self.programs, self.users, self.processes, self.files = [], [], [], []
        self.namespaces = []
        self.instances = []
        self.servers = []  # [address, port, protocol]: what the checks of real servers connect to
        self.check_programs = []  # those of MISC_CHECK
        self.verdict = 0.0  # seconds until every check must have given a new verdict, its retries included
        root = tree(dump)
        self._all_lines(root)
        self._instances(root)
        for node in root.lines:
            if node.name == "virtual_server":
                self._checks(node)
        if not root.lines:
            self._text(text)

    def plain(self):
        """For JSON."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def interface(self, name):
        """Adds one."""
        if valid_name(name) and name not in self.interfaces and name not in self._made:
            self.interfaces.append(name)

    def _all_lines(self, root):
        self._made = set()
        for node in root.walk():
            if node.name == "use_vmac" and len(node.words) > 1:
                self._made.add(node.words[1])
        # The instances' own first, so that they are what an address without `dev` means.
        for node in root.walk():
            if node.name in ("interface", "default_interface") and len(node.words) > 1:
                self.interface(node.words[1])
        for node in root.walk():
            words = node.words
            for before, after in zip(words, words[1:]):
                if before in ("dev", "oif", "iif") and not after.startswith("vrrp."):
                    self.interface(after)
                if before == "via":
                    place = words[words.index("dev") + 1] if "dev" in words[:-1] else None
                    gateway = next((w for w in words[words.index("via") + 1:] if address(w)), None)
                    if gateway:
                        self.gateways.append([gateway, place])
            if node.name in ("lvs_sync_daemon", "bind_if", "garp_extra_if", "linkbeat_interfaces") and len(words) > 1:
                self.interface(words[1])
            if node.name in ("track_interface", "interfaces"):
                for line in node.lines:
                    self.interface(line.name)
            if (node.name in COMMANDS or node.name.startswith("notify")) and len(words) > 1 and "notify_fifo" != node.name[-11:]:
                inner = split(words[1])
                if inner and inner[0] != "{":
                    self.programs.append(inner[0])
            if node.name in ("script_user", "user") and len(words) > 1:
                self.users.append(words[1:3])
            if node.name == "process" and len(words) > 1:
                self.processes.append(words[1:])
            if node.name == "file" and len(words) > 1 and words[1].startswith("/"):
                self.files.append(words[1])
            if node.name in ("net_namespace", "net_namespace_ipvs") and len(words) > 1:
                self.namespaces.append(words[1])

    def _instances(self, root):
        for node in root.lines:
            if node.name != "vrrp_instance":
                continue
            self.instances.append(node.words[1] if len(node.words) > 1 else "")
            at = next((n.words[1] for n in node.lines if n.name == "interface" and len(n.words) > 1), None)
            if at not in self.interfaces:
                continue
            for line in node.lines:
                if line.name in ("mcast_src_ip", "unicast_src_ip") and len(line.words) > 1 and address(line.words[1]):
                    own = address(line.words[1])
                    length = own.network.prefixlen
                    if length == own.max_prefixlen:
                        length = 24 if own.version == 4 else 64
                    word = f"{own.ip}/{length}"
                    if not own.ip.is_multicast and word not in self.addresses.setdefault(at, []):
                        self.addresses[at].append(word)
                if line.name == "unicast_peer":
                    for peer in line.lines:
                        if address(peer.name):
                            self.peers.setdefault(at, []).append(str(address(peer.name).ip))

    def _checks(self, service):
        """Where the checks of a virtual server connect to, and how long a verdict takes."""
        delay = number(service, "delay_loop", DELAY)
        for server in (n for n in service.lines if n.name == "real_server" and len(n.words) > 1):
            port = (server.words[2:3] or service.words[2:3])[0]
            for check in (n for n in server.lines if n.name in SERVERS or n.name == "MISC_CHECK"):
                own = number(check, "delay_loop", number(server, "delay_loop", delay))
                one = max(number(check, "connect_timeout", TIMEOUT), number(check, "misc_timeout", 0)) + number(check, "delay_before_retry", own)
                pages = sum(n.name == "url" for n in check.lines)
                # The first look comes within the warm-up; each page may come an interval after the one before.
                took = number(check, "warmup", own) + (pages + 1) * own + (1 + number(check, "retry", number(check, "nb_get_retry", RETRY))) * one
                self.verdict = max(self.verdict, min(LONGEST, took))
                self.check_programs += split(word(check, "misc_path", ""))[:1]
                for host in [n for n in check.lines if n.name == "host"] or [check]:
                    place, at = word(host, "connect_ip", server.words[1]), word(host, "connect_port", port)
                    if check.name in SERVERS and address(place) and at.isdigit() and 0 < int(at) < 65536:
                        found = [str(address(place).ip), int(at), SERVERS[check.name]]
                        if found not in self.servers:
                            self.servers.append(found)

    def _text(self, text):
        """For a file that kalived does not read to its end: what stands there in so many words."""
        for keyword, name in re.findall(r"(?m)^\s*(interface|dev)\s+([^\s{}#]+)", text):
            self.interface(name)
        self.instances += re.findall(r"(?m)^\s*vrrp_instance\s+([^\s{]+)", text)

    def complaints(self, log):
        """Interfaces that keepalived misses; whether there are new ones."""
        before = len(self.interfaces)
        for pattern in COMPLAINTS:
            for name in re.findall(pattern, log):
                name = name.rstrip(".:;!)")
                if name not in ("for", "the", "is", "name", "vrrp_instance", "vmac"):
                    self.interface(name)
        return len(self.interfaces) > before


def of(text, dump):
    """The needs of one file."""
    needs = Needs(text, dump)
    return needs
