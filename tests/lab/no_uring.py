# Runs a command under a seccomp filter that answers EPERM to io_uring_setup, as a container's default profile does.
# `--hang COMMAND`: it is answered by nobody, so that whoever asks for a ring waits for ever.
import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
IO_URING_SETUP, EPERM = 425, 1  # 425 on every architecture
LD_NR, JEQ, RET = 0x20, 0x15, 0x06
ALLOW, ERRNO, USER_NOTIF = 0x7FFF0000, 0x00050000, 0x7FC00000
SET_MODE_FILTER, NEW_LISTENER = 1, 8
SECCOMP = {"x86_64": 317, "aarch64": 277}
hang = sys.argv[1] == "--hang"
command = sys.argv[2:] if hang else sys.argv[1:]
answer = USER_NOTIF if hang else ERRNO | EPERM
program = b"".join(
    struct.pack("HBBI", *insn)
    for insn in [(LD_NR, 0, 0, 0), (JEQ, 0, 1, IO_URING_SETUP), (RET, 0, 0, answer), (RET, 0, 0, ALLOW)]
)
buffer = ctypes.create_string_buffer(program, len(program))


class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
filter = Filter(4, ctypes.cast(buffer, ctypes.c_void_p))
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    sys.exit("prctl(NO_NEW_PRIVS) failed")
if hang:
    libc.syscall.argtypes = [ctypes.c_long] * 3 + [ctypes.c_void_p]
    listener = libc.syscall(SECCOMP[platform.machine()], SET_MODE_FILTER, NEW_LISTENER, ctypes.addressof(filter))
    if listener < 0:
        sys.exit("seccomp(NEW_LISTENER) failed")
    # As long as somebody could answer, the kernel waits: it stays open in the command.
    os.set_inheritable(listener, True)
elif libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filter), 0, 0) != 0:
    sys.exit("prctl(SECCOMP) failed")
os.execvp(command[0], command)
