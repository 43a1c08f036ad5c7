# SPDX-License-Identifier: MIT
"""What one system did with one message in one configuration, in a form that can be compared, and the
comparison of two of them."""
import copy
import dataclasses
import email
import hashlib
import itertools
import re

from recorder import Data, message_of

RECEIVED = re.compile(rb"\AReceived: .*\r\n(?:[ \t].*\r\n)*")
BIG = 1 << 20  # longer content is compared by its digest


@dataclasses.dataclass
class Seen:
    """One session. `left` is how the server ended it: 421, "cut", "stall", or "" when it did not."""
    endpoint: str
    groups: list     # lists of commands (text) and content (bytes)
    end: str
    left: str

    def items(self):
        return [item for group in self.groups for item in group]

    def message(self):
        return message_of([item for item in self.items() if isinstance(item, str)])


@dataclasses.dataclass
class View:
    sessions: list   # of Seen
    outcomes: dict   # recipient -> list of (status, dsn, relay, text)
    reports: list    # of (recipient of the report, fields per recipient, kind of the last part)
    refused: str = ""

    def copy(self):
        return copy.deepcopy(self)


def own_received(content):
    """The content without the header that the system itself put in front."""
    return RECEIVED.sub(b"", bytes(content), count=1)


def without_dots(content):
    if content.startswith(b"."):
        content = content[1:]
    return content.replace(b"\r\n.", b"\r\n")


def check_sizes(session):
    """SIZE cannot be equal: each system's own Received header counts. But is it true? What the client
    folds or encodes comes on top of what was stored, and Postfix counts bytes of its queue file, which
    are a few more."""
    checked, mail = {}, None
    for item in (i for group in session.groups for i in group):
        if isinstance(item, Data):
            found = mail and re.search(r" SIZE=(\d+)", mail)
            size = len(without_dots(item))
            if found and size > 0 and not 0.7 * int(found.group(1)) - 300 <= size <= 3.1 * int(found.group(1)) + 300:
                checked[mail] = f" SIZE=({found.group(1)}, and came {size})"
            mail = None
        elif item[:4] == "MAIL":
            mail = item
    return checked


def join_chunks(session):
    """Of several BDAT commands: the content as a whole behind the first, where DATA has it."""
    first = None
    for group in session.groups:
        for i, item in enumerate(list(group)):
            if not isinstance(item, Data) or not is_bdat(group[i - 1]):
                continue
            if first is None:
                first = (group, i, [])
            else:
                group[i] = Data(b"")
            first[2].append(bytes(item))
            if group[i - 1].upper().endswith(" LAST"):
                first[0][first[1]] = Data(b"".join(first[2]))
                first = None


def take_apart(seen):
    """Of a session that is used again: [(message, its commands as a session of their own)] and last
    ("-", the session with the names of messages in their places). So one message that differs is one
    difference."""
    frame, parts, part = [], [], None
    for group in seen.groups:
        verbs = {item[:4].upper() for item in group if isinstance(item, str)}
        if "MAIL" in verbs:
            part = Seen(seen.endpoint, [], "goes on", "")
            parts.append(part)
            frame.append(part)
        if part and group[0] not in ("RSET", "QUIT"):
            ends = group[-1] == "QUIT" and len(group) > 1
            part.groups.append(group[:-1] if ends else group)
            group = ["QUIT"] if ends else []
        if group:
            frame.append(group)
            part = None
    parts = [(part.message(), part) for part in parts]
    frame = [[one.message()] if isinstance(one, Seen) else one for one in frame]
    return [*parts, ("-", Seen(seen.endpoint, frame, seen.end, seen.left))]


def is_bdat(item):
    return isinstance(item, str) and item[:5].upper() == "BDAT "


class Viewer:
    """Makes views of what one system did."""

    def __init__(self, system):
        self.system = system
        self.letters = {}
        for listed in system.endpoints.values():
            for place, port in enumerate(listed):
                self.letters[str(port)] = "ABC"[place]
        self.letters[str(system.returns)] = "R"
        self.by_message = {}
        for configuration in system.configurations:
            for port in system.endpoints[configuration.key]:
                for session in system.recorder.sessions(port):
                    seen = self.session(session)
                    parts = take_apart(seen) if configuration.serial else [
                        (message_of(session.commands()), seen)]
                    for message, part in parts:
                        self.by_message.setdefault((configuration.key, message), []).append(part)
        self.outcomes = {}
        for (c, m, recipient), listed in system.outcomes.items():
            self.outcomes.setdefault((c, m), {})[recipient] = listed
        self.reports = {}
        for session in system.recorder.sessions(system.returns):
            self.report(session)

    def text(self, text, queue_id=None):
        text = re.sub(r":(\d{4,5})\b", lambda m: ":" + self.letters.get(m.group(1), m.group(1)), text)
        text = re.sub(r"\bIDENT=\S+", "IDENT=(id)", text)
        text = re.sub(r"\bPORT=\d+", "PORT=(port)", text)
        return text.replace(queue_id, "(id)") if queue_id else text

    def session(self, session):
        join_chunks(session)
        sizes = check_sizes(session)
        groups = []
        for group in session.groups:
            items = []
            for item in group:
                if isinstance(item, Data):
                    item = own_received(item)
                    if len(item) > BIG:
                        item = b"%d bytes %s" % (len(item), hashlib.sha256(item).hexdigest().encode())
                elif item[:4] == "MAIL":
                    item = re.sub(r" SIZE=\d+", sizes.get(item, " SIZE=(true)"), item)
                items.append(self.text(item) if isinstance(item, str) else item)
            groups.append(items)
        last = session.replies[-1][-1] if session.replies and session.replies[-1] else ""
        left = last if last in ("cut", "stall") else "421" if "421" in (
            reply[:3] for replies in session.replies for reply in replies) else ""
        return Seen(self.letters[str(session.port)], groups, session.end, left)

    def report(self, session):
        for group in session.groups:
            for item in group:
                if not isinstance(item, Data):
                    continue
                mail = email.message_from_bytes(without_dots(bytes(item)))
                parts = mail.get_payload()
                if mail.get_content_type() != "multipart/report" or len(parts) < 3:
                    self.reports.setdefault(("-", "-"), []).append(("no report", mail.as_string()[:500]))
                    continue
                blocks = parts[1].get_payload()
                if parts[1].get_content_type() == "message/global-delivery-status":
                    text = blocks[0].as_string().strip()
                    blocks = [email.message_from_string(block) for block in text.split("\n\n")]
                fields = [tuple(sorted((name, self.text(" ".join(str(value).split())))
                                       for name, value in block.items())) for block in blocks[1:]]
                whole = str(fields)
                found = re.search(r"r\d+\.m(\d{3}).*?c(\d\d)\.example", whole)
                key = (f"c{found.group(2)}", f"m{found.group(1)}") if found else ("-", "-")
                to = [c.split(" ")[1].rstrip() for c in session.commands() if c.startswith("RCPT")]
                self.reports.setdefault(key, []).append(
                    (mail.get("From", ""), mail.get("Subject", ""), tuple(to), sorted(fields),
                     parts[2].get_content_type()))

    def view(self, configuration, message_key):
        key = (configuration.key, message_key)
        outcomes = {recipient: sorted((o.status, o.dsn, self.text(o.relay), self.text(o.text, o.queue_id))
                                      for o in listed)
                    for recipient, listed in self.outcomes.get(key, {}).items()}
        return View(sorted(self.by_message.get(key, []), key=str), outcomes,
                    sorted(self.reports.get(key, []), key=str), self.system.refused.get(key, ""))


def shorten(item, limit=400):
    if isinstance(item, str):
        return item
    text = item.decode("utf-8", "backslashreplace").replace("\r\n", "\\r\\n\n      ")
    return f"content of {len(item)}: " + (text if len(text) <= limit else text[:limit] + " ...")


def describe(view):
    lines = []
    if view.refused:
        lines.append(f"  refused at the entry: {view.refused}")
    for session in view.sessions:
        lines.append(f"  to {session.endpoint}:")
        for group in session.groups:
            lines.append("  C: " + "\n     ".join(shorten(item) for item in group))
        lines.append(f"  ({session.left and 'server: ' + session.left + '; '}{session.end})")
    for recipient, listed in sorted(view.outcomes.items()):
        lines += [f"  r{recipient:02}: {' '.join(one)}" for one in listed]
    lines += [f"  report: {report}" for report in view.reports]
    return "\n".join(lines)


def first_contrast(a, b, around=60):
    """Where two contents part."""
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    start = max(0, at - around)
    return (f"content parts at byte {at} of {len(a)} and {len(b)}:\n    Postfix:   {a[start:at + around]!r}"
            f"\n    Postrider: {b[start:at + around]!r}")


def contrast_sessions(a, b):
    lines = []
    if a.endpoint != b.endpoint:
        lines.append(f"  Postfix to {a.endpoint}, Postrider to {b.endpoint}")
    for x, y in itertools.zip_longest(a.groups, b.groups, fillvalue=[]):
        if x == y:
            continue
        lines += ["  " + first_contrast(one, two) for one, two in zip(x, y)
                  if one != two and isinstance(one, bytes) and isinstance(two, bytes)]
        lines.append("  Postfix:   " + " | ".join(shorten(k, 120) for k in x))
        lines.append("  Postrider: " + " | ".join(shorten(k, 120) for k in y))
    if (a.end, a.left) != (b.end, b.left):
        lines.append(f"  the end: Postfix: {a.left} {a.end}; Postrider: {b.left} {b.end}")
    return lines


def contrast(theirs, ours):
    """Only what is not equal, for a reader."""
    lines = []
    if theirs.refused != ours.refused:
        lines.append(f"  at the entry: Postfix: {theirs.refused or 'taken'}; Postrider: {ours.refused or 'taken'}")
    if theirs.sessions != ours.sessions:
        nothing = Seen("nowhere", [], "no session", "")
        for a, b in itertools.zip_longest(theirs.sessions, ours.sessions, fillvalue=nothing):
            if a != b:
                lines += contrast_sessions(a, b)
    for recipient in sorted({*theirs.outcomes, *ours.outcomes}):
        a, b = theirs.outcomes.get(recipient), ours.outcomes.get(recipient)
        if a != b:
            lines.append(f"  r{recipient:02}: Postfix:   {a}\n       Postrider: {b}")
    if theirs.reports != ours.reports:
        lines.append(f"  reports: Postfix:   {theirs.reports}\n           Postrider: {ours.reports}")
    return "\n".join(lines)
