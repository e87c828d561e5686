# Sends raw Ethernet frames: reads commands from stdin, answers each with the number of frames sent.
#   send HEX          one frame
#   load HEX          adds a frame to the next flood (no answer)
#   flood RATE COUNT  sends the loaded frames in rotation, RATE a second, COUNT in all, and forgets them
import socket
import sys
import time

out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
frames = []


def send(frame):
    while True:
        try:
            out.send(frame)
            return
        except BlockingIOError:
            time.sleep(0.001)
        except OSError as e:
            if e.errno not in (105, 100):  # ENOBUFS: try again; ENETDOWN: the test took the cable out, the frame is lost
                raise
            if e.errno == 100:
                return


for line in sys.stdin:
    words = line.split()
    if words[0] == "send":
        send(bytes.fromhex(words[1]))
        print(1, flush=True)
    elif words[0] == "load":
        frames.append(bytes.fromhex(words[1]))
    elif words[0] == "flood":
        rate, count, sent = int(words[1]), int(words[2]), 0
        start = time.monotonic()
        while sent < count:
            due = min(count, int((time.monotonic() - start) * rate) + 1)
            while sent < due:
                send(frames[sent % len(frames)])
                sent += 1
            time.sleep(0.0005)
        frames.clear()
        print(sent, flush=True)
