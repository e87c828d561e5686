"""A mail server for tests: takes one mail after another and appends each, as it came, to a file. Usage: smtp.py ADDRESS PORT FILE"""

import socket
import sys

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen(8)
while True:
    conn, _ = server.accept()
    lines = conn.makefile("rb")
    conn.sendall(b"220 lab ready\r\n")
    told, data = [], False
    for raw in lines:
        line = raw.decode("latin-1").rstrip("\r\n")
        told.append(line)
        if data:
            if line == ".":
                data = False
                conn.sendall(b"250 taken\r\n")
            continue
        word = line.split(" ")[0].upper()
        if word == "QUIT":
            conn.sendall(b"221 bye\r\n")
            break
        data = word == "DATA"
        conn.sendall(b"354 go on\r\n" if data else b"250-lab\r\n250 fine\r\n" if word in ("EHLO", "HELO") else b"250 fine\r\n")
    conn.close()
    with open(sys.argv[3], "a") as out:
        out.write("\n".join(told) + "\n====\n")
