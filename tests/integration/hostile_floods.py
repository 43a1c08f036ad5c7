# SPDX-License-Identifier: MIT
"""Clients that send without end, or begin without end: lines, content, chunks, recipients. Each is cut off, or
costs nothing that stays: the memory of smtpd is flat, its descriptors are, and nothing is left on the disk."""
import contextlib
import os

import ports
import procs
import sinks
from suite import ASAN, Suite, expect, expect_match

MOST_GROWTH_KB = 12_000 if ASAN else 3000
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + \
    ":quarantine_size_mb=1:thread_local_quarantine_size_kb=16"
LIMIT = 1_000_000


def pour(client, piece, most):
    """Sends until the server wants no more; how much that was."""
    sent = 0
    try:
        while sent < most:
            client.socket.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


def last_words(client):
    """What was said before the connection went away, where a reset has not swallowed it."""
    try:
        return client.reply()
    except ConnectionError:
        return ""


def begin(suite):
    client = suite.raw()
    expect_match("^250", client.command("EHLO client.example"), "EHLO")
    return client


def envelope(client, recipients=1):
    expect_match("^250", client.command("MAIL FROM:<from@example.org>"), "MAIL")
    client.write("".join(f"RCPT TO:<to{n}@example.net>\r\n" for n in range(recipients)))
    for _ in range(recipients):
        expect_match("^250", client.reply(), "RCPT")


def lines(suite):
    with begin(suite) as client:
        expect(pour(client, b"A" * 1_000_000, 10**9) < 50_000_000, "a line without end")
        expect_match(r"^(500 5\.5\.2|$)", last_words(client), "its answer")


def content(suite):
    with begin(suite) as client:
        envelope(client)
        client.command("DATA")
        expect(pour(client, b"x" * 998 + b"\r\n", 10**9) < 50_000_000, "content without end")
        expect_match(r"^(552 5\.3\.4|$)", last_words(client), "its answer")


def chunks(suite):
    with begin(suite) as client:
        envelope(client)
        expect_match(r"^(552 5\.3\.4|$)", client.command("BDAT 9223372036854775807"), "one without end")
    with begin(suite) as client:
        envelope(client)
        expect(pour(client, b"BDAT 500000\r\n" + b"x" * 500_000, 10**9) < 50_000_000, "chunks without end")


def tiny_chunks(suite):
    """A million of them, of one byte each."""
    with begin(suite) as client:
        envelope(client)
        piece, answer = b"BDAT 1\r\nx" * 1000, b"250 2.0.0 Ok: 1 bytes\r\n" * 1000
        for _ in range(LIMIT // 1000 - 1):
            client.write(piece)
            expect(client.file.read(len(answer)) == answer, "the answers")
        expect_match("^250", client.command("BDAT 0 LAST"), "the end")


def recipients(suite):
    with begin(suite) as client:
        for _ in range(20):
            envelope(client, 1000)
            expect_match("^250", client.command("RSET"), "RSET")


def many_connections(suite):
    """As many as one client may have, in the middle of a message, and then gone."""
    for _ in range(3):
        clients = [begin(suite) for _ in range(40)]
        for client in clients:
            envelope(client)
            client.write(b"DATA\r\n")
            expect_match("^354", client.reply(), "DATA")
            client.write(b"x" * 400_000)
        for client in clients:
            client.close()


def measure(suite):
    return {pid: (procs.rss_kb(pid), procs.open_files(pid)) for pid in suite.pids("smtpd") + suite.pids("qmgr")}


def on_disk(suite):
    """Bytes of files in the queue, which are there for large mail."""
    total = 0
    for file in (suite.dir / "spool").rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and "journal" not in str(file):
                total += file.lstat().st_blocks * 512
    return total


with sinks.Sink() as sink, \
        Suite(relayhost=sink.place, message_size_limit=LIMIT, default_process_limit="1", smtpd_error_sleep_time="0s",
              smtpd_recipient_limit="1000", smtpd_junk_command_limit="1000000") as suite:
    floods = (lines, content, chunks, recipients, many_connections, tiny_chunks)
    for flood in floods:  # what has grown once may stay
        flood(suite)
    sink.wait(1)
    suite.wait_empty()
    before, disk = measure(suite), on_disk(suite)
    for flood in floods:
        flood(suite)
        print(flood.__name__, measure(suite))
    sink.wait(2)
    suite.wait_empty()
    # Sessions end when they have seen that their clients are gone; then qmgr removes the files.
    ports.wait_until(lambda: all(files <= before.get(pid, (0, files))[1] + 2
                                 for pid, (_, files) in measure(suite).items()), 20, "descriptors to be closed")
    ports.wait_until(lambda: on_disk(suite) <= disk + 200_000, 20, "files to be removed")
    for pid, (memory, _) in measure(suite).items():
        expect(pid in before, "no process was replaced")
        expect(memory - before[pid][0] < MOST_GROWTH_KB, f"{procs.name_of(pid)}: {before[pid][0]} -> {memory} kB")
    expect(len(sink.messages) == 2, "no more mail than was ended")
