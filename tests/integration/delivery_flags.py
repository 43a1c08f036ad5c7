# SPDX-License-Identifier: MIT
"""flags=DORX of smtp and lmtp in master.cf: headers in front of the mail, the loop that Delivered-To
gives away, final delivery, and the recipient limit that D and O need."""
import sinks
from suite import Suite, expect, expect_equal, expect_match

with sinks.Sink(lmtp=True, extensions=("PIPELINING", "8BITMIME")) as store, sinks.Sink() as out:
    with Suite(start=False, relayhost=out.place, store_destination_recipient_limit="1",
               transport_maps=f"inline:{{box.example=store:inet:127.0.0.1:{store.port}}}") as suite:
        master = suite.config / "master.cf"
        text = master.read_text()
        master.write_text(text + "store unix - - n - - lmtp flags=DORX\n")
        suite.start()
        sent = suite.send("from@example.org", ["One@box.example", "two@box.example"], "Subject: x\n\n.\n")
        for message in store.wait(2):
            to = message.recipients[0]
            expect(message.data.startswith(f"Return-Path: <from@example.org>\r\nX-Original-To: {to}\r\n"
                                           f"Delivered-To: {to}\r\nReceived: ".encode()), f"front of {message.data}")
            expect_equal(message.body, b".\r\n", "body")
        # It comes back: to the same recipient it is a loop, to another one it is not.
        sent = suite.send("from@example.org", ["one@box.example", "three@box.example"],
                          "Delivered-To: One@box.example\nSubject: x\n\n")
        suite.wait_log(rf"{sent}: to=<one@box\.example>.*dsn=5\.4\.6, status=bounced "
                       r"\(mail forwarding loop for one@box\.example\)")
        expect_equal(store.wait(3)[2].recipients, ["three@box.example"], "no loop")
        expect_match("mail forwarding loop", out.wait(1)[0].data.decode(), "report")
        # X: success is "delivered" although the server has no DSN.
        suite.send("from@example.org", ["four@box.example"], "Subject: x\n\n", rcpt_options=["NOTIFY=SUCCESS"])
        expect_match(r"(?i)Action: delivered", out.wait(2)[1].data.decode(), "report of success")
        suite.wait_empty()
        # Without the limit the program does not start, and says why.
        suite.stop()
        suite.expected_trouble = True
        suite.configure(store_destination_recipient_limit="2")
        suite.start()
        sent = suite.send("from@example.org", ["five@box.example"], "Subject: x\n\n")
        suite.wait_log(r"flag D requires store_destination_recipient_limit = 1")
        suite.configure(store_destination_recipient_limit="1")
        suite.reload()
        expect_equal(store.wait(5)[4].recipients, ["five@box.example"], "once it is right")
