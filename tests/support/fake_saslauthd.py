# SPDX-License-Identifier: MIT
"""A saslauthd that answers as it is told: bytes, HANG (never), or CLOSE. Requests are four words with
their lengths (user, password, service, realm); `asked` keeps the users.

    with FakeSaslauthd(suite.top / "saslauthd", answer=OK) as backend:
"""
import os
import socket
import struct
import threading

OK = struct.pack(">H", 2) + b"OK"
NO = struct.pack(">H", 2) + b"NO"
HANG = object()
CLOSE = object()


class FakeSaslauthd:
    def __init__(self, directory, answer=OK):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        self.path = directory / "mux"
        self.answer = answer
        self.asked = []
        self.held = []
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        os.chmod(self.path, 0o777)
        self.listener.listen(128)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        words = []
        try:
            for _ in range(4):
                length = struct.unpack(">H", self.exactly(client, 2))[0]
                words.append(self.exactly(client, length))
            answer = self.answer
            with self.changed:
                self.asked.append(words[0].decode("utf-8", "replace"))
                self.changed.notify_all()
            if answer is HANG:
                self.held.append(client)
                return
            if answer is not CLOSE:
                client.sendall(answer)
        except (OSError, EOFError):
            pass
        client.close()

    @staticmethod
    def exactly(client, size):
        data = b""
        while len(data) < size:
            piece = client.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def wait(self, count, seconds=30):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.asked) >= count, seconds):
                raise TimeoutError(f"{len(self.asked)} of {count} requests")

    def close(self):
        self.listener.close()
        for client in self.held:
            client.close()
        self.path.unlink(missing_ok=True)

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()
