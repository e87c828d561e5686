"""The servers that a file's checks connect to: they greet, answer 200 with one body, or accept only, until they are closed.

One thread waits for connections and datagrams, in the namespace that it is told; each connection has a thread of its own.
"""

import base64
import ipaddress
import os
import selectors
import socket
import ssl
import threading

from . import frames

KEYS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../tests/ring")
BODY = b"the same for everybody\n"
REPLY = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)
#: Seconds that a client has for its next bytes.
PATIENCE = 5.0


def context(folder):
    """The server's side of TLS, with the certificate of our tests."""
    path = os.path.join(folder, "server.pem")
    with open(path, "w") as out:
        for name, label in (("tls-key.der", "PRIVATE KEY"), ("tls-good.der", "CERTIFICATE")):
            with open(os.path.join(KEYS, name), "rb") as f:
                text = base64.encodebytes(f.read()).decode()
            out.write(f"-----BEGIN {label}-----\n{text}-----END {label}-----\n")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


def odd(address):
    """Whether the last number of an address is odd."""
    return ipaddress.ip_address(address).packed[-1] % 2 == 1


class Answers:
    """`servers`: [address, port, protocol]. All are open at first."""

    def __init__(self, path, servers, folder):
        # A TCP_CHECK is content with what another check asks there.
        more = {tuple(s[:2]) for s in servers if s[2] not in ("tcp", "udp")}
        self.servers = [s for s in servers if s[2] != "tcp" or tuple(s[:2]) not in more]
        self.wanted, self.open = {tuple(s) for s in self.servers}, {}
        self.errors, self.tls = set(), context(folder) if any(s[2] == "tls" for s in servers) else None
        self.ready, self.settled = selectors.DefaultSelector(), threading.Event()
        self.wake, called = os.pipe()[::-1]
        self.ready.register(called, selectors.EVENT_READ, None)
        threading.Thread(target=self._run, args=(path,), daemon=True).start()
        self.settled.wait(10)

    def half(self):
        """Closes those with an odd address; all, where there is none."""
        self._now({s for s in self.open if not odd(s[0])} if any(odd(s[0]) for s in self.open) else set())

    def all(self):
        """Opens them again."""
        self._now({tuple(s) for s in self.servers})

    def _now(self, wanted):
        self.wanted = wanted
        self.settled.clear()
        os.write(self.wake, b"!")
        self.settled.wait(10)

    def _run(self, path):
        frames.enter(path)
        while True:
            for one in self.open.keys() - self.wanted:
                self.ready.unregister(self.open[one])
                self.open.pop(one).close()
            for one in sorted(self.wanted - self.open.keys()):
                self._listen(one)
            self.settled.set()
            for key, _ in self.ready.select():
                try:
                    if not key.data:
                        os.read(key.fd, 1)
                    elif key.data[2] == "udp":
                        data, sender = key.fileobj.recvfrom(4096)
                        # A reply has the bit QR of DNS (RFC 1035, section 4.1.1); to others it is any datagram.
                        key.fileobj.sendto(data[:2] + bytes([data[2] | 0x80]) + data[3:] if len(data) > 2 else data, sender)
                    else:
                        threading.Thread(target=self._talk, args=(key.fileobj.accept()[0], key.data[2]), daemon=True).start()
                except OSError:
                    continue

    def _listen(self, one):
        address, port, protocol = one
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if protocol != "udp":
                made.listen(256)
        except OSError as e:
            self.errors.add(f"{one}: {e}")
            made.close()
            return
        made.setblocking(False)
        self.open[one] = made
        self.ready.register(made, selectors.EVENT_READ, one)

    def _talk(self, made, protocol):
        try:
            with made:
                made.settimeout(PATIENCE)
                if protocol == "smtp":
                    made.sendall(b"220 here\r\n")
                    while line := made.recv(1024):
                        made.sendall(b"221 bye\r\n" if line[:4].upper() == b"QUIT" else b"250 yes\r\n")
                elif protocol in ("http", "tls"):
                    stream = self.tls.wrap_socket(made, server_side=True) if protocol == "tls" else made
                    seen = b""
                    while b"\r\n\r\n" not in seen:
                        more = stream.recv(4096)
                        if not more:
                            return
                        seen += more
                    stream.sendall(REPLY)
                    if protocol == "tls":
                        stream.unwrap()
                    else:
                        stream.shutdown(socket.SHUT_WR)
                    while stream.recv(4096):
                        pass
                else:
                    while made.recv(4096):
                        pass
        except OSError:
            return
