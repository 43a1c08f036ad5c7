# SPDX-License-Identifier: MIT
"""An allocation of a program of a running suite fails, in some places spread over the whole of its work,
while it handles a message that goes to two mailboxes and bounces at a third. Either that request fails
cleanly, or the program ends and is started again: nothing acknowledged is lost, nothing arrives damaged
or uninvited. (tests/fault/allocation tries every place, without the suite around.)

  allocation_fails.py [--only smtpd,qmgr] [--seed N]
"""
import argparse
import hashlib
import random
import re
import secrets
import time

import judge
import ports
import shim
import sinks
from suite import RawClient, Suite, expect, expect_match

DOMAIN = "memory.example"
PROGRAMS = ("smtpd", "qmgr", "smtp", "bounce")
PLACES = 8  # of each program


def offer(suite, book, token):
    """Offers one message. Whether the 250 was read."""
    recipients = [f"{kind}-{token}@{DOMAIN}" for kind in ("one", "two", "bad")]
    body = f"body of {token}\r\n".encode()
    book.append(f"S {token} {hashlib.sha256(body).hexdigest()} {' '.join(recipients)}")
    try:
        with RawClient(suite.port) as client:
            reply = client.greeting
            for line in ("EHLO client.example", f"MAIL FROM:<from-{token}@{DOMAIN}>",
                         *(f"RCPT TO:<{r}>" for r in recipients), "DATA",
                         f"X-Token: {token}\r\n\r\n{body.decode()}."):
                if reply[:1] not in ("2", "3"):
                    break
                reply = client.command(line)
            else:
                if reply.startswith("250 "):
                    book.append(f"A {token}")
                    return True
    except OSError:
        reply = ""
    book.append(f"N {token} {reply[:3] or '-'}" if reply else f"U {token}")
    expect(reply[:1] in ("", "2", "3", "4"), f"refused for ever: {reply}")
    return False


def book_of_sink(messages):
    out = []
    for message in messages:
        header, _, body = message.data.partition(b"\r\n\r\n")
        if message.sender == "":
            token = re.match(r"from-([0-9a-f]+)@", message.recipients[0])
            failed = re.findall(rb"(?im)^Final-Recipient: *rfc822; *(\S+)", body)
            report = hashlib.sha256(re.search(rb"(?im)^Message-ID:[^\r]*", header)[0]).hexdigest()[:32]
            out.append(f"B {token[1]} {report} {' '.join(r.decode() for r in failed)}" if token and failed
                       else f"X report to {message.recipients}")
            continue
        token = re.search(rb"(?m)^X-Token: ([0-9a-f]+)\r?$", header)
        out.append(f"D {token[1].decode()} {hashlib.sha256(body).hexdigest()} {' '.join(message.recipients)}"
                   if token else f"X from {message.sender}")
    return out


class Sweep:
    def __init__(self, program, dice):
        self.program, self.dice = program, dice
        self.book, self.tried, self.failed, self.ended = [], 0, 0, 0

    def run(self):
        with sinks.Sink({"RCPT TO:<BAD": "550 5.1.1 nobody of that name"}) as sink, \
                Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s",
                      transport_retry_time="1s", service_throttle_time="1s", smtpd_peername_lookup="no",
                      smtp_dns_support_level="disabled") as suite:
            self.suite, self.sink = suite, sink
            suite.expected_trouble = True
            suite.expected_crashes = True  # of libraries that do not look at what malloc returns
            self.page = shim.install(suite, self.program, memory=True)
            suite.start()
            most = self.measure()
            step = max(1, most // PLACES)
            for n in range(self.dice.randint(1, step), most + 1, step):
                self.fail(n)
            self.page.fail_after = 0
            suite.wait_empty(120)
            verdict = judge.judge(self.book, book_of_sink(sink.messages))
            ended = sum(re.search(rf"service \S+: process \S+/{self.program} pid", line) is not None
                        for line in suite.lines())
            crashed = sum("killed by signal" in line for line in suite.lines())
            print(f"{self.program}: {most} allocations, {self.tried} tried, {self.failed} failed, it ended "
                  f"{ended} times, {crashed} by a signal; {verdict}", flush=True)
            expect(self.failed > 0, "no allocation failed")
            bound = 0 if self.program in ("smtpd", "bounce") else 2 * self.failed
            expect(verdict.sound(bound), "the judge")

    def settle(self, token, failed_before=None):
        """Until the message is done with; True. Or until an allocation has failed."""
        def done():
            if failed_before is not None and self.page.failed > failed_before:
                return True
            mine = [m for m in list(self.sink.messages) if token in m.sender + " ".join(m.recipients)]
            return sum(len(m.recipients) for m in mine) >= 3
        ports.wait_until(done, 60, f"message {token}")

    def measure(self):
        """How many allocations a message takes: the least that was seen, so that all of these come about."""
        seen = []
        for _ in range(4):
            token = secrets.token_hex(8)
            self.page.fail_after = start = 10**9
            expect(offer(self.suite, self.book, token), "taken")
            self.settle(token)
            seen.append(start - self.page.fail_after)
        self.page.fail_after = 0
        return min(seen[1:])

    def fail(self, n):
        before = self.page.failed
        self.tried += 1
        self.page.fail_after = n
        give_up = time.monotonic() + 60
        while self.page.failed == before:
            token = secrets.token_hex(8)
            if offer(self.suite, self.book, token):
                self.settle(token, before)
                break
            expect(time.monotonic() < give_up, f"no mail taken with n = {n}")
        self.page.fail_after = 0
        self.failed += self.page.failed > before


parser = argparse.ArgumentParser()
parser.add_argument("--only", default=",".join(PROGRAMS))
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()
for name in arguments.only.split(","):
    Sweep(name, random.Random(arguments.seed)).run()
