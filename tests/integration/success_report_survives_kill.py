# SPDX-License-Identifier: MIT
"""A success report that could not be made before everything was killed is made afterwards, once."""
import email

import sinks
from suite import Suite, expect_equal

with sinks.Sink(extensions=("PIPELINING",)) as sink, \
        Suite(relayhost=sink.place, master_service_disable="bounce/unix") as suite:
    sent = suite.send("from@example.org", ["to@example.net"], rcpt_options=["NOTIFY=SUCCESS"])
    suite.wait_log(rf"{sent}: to=<to@example\.net>.*status=sent")
    suite.wait_log(r"bounce")  # asked for in vain
    suite.kill_all()
    suite.configure(master_service_disable="")
    suite.start()
    report = sink.wait(2, seconds=40)[1]
    expect_equal((report.sender, report.recipients), ("", ["from@example.org"]), "report")
    _, status = email.message_from_bytes(report.data).get_payload()[1].get_payload()
    expect_equal(status["Action"], "relayed", "Action")
    suite.wait_empty()
    expect_equal(len(sink.messages), 2, "the mail and one report")
