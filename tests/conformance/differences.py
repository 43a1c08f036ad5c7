# SPDX-License-Identifier: MIT
"""The differences that are meant, each with its reason.

A difference turns what both systems did into what they would have done without it: `rewrite` changes
a View in place. Where the views are equal afterwards, the difference explains the case. One that
explains nothing in a full run is out of date, and the run fails.
"""
import dataclasses
import re
from typing import Callable


@dataclasses.dataclass
class Difference:
    name: str
    reason: str
    rewrite: Callable
    configurations: str = ""         # a regular expression for their names
    messages: str = ""               # one for the names of messages
    where: Callable = lambda m: True  # what else a message must be

    def concerns(self, configuration, message):
        return re.search(self.configurations, configuration.name) is not None and (
            message is None or (re.search(self.messages, message.name) is not None
                                and self.where(message)))


def is_command(item, verb):
    return isinstance(item, str) and item.upper().startswith(verb)


def quit_alone(view):
    for session in view.sessions:
        for i, group in enumerate(session.groups):
            if len(group) > 1 and is_command(group[-1], "QUIT") and isinstance(group[-2], bytes):
                session.groups[i:i + 1] = [group[:-1], group[-1:]]
                break


def no_reset_before_quit(view):
    for session in view.sessions:
        groups = session.groups
        if session.items()[-2:] == ["RSET", "QUIT"]:
            if groups[-1] == ["QUIT"]:
                del groups[-2]
            else:
                groups[-1] = ["QUIT"]


def nothing_behind_the_end(view):
    for session in view.sessions:
        if session.left:
            while session.groups and session.groups[-1][-1] in ("RSET", "QUIT"):
                del session.groups[-1][-1]
                if not session.groups[-1]:
                    del session.groups[-1]
            session.end = "client left"


def no_reset_at_reuse(view):
    for session in view.sessions:
        session.groups = [group for group in session.groups if group != ["RSET"]]


def no_quit_at_expiry(view):
    for session in view.sessions:
        if session.groups and session.groups[-1] == ["QUIT"]:
            del session.groups[-1]
            session.end = "client left"


def one_group_per_envelope(view):
    """Joins what was cut between RCPT commands of one envelope."""
    for session in view.sessions:
        groups, i = session.groups, 0
        while i + 1 < len(groups):
            if len(groups[i]) > 1 and is_command(groups[i][-1], "RCPT") and \
                    (is_command(groups[i + 1][0], "RCPT") or is_command(groups[i + 1][0], "DATA")):
                groups[i:i + 2] = [groups[i] + groups[i + 1]]
            else:
                i += 1


def recipients_sorted(view):
    for session in view.sessions:
        places = [(group, i) for group in session.groups for i in range(len(group))]
        run = []
        for group, i in [*places, (["end"], 0)]:
            if is_command(group[i], "RCPT"):
                run.append((group, i))
                continue
            for (g, j), command in zip(run, sorted(g[j] for g, j in run)):
                g[j] = command
            run = []


def recipients_sorted_over_all(view):
    places = [(group, i) for session in view.sessions for group in session.groups
              for i, item in enumerate(group) if is_command(item, "RCPT")]
    for (group, i), command in zip(places, sorted(g[j] for g, j in places)):
        group[i] = command


def on_commands(pattern, replacement):
    def rewrite(view):
        for session in view.sessions:
            for group in session.groups:
                for i, item in enumerate(group):
                    if isinstance(item, str):
                        group[i] = re.sub(pattern, replacement, item)
    return rewrite


def without_fields(*names):
    def rewrite(view):
        view.reports = [(*report[:3], [tuple(f for f in fields if f[0] not in names)
                                       for fields in report[3]], *report[4:]) for report in view.reports]
    return rewrite


def original_recipient_that_was_not_given(view):
    for report in view.reports:
        for i, fields in enumerate(report[3]):
            final = next((value.partition(";")[2].strip() for name, value in fields
                          if name == "Final-Recipient"), "")
            report[3][i] = tuple(f for f in fields if f[0] != "Original-Recipient" or
                                 f[1].partition(";")[2].strip().replace('"', "") != final.replace('"', ""))


def our_own_verdict(view):
    for report in view.reports:
        for i, fields in enumerate(report[3]):
            if any(name == "Diagnostic-Code" and value.startswith("X-") for name, value in fields):
                report[3][i] = tuple((name, re.sub("^X-Post(fix|rider);", "X-name;", value))
                                     for name, value in fields if name != "Remote-MTA")


def plain_reports(view):
    for report in view.reports:
        report[3][:] = [tuple((name, re.sub(r"^utf-8;", "rfc822;", value)) for name, value in fields)
                        for fields in report[3]]
    view.reports = [(*report[:4], report[4].replace("message/global", "message/rfc822"))
                    for report in view.reports]


def outcome_only_for_them(pattern):
    """Takes out what became of recipients about whom the server said this, and the reports on it."""
    def rewrite(view):
        hit = False
        for recipient, listed in view.outcomes.items():
            if any(re.search(pattern, text) for *_, text in listed):
                view.outcomes[recipient] = [("as it may", "", "", "")]
                hit = True
        if hit:
            view.reports = []
    return rewrite


def content_by_data(view):
    """DATA and one content without its dots, whichever command brought it."""
    for session in view.sessions:
        groups, sent = [], False
        for group in session.groups:
            if is_command(group[0], "BDAT"):
                chunks = [item for item in group if isinstance(item, bytes)]
                rest = [item for item in group if isinstance(item, str) and not is_command(item, "BDAT")]
                if not sent:
                    groups[-1:] = [[*groups[-1], "DATA"], chunks[:1]]
                groups += [rest] if rest else []
                sent = True
            else:
                sent = False
                groups.append([re.sub(rb"(?m)^\.", b"", item) if isinstance(item, bytes) else item
                               for item in group])
        session.groups = groups


def no_needless_smtputf8(view):
    for session in view.sessions:
        if all(str(item).isascii() if isinstance(item, str) else item.isascii()
               for item in session.items()):
            for group in session.groups:
                for i, item in enumerate(group):
                    if is_command(item, "MAIL"):
                        group[i] = item.removesuffix(" SMTPUTF8")


def nonsense(view):
    before = dict(view.outcomes)
    outcome_only_for_them("Protocol error.*said: 250")(view)
    if view.outcomes != before:
        for session in view.sessions:
            while session.groups and set(session.groups[-1]) <= {"RSET", "QUIT"}:
                del session.groups[-1]
            session.end = "client left"


def without_header(name):
    pattern = re.compile(b"(?m)^" + name + rb": .*\r\n(?:[ \t].*\r\n)*")

    def rewrite(view):
        for session in view.sessions:
            for group in session.groups:
                for i, item in enumerate(group):
                    if isinstance(item, bytes):
                        group[i] = pattern.sub(b"", item)
    return rewrite


def everything_where(theirs, ours):
    """Takes out a case whose outcome was the one in one system and the other in the other."""
    def rewrite(view):
        said = {f"{status} {text}" for listed in view.outcomes.values() for status, _, _, text in listed}
        if said and (all(theirs in one for one in said) or all(one.startswith(ours) for one in said)):
            view.sessions, view.outcomes, view.reports = [], {}, []
    return rewrite


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
        recipients_sorted, messages="recipients out of order|quoted local parts|DSN: each"),
    Difference(
        "order of recipients, over several deliveries",
        "The same, where the recipients of a message are more than one delivery takes.",
        recipients_sorted_over_all, configurations="at a time",
        messages="recipients out of order|quoted local parts|DSN: each"),
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
                    " ORCPT=(jörg or bücher)"), messages="UTF-8"),
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
        "only when an address needs it (RFC 6533).",
        plain_reports, messages="UTF-8"),
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
