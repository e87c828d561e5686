# Writes the frames that pass an interface into a pcap file, one write each: a capture that needs no right to change its user,
# as tcpdump does, so that it also works in a user namespace.
#   capture.py IFACE FILE PROGRAM     PROGRAM: what `tcpdump -ddd FILTER` printed
import ctypes
import socket
import struct
import sys

SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS, ETH_P_ALL, ENETDOWN = 26, 33, 35, 3, 100
words = [int(w) for w in sys.argv[3].split()]
code = [words[i : i + 4] for i in range(1, len(words), 4)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *insn) for insn in code))

# Protocol 0 receives nothing until bind: no frame gets past the filter.
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(program)))
s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
try:
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
except PermissionError:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind((sys.argv[1], ETH_P_ALL))
out = open(sys.argv[2], "wb", buffering=0)
out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
print("ready", flush=True)
while True:
    try:
        frame, extra, _, _ = s.recvmsg(65535, 128)
    except OSError as e:
        if e.errno == ENETDOWN:
            continue
        raise
    seconds, nanoseconds = next(struct.unpack("ll", data[:16]) for _, kind, data in extra if kind == SO_TIMESTAMPNS)
    out.write(struct.pack("<IIII", seconds, nanoseconds, len(frame), len(frame)) + frame)
