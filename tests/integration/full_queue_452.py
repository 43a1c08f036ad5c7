# SPDX-License-Identifier: MIT
"""queue_minfree larger than the disk: MAIL is answered 452 and what is queued is still delivered."""
import smtplib

import sinks
from suite import Suite, expect_equal, expect_match

with sinks.Sink({"RCPT": "450 4.2.0 later"}) as sink, \
        Suite(relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s") as suite:
    sent = suite.send("a@example.org", ["b@example.net"])
    suite.wait_log(rf"{sent}: to=<b@example\.net>.*status=deferred")
    suite.configure(queue_minfree=str(1 << 60))
    suite.stop()
    suite.start()
    try:
        suite.send("a@example.org", ["c@example.net"])
        raise AssertionError("accepted")
    except smtplib.SMTPResponseException as error:
        expect_equal(error.smtp_code, 452, "code")
        expect_match(r"4\.3\.1", error.smtp_error.decode(), "text")
    sink.script.clear()
    expect_equal(sink.wait(1, seconds=30)[0].recipients, ["b@example.net"], "delivered")
