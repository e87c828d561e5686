"""Whether the machine itself stood still: a virtual machine's host may take the processors away for milliseconds.

One process for each processor, above every daemon, sleeps a millisecond at a time and notes when it was woken late. While it was
asleep nothing else of that processor's work can have been the cause but the kernel, or the host. A gap between two adverts
that lies over such a time, on every processor at once, says nothing about a daemon.
"""

import os
import subprocess
import sys

#: Asleep a millisecond, this much later than that counts, in nanoseconds.
LATE = 700_000

CODE = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
out = open(sys.argv[2], "w", buffering=1)
while True:
    before = time.time_ns()
    time.sleep(0.001)
    after = time.time_ns()
    if after - before > 1_000_000 + int(sys.argv[3]):
        out.write(f"{before} {after}\\n")
"""


class Witness:
    """Runs until `close`; then `stalls` has the times (begin, end) in which every processor stood still."""

    def __init__(self, directory):
        cpus = sorted(os.sched_getaffinity(0))
        self.files = [f"{directory}/witness-{c}" for c in cpus]
        self.procs = [
            subprocess.Popen([sys.executable, "-c", CODE, str(c), f, str(LATE)], start_new_session=True)
            for c, f in zip(cpus, self.files)]

    def close(self):
        """Ends it; the stalls."""
        for p in self.procs:
            p.kill()
            p.wait()
        each = []
        for name in self.files:
            if not os.path.exists(name):
                return []  # real-time priority was refused: there is no witness
            with open(name) as f:
                each.append([tuple(int(w) for w in line.split()) for line in f if line.count(" ") == 1])
        both = each[0]
        for other in each[1:]:
            both = [(max(a, c), min(b, d)) for a, b in both for c, d in other if max(a, c) < min(b, d)]
        return both


def explains(stalls, begin, end):
    """Whether the machine stood still at some time between two adverts."""
    return any(a < end and begin < b and b - a > LATE for a, b in stalls)
