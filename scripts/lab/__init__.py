"""The lab: hosts in network namespaces, two VRRP daemons, and what was seen on the wire.

Read in this order: box.py (a private place that the kernel takes down by itself), net.py (hosts and cables), daemon.py
(kalived or keepalived on a host), capture.py (what crossed a cable, and when), wire.py (what the packets say),
stats.py.
Python's standard library, iproute2 and util-linux; nothing else.
"""

import sys

# A checkout stays clean: no __pycache__ beside the scripts.
sys.dont_write_bytecode = True
