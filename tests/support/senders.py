# SPDX-License-Identifier: MIT
"""Clients that send without pause while a test does something to the suite."""
import smtplib
import threading
import time

import ports


class Senders:
    """`acknowledged`: the recipients of what was taken; `refused`: connections that were not."""

    def __init__(self, port, count):
        self.port, self.acknowledged, self.refused, self.done = port, set(), [], threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(f"c{i}",), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def send(self, name):
        n = 0
        while not self.done.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=60) as session:
                    while not self.done.is_set():
                        n += 1
                        session.sendmail("", [f"{name}-{n}@example.net"], "Subject: x\n\nx\n")
                        self.acknowledged.add(f"{name}-{n}@example.net")
            except smtplib.SMTPException:
                pass  # 421, 451: not acknowledged, so not ours to deliver
            except OSError as error:
                self.refused.append(f"{name}: {error}")
                time.sleep(0.01)  # nobody there

    def wait_for(self, more, what="mail"):
        """Until so many more have been acknowledged."""
        before = len(self.acknowledged)
        ports.wait_until(lambda: len(self.acknowledged) > before + more, 60, what)

    def end(self):
        self.done.set()
        for thread in self.threads:
            thread.join()
