# SPDX-License-Identifier: MIT
"""smtp_header_checks and its like with regexp tables: what they change, what they log, and what they
refuse to do. lmtp has tables of its own."""
# shows: smtp_header_checks smtp_mime_header_checks smtp_nested_header_checks smtp_body_checks
# shows: lmtp_header_checks lmtp_mime_header_checks lmtp_nested_header_checks lmtp_body_checks
# shows: header_size_limit
import sinks
from suite import Suite, expect_equal

TEXT = """X-Secret: a
Subject: number 1
X-Old: folded
 value
X-Refuse: x
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain
X-Part: p

keep
drop this
change this
--b
Content-Type: message/rfc822

Subject: inner

keep
--b--
"""
EXPECTED = TEXT.replace("X-Secret: a\n", "").replace("X-Old: folded\n value\n", "X-New: folded value\n") \
    .replace("X-Part: p\n", "X-Before: b\nX-Part: p\n").replace("drop this\n", "") \
    .replace("change this", "this changed").replace("Subject: inner", "Subject: [inner]")
TABLES = {
    "header": "/^X-Secret:/ IGNORE\n/^Subject: number (.*)/ WARN it is $1\n"
              "/^X-Old: (.*)$/ REPLACE X-New: folded value\n/^X-Refuse/ REJECT no\n"
              "/^Content-Type/ IGNORE\n",
    "mime": "/^X-Part/ PREPEND X-Before: b\n/^Content-Type: multipart/ INFO\n",
    "nested": "/^Subject: (.*)/ REPLACE Subject: [$1]\n",
    "body": "/^drop/ STRIP gone\n/^(change) (this)/ REPLACE $2 ${1}d\n",
}
with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place,
                                 smtp_header_checks="regexp:header", smtp_mime_header_checks="regexp:mime",
                                 smtp_nested_header_checks="regexp:nested",
                                 smtp_body_checks="regexp:body") as suite:
    for name, text in TABLES.items():
        (suite.config / name).write_text(text)
    suite.start()
    sent = suite.send("from@example.org", ["to@example.net"], TEXT)
    text = sink.wait(1)[0].data.decode().replace("\r\n", "\n")
    expect_equal(text[text.index("Subject: number"):], EXPECTED, "content")
    for line in (rf"{sent}: warning: header Subject: number 1: it is 1",
                 rf"{sent}: replace: header X-Old: folded\? value: X-New: folded value",
                 r"warning: unsupported command in smtp_header_checks map: REJECT no",
                 rf"{sent}: info: header Content-Type: multipart/mixed; boundary=b",
                 rf"{sent}: prepend: header X-Part: p: X-Before: b",
                 rf"{sent}: strip: body drop this: gone",
                 rf"{sent}: replace: body change this: this changed",
                 rf"{sent}: replace: header Subject: inner: Subject: \[inner\]"):
        suite.wait_log(line)
    suite.wait_empty()
with sinks.Sink(lmtp=True) as store, \
        Suite(start=False, default_transport=f"lmtp:inet:127.0.0.1:{store.port}", header_size_limit="2000",
              smtp_header_checks="static:IGNORE", smtp_body_checks="static:IGNORE",
              lmtp_header_checks="regexp:header", lmtp_mime_header_checks="regexp:mime",
              lmtp_nested_header_checks="regexp:nested", lmtp_body_checks="regexp:body") as suite:
    for name, text in TABLES.items():
        (suite.config / name).write_text(text)
    with (suite.config / "header").open("a") as table:
        table.write("/behind the limit/ IGNORE\n/^X-Long: /  WARN seen\n")
    suite.start()
    long = "X-Long: " + "\n ".join(["x" * 500] * 10) + "\n behind the limit\n"
    sent = suite.send("from@example.org", ["to@example.net"], TEXT.replace("Subject: n", long + "Subject: n"))
    text = store.wait(1)[0].data.decode().replace("\r\n", "\n")
    expect_equal(text[text.index("X-Long"):], long + EXPECTED, "over LMTP")
    suite.wait_log(rf"{sent}: warning: header X-Long: x+: seen")
    suite.wait_log(r"warning: unsupported command in lmtp_header_checks map: REJECT no")
    suite.wait_empty()
