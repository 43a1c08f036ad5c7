# SPDX-License-Identifier: MIT
"""Debian's Postfix takes our mail, with DSN and pipelining, and hands it on whole."""
import pathlib
import tempfile

import ports
import postfix_peer
import sinks
from suite import Suite, expect_equal, expect_match, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")
TEXT = "Subject: through Postfix\n\n" + ".dots\n..\n" * 50 + "x" * 900 + "\nend\n"
with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    pathlib.Path(directory).chmod(0o755)
    port = ports.free_port()
    with postfix_peer.Postfix(directory + "/postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink.port}",
                              {"mydestination": "", "smtpd_recipient_restrictions":
                               "check_recipient_access inline:{bad@example.net=reject}"}) as postfix, \
            Suite(relayhost=f"[127.0.0.1]:{port}") as suite:
        for i in range(30):
            suite.send("from@example.org", [f"to{i}@example.net", "also@example.net"], TEXT)
        messages = sink.wait(30, seconds=60)
        expect_equal({m.body for m in messages},
                     {TEXT.split("\n\n", 1)[1].replace("\n", "\r\n").encode()}, "bodies")
        suite.send("from@example.org", ["bad@example.net"])
        report = sink.wait(31)[30]
        expect_equal(report.recipients, ["from@example.org"], "report")
        expect_match("554 5.7.1|Access denied", report.data.decode(), "Postfix's words")
        suite.wait_empty()
        expect_match("postfix/smtpd", postfix.log.read_text(), "its log")
