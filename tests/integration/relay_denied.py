# SPDX-License-Identifier: MIT
"""A client outside of mynetworks may send to relay_domains only; nobody else is relayed for."""
import sinks
from suite import Suite, expect_equal, expect_match

PROBES = ["to@elsewhere.example", "to%elsewhere.example@mail.postrider.example2", "<@relay.example:to@elsewhere.example>",
          '"to@elsewhere.example"@other.example', "to@relay.example.other"]
with sinks.Sink() as sink, \
        Suite(relayhost=sink.place, relay_transport=f"smtp:{sink.place}", mynetworks="192.0.2.0/24",
              relay_domains="relay.example", smtpd_error_sleep_time="0s",
              smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination") as suite:
    with suite.raw() as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<from@example.org>")
        for probe in PROBES:
            address = probe if probe.startswith("<") else f"<{probe}>"
            expect_match(r"^5\d\d 5\.", client.command(f"RCPT TO:{address}"), probe)
        expect_match(r"^554 5\.7\.1", client.command("RCPT TO:<to@elsewhere.example>"), "relay")
        expect_match(r"^554 5\.5\.1|^503 5\.5\.1", client.command("DATA"), "DATA without recipient")
        expect_match(r"^250", client.command("RCPT TO:<to@relay.example>"), "relay domain")
        expect_match(r"^354", client.command("DATA"), "DATA")
        expect_match(r"^250", client.command("Subject: x\r\n\r\nx\r\n."), "end of data")
    expect_equal(sink.wait(1)[0].recipients, ["to@relay.example"], "recipients")
    suite.wait_log(r"NOQUEUE: reject: RCPT from .*<to@elsewhere\.example>.*Relay access denied")

with Suite(mynetworks="192.0.2.0/24") as suite:
    with suite.raw() as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<from@example.org>")
        expect_match(r"^454 4\.7\.1", client.command("RCPT TO:<to@elsewhere.example>"), "default defers")
