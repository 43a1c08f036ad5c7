# SPDX-License-Identifier: MIT
"""A permanent refusal of one of two recipients returns a report (RFC 3464) about that one alone."""
import email

import sinks
from suite import Suite, expect, expect_equal, expect_match

with sinks.Sink({"RCPT TO:<GONE@": "550 5.1.1 no mailbox here"}) as sink, \
        Suite(relayhost=sink.place) as suite:
    sent = suite.send("from@example.org", ["gone@example.net", "here@example.net"],
                      "Subject: two ways\nX-Mark: 42\n\nhello\n")
    messages = sink.wait(2)
    original = next(m for m in messages if m.sender)
    report = next(m for m in messages if not m.sender)
    expect_equal(original.recipients, ["here@example.net"], "delivered to")
    expect_equal(report.recipients, ["from@example.org"], "report to")
    suite.wait_log(rf"{sent}: to=<gone@example\.net>.*dsn=5\.1\.1, status=bounced")

    mail = email.message_from_bytes(report.data)
    expect_equal(mail.get_content_type(), "multipart/report", "type")
    expect_equal(mail.get_param("report-type"), "delivery-status", "report type")
    expect_match("MAILER-DAEMON|mailer-daemon", mail["From"], "From:")
    expect_match("from@example.org", mail["To"], "To:")
    text, status, returned = mail.get_payload()
    expect_match(r"gone@example\.net", text.get_payload(), "the words for people")
    expect_match("no mailbox here", text.get_payload(), "the reply for people")
    expect_equal(status.get_content_type(), "message/delivery-status", "second part")
    of_message, of_recipient = status.get_payload()
    expect_match("^dns; *mail.postrider.example$", of_message["Reporting-MTA"], "Reporting-MTA")
    expect(of_message["Arrival-Date"], "Arrival-Date")
    expect_match("^rfc822; *gone@example.net$", of_recipient["Final-Recipient"], "Final-Recipient")
    expect_equal(of_recipient["Action"], "failed", "Action")
    expect_equal(of_recipient["Status"], "5.1.1", "Status")
    expect_match("^smtp; *550 5.1.1 no mailbox here$", of_recipient["Diagnostic-Code"], "Diagnostic-Code")
    expect_equal(len(status.get_payload()), 2, "only the failed recipient is reported")
    expect_match("X-Mark: 42", returned.as_string(), "the returned header")
    suite.wait_empty()
