"""Offers compression to a listener of TLS, which no library of today does any more: exit code 0 if it is not taken."""

import os
import socket
import struct
import sys

DEFLATE, NOTHING = 1, 0
HANDSHAKE, SERVER_HELLO, ALERT = 22, 2, 21


def sized(form, content):
    """The content behind its length."""
    return struct.pack(form, len(content)) + content if form != ">I" else struct.pack(">I", len(content))[1:] + content


def extension(number, content):
    return struct.pack(">H", number) + sized(">H", content)


def client_hello():
    extensions = (
        extension(10, sized(">H", bytes.fromhex("001d0017")))  # groups
        + extension(11, sized(">B", b"\0"))  # forms of points
        + extension(13, sized(">H", bytes.fromhex("040308040401")))  # signatures
    )
    body = (
        b"\x03\x03" + os.urandom(32) + sized(">B", b"") + sized(">H", bytes.fromhex("c02bc02cc02fc030cca9"))
        + sized(">B", bytes([DEFLATE, NOTHING])) + sized(">H", extensions)
    )
    return b"\x16\x03\x01" + sized(">H", b"\x01" + sized(">I", body))


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        stream.sendall(client_hello())
        answer = stream.recv(4096)
    if answer[0] == ALERT:
        return 0  # who speaks 1.3 alone says no to all of it
    assert answer[0] == HANDSHAKE and answer[5] == SERVER_HELLO, answer[:6].hex()
    behind_session = 9 + 2 + 32 + 1 + answer[43]
    return 0 if answer[behind_session + 2] == NOTHING else 1


sys.exit(main())
