# SPDX-License-Identifier: MIT
"""How we name ourselves and others in commands.

# shows: smtp_helo_name lmtp_lhlo_name smtp_quote_rfc821_envelope lmtp_quote_rfc821_envelope
"""
import sinks
from suite import Suite, expect_equal

ODD = '"a b"@example.net'
with sinks.Sink() as smtp, sinks.Sink(lmtp=True) as lmtp:
    routes = f"inline:{{ box.example=lmtp:inet:127.0.0.1:{lmtp.port} }}"
    for quote, shown in (("yes", '"a b"'), ("no", "a b")):
        with Suite(relayhost=smtp.place, transport_maps=routes, smtp_helo_name="[192.0.2.1]",
                   lmtp_lhlo_name="store.example", smtp_quote_rfc821_envelope=quote,
                   lmtp_quote_rfc821_envelope=quote) as suite:
            suite.send(ODD, ['"a b"@example.net', '"a b"@box.example'])
            suite.wait_empty()
        for sink, hello, domain in ((smtp, "EHLO [192.0.2.1]", "example.net"),
                                    (lmtp, "LHLO store.example", "box.example")):
            expect_equal(sink.sessions[-1].lines[0], hello, "greeting")
            mail, rcpt = sink.messages[-1].mail_line, sink.messages[-1].rcpt_lines[0]
            expect_equal(mail.split(">")[0], f"MAIL FROM:<{shown}@example.net", "sender")
            expect_equal(rcpt.split(">")[0], f"RCPT TO:<{shown}@{domain}", "recipient")
