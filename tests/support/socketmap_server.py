# SPDX-License-Identifier: MIT
"""A server of socketmap tables, in threads of its own."""
import contextlib
import pathlib
import socket
import threading


class Server:
    """answers: {(table, key): text of the answer, bytes to be sent as they are, or an Event that has
    to be set first}; what is not there is NOTFOUND."""

    def __init__(self, path):
        self.answers, self.asked = {}, []
        self.path = pathlib.Path(path)
        self.open()

    def open(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o666)
        self.listener.listen(50)
        self.connections = []
        threading.Thread(target=self.listen, args=(self.listener,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def listen(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        text = b""
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                text += piece
                length, colon, rest = text.partition(b":")
                if not colon or len(rest) <= int(length):
                    continue
                text = rest[int(length) + 1:]
                table, _, key = rest[:int(length)].decode().partition(" ")
                self.asked.append((table, key))
                answer = self.answers.get((table, key), "NOTFOUND ")
                if isinstance(answer, threading.Event):
                    answer.wait()
                    answer = self.answers[table, key, "then"]
                if isinstance(answer, str):
                    answer = f"{len(answer)}:{answer},".encode()
                connection.sendall(answer)
