# SPDX-License-Identifier: MIT
"""A temporary refusal keeps the mail; it is delivered at a later attempt, unchanged."""
import sinks
from suite import Suite, expect, expect_equal

TEXT = "Subject: patience\n\nline\n..two dots\n.\nend\n"
with sinks.Sink({"RCPT": ["450 4.2.1 mailbox busy, try later", "250 2.1.5 ok"]}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="2s") as suite:
    sent = suite.send("from@example.org", ["to@example.net"], TEXT)
    suite.wait_log(rf"{sent}: to=<to@example\.net>.*dsn=4\.2\.1, status=deferred \(host .*"
                   r"said: 450 4\.2\.1 mailbox busy, try later")
    expect_equal(len(sink.messages), 0, "messages before the retry")
    message = sink.wait(1)[0]
    expect_equal(message.body, TEXT.split("\n\n", 1)[1].replace("\n", "\r\n").encode(), "body")
    suite.wait_log(rf"{sent}: to=<to@example\.net>.*status=sent")
    suite.wait_log(rf"{sent}: removed")
    suite.wait_empty()
    expect(len(sink.messages) == 1, "delivered once")
