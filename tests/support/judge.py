# SPDX-License-Identifier: MIT
"""Who is right about what happened to mail: books kept outside the suite, and their judge.

Every message carries a random token in its sender, its recipients, a header and its body, and the
books have the SHA-256 of the body. Two files, one record a line, made durable (fdatasync) before the
act that makes them true for anyone else:

  injector   S token sha256 recipient...     before the message is offered
             A token                         the complete 250 was read
             N token code                    refused
             U token                         the connection ended without an answer
  sink       D token sha256 recipient...     before the 250 of the sink
             T token when recipient...       when its final dot came (monotonic clock)
             B token report recipient...     a report of failure for these, before its 250; `report`
                                             is what tells reports apart: their Message-ID
             W token                         another report (delay, success)
             X what                          something that nobody submitted

ACKED (per recipient) = delivered + bounced + still queued; anything else is LOST.
"""
import asyncio
import collections
import dataclasses
import os


class Book:
    """Appends records; `durable` returns when all records up to now are on the disk. Writers that
    come while a sync runs share the next one."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.lines = []
        self.waiters = []
        self.running = False

    async def durable(self, line):
        self.lines.append(line + "\n")
        done = asyncio.get_running_loop().create_future()
        self.waiters.append(done)
        if not self.running:
            self.running = True
            asyncio.ensure_future(self.sync())
        await done

    async def sync(self):
        loop = asyncio.get_running_loop()
        while self.waiters:
            lines, self.lines = self.lines, []
            waiters, self.waiters = self.waiters, []
            data = "".join(lines).encode()

            def write():
                view = memoryview(data)
                while view:
                    view = view[os.write(self.fd, view):]
                os.fdatasync(self.fd)

            await loop.run_in_executor(None, write)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        self.running = False


@dataclasses.dataclass
class Verdict:
    submitted: int = 0
    acked: int = 0             # (message, recipient) pairs, as are those that follow
    delivered: int = 0
    bounced: int = 0
    queued: int = 0
    both: int = 0              # delivered and bounced
    reported_twice: int = 0    # two different reports of one failure
    duplicates: int = 0
    report_duplicates: int = 0  # one report, delivered more than once
    unacked_delivered: int = 0
    lost: list = dataclasses.field(default_factory=list)
    phantom: list = dataclasses.field(default_factory=list)
    corrupt: list = dataclasses.field(default_factory=list)
    crossed: list = dataclasses.field(default_factory=list)

    def sound(self, duplicate_bound):
        return not (self.lost or self.phantom or self.corrupt or self.crossed or self.both or
                    self.reported_twice) and \
            self.duplicates + self.report_duplicates <= duplicate_bound

    def __str__(self):
        text = (f"submitted {self.submitted}, acked {self.acked} = delivered {self.delivered} + bounced "
                f"{self.bounced} + queued {self.queued} + lost {len(self.lost)}; duplicates "
                f"{self.duplicates} and of reports {self.report_duplicates}, unacked but delivered {self.unacked_delivered}, phantom "
                f"{len(self.phantom)}, corrupt {len(self.corrupt)}, crossed {len(self.crossed)}, "
                f"delivered and bounced {self.both}, reported twice {self.reported_twice}")
        for name in ("lost", "phantom", "corrupt", "crossed"):
            for item in getattr(self, name)[:10]:
                text += f"\n  {name.upper()} {item}"
        return text


def judge(injector_lines, sink_lines, queued=()):
    """`queued`: (token, recipient) pairs that the suite still has."""
    verdict = Verdict()
    sent, acked = {}, set()
    for line in injector_lines:
        kind, token, *rest = line.split()
        if kind == "S":
            sent[token] = (rest[0], set(rest[1:]))
            verdict.submitted += 1
        elif kind == "A":
            acked.add(token)
    delivered, bounced = collections.Counter(), {}
    for line in sink_lines:
        kind, token, *rest = line.split()
        if kind == "X":
            verdict.phantom.append(" ".join([token, *rest]))
            continue
        if token not in sent:
            verdict.phantom.append(line.strip())
            continue
        digest, recipients = sent[token]
        if kind == "D":
            if rest[0] != digest:
                verdict.corrupt.append(f"{token} {rest[1:]}")
            for recipient in rest[1:]:
                if recipient not in recipients:
                    verdict.crossed.append(f"{token} to {recipient}")
                delivered[token, recipient] += 1
        elif kind == "B":
            for recipient in rest[1:]:
                if recipient not in recipients:
                    verdict.crossed.append(f"report of {token} names {recipient}")
                bounced.setdefault((token, recipient), []).append(rest[0])
    queued = set(queued)
    verdict.duplicates = sum(n - 1 for n in delivered.values())
    verdict.both = sum(1 for pair in bounced if pair in delivered)
    verdict.reported_twice = sum(len(set(reports)) - 1 for reports in bounced.values())
    verdict.report_duplicates = sum(len(reports) - len(set(reports)) for reports in bounced.values())
    for token, (_, recipients) in sent.items():
        for recipient in sorted(recipients):
            pair = (token, recipient)
            if token not in acked:
                verdict.unacked_delivered += delivered[pair] > 0
                continue
            verdict.acked += 1
            if delivered[pair] > 0:
                verdict.delivered += 1
            elif pair in bounced:
                verdict.bounced += 1
            elif pair in queued:
                verdict.queued += 1
            else:
                verdict.lost.append(f"{token} {recipient}")
    return verdict


SLACK = 2.0  # the sink may be this late in noticing a dot, in seconds


def explain(sink_lines, kills, most=None):
    """Which kill each repeated delivery goes back to: (repeats by kill, those no kill explains).
    `kills`: times of those that may repeat something. The first delivery was under way when the kill
    came, and the second began after it. Where kills stand so close that several may be the cause, each
    is given up to `most` repeats, those first that fewest later kills can explain: so a kill has more
    than `most` only when no sharing out could avoid it."""
    taken = collections.defaultdict(list)
    for line in sink_lines:
        kind, token, *rest = line.split()
        if kind == "T":
            for recipient in rest[1:]:
                taken[token, recipient].append(float(rest[0]))
    repeats = []
    for pair, times in taken.items():
        times.sort()
        repeats += [(second, first, pair) for first, second in zip(times, times[1:])]
    repeats.sort()
    by_kill = collections.Counter()
    for kill in sorted(kills):
        share = [r for r in repeats if r[1] - SLACK <= kill <= r[0]][:most]
        if share:
            by_kill[kill] = len(share)
            chosen = set(share)
            repeats = [r for r in repeats if r not in chosen]
    unexplained = []
    for second, first, pair in repeats:
        cause = next((k for k in sorted(kills) if first - SLACK <= k <= second), None)
        if cause is None:
            unexplained.append(f"{pair[0]} {pair[1]} at {first:.3f} and {second:.3f}")
        else:
            by_kill[cause] += 1
    return by_kill, unexplained


def self_test():
    """The judge must see each kind of damage. Raises when it does not."""
    injector = ["S t1 aa r1 r2", "A t1", "S t2 bb r3", "A t2", "S t3 cc r4", "U t3", "S t4 dd r5",
                "A t4", "S t5 ee r6", "N t5 452"]
    sink = ["D t1 aa r1", "D t1 aa r2", "B t2 m1 r3", "D t3 cc r4"]
    queued = [("t4", "r5")]
    good = judge(injector, sink, queued)
    cases = [
        ("all is well", sink, queued, {}, True),
        ("a delivery is missing", sink[1:], queued, {"lost": 1}, False),
        ("a report is missing", [*sink[:2], sink[3]], queued, {"lost": 1}, False),
        ("a queued message is gone", sink, [], {"lost": 1}, False),
        ("delivered twice", [*sink, sink[0]], queued, {"duplicates": 1}, False),
        ("another body", ["D t1 ab r1", *sink[1:]], queued, {"corrupt": 1}, False),
        ("nobody sent it", [*sink, "D t9 aa r1"], queued, {"phantom": 1}, False),
        ("no token at all", [*sink, "X mail without a token"], queued, {"phantom": 1}, False),
        ("to someone else", [*sink, "D t2 bb r1"], queued, {"crossed": 1}, False),
        ("one report, twice", [*sink, "B t2 m1 r3"], queued, {"report_duplicates": 1}, False),
        ("reported twice", [*sink, "B t2 m2 r3"], queued, {"reported_twice": 1}, False),
        ("delivered and bounced", [*sink, "B t1 m2 r2"], queued, {"both": 1}, False),
    ]
    assert (good.acked, good.delivered, good.bounced, good.queued, good.unacked_delivered) == \
        (4, 2, 1, 1, 1), good
    for name, lines, left, expected, sound in cases:
        verdict = judge(injector, lines, left)
        for field in ("lost", "duplicates", "corrupt", "phantom", "crossed", "both",
                      "reported_twice", "report_duplicates"):
            value = getattr(verdict, field)
            count = value if isinstance(value, int) else len(value)
            if count != expected.get(field, 0):
                raise AssertionError(f"{name}: {field} is {count}: {verdict}")
        if verdict.sound(duplicate_bound=0) != sound:
            raise AssertionError(f"{name}: sound is {not sound}")
    lines = ["T t1 10.0 r1", "T t1 12.0 r1", "T t2 10.0 r2", "T t2 12.0 r2", "T t3 10.0 r3", "T t3 10.6 r3"]
    for most, expected in ((None, {10.5: 3}), (2, {10.5: 2, 11.5: 1}), (1, {10.5: 2, 11.5: 1})):
        by_kill, unexplained = explain(lines, [10.5, 11.5], most)
        if dict(by_kill) != expected or unexplained:
            raise AssertionError(f"at most {most} for a kill: {by_kill}, {unexplained}")
    lines = ["T t1 10.0 r1 r2", "T t1 11.0 r1", "T t2 20.0 r3", "T t2 20.5 r3"]
    for kills, expected, count in (([10.5, 20.2], {10.5: 1, 20.2: 1}, 0), ([10.5], {10.5: 1}, 1),
                                   ([12.0, 20.2], {20.2: 1}, 1), ([], {}, 2)):
        by_kill, unexplained = explain(lines, kills)
        if dict(by_kill) != expected or len(unexplained) != count:
            raise AssertionError(f"kills at {kills}: {by_kill}, {unexplained}")
