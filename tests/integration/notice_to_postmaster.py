# SPDX-License-Identifier: MIT
"""notify_classes: the postmaster gets the transcript of a session in which the server spoke strangely; no
notice is ever about a notice, or about mail without a sender.

# shows: notify_classes error_notice_recipient double_bounce_sender 2bounce_notice_recipient
"""
import sinks
from suite import Suite, expect, expect_equal, expect_match

STRANGE = {"RCPT TO:<STRANGE@": "503 5.5.1 what are you saying",
           "RCPT TO:<NOBODY@": "550 5.1.1 nobody here"}
with sinks.Sink(dict(STRANGE)) as sink, \
        Suite(relayhost=sink.place, notify_classes="protocol, 2bounce",
              double_bounce_sender="dead-end", error_notice_recipient="oper@example.org",
              **{"2bounce_notice_recipient": "chief@example.org"}) as suite:
    # An ordinary refusal is none of the postmaster's business.
    suite.send("from@example.org", ["nobody@example.net"])
    expect_equal(sink.wait(1)[0].recipients, ["from@example.org"], "report")
    sent = suite.send("from@example.org", ["strange@example.net"])
    suite.wait_log(rf"{sent}: postmaster notice: \w+")
    both = {m.recipients[0]: m for m in sink.wait(3)[1:]}
    expect_equal(sorted(both), ["from@example.org", "oper@example.org"], "report and notice")
    notice = both["oper@example.org"]
    expect_equal(notice.sender, "dead-end@mail.postrider.example", "sender")
    peer = rf"127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}"
    expect_match(rf"(?m)^Subject: Postrider SMTP client: errors from {peer}", notice.header, "subject")
    text = notice.body.decode()
    expect_match(rf"Unexpected response from {peer}\.\r\n", text, "text")
    expect_match(r"\r\n Out: RCPT TO:<strange@example\.net>", text, "what we said")
    expect_match(r"\r\n In:  503 5\.5\.1 what are you saying\r\n", text, "what was answered")
    expect(f" {sent} " in text, f"the id of the mail: {text}")

    # A report that cannot be returned goes to the chief, and makes no notice; nor does a notice.
    sent = suite.send("", ["strange@example.net"])
    expect_equal(sink.wait(4)[3].recipients, ["chief@example.org"], "double bounce")
    sink.script["RCPT TO:<OPER@"] = STRANGE["RCPT TO:<STRANGE@"]
    sent = suite.send("from@example.org", ["strange@example.net"])
    expect_equal(sink.wait(5)[4].recipients, ["from@example.org"], "report")
    suite.wait_log(r"to=<oper@example\.org>.*status=bounced")
    suite.wait_empty()
    expect_equal(len(sink.messages), 5, "messages")
    expect_equal(len([line for line in suite.lines() if "postmaster notice" in line]), 2, "notices")
