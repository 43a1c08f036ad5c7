# SPDX-License-Identifier: MIT
"""A server that announces CHUNKING gets the content by BDAT: byte for byte, in chunks, the last one
marked; XFORWARD tells a content filter whom it came from. Both can be turned off, and DATA is used
where lines have to be folded."""
# shows: smtp_chunking smtp_send_xforward_command
import re

import sinks
from suite import Suite, expect, expect_equal, expect_match

EXTENSIONS = (*sinks.EXTENSIONS, "CHUNKING", "XFORWARD NAME ADDR PROTO HELO SOURCE IDENT")
LARGE = "Subject: large\r\n\r\n" + "".join(f".{n}\r\n" for n in range(40000))
LONG = "Subject: long\r\n\r\n" + "x" * 2000 + "\r\n"


def sent_to(sink, text="Subject: test\r\n\r\nhello\r\n", **settings):
    """One message: its id, the message as it came, and what the session said."""
    with Suite(relayhost=sink.place, **settings) as suite:
        before = len(sink.messages)
        sent = suite.send("from@example.org", "to@example.net", text)
        message = sink.wait(before + 1)[before]
        suite.wait_empty()
        return sent, message, sink.sessions[message.session].lines


with sinks.Sink(extensions=EXTENSIONS) as sink:
    sent, message, lines = sent_to(sink, smtp_send_xforward_command="yes")
    expect_match(r"^XFORWARD (NAME=localhost )?ADDR=127\.0\.0\.1$", lines[1], "peer")
    expect_equal(lines[2], f"XFORWARD PROTO=ESMTP HELO=client.example IDENT={sent} SOURCE=LOCAL",
                 "what it said")
    expect_equal(len([line for line in lines if re.match(r"BDAT \d+ LAST$", line)]), 1, "one chunk")

    sent, message, lines = sent_to(sink, LARGE)
    expect(message.data.endswith(LARGE.split("\r\n\r\n", 1)[1].encode()), "content")
    verbs = [re.split(r"[ :]", line)[0] for line in lines]
    expect(verbs.count("BDAT") >= 3, "several chunks")
    expect(not {"DATA", "XFORWARD"} & set(verbs), "nothing else")

    for text, settings in ((LONG, {}), (LARGE, {"smtp_chunking": "no"}),
                           (LARGE, {"smtp_discard_ehlo_keywords": "chunking"})):
        sent, message, lines = sent_to(sink, text, **settings)
        expect("DATA" in lines and not any(line.startswith("BDAT") for line in lines), "DATA")
        if text is LONG:
            expect(b"x" * 998 + b"\r\n " in message.data, "folded")
        else:
            expect(message.data.endswith(LARGE.split("\r\n\r\n", 1)[1].encode()), "content")
