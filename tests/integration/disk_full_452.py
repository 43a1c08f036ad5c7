# SPDX-License-Identifier: MIT
"""When the queue's file system is full, MAIL is answered 452 and nothing that was accepted is lost;
deliveries go on, and mail is taken again when there is room."""
import os

import ports
import sinks
import small_disk
from suite import Suite, expect_equal, expect_match

with small_disk.mounted("size=96m") as directory, \
        sinks.Sink({"RCPT TO:<LATER@": "450 4.2.0 later"}) as sink, \
        Suite(relayhost=sink.place, journal_segment_size="1048576", minimal_backoff_time="1s",
              maximal_backoff_time="1s") as suite:
    kept = [suite.send("a@example.org", [f"later{i}@example.net"]) for i in range(5)]
    filler = open(f"{directory}/filler", "wb", buffering=0)
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError:
        pass
    line = "x" * 998 + "\r\n"
    body = "Subject: big\n\n" + line * 200

    def refused():
        with suite.raw() as client:
            client.command("EHLO client.example")
            reply = client.command("MAIL FROM:<a@example.org> SIZE=200000")
            if reply.startswith("250"):
                client.command("RCPT TO:<b@example.net>")
                if client.command("DATA").startswith("354"):
                    reply = client.command(body + ".")
            return reply if reply.startswith("4") else None

    # What is preallocated may still be filled; then it is 452, and never an acceptance that fails.
    reply = ports.wait_until(refused, 60, "a refusal for want of space")
    expect_match(r"^(452 4\.3\.1|451 4\.3\.)", reply, "full")
    with suite.raw() as client:
        client.command("EHLO client.example")
        ports.wait_until(lambda: client.command("MAIL FROM:<a@example.org>").startswith("452")
                         or client.command("RSET") is None, 30, "452 at MAIL")
    # Deliveries go on while the disk is full.
    sink.script.clear()
    ports.wait_until(lambda: {m.recipients[0] for m in sink.messages} >=
                     {f"later{i}@example.net" for i in range(5)}, 60, "the kept mail")
    filler.close()
    os.remove(f"{directory}/filler")

    def accepted():
        try:
            return suite.send("a@example.org", ["after@example.net"])
        except Exception:  # still full for a moment
            return None

    last = ports.wait_until(accepted, 60, "acceptance after space came back")
    suite.wait_log(rf"{last}: to=<after@example\.net>.*status=sent")
    suite.wait_empty(60)
    names = [m.recipients[0] for m in sink.messages]
    expect_equal([names.count(f"later{i}@example.net") for i in range(5)], [1] * 5, "delivered once")
    expect_equal(len(kept), 5, "kept")
