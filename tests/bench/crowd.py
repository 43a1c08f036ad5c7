# SPDX-License-Identifier: MIT
"""A crowd of clients that hold their sessions and send a byte now and then: a third in the middle of a
command, a third in the middle of a message, a third says nothing at all. In a process of its own, so
that its work is not ours; each client has an address of its own."""
import multiprocessing
import resource
import socket
import time


def hold(port, count, interval, ready, end):
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    clients = []
    for i in range(count):
        client = socket.socket()
        client.bind((f"127.{2 + (i >> 16)}.{i >> 8 & 255}.{i & 255 or 254}", 0))
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.recv(512)
        if i % 3 == 1:
            for line in ("EHLO drip.example", "MAIL FROM:<a@drip.example>", "RCPT TO:<b@sink.example>",
                         "DATA"):
                client.sendall(line.encode() + b"\r\n")
                client.recv(4096)
        clients.append((client, (b"N", b"x", b"")[i % 3]))
    ready.set()
    lost = 0
    while not end.is_set():
        began = time.monotonic()
        for at, (client, byte) in enumerate(clients):
            if end.is_set():
                break
            try:
                if byte:
                    client.send(byte)
            except OSError:
                lost += 1
            ahead = began + interval * at / count - time.monotonic()
            if ahead > 0.01:
                time.sleep(ahead)
        end.wait(max(0.0, began + interval - time.monotonic()))
    print(f"      of {count} slow clients {lost} were turned away meanwhile", flush=True)


class Crowd:
    def __init__(self, port, count, interval=5.0):
        ready, self.end = multiprocessing.Event(), multiprocessing.Event()
        self.process = multiprocessing.Process(target=hold,
                                               args=(port, count, interval, ready, self.end))
        self.process.start()
        while not ready.wait(1):
            if not self.process.is_alive():
                raise RuntimeError("the crowd did not get in")

    def stop(self):
        self.end.set()
        self.process.join()
