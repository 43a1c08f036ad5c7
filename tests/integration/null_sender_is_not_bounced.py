# SPDX-License-Identifier: MIT
"""Mail with the null sender that cannot be delivered makes no report to anyone but the postmaster that
2bounce_notice_recipient names, and only where notify_classes asks for it. Forged reports make no storm."""
import sinks
from suite import Suite, expect_equal

REPORT = ("Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
          "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.postrider.example\n\n"
          "Final-Recipient: rfc822; victim@example.org\nAction: failed\nStatus: 5.1.1\n--b--\n")

with sinks.Sink({"RCPT TO:<GONE@": "550 5.1.1 no"}) as sink, \
        Suite(relayhost=sink.place) as suite:
    sent = suite.send("", ["gone@example.net"])
    suite.wait_log(rf"{sent}: to=<gone@example\.net>.*status=bounced")
    suite.wait_log(rf"{sent}: removed")
    suite.wait_empty()
    expect_equal([m.recipients for m in sink.messages if m.sender == ""], [], "reports")

# Nobody takes anything: neither what comes back, nor what is said about that. Of each forged report there is
# one notice at most; of a notice, there is none.
with sinks.Sink({"RCPT": "550 5.1.1 no"}) as sink, \
        Suite(relayhost=sink.place, notify_classes="2bounce, bounce",
              **{"2bounce_notice_recipient": "postmaster@example.org"}) as suite:
    count = 20
    for sender in ("", "double-bounce@mail.postrider.example"):
        for n in range(count):
            suite.send(sender, [f"gone{n}@example.net"], REPORT)
    suite.wait_empty(60)
    queued = len([line for line in suite.lines() if "(queue active)" in line])
    notices = len([line for line in suite.lines() if "status=bounced" in line and "to=<postmaster@example.org>" in line])
    expect_equal((notices, queued), (count, 3 * count), "notices, messages that were ever in the queue")
    expect_equal(len(sink.messages), 0, "mail")
