"""A private place to work in: own network, mounts and processes, gone without a trace whatever happens.

`enter()` starts the calling script again inside fresh namespaces. Because all of it lives in a process namespace whose
first process is the script itself, the kernel ends every daemon, capture and prober the moment the script ends, by
whatever means (return, exception, Ctrl-C, even SIGKILL of the parent); with the last process go the network
namespaces, the cables and the tmpfs on /run that holds every file. Nothing has to be found again by name.
"""

import os
import signal
import subprocess
import sys
import threading

MARK = "KALIVED_LAB_INSIDE"
#: Every file of the lab: configurations, logs, captures. A tmpfs, so it goes with the namespace.
WORK = "/run/lab"
#: Runs a command in the namespaces, in whichever way this machine allows.
BOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "box.sh")


def enter():
    """Returns inside the box; the process that called first becomes its guard and never returns."""
    if MARK in os.environ:
        return _inside(int(os.environ.pop(MARK)))
    rd, wr = os.pipe()
    cmd = [BOX, sys.executable, *sys.argv]
    # Its own session: signals reach the inside once, from us, however they were sent (terminal, kill, service manager).
    box = subprocess.Popen(cmd, env={**os.environ, MARK: str(rd)}, pass_fds=[rd], start_new_session=True)
    os.close(rd)
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda s, _frame: os.killpg(box.pid, signal.SIGINT))
    rc = box.wait()
    os.close(wr)
    sys.exit(rc if rc >= 0 else 128 - rc)


def _inside(alive):
    def interrupted(_sig, _frame):
        raise KeyboardInterrupt

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, interrupted)

    def watch():
        # End of file: the guard outside is gone, even if it had no chance to say so.
        while os.read(alive, 1):
            pass
        os._exit(137)

    threading.Thread(target=watch, daemon=True).start()
    subprocess.run(["mount", "-t", "tmpfs", "lab", "/run"], check=True)
    os.makedirs(WORK)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
