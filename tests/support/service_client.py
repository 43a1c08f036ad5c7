# SPDX-License-Identifier: MIT
"""A client of a helper service (doc/ipc.md: tlsmgr, scache, tokenmgr), written a second time.

    with ServiceClient(suite.dir / "spool/private/tlsmgr") as client:
        client.tell(98, cache=0, key=b"k", session=b"s")
        answer = client.ask(96, cache=0, key=b"k")      # {"number": 1, "session": b"s"}
"""
import itertools
import socket
import struct


def encode(fields):
    out = b""
    for name, value in fields.items():
        if isinstance(value, (int, bool)):
            kind, raw = b"n", struct.pack("<Q", int(value) & (2**64 - 1))
        else:
            kind, raw = b"b", value if isinstance(value, bytes) else str(value).encode()
        out += bytes([len(name)]) + name.encode() + kind + struct.pack("<I", len(raw)) + raw
    return out


def decode(data):
    fields = {}
    while data:
        length = data[0]
        name, kind = data[1:1 + length].decode(), data[1 + length:2 + length]
        size = struct.unpack_from("<I", data, 2 + length)[0]
        value, data = data[6 + length:6 + length + size], data[6 + length + size:]
        if kind == b"n":
            value = struct.unpack("<q", value)[0]
        elif kind == b"l":
            items = []
            while value:
                n = struct.unpack_from("<I", value)[0]
                items.append(value[4:4 + n])
                value = value[4 + n:]
            value = items
        fields[name] = value
    return fields


class ServiceClient:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.numbers = itertools.count(1)
        kind, self.hello = self.read()
        assert kind == 1, kind

    def read(self):
        """(type, fields) of one frame; raises EOFError when the service has closed."""
        length, kind, _, _ = struct.unpack("<IHBB", self.exactly(8))
        return kind, decode(self.exactly(length))

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def tell(self, kind, **fields):
        body = encode(fields)
        self.socket.sendall(struct.pack("<IHBB", len(body), kind, 1, 0) + body)

    def ask(self, kind, **fields):
        number = next(self.numbers)
        self.tell(kind, number=number, **fields)
        _, answer = self.read()
        assert answer["number"] == number, answer
        return answer

    def close(self):
        self.socket.close()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()
