# SPDX-License-Identifier: MIT
"""Clients that leave: by FIN, by RST and by half of it, behind each step of a session and within each line of
it, alone and by the thousand. Only mail whose final dot was sent is ever delivered, once, and a client that
still listens hears of it. Neither memory nor descriptors grow."""
import random
import re
import socket
import struct

import ports
import procs
import sinks
from suite import ASAN, Suite, expect, expect_equal, expect_match

STEPS = ("EHLO client.example\r\n", "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<b@example.net>\r\n", "DATA\r\n",
         "Subject: {0}\r\n\r\n", "text\r\n", ".\r\n")
CHUNKS = (*STEPS[:3], "BDAT 22\r\nSubject: {0:11}\r\n", "BDAT 4\r\n\r\nxx", "BDAT 0 LAST\r\n")
STORM = 3000
MOST_GROWTH_KB = 60_000 if ASAN else 3000


def fin(client):
    client.close()


def rst(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def half(client):
    """All that is answered from here on."""
    client.socket.shutdown(socket.SHUT_WR)
    replies = []
    while reply := client.reply():
        replies.append(reply)
    client.close()
    return replies


def go(suite, steps, count, part, subject):
    """A session up to the step `count`, of which only a part is sent."""
    client = suite.raw()
    for n, step in enumerate(steps[:count + 1]):
        text = step.format(subject)
        client.write(text[:part] if n == count else text)
        if n < count and steps[n][0] not in "St":
            expect_match("^[23]", client.reply(), step)
    return client


def leave_everywhere(suite):
    """Subjects that have to come, and those that may."""
    must, may = [], []
    for steps in (STEPS, CHUNKS):
        for how in (fin, rst, half):
            for count, step in enumerate(steps):
                for part in (0, len(step.format("")) // 2, None):
                    subject = f"{how.__name__}{len(steps)}{count}{part}"
                    whole = count == len(steps) - 1 and part is None
                    replies = how(go(suite, steps, count, part, subject))
                    if how is half:
                        taken = any("queued as" in reply for reply in replies)
                        expect_equal(taken, whole, f"{subject}: {replies}")
                    if whole:
                        (may if how is rst else must).append(subject)
    return must, may


def subjects(sink):
    return [re.search(r"Subject: *(\S+)", m.header).group(1) for m in sink.messages]


def storm(suite, rng):
    """Each is dropped at any byte."""
    text = "".join(STEPS[:-1]).format("storm")
    for _ in range(STORM):
        with socket.socket() as client:
            client.connect(("127.0.0.1", suite.port))
            if rng.random() < 0.5:
                client.recv(100)
            client.sendall(text[:rng.randrange(len(text))].encode())
            if rng.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def measure(suite):
    return {pid: (procs.rss_kb(pid), procs.open_files(pid)) for pid in procs.tree(suite.master_pid)}


with sinks.Sink() as sink, \
        Suite(relayhost=sink.place, smtpd_error_sleep_time="0s", default_process_limit="1", max_use="100000",
              smtpd_peername_lookup="no") as suite:
    must, may = leave_everywhere(suite)
    sink.wait(len(must))
    suite.wait_log(r"lost connection after RCPT from ")
    suite.wait_log(r"lost connection after (DATA|BDAT) from")
    suite.wait_empty()
    came = subjects(sink)
    expect_equal(len(came), len(set(came)), f"each once: {came}")
    expect(set(must) <= set(came) <= set(must + may), f"{came}: {must} {may}")

    rng = random.Random(20261121)
    count = len(sink.messages)
    storm(suite, rng)
    before = measure(suite)
    storm(suite, rng)
    with suite.raw() as client:
        expect_match("^250", client.command("EHLO client.example"), "the next one is served")
    # A session ends when it has seen that its client is gone.
    ports.wait_until(lambda: all(files <= before.get(pid, (0, files))[1] + 2
                                 for pid, (_, files) in measure(suite).items()), 20, "descriptors to be closed")
    for pid, (memory, _) in measure(suite).items():
        expect(pid in before, f"{procs.name_of(pid)} was replaced")
        expect(memory - before[pid][0] < MOST_GROWTH_KB, f"{procs.name_of(pid)}: {before[pid][0]} -> {memory} kB")
    expect_equal(len(sink.messages), count, "no mail of them")
