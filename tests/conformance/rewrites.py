# SPDX-License-Identifier: MIT
"""What takes an intended difference out of a View: each function here changes one in place, or makes
a function that does."""
import re


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
    view.sessions.sort(key=lambda session: -sum(is_command(i, "RCPT") for i in session.items()))
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


def on_content(pattern, replacement):
    def rewrite(view):
        for session in view.sessions:
            for group in session.groups:
                for i, item in enumerate(group):
                    if isinstance(item, bytes):
                        group[i] = re.sub(pattern, replacement, item)
    return rewrite


def some_size(view):
    """In what is said about messages that are too big for the server."""
    def plain(text):
        return re.sub(r"^(.*; )?message size \d+ exceeds", r"\1message size (true) exceeds", text)
    for listed in view.outcomes.values():
        listed[:] = [(*one[:3], plain(one[3])) for one in listed]
    for report in view.reports:
        report[3][:] = [tuple((name, plain(value)) for name, value in fields) for fields in report[3]]


def is_greeting_alone(session):
    return not session.left and all(is_command(i, ("EHLO", "HELO", "LHLO", "QUIT"))
                                    for i in session.items())


def no_quit_after_greeting(view):
    for session in view.sessions:
        if is_greeting_alone(session) and session.groups[-1] == ["QUIT"]:
            del session.groups[-1]
            session.end = "client left"


def domains_in_utf8(view):
    """Takes out the case where one asked for SMTPUTF8 and the other had no need to, and the sessions
    in which that became clear before MAIL."""
    said = [text for listed in view.outcomes.values() for *_, text in listed]
    sent = [i for session in view.sessions for i in session.items() if is_command(i, "RCPT")]
    if any("SMTPUTF8 is required" in text for text in said) or any("@xn--" in i for i in sent):
        view.sessions, view.outcomes, view.reports = [], {}, []
    view.sessions = [session for session in view.sessions if not is_greeting_alone(session)]


def first_recipient(view):
    on_commands(r"^RCPT TO:<r\d\d\.", "RCPT TO:<(any).")(view)


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
    def plain(value):
        return re.sub(r"j(\\x{F6}|[^ -~]+)rg", "joerg", re.sub(r"^utf-8;", "rfc822;", value))
    for report in view.reports:
        report[3][:] = [tuple((name, plain(value)) for name, value in fields) for fields in report[3]]
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
