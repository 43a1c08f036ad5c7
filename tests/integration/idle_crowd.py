# SPDX-License-Identifier: MIT
"""Clients that connect and do nothing: bounded for one client and for a process; beyond
smtpd_session_limit the stranger that has been idle the longest makes room, nobody who sends a message
or has logged in; and thousands of them cost nothing but memory."""
# shows: smtpd_session_limit smtpd_client_connection_count_limit
import resource
import select
import socket

import ports
import procs
import sasl_accounts
import shim
import sinks
from sasl_accounts import PASSWORD, REALM, SETTINGS
from suite import RawClient, Suite, expect, expect_equal, expect_match, skip

LIMIT, CROWD = 2000, 10_000
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard < CROWD + 500:
    skip(f"{CROWD} connections need a limit of more descriptors than {hard}")
resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 500, hard))


def address(i):
    return f"127.{2 + (i >> 16)}.{i >> 8 & 255}.{i & 255 or 254}"


def idle(port, i):
    client = socket.socket()
    client.bind((address(i), 0))
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    return client


def last_words(client, text):
    """All that came behind the greeting, which is the last word itself for who is turned away at once."""
    while piece := client.recv(4096):
        text += piece
    return text if text.startswith(b"421 ") else text.split(b"\r\n", 1)[1]


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, smtpd_peername_lookup="no",
                                 smtpd_client_connection_count_limit="50",
                                 smtpd_client_event_limit_exceptions="",
                                 **SETTINGS) as suite:
    sasl_accounts.make(suite)
    page = shim.install(suite, "smtpd")
    few, crowded = ports.free_ports(2)
    with (suite.dir / "master.cf").open("a") as master:
        master.write(f"127.0.0.1:{few} inet n - n - 1 smtpd -o smtpd_session_limit=4\n"
                     f"127.0.0.1:{crowded} inet n - n - 1 smtpd -o smtpd_session_limit={LIMIT}\n"
                     "  -o {smtpd_relay_restrictions=permit_mynetworks, reject}\n")
    suite.start()

    # Who is in a message, or has logged in, stays; the oldest of the others goes, and hears why.
    busy = RawClient(few)
    busy.command("EHLO client.example")
    known = suite.smtp()
    known.connect("127.0.0.1", few)
    known.login(f"joe@{REALM}", PASSWORD)
    known.mail("joe@example.org")
    known.rcpt("to@example.net")
    known.rset()
    older, newer = RawClient(few), RawClient(few)
    with RawClient(few) as late:  # busy is the oldest stranger
        expect_match("^220 ", late.greeting, "a client beyond the limit")
        expect_match("^421 4.3.2 .*too many sessions", busy.reply(), "the oldest one")
        suite.wait_log(r"session limit 4 reached: .*, idle without a login, makes room")
        with RawClient(few) as later:
            expect_match("^220 ", later.greeting, "another")
            expect_match("^421 4.3.2 .*too many sessions", older.reply(), "the next oldest")
            expect_match("^250 ", newer.command("NOOP"), "the newer ones")
            expect_equal(known.noop()[0], 250, "who has logged in")
    for client in (busy, older, newer):
        client.close()
    known.quit()

    # Nobody but those who may stay: the new one has to wait.
    senders = []
    for _ in range(4):
        client = suite.smtp()
        client.connect("127.0.0.1", few)
        client.login(f"joe@{REALM}", PASSWORD)
        expect_equal(client.mail("joe@example.org")[0], 250, "MAIL")
        senders.append(client)
    with RawClient(few) as late:
        expect_match("^421 4.3.2 ", late.greeting, "with nobody to make room")
    for client in senders:
        client.close()

    # One address has no more than smtpd_client_connection_count_limit, crowd or not.
    many, greeted = [], []
    for _ in range(60):  # one by one: who is turned away counts for a moment as well
        many.append(idle(crowded, 7))
        greeted.append(many[-1].recv(4096)[:3])
    expect_equal(greeted, [b"220"] * 50 + [b"421"] * 10, "sessions of one client")
    for client in many:
        client.close()

    # A crowd of others.
    crowd = [idle(crowded, i) for i in range(CROWD)]
    heard = {client: client.recv(4096) for client in crowd}  # of early ones all that there is
    for text in heard.values():  # who comes in a rush may have to go before its greeting
        expect_match("^(220|421 4.3.2) ", text.decode(), "a client of the crowd")
    there = {client.fileno(): client for client in crowd}

    def gone():
        poll = select.poll()
        for number in there:
            poll.register(number, select.POLLIN)
        return [there[number] for number, _ in poll.poll(0)]

    ports.wait_until(lambda: len(crowd) - len(gone()) <= LIMIT, 60, "sessions within the limit")
    sent_away = gone()
    expect_equal({last_words(client, heard[client]) for client in sent_away},
                 {b"421 4.3.2 mail.postrider.example Error: too many sessions\r\n"}, "what those who made room heard")
    expect(crowd[0] in sent_away, "the oldest went")
    # Those who are told to go are not waited for in any number.
    ports.wait_until(lambda: max(map(procs.open_files, suite.pids("smtpd"))) < LIMIT + 400, 60,
                     "descriptors within the limit")

    # Those that are left do not keep a process awake: what wakes it is the work that there is.
    before = page.looks
    for i in range(50):
        with RawClient(crowded) as client:
            for line, code in (("EHLO client.example", "250"), ("MAIL FROM:<a@example.org>", "250"),
                               ("RCPT TO:<b@example.net>", "250"), ("DATA", "354"),
                               (f"Subject: {i}\r\n\r\nx\r\n.", "250"), ("QUIT", "221")):
                expect_equal(client.command(line)[:3], code, line)
    expect(page.looks - before < 50 * 200, f"{page.looks - before} looks for 50 messages beside {CROWD} idle")
    sink.wait(50, seconds=60)
    for client in crowd:
        client.close()
    print(f"{len(sent_away)} of {CROWD} made room; 50 messages, {page.looks - before} looks")
