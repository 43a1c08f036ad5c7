# SPDX-License-Identifier: MIT
"""A policy service that a test scripts: `answer(attributes)` returns the bytes to send, or None to say
nothing. Keeps the questions."""
import socket
import threading


class PolicyServer:
    def __init__(self, answer):
        self.answer, self.questions, self.connections = answer, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"inet:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as lines:
            attributes = {}
            for line in lines:
                name, _, value = line.decode().rstrip("\n").partition("=")
                if name:
                    attributes[name] = value
                    continue
                self.questions.append(attributes)
                answer = self.answer(attributes)
                attributes = {}
                if answer is not None:
                    client.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
