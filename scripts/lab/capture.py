"""tcpdump on a host's interface, with the kernel's nanosecond timestamps."""

import re
import signal
import subprocess
import time

from . import box, wire


class Capture:
    """Runs until `stop`. `live`: every packet is in the file at once, for captures that are read while they grow."""

    def __init__(self, ns, expression, name, dev="eth0", live=False, inbound=False):
        self.path = f"{box.WORK}/{name}.pcap"
        self.live, self.dropped = live, 0
        # -Z root: Debian's tcpdump would change to a user that does not exist in a user namespace.
        cmd = ["ip", "netns", "exec", ns, "tcpdump", "-i", dev, "-n", "-p", "-s", "128", "-B", "32768", "-Z", "root",
               "--time-stamp-precision=nano", "-w", self.path]
        cmd += ["-U", "--immediate-mode"] if live else []
        cmd += ["-Q", "in"] if inbound else []
        self.proc = subprocess.Popen([*cmd, expression], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True, start_new_session=True)
        line = self.proc.stderr.readline()
        while line and "listening on" not in line:
            line = self.proc.stderr.readline()
        if not line:
            raise RuntimeError(f"tcpdump did not start on {ns}, exit code {self.proc.wait(timeout=5)}")

    def packets(self):
        """What was captured (`live`: so far)."""
        return wire.packets(self.path)

    def stop(self):
        """Ends it and gives the packets; `dropped` says how many the kernel could not hand over."""
        # Without immediate mode the kernel hands over blocks, at latest each second.
        time.sleep(0.1 if self.live else 1.2)
        self.proc.send_signal(signal.SIGINT)
        try:
            _, err = self.proc.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            raise RuntimeError("tcpdump does not end") from None
        found = re.search(r"(\d+) packets? dropped by kernel", err)
        self.dropped = int(found.group(1)) if found else 0
        return self.packets()
