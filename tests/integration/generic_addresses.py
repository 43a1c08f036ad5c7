# SPDX-License-Identifier: MIT
"""smtp_generic_maps: other addresses on the wire, the old ones in the log and in reports. A table
that cannot be asked defers. lmtp has tables of its own, and extensions go over when they should."""
# shows: smtp_generic_maps lmtp_generic_maps propagate_unmatched_extensions
# shows: myorigin mydestination recipient_delimiter
import sinks
from suite import Suite, expect, expect_equal, expect_match

TEXT = ("From: Joe <joe@in.example>\nTo: \"T. O.\" <to@example.net>,\n  x+y@wild.example\n"
        "Cc: other@example.net\nSubject: joe@in.example\n\njoe@in.example\n")
SCRIPT = {"RCPT TO:<bad@": "550 5.1.1 who?"}
with sinks.Sink(SCRIPT) as sink, \
        Suite(relayhost=sink.place, recipient_delimiter="+", minimal_backoff_time="1s",
              maximal_backoff_time="1s",
              smtp_generic_maps="texthash:generic") as suite:
    (suite.config / "generic").write_text("joe@in.example Joe@out.example\n@wild.example @outer.example\n"
                                          "to@example.net bad@example.net\n")
    sent = suite.send("joe@in.example", ["x+y@wild.example", "to@example.net"], TEXT)
    first = sink.wait(1)[0]
    expect_equal((first.sender, first.recipients), ("Joe@out.example", ["x+y@outer.example"]), "envelope")
    text = first.data.decode().replace("\r\n", "\n")
    expect("\nFrom: Joe <Joe@out.example>\n"
           "To: \"T. O.\" <bad@example.net>, x+y@outer.example\n"
           "Cc: other@example.net\nSubject: joe@in.example\n\njoe@in.example\n" in "\n" + text,
           f"headers: {text}")
    suite.wait_log(rf"{sent}: to=<x\+y@wild\.example>.*status=sent")
    suite.wait_log(rf"{sent}: to=<to@example\.net>.*said: 550 5\.1\.1 who\?.*")
    report = sink.wait(2)[1]
    expect_equal((report.sender, report.recipients), ("", ["Joe@out.example"]), "report")
    expect_match("to@example.net", report.body.decode(), "the report names whom the sender wrote to")
    suite.wait_empty()
    # A table that is gone: nothing leaves with the old addresses.
    suite.configure(smtp_generic_maps="texthash:missing")
    suite.reload()
    suite.wait_log("queue recovered", count=2)
    sent = suite.send("joe@in.example", ["x@wild.example"], TEXT)
    suite.wait_log(rf"{sent}: to=<x@wild\.example>.*dsn=4\.3\.0, status=deferred "
                   r"\(local data error while talking to ")
    (suite.config / "missing").write_text("joe@in.example later@out.example\n")
    expect_equal(sink.wait(3)[2].sender, "later@out.example", "once the table is there")
with sinks.Sink(lmtp=True) as store, \
        Suite(default_transport=f"lmtp:inet:127.0.0.1:{store.port}", recipient_delimiter="+",
              smtp_generic_maps="static:wrong@example.com", myorigin="origin.example",
              mydestination="dest.example",
              lmtp_generic_maps="inline:{joe@in.example=jdoe, to=mailbox@box.example, ann=annie}",
              propagate_unmatched_extensions="generic") as suite:
    suite.send("joe+news@in.example", ["to+x@origin.example"], "From: joe+news@in.example\n\n")
    message = store.wait(1)[0]
    expect_equal((message.sender, message.recipients),
                 ("jdoe+news@origin.example", ["mailbox+x@box.example"]), "with extensions")
    suite.send("ann@dest.example", ["to+x@origin.example"])
    suite.send("ann@elsewhere.example", ["to+x@origin.example"])
    expect_equal({m.sender for m in store.wait(3)[1:]}, {"annie@origin.example", "ann@elsewhere.example"},
                 "users of mydestination are known by their names")
    expect("\r\nFrom: jdoe+news@origin.example\r\n" in message.data.decode(), "header")
    suite.wait_empty()
