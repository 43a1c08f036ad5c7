# SPDX-License-Identifier: MIT
"""Descriptors run out, in smtpd, qmgr and smtp in turn: clients wait, or are told to come again; a
program neither spins nor dies; and when there are some again, everything goes on. What was acknowledged
is delivered."""
import re
import socket

import ports
import procs
import shim
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

acknowledged = set()


def try_to_send(suite, name, text="text\r\n"):
    """The last reply; acknowledged mail is noted down."""
    with RawClient(suite.port) as client:
        if not client.greeting.startswith("220"):
            return client.greeting
        for line in ("EHLO client.example", "MAIL FROM:<>", f"RCPT TO:<{name}@example.net>", "DATA",
                     f"Subject: {name}\r\n\r\n{text}."):
            reply = client.command(line)
            if reply[0] not in "23":
                return reply
        acknowledged.add(f"{name}@example.net")
        return reply


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s", transport_retry_time="1s",
                                 large_message_threshold="4096", smtpd_peername_lookup="no",
                                 smtpd_client_connection_count_limit="0") as suite:
    page, keeper, sender = (shim.install(suite, name, descriptors=True) for name in ("smtpd", "qmgr", "smtp"))
    master_cf = suite.dir / "master.cf"
    text, changed = re.subn(rf"(?m)^(\S*{suite.port}\s+inet\s+\S+\s+\S+\s+\S+\s+\S+\s+)\S+", r"\g<1>1",
                            master_cf.read_text())
    expect_equal(changed, 1, "one process of smtpd")
    master_cf.write_text(text)
    suite.start()
    expect_match("^250 ", try_to_send(suite, "first"), "before")
    sink.wait(1)

    # --- accept. Clients that do not fit wait in the kernel's queue, and come in as others leave.
    smtpd, = suite.pids("smtpd")
    page.give(10, suite.greets)
    clients = [socket.create_connection(("127.0.0.1", suite.port), timeout=60) for _ in range(40)]
    suite.wait_log("cannot accept connections for now: Too many open files")
    # The first of those inside goes on as ever.
    first = clients[0].makefile("rb")
    expect(first.readline().startswith(b"220 "), "the first client")
    looks = page.looks
    for i in range(100):
        clients[0].sendall(b"NOOP\r\n")
        expect(first.readline().startswith(b"250 "), "NOOP")
    expect(page.looks - looks < 100 * 20, f"{page.looks - looks} looks for 100 commands")
    greeted = 0
    for client in clients[1:]:
        with client, client.makefile("rb") as file:
            greeted += file.readline().startswith(b"220 ")
    expect_equal(greeted, 39, "clients greeted in the end")
    first.close()
    clients[0].close()
    page.give(None, suite.greets)
    suite.wait_log("accepting connections again")
    said = sum("cannot accept connections" in line for line in suite.lines())
    expect(said <= 40, f"said {said} times")
    expect_match("^250 ", try_to_send(suite, "second"), "after accept")

    # --- smtpd has none left for a message file, or for the next segment: 451, and nothing is lost.
    with RawClient(suite.port) as client:
        for line in ("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<large@example.net>"):
            reply = client.command(line)
        expect_match("^250", reply, "RCPT")
        page.give(0, lambda: client.command("NOOP"))
        expect_match("^354", client.command("DATA"), "DATA")
        reply = client.command("Subject: large\r\n\r\n" + "text of a line\r\n" * 1000 + ".")
        expect_match("^45[12] ", reply, "a large message without a descriptor for its file")
        page.give(None, lambda: client.command("NOOP"))
    expect_match("^250 ", try_to_send(suite, "large2", "text of a line\r\n" * 1000), "with descriptors again")

    # --- qmgr: nothing can be opened, passed or connected to.
    qmgr, = suite.pids("qmgr")
    keeper.give(0, lambda: None)
    looks = keeper.looks
    replies = [try_to_send(suite, f"q{i}", "text of a line\r\n" * (1000 if i % 3 == 0 else 1))
               for i in range(30)]
    expect(all(re.match("250|45[12]", reply) for reply in replies), f"replies: {replies}")
    expect(keeper.looks - looks < 30 * 300, f"{keeper.looks - looks} looks for 30 messages")
    keeper.give(None, lambda: None)
    ports.wait_until(lambda: try_to_send(suite, "after").startswith("250"), 30, "mail taken again")

    # --- smtp: a descriptor that was passed to it gets lost; mail waits.
    sender.give(0, lambda: None, len(suite.pids("smtp")))
    replies = [try_to_send(suite, f"s{i}") for i in range(20)]
    expect(all(reply.startswith("250") for reply in replies), f"replies: {replies}")
    suite.wait_log(r"to=<s\d+@example\.net>.*status=(deferred|sent)")
    expect(not any("status=bounced" in line for line in suite.lines()), "nothing bounces for that")
    sender.give(None, lambda: None, len(suite.pids("smtp")))
    try_to_send(suite, "last")

    def delivered():
        return {r for m in sink.messages for r in m.recipients}

    ports.wait_until(lambda: acknowledged <= delivered(), 60, f"the rest of {len(acknowledged)} messages")
    suite.wait_empty(60)
    expect(procs.alive(smtpd) and procs.alive(qmgr), "nobody died")
    print(f"{len(acknowledged)} acknowledged and delivered; accept complained {said} times")
