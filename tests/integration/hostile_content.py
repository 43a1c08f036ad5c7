# SPDX-License-Identifier: MIT
"""Content that is made to break programs: headers without end and without number, boundaries, nesting, bytes
that are no text. It goes through checks and conversion to servers with and without 8BITMIME as it is, or is
refused or returned; no process dies of it, none takes more memory than it may, and the log stays readable."""
import hashlib

import procs
import sinks
from suite import ASAN, Suite, expect, expect_equal, expect_match

SEVEN = tuple(x for x in sinks.EXTENSIONS if x not in ("8BITMIME", "SMTPUTF8"))
MIME = b"MIME-Version: 1.0\r\n"


def multipart(boundary):
    return b"Content-Type: multipart/mixed; boundary=\"" + boundary + b"\"\r\n"


def nested(levels):
    return MIME + b"".join(multipart(b"b%d" % n) + b"\r\n--b%d\r\n" % n for n in range(levels)) + b"\r\n"


EIGHT = b"\r\nn\xc3\xa4ive\r\n"
CONTENTS = {
    "header line of 1 MB": b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\nbody\r\n",
    "folded header of 1 MB": b"X-Long: x\r\n" + b" folded\r\n" * 110_000 + b"\r\nbody\r\n",
    "100,000 headers": b"X-H: x\r\n" * 100_000 + b"\r\nbody\r\n",
    "100,000 recipients in To:": b"To: " + b"a@b.example,\r\n " * 100_000 + b"c@d.example\r\n\r\nbody\r\n",
    "header name of 1 MB": b"X" * 1_000_000 + b": x\r\n\r\nbody\r\n",
    "only headers": b"X-Only: x\r\n",
    "only a body": b"\r\nbody\r\n",
    "nothing": b"",
    "no header": b"this is no header\r\nnor is this\r\n",
    "From_ line of 1 MB": b"From " + b"x" * 1_000_000 + b"\r\nX-H: x\r\n\r\nbody\r\n",
    "boundary of 1 MB": MIME + multipart(b"b" * 1_000_000) + b"\r\n--" + b"b" * 1_000_000 + b"\r\n" + EIGHT,
    "boundary without end": MIME + b"Content-Type: multipart/mixed; boundary=\"b" + EIGHT,
    "part without end": MIME + multipart(b"b") + b"\r\n--b\r\n" + EIGHT,
    "boundary that begins another": MIME + multipart(b"b") + b"\r\n--b\r\n" + multipart(b"bb") + b"\r\n--bb\r\n" + EIGHT
    + b"--bb--\r\n--b--\r\n",
    "100,000 parts": MIME + multipart(b"b") + b"\r\n" + b"--b\r\n\r\nx\r\n" * 100_000 + EIGHT + b"--b--\r\n",
    "10,000 levels": nested(10_000) + EIGHT,
    "10,000 levels of messages": MIME + b"Content-Type: message/rfc822\r\n\r\n" * 10_000 + EIGHT,
    "parameters without end": MIME + b"Content-Type: text/plain" + b"; a=\"\\\"\"" * 100_000 + b"\r\n" + EIGHT,
    "comments without end": MIME + b"Content-Type: " + b"(" * 100_000 + b"\r\n" + EIGHT,
    "no UTF-8": b"Subject: \xff\xfe\xc0\xaf\xed\xa0\x80\r\nX-\xff: x\r\n\r\n\xff\xfe\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?B?" * 20_000 + b"\r\nFrom: =?x?q?=0D=0A.?= <a@b.example>\r\n\r\nbody\r\n",
    "body line of 1 MB": b"X-H: x\r\n\r\n" + b"y" * 1_000_000 + b"\r\n",
    "message-id of 1 MB": b"Message-ID: <\x1b[31m%s%n" + b"m" * 1_000_000 + b"@x>\r\n\r\nbody\r\n",
}
# Lines within the limit of one line, so that they come as they were sent.
EXACT = ("100,000 headers", "only headers", "folded header of 1 MB", "100,000 recipients in To:", "part without end",
         "boundary that begins another", "100,000 parts", "10,000 levels", "10,000 levels of messages", "no UTF-8")
MOST_KB = 600_000 if ASAN else 40_000  # of one process

with sinks.Sink() as eight, sinks.Sink(extensions=SEVEN) as seven, \
        Suite(relayhost=eight.place, message_size_limit="3000000", smtpd_error_sleep_time="0s",
              transport_maps=f"inline:{{seven.example=smtp:{seven.place}}}",
              smtp_header_checks="regexp:{{ /^X-Never:/ IGNORE }}", smtp_body_checks="regexp:{{ /^never-/ IGNORE }}",
              smtp_mime_header_checks="regexp:{{ /^Content-Never:/ IGNORE }}") as suite:
    digests = {}
    for name, content in CONTENTS.items():
        with suite.raw() as client:
            client.command("EHLO client.example")
            client.command("MAIL FROM:<> BODY=8BITMIME")
            for place in ("eight", "seven"):
                client.command(f"RCPT TO:<to@{place}.example>")
            expect_match("^354", client.command("DATA"), name)
            client.write(content + b".\r\n")
            reply = client.reply()
            expect_match("^250 2.0.0 Ok: queued as", reply, name)
            sent = reply.split()[-1]
        # Delivered; to a server without 8BITMIME, what is nested too deep is returned.
        suite.wait_log(rf"{sent}: to=<to@eight\.example>.*status=sent", seconds=60)
        deep = name == "10,000 levels"
        suite.wait_log(rf"{sent}: to=<to@seven\.example>.*status={'bounced' if deep else 'sent'}", seconds=60)
        if name in EXACT:
            message = eight.messages[-1].data
            expect_equal(hashlib.sha256(message[len(message) - len(content):]).hexdigest(),
                         hashlib.sha256(content).hexdigest(), name)
    suite.wait_empty()
    expect_equal((len(eight.messages), len(seven.messages)), (len(CONTENTS), len(CONTENTS) - 1), "messages")
    for message in seven.messages:
        expect(all(len(line) <= 1000 for line in message.data.split(b"\r\n")), "no line is too long")
    with suite.raw() as client:  # too much for one message: refused
        client.command("EHLO client.example")
        client.command("MAIL FROM:<>")
        client.command("RCPT TO:<to@eight.example>")
        client.command("DATA")
        client.write(b"X-H: x\r\n" * 400_000 + b".\r\n")
        expect_match(r"^552 5\.3\.4", client.reply(), "more headers than a message may have bytes")
    for pid in procs.tree(suite.master_pid):
        expect(procs.rss_kb(pid) < MOST_KB, f"{procs.name_of(pid)} takes {procs.rss_kb(pid)} kB")
    log = suite.log.read_bytes()
    expect(not {byte for byte in log if byte < 32 and byte != 10 or byte == 127}, "control characters in the log")
    expect(max(map(len, log.split(b"\n"))) < 4000, "the length of a line of the log")
