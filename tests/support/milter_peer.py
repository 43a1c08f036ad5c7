# SPDX-License-Identifier: MIT
"""A mail filter (Milter protocol) that does what a test says. Written from the protocol, not with
libmilter: tests/integration/opendkim_signs.py has a real one.

    with Milter({"M": [reply("550 5.7.1 no")]}) as milter:
        Suite(smtpd_milters=milter.place)
        milter.heard        # ("M", [b"<a@b>"]), ... of all sessions in their order

`script` maps a command's letter to the packets of its answer; without an entry it is CONTINUE. An
entry may be a function of the packet's data.
"""
import socket
import socketserver
import struct
import threading

SILENT = "DAQ"  # commands without an answer
CONTINUE, ACCEPT, DISCARD, REJECT, TEMPFAIL, SHUTDOWN, SKIP, PROGRESS = (
    (letter, b"") for letter in "cadrt4sp")


def strings(*texts):
    return b"".join(t.encode() + b"\0" for t in texts)


def reply(text):
    return ("y", strings(text))


def add_header(name, value):
    return ("h", strings(name, value))


def insert_header(index, name, value):
    return ("i", struct.pack("!I", index) + strings(name, value))


def change_header(index, name, value):
    return ("m", struct.pack("!I", index) + strings(name, value))


def add_recipient(address, options=None):
    return ("2", strings(address, options)) if options else ("+", strings(address))


def delete_recipient(address):
    return ("-", strings(address))


def change_sender(address):
    return ("e", strings(address))


def replace_body(data):
    return ("b", data)


def quarantine(reason):
    return ("q", strings(reason))


def client_of(data):
    """Name and address of a CONNECT; its port, of two bytes, is left out."""
    name, _, rest = data.partition(b"\0")
    return [name, rest[3:].rstrip(b"\0")]


class Milter:
    def __init__(self, script=None, steps=0, version=6):
        self.script, self.steps, self.version = script or {}, steps, version
        self.heard, self.bodies, self.macros = [], [], {}
        milter = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                milter.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.place = f"inet:127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection.makefile("rb")
        body = bytearray()
        while True:
            head = stream.read(4)
            if len(head) < 4:
                return
            packet = stream.read(struct.unpack("!I", head)[0])
            command, data = chr(packet[0]), packet[1:]
            if command == "O":
                offered = struct.unpack("!III", data[:12])[1]
                self.say(connection, "O", struct.pack("!III", self.version, 0x1ff & offered, self.steps))
                continue
            if command == "Q":
                return
            fields = client_of(data) if command == "C" else data.split(b"\0")[:-1]
            if command == "D":
                fields = [chr(data[0])] + [f.decode() for f in data[1:].split(b"\0")[:-1]]
                self.macros.setdefault(fields[0], {}).update(zip(fields[1::2], fields[2::2]))
                continue
            if command == "B":
                body += data
            if command == "E":
                self.bodies.append(bytes(body))
                body.clear()
            self.heard.append((command, fields))
            if command in SILENT:
                continue
            answer = self.script.get(command, [CONTINUE])
            if callable(answer):
                answer = answer(data)
            if answer is None:  # dies
                return
            for letter, what in answer:
                self.say(connection, letter, what)

    @staticmethod
    def say(connection, letter, data):
        connection.sendall(struct.pack("!I", len(data) + 1) + letter.encode() + data)
