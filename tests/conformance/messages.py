# SPDX-License-Identifier: MIT
"""The messages of the conformance run: what a client says to both systems, byte for byte.

Every message has a number, which stands in its addresses: m017 is sent by m017@from.example to
r01.m017 and so on at the domain of the configuration. `content` is what stands between DATA and the
final dot before dots are doubled; line ends are as they will be sent.
"""
import dataclasses

UMLAUT = "Grüße an alle, 日本語"


@dataclasses.dataclass
class Message:
    name: str
    content: bytes
    recipients: tuple = ("r01.{m}",)   # local parts, or whole addresses with {domain}
    sender: str = "{m}@from.example"
    mail: str = ""                     # parameters of MAIL
    rcpt: tuple = ()                   # parameters of each RCPT; the last one goes for the rest
    bdat: bool = False                 # entered with BDAT: what has no CRLF at its end
    short: bool = False                # also in the short run
    long: bool = False                 # too big for the short run and for most configurations
    number: int = 0

    @property
    def key(self):
        return f"m{self.number:03}"

    def envelope(self, domain):
        """(MAIL command, RCPT commands) for a configuration's domain."""
        def fill(text):
            return text.replace("{m}", self.key).replace("{domain}", domain)
        sender = fill(self.sender)
        lines = []
        for i, local in enumerate(self.recipients):
            address = fill(local if "{domain}" in local else local + "@{domain}")
            options = fill(self.rcpt[min(i, len(self.rcpt) - 1)]) if self.rcpt else ""
            lines.append(f"RCPT TO:<{address}>{options and ' ' + options}")
        return f"MAIL FROM:<{sender}>{self.mail and ' ' + self.mail}", lines


def crlf(text):
    return text.replace("\n", "\r\n").encode()


HEADER = """\
From: Sender <sender@from.example>
To: Receiver <receiver@to.example>
Subject: conformance
Date: Mon, 2 Mar 2026 10:00:00 +0000
Message-ID: <conformance@from.example>
"""
MIME = HEADER + "MIME-Version: 1.0\n"
TEXT_8BIT = MIME + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"


def simple(body, header=HEADER):
    return crlf(header + "\n" + body)


def part(kind, body, encoding=None, more=""):
    text = f"Content-Type: {kind}\n{more}"
    if encoding:
        text += f"Content-Transfer-Encoding: {encoding}\n"
    return text + "\n" + body


def multipart(kind, parts, boundary="=_b", preamble="", epilogue="", close=True, parameters=""):
    text = f"Content-Type: multipart/{kind}; boundary=\"{boundary}\"{parameters}\n\n{preamble}"
    for one in parts:
        text += f"\n--{boundary}\n{one}"
    return text + (f"\n--{boundary}--\n{epilogue}" if close else "\n")


def nest(depth):
    """multipart in multipart, with 8-bit text at the bottom."""
    inside = part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit")
    for level in range(depth):
        inside = multipart("mixed", [inside], f"=_level{level}")
    return crlf(MIME + inside)


def many(count):
    return tuple(f"r{i:02}.{{m}}" for i in range(1, count + 1))


LATIN = "Gr\u00fc\u00dfe".encode("latin-1")
WORDS = "".join(f"line {i} of a text that is neither long nor short\n" for i in range(40))
ADDRESSES = """\
From: "Doe, John" <John.Doe@Inside.example> (his desk)
Sender: secretary@inside.example
To: one@inside.example, two+box@inside.example,
\tThe Third <three@inside.example>, "quoted local"@inside.example
Cc: friends: four@inside.example, Five <five@other.example>;
\t(comment with <six@inside.example>) seven@inside.example
Bcc-Note: one@inside.example
Reply-To: =?utf-8?q?J=C3=BCrgen?= <eight@inside.example>
Resent-From: nine@inside.example
Return-Receipt-To: ten@inside.example
Errors-To: eleven@inside.example
Subject: addresses of one@inside.example
Date: Mon, 2 Mar 2026 10:00:00 +0000
Message-ID: <one@inside.example>
"""
CHECKED = """\
From: Sender <sender@from.example>
To: Receiver <receiver@to.example>
X-Ignore: this header goes
\tand its continuation
X-Replace: old value
X-Prepend: something before me
X-Warn: said in the log
X-Info: said in the log
X-Strip: said in the log, and gone
X-Dunno: stays
Subject: checks
Date: Mon, 2 Mar 2026 10:00:00 +0000
Message-ID: <conformance@from.example>
MIME-Version: 1.0
"""
CHECKED_PARTS = multipart("mixed", [
    part("text/plain; name=replace-me.txt", "body-ignore this line\nbody-replace this line\n"
         "body-prepend this line\nbody-warn this line\nbody-strip this line\nthe last line\n"),
    part("application/x-ignore", "text behind a header that went\n"),
    part("message/rfc822", "Subject: nested-replace\nX-Ignore: in a nested message\n\n"
         "body-replace in a nested message\n")])

MESSAGES = [
    Message("plain", simple("hello\n"), short=True),
    Message("forty lines", simple(WORDS)),
    Message("empty body", crlf(HEADER + "\n")),
    Message("header without an empty line", crlf(HEADER)),
    Message("body without a header", crlf("hello\nthis is a body\n")),
    Message("nothing at all", b""),
    Message("one empty line", b"\r\n"),
    Message("dots", simple(".\n..\n.x\n...\nx.\n\n.\n.\n"), short=True),
    Message("dot as the last line", simple("text\n.\n")),
    Message("only a dot", crlf(".\n")),
    Message("line of 998", simple("x" * 998 + "\n")),
    Message("line of 999", simple("x" * 999 + "\n" + "y" * 997 + "\n")),
    Message("lines around buffers", simple("".join(
        "z" * n + "\n" for n in (990, 1000, 1996, 1997, 2000, 2047, 2048, 2049, 4095, 4096, 4097)))),
    Message("dots where lines are broken", simple("x" * 998 + ".dot\n" + "." * 3000 + "\n"), short=True),
    Message("line of 100,000", simple("0123456789" * 10000 + "\nshort\n")),
    Message("long folded header", crlf(HEADER + "References: " + "\n\t".join(
        f"<{i}.reference@from.example>" for i in range(1500)) + "\n\nbody\n")),
    Message("long header line", crlf(HEADER + "X-Long: " + "word " * 700 + "\n\nbody\n")),
    Message("8-bit text, declared", simple(UMLAUT + "\n", TEXT_8BIT), mail="BODY=8BITMIME", short=True),
    Message("8-bit text, Latin", crlf(MIME + "Content-Type: text/plain; charset=iso-8859-1\n"
                                      "Content-Transfer-Encoding: 8bit\n\n") + LATIN + b"\r\n",
            mail="BODY=8BITMIME"),
    Message("8-bit text, not declared to the server", simple(UMLAUT + "\n", TEXT_8BIT)),
    Message("8-bit text without MIME headers", simple(UMLAUT + "\n"), mail="BODY=8BITMIME"),
    Message("8-bit text, declared nowhere", simple(UMLAUT + "\n")),
    Message("8-bit lines of all kinds", crlf(TEXT_8BIT + "\n") + b"\r\n".join([
        "trailing blank ü ".encode(), "trailing tab ü\t".encode(), "= equals = ü".encode(),
        ("ü" * 60).encode(), b"x" * 75, b"x" * 76, b"x" * 77, b"\t \t", b"", b".", b"..",
        b"From here", bytes(range(128, 256)), ("long ü " * 300).encode(), b" ", b"end"]) + b"\r\n",
            mail="BODY=8BITMIME"),
    Message("7-bit text, declared 7BIT", simple("plain\n"), mail="BODY=7BIT"),
    Message("7-bit text, declared 8BITMIME", simple("plain\n"), mail="BODY=8BITMIME"),
    Message("7-bit text with an encoding of 8bit", simple("plain\n", TEXT_8BIT)),
    Message("8-bit declared 7BIT", simple(UMLAUT + "\n", TEXT_8BIT), mail="BODY=7BIT"),
    Message("8-bit with an encoding of 7bit", simple(UMLAUT + "\n", MIME +
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n"),
            mail="BODY=8BITMIME"),
    Message("quoted-printable stays", simple("Gr=C3=BC=C3=9Fe =\nsoft\n", MIME +
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n"),
            mail="BODY=8BITMIME"),
    Message("base64 stays", simple("R3LDvMOfZQ==\n", MIME +
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n")),
    Message("binary encoding", simple(UMLAUT + "\n", MIME + "Content-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: binary\n"), mail="BODY=8BITMIME"),
    Message("8-bit header, old style", crlf(HEADER + f"X-Text: {UMLAUT}\n\nbody\n"), mail="BODY=8BITMIME"),
    Message("UTF-8 header", crlf(HEADER + f"X-Text: {UMLAUT}\n\nbody\n"), mail="BODY=8BITMIME SMTPUTF8",
            short=True),
    Message("UTF-8 sender", simple("hello\n"), sender="jörg.{m}@from.example", mail="SMTPUTF8"),
    Message("UTF-8 recipient", simple("hello\n"), recipients=("jörg.r01.{m}", "r02.{m}"),
            mail="SMTPUTF8", short=True),
    Message("UTF-8 domain", simple("hello\n"), recipients=("r01.{m}@bücher.{domain}",), mail="SMTPUTF8"),
    Message("SMTPUTF8 that nothing needs", simple("hello\n"), mail="SMTPUTF8"),
    Message("UTF-8 original recipient", simple("hello\n"), mail="SMTPUTF8",
            rcpt=("NOTIFY=FAILURE ORCPT=utf-8;j\\x{F6}rg@to.example",)),
    Message("bare CR in the body", crlf(HEADER + "\n") + b"one\rtwo\r\rthree\r\nfour\r\r\nfive\r\n"),
    Message("bare LF in the body", crlf(HEADER + "\n") + b"one\ntwo\n\nthree\n.four\nfive\r\n", short=True),
    Message("bare CR in the header", crlf(HEADER) + b"X-Odd: one\rtwo\r\n\r\nbody\r\n"),
    Message("bare LF in the header", crlf(HEADER) + b"X-Odd: one\n two\nX-More: three\r\n\r\nbody\r\n"),
    Message("NUL in the body", crlf(HEADER + "\n") + b"one\0two\r\n\0\r\n"),
    Message("NUL in the header", crlf(HEADER) + b"X-Odd: one\0two\r\n\r\nbody\r\n"),
    Message("control characters", crlf(HEADER + "\n") + bytes(range(1, 10)) + b"\x0b\x0c" +
            bytes(range(14, 32)) + b"\x7f\r\n"),
    Message("multipart, 8-bit parts", crlf(MIME + multipart("mixed", [
        part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit"),
        part("text/html; charset=utf-8", f"<p>{UMLAUT}</p>\n", "8bit"),
        part("image/png", "iVBORw0KGgo=\n", "base64")])), mail="BODY=8BITMIME", short=True),
    Message("multipart, encoding on the outside", crlf(MIME + "Content-Transfer-Encoding: 8bit\n" +
            multipart("alternative", [part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit"),
                                      part("text/html", "<p>plain</p>\n", "7bit")],
                      preamble=f"preamble {UMLAUT}\n", epilogue=f"epilogue {UMLAUT}\n")),
            mail="BODY=8BITMIME"),
    Message("nested multiparts", nest(3), mail="BODY=8BITMIME", short=True),
    Message("nested as deep as allowed", nest(99), mail="BODY=8BITMIME"),
    Message("nested too deep", nest(103), mail="BODY=8BITMIME"),
    Message("signed part", crlf(MIME + multipart("signed", [
        part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit"),
        part("application/pgp-signature", "-----BEGIN PGP SIGNATURE-----\n")],
        parameters="; micalg=pgp-sha512;\n\tprotocol=\"application/pgp-signature\"")),
            mail="BODY=8BITMIME"),
    Message("message in a message", crlf(MIME + part(
        "message/rfc822", f"Subject: inside {UMLAUT}\nContent-Type: text/plain; charset=utf-8\n"
        f"Content-Transfer-Encoding: 8bit\n\n{UMLAUT}\n", "8bit")), mail="BODY=8BITMIME"),
    Message("message in a multipart", crlf(MIME + multipart("mixed", [
        part("text/plain", "see below\n"),
        part("message/rfc822", "Subject: inside\nMIME-Version: 1.0\n" + multipart(
            "mixed", [part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit")], "=_inner"))])),
            mail="BODY=8BITMIME"),
    Message("digest", crlf(MIME + multipart("digest", [
        f"\nSubject: first\n\n{UMLAUT}\n", "\nSubject: second\n\nplain\n"])), mail="BODY=8BITMIME"),
    Message("message/partial", crlf(MIME + part("message/partial; id=x; number=1; total=2",
                                                 UMLAUT + "\n", "8bit")), mail="BODY=8BITMIME"),
    Message("boundary never closed", crlf(MIME + multipart("mixed", [
        part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit")], close=False)), mail="BODY=8BITMIME"),
    Message("boundary of 1,000", crlf(MIME + multipart("mixed", [
        part("text/plain; charset=utf-8", UMLAUT + "\n", "8bit")], "b" * 1000)), mail="BODY=8BITMIME"),
    Message("multipart without a boundary", crlf(
        MIME + f"Content-Type: multipart/mixed\n\n{UMLAUT}\n"), mail="BODY=8BITMIME"),
    Message("MIME headers written oddly", crlf(
        MIME + "CONTENT-TYPE :\tMultiPart/Mixed (comment);\n\tBoundary=\"odd \\\"one\"\n"
        "content-transfer-ENCODING:8BIT\n\n--odd \"one\nContent-type: text/plain;\n charset=utf-8\n"
        f"Content-Transfer-Encoding:  8bit (yes)\n\n{UMLAUT}\n--odd \"one--\n"), mail="BODY=8BITMIME"),
    Message("no final newline", crlf(HEADER + "\nhello\nwithout an end"), bdat=True, short=True),
    Message("no final newline, dots", crlf(HEADER + "\nhello\n.x\n."), bdat=True),
    Message("header without its newline", crlf(HEADER + "X-Last: one"), bdat=True),
    Message("two recipients", simple("hello\n"), recipients=many(2), short=True),
    Message("fifty recipients", simple("hello\n"), recipients=many(50), short=True),
    Message("120 recipients", simple("hello\n"), recipients=tuple(
        f"r{i:03}.{{m}}" for i in range(1, 121))),
    Message("recipients out of order", simple("hello\n"), recipients=("r03.{m}", "r01.{m}", "r02.{m}")),
    Message("DSN: full", simple("hello\n"), mail="RET=FULL ENVID=envelope-1", short=True,
            rcpt=("NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;someone@to.example",)),
    Message("DSN: headers", simple("hello\n"), mail="ENVID=a+2Bb+3Dc RET=HDRS", rcpt=("NOTIFY=FAILURE",)),
    Message("DSN: never", simple("hello\n"), rcpt=("NOTIFY=NEVER",)),
    Message("DSN: each recipient its own", simple("hello\n"), recipients=many(5), rcpt=(
        "NOTIFY=NEVER", "NOTIFY=DELAY", "NOTIFY=SUCCESS", "",
        "ORCPT=rfc822;odd+2Bone+3Dtwo@to.example NOTIFY=DELAY,FAILURE")),
    Message("null sender", simple("hello\n"), sender="", recipients=many(2), short=True),
    Message("quoted local parts", simple("hello\n"), recipients=(
        '"john doe.r01.{m}"', '"r02.{m}."', '".r03.{m}"', '"a..b.r04.{m}"', '"a\\"b.r05.{m}"',
        '"a\\\\b.r06.{m}"', '"a@b.r07.{m}"', '"needless.r08.{m}"', "a!b.r09.{m}", "a#$%&'*+-/=?^_`{|}~.r10.{m}"),
        sender='"odd sender.{m}"@from.example', short=True),
    Message("case is kept", simple("hello\n"), recipients=("MiXed.r01.{m}@{domain}", "UPPER.r02.{m}"),
            sender="{m}@From.Example"),
    Message("long addresses", simple("hello\n"), recipients=(
        "a" * 52 + ".r01.{m}", "b" * 100 + ".r02.{m}", "c" * 190 + ".r03.{m}")),
    Message("address extensions", simple("hello\n"), recipients=("user.r01.{m}+box", "r02.{m}+a+b"),
            sender="{m}+list@inside.example"),
    Message("headers without blanks", crlf(
        "From:sender@from.example\nTo:\treceiver@to.example\nSubject:\nX-Empty:   \nX-Space : odd\n"
        "X-Folded:\n one\n\ttwo\n   \nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nbody\n")),
    Message("something that is no header", crlf("Subject: first\nthis is no header\nTo: x\n\nbody\n")),
    Message("header that is only white space", crlf("Subject: first\n \nTo: x@to.example\n\nbody\n")),
    Message("first line of the body begins with a blank", crlf(HEADER + "\n indented\nbody\n")),
    Message("mailbox line", crlf("From someone Mon Mar  2 10:00:00 2026\n" + HEADER + "\nFrom here\n")),
    Message("addresses in headers", crlf(ADDRESSES + "\none@inside.example\n"),
            recipients=("r01.{m}", "two.r02.{m}+box"), sender="{m}@inside.example", short=True),
    Message("lines for checks", crlf(CHECKED + CHECKED_PARTS), short=True),
    Message("8-bit lines for checks", crlf(CHECKED + multipart("mixed", [
        part("text/plain; charset=utf-8", f"body-replace {UMLAUT}\n{UMLAUT}\n", "8bit")])),
            mail="BODY=8BITMIME"),
    Message("white space at ends of lines", simple("trailing \n\t\n \n  two\n")),
    Message("twenty Received headers", crlf("".join(
        f"Received: from hop{i}.example by hop{i + 1}.example; Mon, 2 Mar 2026 10:00:00 +0000\n"
        for i in range(20)) + HEADER + "\nbody\n")),
    Message("declared size", simple("hello\n"), mail="SIZE=12345"),
    Message("30 kB", simple("0123456789abcdef" * 4 + "\n") + b"x" * 70 * 400 + b"\r\n"),
    Message("one megabyte, 8-bit", crlf(TEXT_8BIT + "\n") + (UMLAUT * 2 + "\r\n").encode() * 16000,
            mail="BODY=8BITMIME", long=True),
    Message("ten megabytes", simple("") + (b"0123456789" * 7 + b"\r\n") * 145000, long=True),
]
for index, one in enumerate(MESSAGES):
    one.number = index + 1
