"""The client: one ICMP echo request each millisecond to an address, numbered, until it is killed.

Run as a process of its own inside the client's namespace, so that nothing else the script does disturbs the beat:
`python3 prober.py ADDRESS INTERVAL_MS`. It does not listen; what was answered is read from the capture, with the
kernel's timestamps.
"""

import os
import socket
import struct
import sys
import time


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def main():
    """Sends on an absolute grid: a late request delays no other."""
    address, step = sys.argv[1], float(sys.argv[2]) / 1000
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    # Replies are not read here: keep the queue that nobody empties as small as the kernel allows.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    try:
        # The client is a stand-in for another machine: it must not miss its beat because this one is busy.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        pass
    number, start = 0, time.monotonic()
    while True:
        body = struct.pack("!HHQ", 0x6B61, number & 0xFFFF, number)
        packet = struct.pack("!BBH", 8, 0, 0) + body
        packet = struct.pack("!BBH", 8, 0, checksum(packet)) + body
        try:
            sock.sendto(packet, (address, 0))
        except OSError:
            pass  # no route or no neighbour at the moment: it counts as sent and, having no answer, as lost
        number += 1
        time.sleep(max(0.0, start + number * step - time.monotonic()))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
