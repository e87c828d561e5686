"""What a daemon sends, read at the other end of each cable: adverts, gratuitous ARP, unsolicited neighbour advertisements.

A frame becomes a `Seen`: what it is about (`key`), its bytes without what changes from one frame to the next (`plain`: IPv4 identification and
header checksum, AH's sequence and value), and words that say what is in it.
"""

import ctypes
import ipaddress
import os
import select
import socket
import struct
import threading
import time

VRRP, AH, ICMP6 = 112, 51, 58
_libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    """This thread's network namespace becomes that of `path`."""
    with open(path) as f:
        if _libc.setns(f.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")


def mac(b):
    """aa:bb:cc:dd:ee:ff"""
    return ":".join(f"{x:02x}" for x in b)


def folded(data):
    """The Internet checksum's sum; 0xffff over what has a right checksum in it."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Seen:
    """One frame: `kind` is advert, farewell, arp or na."""

    def __init__(self, kind, key, plain, words, at):
        self.kind, self.key, self.plain, self.words, self.at = kind, key, plain, words, at


def advert(interface, head, src, dst, hops, data, pseudo, signed, at):
    """`head` is what stands before the VRRP message, made comparable."""
    version, kind = data[0] >> 4, data[0] & 15
    priority, count = data[2], data[3]
    size = 4 if src.version == 4 else 16
    addresses = [str(ipaddress.ip_address(data[8 + i * size:8 + (i + 1) * size])) for i in range(count)
                 if 8 + (i + 1) * size <= len(data)]
    tail = data[8 + count * size:]
    # The checksum of version 2 covers the authentication data, too (RFC 2338, section 5.3.8); that of AH leaves it out.
    good = [n for n, text in (("plain", data), ("short", data[:8 + count * size] if version == 2 and tail else b""), ("pseudo", pseudo + data))
            if text and folded(text) == 0xFFFF]
    words = {"version": version, "type": kind, "vrid": data[1], "priority": priority, "count": count, "interval": data[4:6].hex(),
             "checksum": data[6:8].hex() + " " + ("right " + "/".join(good) if good else "wrong"), "addresses": " ".join(addresses),
             "auth": tail.hex(), "source": str(src), "destination": str(dst), "hops": hops, "header": head.hex(), "signed": signed}
    key = f"{interface} {dst} vrid {data[1]}"
    return Seen("advert" if priority else "farewell", key, head + data, words, at)


def ipv4(interface, frame, at):
    """An IPv4 packet with VRRP, or VRRP in AH."""
    ip = frame[14:]
    size = (ip[0] & 15) * 4
    total = struct.unpack("!H", ip[2:4])[0]
    ip = ip[:total]
    src, dst = ipaddress.ip_address(ip[12:16]), ipaddress.ip_address(ip[16:20])
    head = frame[:14] + ip[:4] + b"\0\0" + ip[6:10] + b"\0\0" + ip[12:size]
    if folded(ip[:size]) != 0xFFFF:
        head += b"wrong header checksum"
    data, signed = ip[size:], ""
    if ip[9] == AH:
        length = (data[1] + 2) * 4
        if data[0] != VRRP:
            return None
        signed = f"AH {data[1]} spi {data[4:8].hex()}"
        head += data[:8]  # without sequence and value
        data = data[length:]
    elif ip[9] != VRRP:
        return None
    pseudo = ip[12:20] + struct.pack("!BBH", 0, VRRP, len(data))
    return advert(interface, head, src, dst, ip[8], data, pseudo, signed, at)


def ipv6(interface, frame, at):
    """An IPv6 packet with VRRP or an unsolicited neighbour advertisement."""
    ip = frame[14:]
    size, following, hops = struct.unpack("!HBB", ip[4:8])
    src, dst, data = ipaddress.ip_address(ip[8:24]), ipaddress.ip_address(ip[24:40]), ip[40:40 + size]
    pseudo = ip[8:40] + struct.pack("!IHBB", len(data), 0, 0, following)
    if following == VRRP:
        one = advert(interface, frame[:54], src, dst, hops, data, pseudo, "", at)
        one.words["flow label"] = (ip[1] & 15) << 16 | ip[2] << 8 | ip[3]
        one.words["header"] = (frame[:15] + bytes([ip[1] & 0xF0, 0, 0]) + frame[18:54]).hex()
        return one
    if following == ICMP6 and data[0] == 136 and not data[4] & 0x40:
        right = "right" if folded(pseudo + data) == 0xFFFF else "wrong"
        words = {"ethernet": f"{mac(frame[6:12])} > {mac(frame[:6])}", "source": str(src), "destination": str(dst), "hops": hops,
                 "flags": f"{data[4] >> 5:03b}", "option": data[24:].hex(), "checksum": right, "header": ip[:4].hex()}
        return Seen("na", f"{interface} {ipaddress.ip_address(data[8:24])}", frame[:54] + data, words, at)
    return None


def arp(interface, frame, at):
    """A gratuitous ARP: sender and target address are the same."""
    data = frame[14:42]
    if len(data) < 28 or data[14:18] != data[24:28]:
        return None
    words = {"ethernet": f"{mac(frame[6:12])} > {mac(frame[:6])}", "op": data[7], "sender": mac(data[8:14]), "target": mac(data[18:24])}
    return Seen("arp", f"{interface} {ipaddress.ip_address(data[14:18])}", frame[:42], words, at)


def read(interface, frame, at):
    """A `Seen`, or None for what is none of these."""
    kind = frame[12:14]
    try:
        if kind == b"\x08\x00":
            return ipv4(interface, frame, at)
        if kind == b"\x86\xdd":
            return ipv6(interface, frame, at)
        if kind == b"\x08\x06":
            return arp(interface, frame, at)
    except (IndexError, struct.error):
        return Seen("broken", interface, frame, {"frame": frame.hex()}, at)
    return None


class Capture:
    """Reads what arrives in a network namespace until it is closed."""

    def __init__(self, namespace):
        self.seen = []
        opened = []

        def run():
            enter(namespace)
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            opened.append(sock)
            while not self._end:
                if not select.select([sock], [], [], 0.5)[0]:
                    continue
                frame, (interface, _, kind, _, _) = sock.recvfrom(65535)
                if kind != socket.PACKET_OUTGOING and len(self.seen) < 200_000:
                    one = read(interface, frame, time.monotonic())
                    if one:
                        self.seen.append(one)

        self._end = False
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        while not opened and self._thread.is_alive():
            time.sleep(0.01)

    def close(self):
        """The frames in the order in which they came."""
        self._end = True
        self._thread.join()
        return self.seen


if __name__ == "__main__":
    print(os.path.basename(__file__), "is a part of scripts/corpus-run")
