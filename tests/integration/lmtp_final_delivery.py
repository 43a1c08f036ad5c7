# SPDX-License-Identifier: MIT
"""lmtp_assume_final: mail that an LMTP server without DSN has taken was delivered, not relayed; and
lmtp_tcp_port is where LMTP servers listen whose port is not said.

# shows: lmtp_assume_final lmtp_tcp_port
"""
import email

import sinks
from suite import Suite, expect_equal

for assume, action in (("no", "relayed"), ("yes", "delivered")):
    with sinks.Sink(lmtp=True, extensions=("PIPELINING",)) as store, sinks.Sink() as sink, \
            Suite(relayhost=sink.place, lmtp_assume_final=assume, lmtp_tcp_port=store.port,
                  transport_maps="inline:{ box.example=lmtp:inet:127.0.0.1 }") as suite:
        suite.send("from@example.org", ["to@box.example"], rcpt_options=["NOTIFY=SUCCESS"])
        expect_equal(store.wait(1)[0].recipients, ["to@box.example"], "recipients")
        report = sink.wait(1)[0]
        _, status = email.message_from_bytes(report.data).get_payload()[1].get_payload()
        expect_equal(status["Action"], action, f"lmtp_assume_final = {assume}")
