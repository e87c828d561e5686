"""What crosses a host's interface, with the kernel's nanosecond timestamps, and no process that reads along.

A packet socket with a receive ring (packet(7), TPACKET_V2): the kernel writes each frame and its time into memory that
was set aside before, and Python looks at it when the measurement is over. A capturing process such as tcpdump would
compete for the processors with what is measured, and Debian's cannot run in a user namespace.
"""

import ctypes
import mmap
import os
import socket
import struct

from . import wire

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
SO_ATTACH_FILTER, ETH_P_ALL, CLONE_NEWNET = 26, 3, 0x40000000
TP_STATUS_USER = 1
#: Header and the first 190 bytes or so: an advert of 20 addresses, and every ARP and probe, fits.
SLOT, BLOCK = 256, 1 << 16
#: tpacket2_hdr: status, length, captured length, offset of the frame, offset of its payload, seconds, nanoseconds.
HEAD = struct.Struct("=IIIHHII")

#: Classic BPF (bpf(4) notation): ARP, and IPv4 or IPv6 carrying VRRP (112), and ICMP.
FILTER = [
    (0x28, 0, 0, 12),        # ldh [12]      EtherType
    (0x15, 8, 0, 0x0806),    # jeq ARP       -> keep
    (0x15, 0, 3, 0x0800),    # jeq IPv4      else -> IPv6?
    (0x30, 0, 0, 23),        # ldb [23]      protocol
    (0x15, 5, 0, 1),         # jeq ICMP      -> keep
    (0x15, 4, 3, 112),       # jeq VRRP      -> keep, else -> drop
    (0x15, 0, 2, 0x86DD),    # jeq IPv6      else -> drop
    (0x30, 0, 0, 20),        # ldb [20]      next header
    (0x15, 1, 0, 112),       # jeq VRRP      -> keep
    (0x06, 0, 0, 0),         # drop
    (0x06, 0, 0, 0xFFFF),    # keep
]


def _in_namespace(ns, make):
    """Runs `make` with this thread in a network namespace; what it opens stays there. (os.setns needs Python 3.12.)"""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{ns}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {ns}")
        try:
            return make()
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Capture:
    """Begins at once; ends with `close`. Holds `room` packets between two calls of `packets`. `keep`: for `save`."""

    def __init__(self, ns, room, dev="eth0", keep=False):
        self.dropped, self.seen, self.next = 0, [], 0
        self.raw = [] if keep else None
        blocks = -(-room * SLOT // BLOCK)
        self.slots = blocks * (BLOCK // SLOT)
        self.sock = _in_namespace(ns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in FILTER))
        fprog = struct.pack("@HP", len(FILTER), ctypes.addressof(program))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
        # Makes the kernel stamp frames where they enter the receive path, not only where they reach this socket.
        self.sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_TIMESTAMPNS", 35), 1)
        self.sock.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("=I", TPACKET_V2))
        self.sock.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=IIII", BLOCK, blocks, SLOT, self.slots))
        self.ring = mmap.mmap(self.sock.fileno(), blocks * BLOCK)
        # Bound last: nothing enters before the filter and the ring are there.
        self.sock.bind((dev, ETH_P_ALL))

    def packets(self):
        """Everything understood since the capture began (see wire.py). Makes room in the ring."""
        while True:
            at = self.next * SLOT
            status, _, kept, start, _, sec, nsec = HEAD.unpack_from(self.ring, at)
            if not status & TP_STATUS_USER:
                break
            t, frame = sec * 1_000_000_000 + nsec, self.ring[at + start:at + start + kept]
            struct.pack_into("=I", self.ring, at, 0)
            self.next = (self.next + 1) % self.slots
            if self.raw is not None:
                self.raw.append((t, frame))
            packet = wire.decode(t, frame)
            if packet:
                self.seen.append(packet)
        _, lost = struct.unpack("=II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.dropped += lost
        return self.seen

    def save(self, path):
        """Writes a pcap file, for Wireshark."""
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
            for t, frame in self.raw:
                f.write(struct.pack("<IIII", t // 1_000_000_000, t % 1_000_000_000, len(frame), len(frame)) + frame)

    def close(self):
        """Ends it and gives the packets."""
        seen = self.packets()
        self.ring.close()
        self.sock.close()
        return seen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.ring.closed:
            self.close()
