# SPDX-License-Identifier: MIT
"""The differences that are meant, each with its reason.

A difference turns what both systems did into what they would have done without it: `rewrite` changes
a View in place. Where the views are equal afterwards, the difference explains the case. One that
explains nothing in a full run is out of date, and the run fails.
"""
import dataclasses
import re
from typing import Callable

from rewrites import (content_by_data, domains_in_utf8, everything_where, first_recipient,
    no_needless_smtputf8, no_quit_after_greeting, no_quit_at_expiry, no_reset_at_reuse,
    no_reset_before_quit, nonsense, nothing_behind_the_end, on_commands, on_content,
    one_group_per_envelope, original_recipient_that_was_not_given, our_own_verdict,
    outcome_only_for_them, plain_reports, quit_alone, recipients_sorted,
    recipients_sorted_over_all, some_size, without_fields, without_header)


@dataclasses.dataclass
class Difference:
    name: str
    reason: str
    rewrite: Callable
    configurations: str = ""           # a regular expression for their names
    messages: str = ""                 # one for the names of messages
    where: Callable = lambda m: True   # what else a message must be
    server: Callable = lambda c: True  # and a configuration

    def concerns(self, configuration, message):
        if message and not (re.search(self.messages, message.name) and self.where(message)):
            return False
        return bool(re.search(self.configurations, configuration.name)) and self.server(configuration)


def lacks_smtputf8(configuration):
    return "SMTPUTF8" not in configuration.servers[0].extensions or \
        re.search("EHLO never|does not$|4xx to EHLO", configuration.name) is not None


DIFFERENCES = [
    Difference(
        "QUIT waits for the reply to the content",
        "Whether a session is kept for the next message is decided when the transaction is over, not "
        "before.",
        quit_alone),
    Difference(
        "BDAT",
        "Postrider uses CHUNKING (RFC 3030) where it is offered and smtp_chunking is on; Postfix 3.7 "
        "has no such thing.",
        content_by_data, configurations="^CHUNKING$"),
    Difference(
        "no RSET before QUIT",
        "After a refused transaction Postfix sends RSET and QUIT. QUIT ends a transaction as well "
        "(RFC 5321 section 4.1.1.10), and without PIPELINING an RSET would cost a round trip.",
        no_reset_before_quit),
    Difference(
        "nothing is said behind 421",
        "A server that says 421 closes the connection (RFC 5321 section 3.8). Postfix sends RSET and "
        "QUIT into it; what it pipelined before a cut is there as well.",
        nothing_behind_the_end, configurations="421|cut|silence"),
    Difference(
        "no RSET when a session is used again",
        "Postfix asks with RSET whether a kept session is alive. Postrider sends MAIL, and when nothing "
        "is there any more that counts as no attempt; RSET only follows an unfinished transaction.",
        no_reset_at_reuse, configurations="sessions kept"),
    Difference(
        "QUIT when a kept session has waited long enough",
        "Postfix hands kept connections to another process, which closes them without a word.",
        no_quit_at_expiry, configurations="sessions kept"),
    Difference(
        "larger groups of commands",
        "Postfix sends at most 4096 bytes of commands before it reads replies, Postrider 32 kB: what "
        "RFC 2920 asks for is that nobody blocks, and socket buffers hold that much.",
        one_group_per_envelope, messages="recipients"),
    Difference(
        "order of recipients",
        "Postfix sorts the recipients of a delivery by domain and address; Postrider names them in the "
        "order in which the client did.",
        recipients_sorted, messages="recipients out of order|quoted local parts|DSN: each|address extensions"),
    Difference(
        "order of recipients, over several deliveries",
        "The same, where the recipients of a message are more than one delivery takes.",
        recipients_sorted_over_all, configurations="at a time",
        messages="recipients out of order|quoted local parts|DSN: each|address extensions"),
    Difference(
        "order of recipients, and the server leaves after the first",
        "The same, where the rest of the recipients is not named any more.",
        first_recipient, configurations="cut anywhere without PIPELINING",
        messages="recipients out of order"),
    Difference(
        "BODY is what the content is",
        "Postfix says BODY=8BITMIME when the sender's client or a header said so. Postrider says it when "
        "there are 8-bit bytes (RFC 6152 section 2).",
        on_commands(" BODY=8BITMIME", ""),
        messages="declared nowhere|7-bit text, declared 8BITMIME|7-bit text with|quoted-printable stays"),
    Difference(
        "nothing is converted where no byte is 8-bit",
        "Postfix goes by Content-Transfer-Encoding: a part that is labelled 8bit becomes quoted-printable "
        "though it is ASCII. Any server takes it as it is.",
        on_content(rb"\r\nContent-Transfer-Encoding: (8bit|quoted-printable)\r\n",
                   b"\r\nContent-Transfer-Encoding: (either)\r\n"), messages="7-bit text with"),
    Difference(
        "NUL",
        "RFC 5321 and 5322 do not allow it. Postrider makes it a blank when it takes the message; Postfix "
        "sends it on.",
        on_content(rb"(?<=one)[ \0](?=two\r)|(?<=\n)[ \0](?=\r)", b"(NUL)"), messages="NUL in the body"),
    Difference(
        "NUL in a header",
        "The same, but Postfix cuts the header at it.",
        on_content(rb"(?<=X-Odd: one) two(?=\r)", b""), messages="NUL in the header"),
    Difference(
        "content is what came",
        "Where a header has a line that is none, Postfix puts an empty line before it, so that header and "
        "body part there. Postrider does not change content when it takes it.",
        on_content(rb"\r\n(\r\n)?this is no header\r\n", b"\r\nthis is no header\r\n"),
        messages="something that is no header"),
    Difference(
        "a blank before the colon of a header",
        "Postfix takes it out; Postrider leaves it, as all that it has no reason to change.",
        on_content(rb"\r\n((?i:Content-Type)|X-Space) :", rb"\r\n\1:"),
        messages="written oddly|without blanks"),
    Difference(
        "the size of a message that is too big for the server",
        "Each says the size that it declares with SIZE, which counts its own Received header; Postfix "
        "counts what its queue file has besides.",
        some_size, configurations="small limit"),
    Difference(
        "QUIT when nothing was sent",
        "Postfix leaves without it when a message is too big for the server; RFC 5321 section 4.1.1.10 "
        "asks for it.",
        no_quit_after_greeting, configurations="small limit"),
    Difference(
        "A-labels where only domains are not ASCII",
        "Postrider sends them to servers without SMTPUTF8; Postfix returns the mail.",
        domains_in_utf8, messages="UTF-8 domain", server=lacks_smtputf8, configurations="^(?!SIZE with a small)"),
    Difference(
        "SIZE for servers without 8BITMIME",
        "Postfix keeps the size to itself when it may have to convert the content, and does not know "
        "that a message is 7-bit when nobody said so. Postrider looked.",
        on_commands(r" SIZE=\(true\)", ""), where=lambda m: m.content.isascii()),
    Difference(
        "original recipients in UTF-8",
        "An original recipient that is not ASCII is of type utf-8 (RFC 6533 section 3); Postfix calls it "
        "rfc822.",
        on_commands(r" ORCPT=(utf-8;j\S+?rg|rfc822;j\+C3\+B6rg|utf-8;\S+@b\S*cher|rfc822;\S+@b\+C3\+BCcher)",
                    " ORCPT=(joerg or buecher)"), messages="UTF-8"),
    Difference(
        "needless quotes in original recipients",
        "Postfix repeats the quotes that the client wrote where none are needed.",
        on_commands(r"ORCPT=rfc822;\"(needless\S+)\"@", r"ORCPT=rfc822;\1@"), messages="quoted local"),
    Difference(
        "the date of the last attempt in reports",
        "Postfix says it in reports of delays only.",
        without_fields("Last-Attempt-Date")),
    Difference(
        "where the client of an XFORWARD is",
        "SOURCE is REMOTE for Postfix when local_header_rewrite_clients does not name the client; "
        "Postrider has no such parameter and calls those in mynetworks local.",
        on_commands(" SOURCE=(LOCAL|REMOTE)", " SOURCE=(either)"), configurations="XFORWARD"),
    Difference(
        "the protocol of an SMTPUTF8 client in XFORWARD",
        "It is UTF8SMTP (RFC 6531 section 4.3); Postfix 3.7 says ESMTP.",
        on_commands(" PROTO=UTF8SMTP", " PROTO=ESMTP"), configurations="XFORWARD"),
    Difference(
        "reports of what the client itself found",
        "The Diagnostic-Code has the program's name for its type, and Postrider says with which server "
        "it was talking.",
        our_own_verdict),
    Difference(
        "reports in ASCII when the reported recipients are",
        "Postfix writes message/global-delivery-status for any mail that was sent with SMTPUTF8; Postrider "
        "only when an address needs it, and an original recipient can be written in ASCII (RFC 6533 "
        "section 3).",
        plain_reports, messages="UTF-8|UTF8"),
    Difference(
        "552 in reply to RCPT",
        "RFC 5321 section 4.5.3.1.10: it is the old way to say that there are too many recipients, and "
        "to be taken for 452. Postfix returns the mail.",
        outcome_only_for_them("said: 552 .*in reply to RCPT"), configurations="552"),
    Difference(
        "another host may speak SMTPUTF8",
        "Postfix returns mail that needs SMTPUTF8 when the first host does not offer it; Postrider asks "
        "the next one before.",
        everything_where("SMTPUTF8 is required", "sent"), configurations="then another host",
        messages="UTF-8"),
    Difference(
        "replies that make no sense",
        "A 2xx where 354 belongs says nothing about the mail: Postrider tries again later, Postfix "
        "returns it.",
        nonsense, configurations="DATA refused"),
    Difference(
        "SMTPUTF8 only where the transaction needs it",
        "RFC 6531 section 3.4. Postfix repeats it when the sender's client said it.",
        no_needless_smtputf8, messages="UTF-8|UTF8"),
    Difference(
        "groups and comments in rewritten headers",
        "Where an address of a header is rewritten, Postfix puts a comma behind the end of a group and "
        "moves comments; Postrider leaves them where they are.",
        without_header(b"Cc"), configurations="generic|checks and conversion",
        messages="addresses in headers"),
    Difference(
        "Original-Recipient only where the sender named one",
        "RFC 3464 section 2.3.1 wants the field for an original recipient that was given. Postfix always "
        "has it.",
        original_recipient_that_was_not_given),
]


PAGE = """# What differs from Postfix on the wire

`make conformance` sends the same messages through Debian's Postfix and through Postrider to one
recording server, in many configurations of the server and of the clients, and compares commands and
their groups, content, the end of each session, what became of each recipient, and the reports. Equal
are all that this list does not name; an entry that explains nothing any more fails the run. Each
system's own `Received:` header and the value of `SIZE` that counts it are left out of the comparison.

The list is made by `python3 tests/conformance/differences.py`.

| difference | why |
|---|---|
"""


def page():
    return PAGE + "".join(f"| {d.name} | {d.reason} |\n" for d in DIFFERENCES)


if __name__ == "__main__":
    print(page(), end="")
