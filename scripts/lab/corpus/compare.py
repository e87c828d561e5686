"""The differences between what two daemons did with one file, each with its kind.

A kind is a few words that name what differs and not the file: kinds that are wanted, and the reason, are in known.py.
"""

import collections
import re

from . import known

#: Gratuitous ARP that comes later after the first of an address belongs to refreshes, of which we see more or fewer by chance.
WINDOW = 6.0
CHECKERS = ("TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "MISC_CHECK", "FILE_CHECK",
            "BFD_CHECK", "SMTP_CHEKC")


def without_checks(text):
    """The text without the blocks of health checks: each becomes blanks, line breaks stay."""
    pattern = re.compile(r"(?m)^[ \t]*(?:%s)\b[^{}\n]*\s*\{" % "|".join(CHECKERS))
    while True:
        found = pattern.search(text)
        if not found:
            return text
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[:found.start()] + re.sub(r"[^\n]", " ", text[found.start():end]) + text[end:]


def links(one):
    """Interfaces and their addresses, without what the kernel chose."""
    found, addresses = {}, {}
    names = {link["ifindex"]: link["ifname"] for link in one["links"]}
    for link in one["links"]:
        info = link.get("linkinfo", {})
        name = link["ifname"]
        found[name] = {
            "kind": info.get("info_kind"), "mode": info.get("info_data", {}).get("mode"), "mac": link.get("address"), "mtu": link.get("mtu"),
            "up": "UP" in link.get("flags", ()), "on": link.get("link") if "link_netnsid" not in link else None,
            "generation": link.get("inet6_addr_gen_mode"), "arp": "NOARP" not in link.get("flags", ())}
        for a in link.get("addr_info", ()):
            if "local" not in a:
                continue
            key = f"{name} {a['local']}/{a['prefixlen']}"
            addresses[key] = {k: v for k, v in a.items() if k not in ("local", "prefixlen", "family", "valid_life_time")}
    assert len(names) >= len(found)
    return found, addresses


def routes(one):
    """Routes and rules that the kernel did not make itself."""
    result = collections.Counter()
    for what in ("routes", "rules"):
        for family, listed in zip(("IPv4", "IPv6"), one[what]):
            for line in listed:
                if str(line.get("protocol")) in ("kernel", "2", "ra") or line.get("table") in ("local", "255") or line.get("type") == "multicast":
                    continue
                words = " ".join(f"{k} {line[k]}" for k in sorted(line) if k not in ("expires", "cache", "flags", "pref") and line[k] != [])
                result[f"{what[:-1]} {family} {words}"] += 1
    return result


def firewall(text):
    """Lines of the ruleset, each behind the table and chain in which it stands; the elements of a set one by one."""
    lines, where = [], []
    text = re.sub(r",\s*\n\s*", ", ", text)
    for line in text.splitlines():
        line = line.strip()
        if line.endswith("{") and not line.startswith("elements"):
            where.append(line[:-1].strip())
        elif line == "}":
            where and where.pop()
        elif line.startswith("elements"):
            inner = line.partition("{")[2].rpartition("}")[0]
            lines += [f"{' / '.join(where)}: element {e.strip()}" for e in inner.split(",")]
        elif line:
            lines.append(f"{' / '.join(where)}: {line}")
    return collections.Counter(lines)


def changed(before, after):
    """Sysctls that have another value than before; those of new interfaces too."""
    return {k: v for k, v in after["sysctl"].items() if before["sysctl"].get(k) != v}


class Pair:
    """One file: `mine` is keepalived's side, `yours` kalived's."""

    def __init__(self, keepalived, kalived):
        self.a, self.b = keepalived, kalived
        self.found = []  # (kind, detail)

    def add(self, kind, detail=""):
        """A difference."""
        self.found.append((kind, detail))

    def dicts(self, kind, a, b, say=str):
        """Keys of one only, and values that differ."""
        for key in sorted({*a, *b}):
            if key not in b:
                self.add(f"{kind}: only keepalived", f"{key} {say(a[key])}")
            elif key not in a:
                self.add(f"{kind}: only kalived", f"{key} {say(b[key])}")
            elif a[key] != b[key]:
                yield key, a[key], b[key]

    def counters(self, kind, a, b):
        """Lines of one only."""
        for line in sorted((a - b).elements()):
            self.add(f"{kind}: only keepalived", line)
        for line in sorted((b - a).elements()):
            self.add(f"{kind}: only kalived", line)

    def compare(self):
        """All differences."""
        a, b = self.a, self.b
        for side, one in (("keepalived", a), ("kalived", b)):
            if "error" in one:
                self.add(f"run: {side}", one["error"])
        if self.found:
            return self.found
        for keyword in b.get("taken out", ()):
            self.add("taken out for both: kalived does not have it yet", keyword)
        if a["early"] or b["early"]:
            if a["early"] != b["early"]:
                side = "keepalived" if a["early"] else "kalived"
                self.add(f"start: {side} does not run it", reason((a if a["early"] else b)["log"], side))
            return self.found
        for name, x, y in self.dicts("state", a["states"], b["states"]):
            self.add("state: differs", f"{name}: keepalived {x}, kalived {y}")
        if a["exit"] != b["exit"]:
            self.add("exit code", f"keepalived {a['exit']}, kalived {b['exit']}")
        self.host("", a["before"], a["after"], b["before"], b["after"])
        self.host("after the stop: ", a["before"], a["left"], b["before"], b["left"])
        for when in a.get("tables", ()):
            lines = [collections.Counter(x["tables"].get(when, "").splitlines()) for x in (a, b)]
            self.counters(f"ipvs {when}", *lines)
        self.wire()
        return self.found

    def host(self, prefix, a0, a1, b0, b1):
        """Interfaces, addresses, routes, rules, firewall, sysctls, IPVS."""
        (la, aa), (lb, ab) = links(a1), links(b1)
        for key, x, y in self.dicts(prefix + "interface", la, lb):
            for field in x:
                if x[field] != y[field]:
                    self.add(f"{prefix}interface's {field}", f"{key}: keepalived {x[field]}, kalived {y[field]}")
        for key, x, y in self.dicts(prefix + "address", aa, ab):
            for field in sorted({*x, *y}):
                if x.get(field) != y.get(field):
                    self.add(f"{prefix}address's {field}", f"{key}: keepalived {x.get(field)}, kalived {y.get(field)}")
        self.counters(prefix + "route or rule", routes(a1), routes(b1))
        self.counters(prefix + "nftables", firewall(a1["nft"]), firewall(b1["nft"]))
        sa, sb = changed(a0, a1), changed(b0, b1)
        for key in sorted({*sa, *sb}):
            if sa.get(key) != sb.get(key):
                name = key.rsplit("/", 1)[1]
                self.add(f"{prefix}sysctl {name}", f"{key}: keepalived {sa.get(key, 'as before')}, kalived {sb.get(key, 'as before')}")
        for what in ("ipvs", "ipvs daemon", "ipvs timeouts"):
            if a1.get(what) is not None:
                lines = [collections.Counter(x[what].splitlines()) for x in (a1, b1)]
                self.counters(prefix + what, *lines)

    def wire(self):
        """Adverts, farewells, gratuitous ARP, neighbour advertisements."""
        seen = []
        for one in (self.a, self.b):
            by = collections.defaultdict(list)
            for kind, key, plain, words, at in one["seen"]:
                by[kind, key].append((plain, words, at))
            seen.append(by)
        for kind, key in sorted({*seen[0], *seen[1]}):
            x, y = (s.get((kind, key), []) for s in seen)
            if not x or not y:
                self.add(f"{kind}: only {'keepalived' if x else 'kalived'}", f"{key} {len(x or y)} × {brief((x or y)[0][1])}")
                continue
            if kind in ("arp", "na"):
                self.announced(kind, key, x, y)
                continue
            # What is sent when everything has settled; then, in order, what was sent on the way.
            last = [s[-1] for s in (x, y)]
            if last[0][0] != last[1][0]:
                self.fields(kind, key, last[0], last[1])
            course = [[] for _ in range(2)]
            for way, frames in zip(course, (x, y)):
                for plain, words, _ in frames:
                    if not way or way[-1][0] != plain:
                        way.append((plain, f"priority {words['priority']} of {words['source']}"))
            if [p for p, _ in course[0][:-1]] != [p for p, _ in course[1][:-1]]:
                self.add(f"{kind}: other ones before the last", f"{key}: keepalived {[w for _, w in course[0]]}, kalived {[w for _, w in course[1]]}")

    def fields(self, kind, key, x, y):
        """What differs in two frames."""
        words = [w for w in x[1] if x[1][w] != y[1][w]]
        # The checksum differs with every other field, the header with the addresses in it.
        own = [w for w in words if w not in ("checksum", "header")] or words or ["bytes"]
        for word in own:
            self.add(f"{kind}'s {word}", f"{key}: keepalived {x[1].get(word, x[0])}, kalived {y[1].get(word, y[0])}")

    def announced(self, kind, key, x, y):
        """Bursts of gratuitous ARP or neighbour advertisements."""
        if x[0][0] != y[0][0]:
            self.fields(kind, key, x[0], y[0])
        for name, frames in (("keepalived", x), ("kalived", y)):
            if len({plain for plain, _, _ in frames}) > 1:
                self.add(f"{kind}: {name} sends several kinds", key)
        counts = [sum(at - frames[0][2] < WINDOW for _, _, at in frames) for frames in (x, y)]
        if counts[0] != counts[1]:
            self.add(f"{kind}: number", f"{key}: keepalived {counts[0]}, kalived {counts[1]} in {WINDOW:g} s")


def brief(words):
    """A frame in few words."""
    return ", ".join(f"{k} {v}" for k, v in words.items() if v != "" and k not in ("header",))


def reason(log, side):
    """The line that says why a daemon did not start."""
    lines = [re.sub(r"^\w{3} \w{3} +\d+ [\d:]+ \d{4}: ", "", line.strip()) for line in log.splitlines()]
    wanted = r"fatal:" if side == "kalived" else r"(?i)permanent error|missing a parameter|unknown|not valid|died|must be|error"
    found = [line for line in lines if re.search(wanted, line)]
    return " | ".join(found[-3:] if side == "keepalived" else found[:3])[:500] or " | ".join(lines[-3:])[:500]


class Report:
    """A line for each file, and at the end the kinds."""

    def __init__(self):
        self.same = self.files = self.unexplained = self.refused = 0
        self.kinds = collections.defaultdict(list)

    def add(self, name, keepalived, kalived):
        """Compares one file and prints it."""
        self.files += 1
        found = Pair(keepalived, kalived).compare()
        if "error" not in keepalived and keepalived["early"] and "error" not in kalived and kalived["early"]:
            self.refused += 1
            print(f"{name}\tneither runs it\tkeepalived {keepalived['exit']}: {reason(keepalived['log'], 'keepalived')}; "
                  f"kalived {kalived['exit']}: {reason(kalived['log'], 'kalived')}", flush=True)
            return
        other = [(k, d) for k, d in found if known.reason(k, d) is None]
        for k, d in found:
            self.kinds[k, known.reason(k, d)].append((name, d))
        self.unexplained += len(other)
        if not other:
            self.same += 1
            wanted = sorted({k for k, _ in found})
            print(f"{name}\tsame\t" + ("but for what is wanted: " + "; ".join(wanted) if wanted else ""), flush=True)
            return
        print(f"{name}\tDIFFERENT", flush=True)
        for k, d in other:
            print(f"\t{k}\t{d}", flush=True)

    def end(self):
        """The kinds with their files."""
        print(f"\n{self.files} files: {self.same} the same, {self.files - self.same - self.refused} different, {self.refused} that neither runs")
        for wanted in (True, False):
            print("\nwanted:" if wanted else "\nunexplained:")
            for (kind, why), where in sorted(self.kinds.items(), key=lambda item: -len(item[1])):
                if (why is not None) == wanted:
                    names = sorted({n for n, _ in where})
                    print(f"  {len(where):4} in {len(names):3} files  {kind}{': ' + why if why else ''}  ({' '.join(names[:12])}{' …' if len(names) > 12 else ''})")
