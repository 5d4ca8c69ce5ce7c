"""Packets of MQTT 3.1, 3.1.1 and 5, and a client that speaks them over any transport, on plain sockets."""
import base64
import os
import socket
import ssl
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
PATIENCE = 30.0  # seconds that anything may take before it counts as missing


def length(number):
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 127
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def text(value):
    """Bytes behind their length; text is UTF-8."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def packet(first, body):
    return bytes([first]) + length(len(body)) + body


def connect(version, client, user=None, password=None, clean=True, keep=False, will=None):
    """CONNECT; `keep` asks for a session that lasts, `will` is (topic, payload, qos, retain)."""
    flags = 0x02 if clean else 0
    if will:
        flags |= 0x04 | will[2] << 3 | (0x20 if will[3] else 0)
    flags |= (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    name = "MQIsdp" if version == 3 else "MQTT"
    body = text(name) + bytes([version, flags]) + struct.pack(">H", 600)
    if version == 5:
        body += b"\x05\x11\x00\x00\x0e\x10" if keep else b"\x00"  # an hour, or none
    body += text(client)
    if will:
        body += (b"\x00" if version == 5 else b"") + text(will[0]) + text(will[1])
    for part in (user, password):
        if part is not None:
            body += text(part)
    return packet(0x10, body)


def publish(version, topic, payload, qos=0, retain=False, identifier=0):
    body = text(topic) + (struct.pack(">H", identifier) if qos else b"") + (b"\x00" if version == 5 else b"")
    return packet(0x30 | qos << 1 | int(retain), body + payload.encode())


def subscribe(version, identifier, filters):
    """SUBSCRIBE to (filter, qos); in 5 messages keep the mark whether they were retained."""
    body = struct.pack(">H", identifier) + (b"\x00" if version == 5 else b"")
    for name, qos in filters:
        body += text(name) + bytes([qos | (0x08 if version == 5 and not name.startswith("$share/") else 0)])
    return packet(0x82, body)


def unsubscribe(version, identifier, name):
    return packet(0xA2, struct.pack(">H", identifier) + (b"\x00" if version == 5 else b"") + text(name))


def short(kind, identifier):
    """An acknowledgement without a reason."""
    return packet(kind << 4 | (2 if kind == PUBREL else 0), struct.pack(">H", identifier))


class WebSocket:
    """Binary frames of a client over a connected socket."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b""
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(("GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: mqtt\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.rest:
            piece = sock.recv(4096)
            if not piece:
                raise ConnectionError("no upgrade")
            self.rest += piece
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode())

    def sendall(self, data):
        size, key = len(data), os.urandom(4)
        head = bytes([0x82]) + (bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
                                if size < 65536 else b"\xff" + struct.pack(">Q", size))
        mask = (key * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
        self.sock.sendall(head + key + masked)

    def recv(self, size):
        """The payloads of all frames that have come whole; waits for one."""
        out = b""
        while True:
            while (frame := self.frame()) is not None:
                kind, payload = frame
                if kind == 8:
                    return out
                if kind in (0, 2):
                    out += payload
            if out:
                return out
            piece = self.sock.recv(size)
            if not piece:
                return b""
            self.rest += piece

    def frame(self):
        if len(self.rest) < 2:
            return None
        size, start = self.rest[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(self.rest[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(self.rest[2:10], "big"), 10
        if len(self.rest) < start + size:
            return None
        kind, payload = self.rest[0] & 15, self.rest[start:start + size]
        self.rest = self.rest[start + size:]
        return kind, payload

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def close(self):
        self.sock.close()


def proxy_header(version):
    """What a proxy says of a client at 10.1.2.3, in version 1 or 2 of its protocol."""
    if version == 1:
        return b"PROXY TCP4 10.1.2.3 10.9.9.9 4711 1883\r\n"
    return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([10, 1, 2, 3, 10, 9, 9, 9]) + struct.pack(">HH", 4711, 1883))


def reach(doors, transport, certificate=None):
    """A channel to the broker over a transport; `doors` says where each listens, and whom TLS trusts."""
    if transport == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(doors["unix"])
        return sock
    sock = socket.create_connection(("127.0.0.1", doors["proxy" if transport == "proxy1" else transport]), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if transport in ("proxy", "proxy1"):
        sock.sendall(proxy_header(1 if transport == "proxy1" else 2))
    if transport in ("tls", "wss", "mutual"):
        sock = doors["trust"][certificate].wrap_socket(sock, server_hostname="localhost")
    return WebSocket(sock) if transport in ("ws", "wss") else sock


def trust(authority, certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class Client:
    """A connection: what it has sent waits in `out`, what it heard lies in `heard` and `answers`."""

    def __init__(self, channel, version, acknowledges=True):
        self.channel, self.version, self.acknowledges = channel, version, acknowledges
        self.out, self.rest, self.identifier = bytearray(), b"", 0
        self.heard = []  # (topic, payload, qos, retain, dup)
        self.answers = {}  # (kind, identifier) to reasons
        self.seen = {}  # payloads and how often
        self.closed = False

    def next(self):
        self.identifier = self.identifier % 65535 + 1
        return self.identifier

    def send(self, data):
        self.out += data

    def flush(self):
        data, self.out = bytes(self.out), bytearray()
        if data and not self.closed:
            try:
                self.channel.sendall(data)
            except OSError:
                pass  # what was said before the end is still to be read

    def publish(self, topic, payload, qos=0, retain=False):
        identifier = self.next() if qos else 0
        self.send(publish(self.version, topic, payload, qos, retain, identifier))
        return identifier

    def subscribe(self, *filters):
        identifier = self.next()
        self.send(subscribe(self.version, identifier, filters))
        return identifier

    def unsubscribe(self, name):
        identifier = self.next()
        self.send(unsubscribe(self.version, identifier, name))
        return identifier

    def until(self, is_done, seconds=PATIENCE):
        """Reads until something holds; false if it did not in time, or the broker has closed before."""
        self.flush()
        end = time.monotonic() + seconds
        while not is_done():
            left = end - time.monotonic()
            if self.closed or left <= 0:
                return False
            try:
                self.channel.settimeout(left)
                data = self.channel.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                data = b""
            if not data:
                self.closed = True
            self.take(data)
            self.flush()
        return True

    def answer(self, kind, identifier=0, seconds=PATIENCE):
        """The reasons of an acknowledgement; None if none came."""
        self.until(lambda: (kind, identifier) in self.answers, seconds)
        return self.answers.get((kind, identifier))

    def take(self, data):
        data, at = self.rest + data, 0
        while True:
            size, shift, start = 0, 0, at + 1
            while start < len(data) and data[start] & 128:
                size |= (data[start] & 127) << shift
                shift, start = shift + 7, start + 1
            if start >= len(data):
                break
            size |= data[start] << shift
            start += 1
            if start + size > len(data):
                break
            self.handle(data[at], data[start:start + size])
            at = start + size
        self.rest = data[at:]

    def handle(self, first, body):
        kind = first >> 4
        if kind == PUBLISH:
            self.message(first, body)
        elif kind == CONNACK:
            self.answers[kind, 0] = [body[1]]
            self.present = bool(body[0] & 1)
        elif kind == DISCONNECT:
            self.answers[kind, 0] = [body[0] if body else 0]
        elif kind == PINGRESP:
            self.answers[kind, 0] = [0]
        else:
            identifier, reasons = int.from_bytes(body[:2], "big"), body[2:]
            if kind in (SUBACK, UNSUBACK) and self.version == 5:
                reasons = reasons[1 + reasons[0]:]
            if kind == PUBREC and not (reasons and reasons[0] >= 0x80):
                self.send(short(PUBREL, identifier))
            if kind == PUBREL:
                self.send(short(PUBCOMP, identifier))
            self.answers[kind, identifier] = list(reasons) or [0]

    def message(self, first, body):
        qos, at = first >> 1 & 3, 2 + int.from_bytes(body[:2], "big")
        topic = body[2:at].decode()
        if qos:
            identifier, at = int.from_bytes(body[at:at + 2], "big"), at + 2
            if self.acknowledges:
                self.send(short(PUBACK if qos == 1 else PUBREC, identifier))
        if self.version == 5:
            at += 1 + body[at]
        payload = body[at:].decode()
        self.heard.append((topic, payload, qos, bool(first & 1), bool(first & 8)))
        self.seen[payload] = self.seen.get(payload, 0) + 1

    def cut(self):
        """Ends the connection without a word."""
        if not self.closed:
            self.closed = True
            self.channel.close()

    def leave(self):
        """Ends it in order; its will is not wanted."""
        self.send(packet(0xE0, b""))
        self.flush()
        self.cut()
