# SPDX-License-Identifier: MIT
"""Debian's Dovecot as the mailbox store: over a UNIX socket and TCP, by BDAT and by DATA, with a
recipient that it does not know and one whose mailbox is full, and connections that are used again."""
# shows: lmtp_connection_cache_destinations lmtp_discard_lhlo_keywords lmtp_connection_cache_time_limit
import pathlib
import re
import tempfile

import dovecot_peer
import sinks
from ports import wait_until
from suite import Suite, expect, expect_equal, skip

if not dovecot_peer.available():
    skip("needs Debian's dovecot-lmtpd, and root to start it")

TEXT = "Subject: to dovecot\r\n\r\n" + "".join(f".line {n}\r\n" for n in range(20000))

with tempfile.TemporaryDirectory(prefix="postrider-dovecot-") as directory:
    pathlib.Path(directory).chmod(0o755)
    users = {"one@mail.example": None, "two@tcp.example": None, "full@mail.example": 1000}
    with dovecot_peer.Dovecot(pathlib.Path(directory, "dovecot"), users) as store:
        ROUTES = f"inline:{{ mail.example=lmtp:unix:{store.socket}, " \
                 f"tcp.example=lmtp:inet:127.0.0.1:{store.port} }}"

        def in_mailbox(user, count):
            return wait_until(lambda: len(store.mails(user)) >= count and store.mails(user), 20,
                              f"mail of {user}")

        def expect_text(mail):
            expect_equal(mail.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1],
                         TEXT.replace("\r\n", "\n").split("\n\n", 1)[1].encode(), "content")

        with sinks.Sink() as reports, \
                Suite(transport_maps=ROUTES, relayhost=reports.place, lmtp_assume_final="yes",
                      debug_peer_list="127.0.0.1, mail.postrider.example") as suite:
            sent = suite.send("from@example.org",
                              ["one@mail.example", "full@mail.example", "nobody@mail.example"], TEXT,
                              rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
            suite.wait_log(rf"{sent}: to=<one@mail\.example>, relay=mail\.postrider\.example\[{store.socket}\], "
                           r".*dsn=2\.0\.0, status=sent \(250 2\.0\.0 <one@mail\.example> \S+ Saved\)")
            suite.wait_log(rf"{sent}: to=<full@mail\.example>.*dsn=5\.2\.2, status=bounced .*"
                           r"in reply to BDAT LAST command")
            suite.wait_log(rf"{sent}: to=<nobody@mail\.example>.*dsn=5\.1\.1, status=bounced .*"
                           r"in reply to RCPT TO command")
            expect_text(in_mailbox("one@mail.example", 1)[0])
            suite.wait_log(r"> mail\.postrider\.example\[.*\]: BDAT \d+ LAST")
            expect_equal(store.mails("full@mail.example"), [], "the full mailbox")
            actions = sorted(re.findall(rb"(?m)^Action: (\S+)\r$", b"".join(
                m.data for m in reports.wait(2))))
            expect_equal(actions, [b"delivered", b"failed", b"failed"], "reports")

            suite.send("from@example.org", "two@tcp.example", TEXT)
            expect_text(in_mailbox("two@tcp.example", 1)[0])

        # Without CHUNKING: dots and all. And a connection that is used again.
        with Suite(transport_maps=ROUTES, relayhost="[127.0.0.1]:1", debug_peer_list="127.0.0.1",
                   lmtp_discard_lhlo_keywords="chunking, silent-discard",
                   lmtp_connection_cache_destinations="127.0.0.1",
                   lmtp_connection_cache_time_limit="10s") as suite:
            for count in (2, 3, 4):
                suite.send("from@example.org", "two@tcp.example", TEXT)
                expect_text(in_mailbox("two@tcp.example", count)[-1])
                suite.wait_log("kept for the next message", count=count - 1)
            suite.wait_log(r"to=<two@tcp\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, "
                           r"conn_use=3, .*status=sent")
            expect(not any("BDAT" in line or "discarding" in line for line in suite.lines()), "DATA")
