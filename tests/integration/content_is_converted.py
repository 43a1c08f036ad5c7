# SPDX-License-Identifier: MIT
"""8-bit mail to servers with and without 8BITMIME: sent as it is to one, as quoted-printable to the
other, and returned when it is nested too deep to be understood. Mail that needs no change has none."""
# shows: disable_mime_output_conversion mime_nesting_limit mime_boundary_length_limit
import hashlib

import sinks
from suite import Suite, expect, expect_equal, expect_match

PLAIN = "Subject: plain\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\nascii = text \n.\n"
LABELLED = ("Subject: caf\u00e9\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\nX-Last: x\n\ncaf\u00e9 = 1 \n.dot\n")
UNLABELLED = "Subject: raw\n\nna\u00efve\n"
MIXED = ("Subject: mixed\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b b\"\n"
         "Content-Transfer-Encoding: 8bit\n\npreamble\n--b b\nContent-Type: message/rfc822\n"
         "Content-Transfer-Encoding: 8bit\n\nSubject: inner\nContent-Transfer-Encoding: 8bit\n\n"
         "\u00e9\n--b b--\n")
MIXED_OUT = ("Content-Type: multipart/mixed; boundary=\"b b\"\nContent-Transfer-Encoding: 7bit\n\n"
             "preamble\n--b b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n"
             "Subject: inner\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n--b b--\n")
DEEP = "Subject: deep\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b0\n\n\u00e9\n" + "".join(
    f"--b{i}\nContent-Type: multipart/mixed; boundary=b{i + 1}\n\n" for i in range(200))
SEVEN = tuple(x for x in sinks.EXTENSIONS if x not in ("8BITMIME", "SMTPUTF8"))


def send(to, text):
    suite.send("from@example.org", [to], text.replace("\n", "\r\n").encode())


def text_of(message):
    """What was sent behind our own headers, with LF."""
    text = message.data.decode().replace("\r\n", "\n")
    return text[text.index("Subject:"):]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


with sinks.Sink() as eight, sinks.Sink(extensions=SEVEN) as seven, \
        Suite(relayhost=eight.place, mime_nesting_limit="50", mime_boundary_length_limit="60",
              transport_maps=f"inline:{{seven.example=smtp:{seven.place}}}") as suite:
    for text in (PLAIN, LABELLED, UNLABELLED, MIXED, DEEP):
        send("to@eight.example", text)
        send("to@seven.example", text)
    same = {text_of(m): m for m in eight.wait(5)}
    for text in (PLAIN, LABELLED, UNLABELLED, MIXED, DEEP):
        expect(digest(text) in map(digest, same), f"{text[:20]!r} unchanged for a server with 8BITMIME")
    expect_match(r" SIZE=\d+ BODY=8BITMIME", same[LABELLED].mail_line, "MAIL to it")
    changed = {text_of(m).split("\n")[0]: m for m in seven.wait(4)}
    expect_equal(text_of(changed["Subject: plain"]), PLAIN, "nothing to convert")
    expect_equal(text_of(changed["Subject: raw"]), UNLABELLED, "not labelled")
    expect_equal(text_of(changed["Subject: caf\u00e9"]),
                 LABELLED.replace("Content-Transfer-Encoding: 8bit\nX-Last: x\n\ncaf\u00e9 = 1 \n",
                                  "X-Last: x\nContent-Transfer-Encoding: quoted-printable\n\n"
                                  "caf=C3=A9 =3D 1=20\n"), "quoted-printable")
    expect_equal(text_of(changed["Subject: mixed"]), MIXED[:MIXED.index("Content-Type")] + MIXED_OUT, "parts")
    expect("SIZE" not in changed["Subject: mixed"].mail_line, "no size of what is not known")
    expect("BODY" not in changed["Subject: mixed"].mail_line, "no BODY")
    suite.wait_log(r"dsn=5\.6\.0, status=bounced \(MIME nesting exceeds safety limit\)")
    report = eight.wait(6)[5]
    expect_equal(report.recipients, ["from@example.org"], "report")
    suite.wait_empty()
    suite.configure(disable_mime_output_conversion="yes")
    suite.reload()
    suite.wait_log("queue recovered", count=2)
    send("to@seven.example", LABELLED)
    expect_equal(text_of(seven.wait(5)[4]), LABELLED, "conversion is off")
    suite.configure(disable_mime_output_conversion="no")
    suite.reload()
    suite.wait_log("queue recovered", count=3)
    # Two boundaries that differ behind the limit are the same: the inner one ends nothing of its own.
    common = "x" * 60
    send("to@seven.example", "Subject: cut\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="
         f"{common}1\n\n--{common}2\nContent-Transfer-Encoding: 8bit\n\n\u00e9\n")
    expect("=C3=A9" in text_of(seven.wait(6)[5]), "boundaries are compared up to the limit")
