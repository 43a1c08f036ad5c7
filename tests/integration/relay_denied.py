# SPDX-License-Identifier: MIT
"""A client outside of mynetworks may send to relay_domains only; nobody else is relayed for."""
import sinks
from suite import Suite, expect_equal, expect_match

# The null byte, and what an IDN looks like, are said as bytes.
PROBES = [b"to@elsewhere.example", b"to@elsewhere.example.", b"to%elsewhere.example@mail.postrider.example2",
          b"<@relay.example:to@elsewhere.example>", b"<@relay.example,@relay.example:to@elsewhere.example>",
          b'"to@elsewhere.example"@other.example', b"to@relay.example.other", b"to@notrelay.example",
          b"to%elsewhere.example@relay.example", b'"to@elsewhere.example"@relay.example',
          b"elsewhere.example!to@relay.example", b"to@elsewhere.example@relay.example",
          b"to@elsewhere.example\0@relay.example", b"to@relay.example\0.elsewhere.example", b"to@[127.0.0.1]",
          b"to@[IPv6:::1]", b"to@r\xd0\xb5lay.example", b"to@xn--rlay-9va.example"]
with sinks.Sink() as sink, \
        Suite(relayhost=sink.place, relay_transport=f"smtp:{sink.place}", mynetworks="192.0.2.0/24",
              relay_domains="relay.example", smtpd_error_sleep_time="0s", smtpd_hard_error_limit="100",
              smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination") as suite:
    with suite.raw() as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<from@example.org>")
        for probe in PROBES:
            client.write(b"RCPT TO:" + (probe if probe.startswith(b"<") else b"<" + probe + b">") + b"\r\n")
            expect_match(r"^5\d\d 5\.", client.reply(), probe)
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
