# SPDX-License-Identifier: MIT
"""A mail filter adds, inserts, changes and deletes header fields, changes the envelope and the body,
and is told of the session what Postfix would tell it. Two filters work one after the other, the
second on what the first left.

# shows: smtpd_milters milter_macro_daemon_name milter_macro_v milter_macro_defaults
# shows: milter_connect_macros milter_helo_macros milter_mail_macros milter_rcpt_macros
# shows: milter_data_macros milter_end_of_header_macros milter_end_of_data_macros
# shows: milter_unknown_command_macros milter_protocol
"""
import milter_peer as m
import sinks
from suite import Suite, expect, expect_equal, expect_match

TEXT = "Subject: hello\nX-Old: 1\nX-Old: 2\nX-Gone: 3\n\nold body\n"
CHANGES = [
    m.insert_header(0, "X-Top", "top"), m.insert_header(2, "X-Below", "below"),
    m.add_header("X-End", "one\n\ttwo"), m.change_header(2, "X-Old", "new"),
    m.change_header(1, "X-Gone", ""), m.add_recipient("<added@example.net>"),
    m.add_recipient("<noisy@example.net>", "NOTIFY=SUCCESS"), m.delete_recipient("<to@example.net>"),
    m.change_sender("<changed@example.org>"), m.PROGRESS, m.replace_body(b"new body\r\n"),
    m.replace_body(b".second line\r\n"), m.CONTINUE]

with sinks.Sink() as sink, m.Milter({"E": CHANGES}) as first, m.Milter() as second, \
        Suite(relayhost=sink.place, smtpd_milters=f"{first.place}, {second.place}",
              milter_macro_daemon_name="the daemon", milter_macro_v="Version 7",
              milter_macro_defaults="{unheard_of}=yes", milter_protocol="6",
              milter_connect_macros="j {daemon_name} v _ {client_addr}",
              milter_helo_macros="{tls_version}", milter_mail_macros="{mail_addr} {auth_type}",
              milter_rcpt_macros="{rcpt_addr} {unheard_of}", milter_data_macros="j",
              milter_end_of_header_macros="i", milter_end_of_data_macros="i, v",
              milter_unknown_command_macros="j") as suite:
    queue_id = suite.send("from@example.org", ["to@example.net"], TEXT, mail_options=["SIZE=100"])
    message = sink.wait(1)[0]
    expect_equal(message.sender, "changed@example.org", "sender")
    expect_equal(sorted(message.recipients), ["added@example.net", "noisy@example.net"], "recipients")
    expect(any("NOTIFY=SUCCESS" in line for line in message.rcpt_lines), message.rcpt_lines)
    expect_equal(message.body, b"new body\r\n.second line\r\n", "body")
    expect_match(r"(?s)^X-Top: top\r\nReceived: .*\r\nX-Below: below\r\nSubject: hello\r\n"
                 r"X-Old: 1\r\nX-Old: new\r\nX-End: one\r\n\ttwo$", message.header, "header")

    heard = dict(first.heard)
    expect_equal(heard["C"][0], b"unknown" if b"unknown" in heard["C"][0] else b"localhost", "client")
    expect_equal(heard["H"], [b"client.example"], "HELO")
    expect_equal(heard["M"], [b"<from@example.org>", b"SIZE=100"], "MAIL")
    expect_equal(heard["R"], [b"<to@example.net>"], "RCPT")
    expect_equal(first.bodies, [b"old body\r\n"], "body for the first")
    expect_equal(second.bodies, [b"new body\r\n.second line\r\n"], "body for the second")
    expect(("L", [b"X-Top", b"top"]) in second.heard, second.heard)
    expect(not any(c == "L" and f[0] == b"Received" for c, f in first.heard), "ours is not shown")

    macros = first.macros
    expect_equal(macros["C"]["j"], "mail.postrider.example", "j")
    expect_equal(macros["C"]["{daemon_name}"], "the daemon", "{daemon_name}")
    expect_equal(macros["C"]["v"], "Version 7", "v")
    expect_equal(macros["C"]["{client_addr}"], "127.0.0.1", "{client_addr}")
    expect_match(r" \[127\.0\.0\.1\]", macros["C"]["_"], "_")
    expect_equal(macros["M"], {"{mail_addr}": "from@example.org"}, "MAIL macros")
    expect_equal(macros["R"], {"{rcpt_addr}": "to@example.net", "{unheard_of}": "yes"}, "RCPT macros")
    expect_equal(macros["T"], {"j": "mail.postrider.example"}, "DATA macros")
    expect_equal(macros["N"], {"i": queue_id}, "end of header macros")
    expect_equal(macros["E"], {"i": queue_id, "v": "Version 7"}, "end of data macros")
    expect("H" not in macros, "no TLS, no macros of it")

    # Large mail goes through files, and comes out as it went in.
    del first.script["E"]
    long_text = "Subject: long\n\n" + "".join(f"line {i} {'x' * 60}\n" for i in range(30000))
    suite.send("from@example.org", ["to@example.net"], long_text)
    message = sink.wait(2, seconds=60)[1]
    expect_equal(message.body, long_text.split("\n\n", 1)[1].replace("\n", "\r\n").encode(), "long body")

    with suite.smtp() as client:
        client.ehlo()
        expect_equal(client.docmd("HUH", "what")[0], 502, "unknown command")
    expect(("U", [b"HUH"]) in first.heard, "and the filter knows")
    expect_equal(macros["U"], {"j": "mail.postrider.example"}, "macros of unknown commands")

    # An older protocol: no DATA, no unknown commands.
    first.version = second.version = 2
    suite.stop()
    suite.configure(milter_protocol="2")
    suite.start()
    first.heard.clear()
    suite.send("from@example.org", ["to@example.net"], TEXT)
    sink.wait(3)
    expect("T" not in {c for c, _ in first.heard}, first.heard)
