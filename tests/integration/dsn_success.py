# SPDX-License-Identifier: MIT
"""NOTIFY, ORCPT, RET and ENVID go to a next hop that knows DSN; for one that does not, the suite itself
says that it has relayed the mail (RFC 3461)."""
import email

import sinks
from suite import Suite, expect_equal, expect_match

OPTIONS = {"mail_options": ["RET=HDRS", "ENVID=QQ314159"],
           "rcpt_options": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;orig+40x.example"]}
with sinks.Sink() as knows, sinks.Sink(extensions=("PIPELINING",)) as plain, \
        Suite(relayhost=knows.place,
              transport_maps=f"inline:{{ plain.example=smtp:{plain.place} }}") as suite:
    suite.send("from@example.org", ["to@knows.example"], **OPTIONS)
    message = knows.wait(1)[0]
    expect_match(r"(?i) RET=HDRS\b", message.mail_line, "RET")
    expect_match(r" ENVID=QQ314159\b", message.mail_line, "ENVID")
    expect_match(r"(?i) NOTIFY=SUCCESS,FAILURE\b", message.rcpt_lines[0], "NOTIFY")
    expect_match(r"(?i) ORCPT=rfc822;orig(@|\+40)x\.example", message.rcpt_lines[0], "ORCPT")

    suite.send("from@example.org", ["to@plain.example"], **OPTIONS)
    expect_equal(plain.wait(1)[0].recipients, ["to@plain.example"], "recipients")
    report = knows.wait(2)[1]
    expect_equal((report.sender, report.recipients), ("", ["from@example.org"]), "report")
    of_message, of_recipient = email.message_from_bytes(report.data).get_payload()[1].get_payload()
    expect_equal(of_message["Original-Envelope-Id"], "QQ314159", "ENVID")
    expect_equal(of_recipient["Action"], "relayed", "Action")
    expect_match(r"^2\.", of_recipient["Status"], "Status")
    expect_match("orig@x.example", of_recipient["Original-Recipient"], "ORCPT")

    # NOTIFY=NEVER: not even a failure is reported.
    knows.script["RCPT TO:<NO@"] = "550 5.1.1 no"
    sent = suite.send("from@example.org", ["no@knows.example"], rcpt_options=["NOTIFY=NEVER"])
    suite.wait_log(rf"{sent}: removed")
    suite.wait_empty()
    expect_equal(len(knows.messages), 2, "reports")
