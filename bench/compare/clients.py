"""Clients of MQTT 3.1.1 that do one thing after the other, over each transport; only the standard library is needed."""

import base64
import functools
import os
import socket
import ssl
import struct
from pathlib import Path

from brokers import BrokerError

ANSWER_SECONDS_MAX = 20


def connect(host: str, port: int, client_id: str, is_tls: bool, is_websocket: bool = False, context: ssl.SSLContext | None = None) -> socket.socket:
    """A client that has connected with a clean session, by TLS 1.3 and without a certificate where nothing else is said."""
    client = socket.create_connection((host, port), timeout=ANSWER_SECONDS_MAX)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if is_tls:
        client = (context or trusting()).wrap_socket(client, server_hostname="localhost")
    if is_websocket:
        upgrade(client, host)
    name = client_id.encode()
    body = struct.pack(">H4sBBHH", 4, b"MQTT", 4, 2, 0, len(name)) + name
    talk(client, is_websocket, bytes([0x10, len(body)]) + body, bytes([0x20, 2, 0, 0]))
    return client


def subscribe(client: socket.socket, topic: str, is_websocket: bool = False):
    """Subscribes at quality of service 0."""
    body = struct.pack(">HH", 1, len(topic)) + topic.encode() + b"\0"
    talk(client, is_websocket, bytes([0x82, len(body)]) + body, bytes([0x90, 3, 0, 1, 0]))


def publication(topic: str, payload: bytes) -> bytes:
    """A message at quality of service 0, as it is sent and as it comes; both short."""
    body = struct.pack(">H", len(topic)) + topic.encode() + payload
    return bytes([0x30, len(body)]) + body


@functools.cache
def trusting(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, shown: Path | None = None) -> ssl.SSLContext:
    """Takes any certificate, speaks this version alone, keeps no session, and shows what is in this file if it is asked for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if shown:
        context.load_cert_chain(shown)
    return context


def upgrade(client: socket.socket, host: str):
    """Asks for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    words = ["GET /mqtt HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    words += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mqtt", "", ""]
    client.sendall("\r\n".join(words).encode())
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += received(client, 1)
    if b" 101 " not in said:
        raise BrokerError(f"no WebSocket: {said.splitlines()[0].decode()}")


def talk(client: socket.socket, is_websocket: bool, said: bytes, due: bytes):
    """Says something and hears what is due. A frame is masked with zeros, which changes nothing."""
    client.sendall(bytes([0x82, 0x80 | len(said)]) + bytes(4) + said if is_websocket else said)
    due = bytes([0x82, len(due)]) + due if is_websocket else due
    heard = received(client, len(due))
    if heard != due:
        raise BrokerError(f"the broker said {heard.hex()} where {due.hex()} is due")


def received(client: socket.socket, count: int) -> bytes:
    """So many bytes."""
    heard = b""
    while len(heard) < count:
        more = client.recv(count - len(heard))
        if not more:
            raise BrokerError("the broker has closed the connection")
        heard += more
    return heard
