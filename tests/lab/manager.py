"""What a service manager does for one service, as systemd does it: a socket for READY=1 and its like, a store for fds, a restart that
gives them back. Usage: manager.py SOCKET LOG PROGRAM ARGUMENT...   Each line on standard input is a command: restart, reload, stop;
leave: the first half of a restart.
Writes to LOG what the service says, one line each, and "exit CODE" when it ends.
"""

import array
import ctypes
import os
import select
import signal
import socket
import sys

path, log, argv = sys.argv[1], open(sys.argv[2], "a", buffering=1), sys.argv[3:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
store = {}


def hear():
    """Everything the service says now."""
    while select.select([notify], [], [], 0)[0]:
        data, controls, _, _ = notify.recvmsg(4096, 4096)
        fds = array.array("i")
        for _, _, raw in controls:
            fds.frombytes(raw[:len(raw) // 4 * 4])
        words = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
        log.write(" ".join(data.decode().splitlines()) + "\n")
        name = words.get("FDNAME", "stored")
        if words.get("FDSTOREREMOVE") == "1" and name in store:
            os.close(store.pop(name))
        if words.get("FDSTORE") == "1":
            for fd in fds:
                store[name] = fd


def start():
    """The service, with what it left in the store."""
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives a test that fails
    os.environ["NOTIFY_SOCKET"] = path
    if store:
        kept = [os.dup2(fd, 100 + n) for n, fd in enumerate(store.values())]
        for n, fd in enumerate(kept):
            os.dup2(fd, 3 + n)
            os.set_inheritable(3 + n, True)
        os.environ.update(LISTEN_FDS=str(len(kept)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(store))
    os.execv(argv[0], argv)


def wait(pid):
    """Until it ends."""
    while True:
        hear()
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            hear()
            log.write(f"exit {os.waitstatus_to_exitcode(status)}\n")
            return
        select.select([notify], [], [], 0.01)


pid = start()
while True:
    readable = select.select([notify, sys.stdin], [], [])[0]
    hear()
    if sys.stdin not in readable:
        continue
    command = sys.stdin.readline().strip()
    if command == "reload":
        os.kill(pid, signal.SIGHUP)
    elif command == "leave":
        os.kill(pid, signal.SIGQUIT)  # RestartKillSignal, and a start that is not made
        wait(pid)
    elif command == "restart":
        os.kill(pid, signal.SIGQUIT)  # RestartKillSignal
        wait(pid)
        pid = start()
    else:
        os.kill(pid, signal.SIGTERM)
        wait(pid)
        sys.exit(0)
