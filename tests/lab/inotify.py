"""Prints what happens to the files of a directory, one `EVENT NAME` a line, as inotify(7) reports it: the order of the events is the
kernel's.

usage: inotify.py DIRECTORY, in it first a line `READY`.
"""

import ctypes
import os
import struct
import sys

NAMES = {0x20: "OPEN", 0x10: "CLOSE", 0x80: "MOVED_TO", 0x200: "DELETE"}
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
if fd < 0 or libc.inotify_add_watch(fd, os.fsencode(sys.argv[1]), sum(NAMES)) < 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
print("READY", flush=True)
while True:
    data = os.read(fd, 65536)
    while data:
        _, mask, _, length = struct.unpack_from("iIII", data)
        name = data[16:16 + length].rstrip(b"\0").decode()
        for bit, event in NAMES.items():
            if mask & bit and name:
                print(event, name, flush=True)
        data = data[16 + length:]
