# SPDX-License-Identifier: MIT
"""The wall clock of every program jumps while mail flows: an hour back, an hour ahead, ten years ahead,
to 1970, past 2038. Mail is taken and delivered as ever, what waits is tried on its schedule and does not
expire, nothing is delivered twice, ids differ, dates can be read, and nobody spins. So also when the
suite starts with such a clock."""
import collections
import datetime
import email.utils
import re
import time

import ports
import shim
import sinks
from suite import Suite, expect, expect_equal

SECOND = 10**6
HOUR, YEAR = 3600 * SECOND, 365 * 86400 * SECOND
JUMPS = {
    "an hour back": lambda: -HOUR,
    "an hour ahead": lambda: HOUR,
    "ten years ahead": lambda: 10 * YEAR,
    "1970": lambda: 86400 * SECOND - int(time.time()) * SECOND,
    "past 2038": lambda: 2**31 * SECOND + HOUR - int(time.time()) * SECOND,
    "right again": lambda: 0,
}
MESSAGES = 20
ids, sent = [], {}


def send(suite, name, text):
    queue_id = suite.send("from@example.org", [f"{name}@example.net"], f"Subject: {text}\n\n{text}\n")
    ids.append(queue_id)
    sent[f"{name}@example.net"] = text
    return queue_id


def tried(suite, queue_id):
    return sum(f"{queue_id}: to=<" in line and "status=deferred" in line for line in suite.lines())


def looks_right(message, clock):
    """Received: and Date: are dates, of the clock that the program had."""
    stamps = re.findall(r"(?im)^Received: [^;]*;\s*([^\r]*)", message.header.replace("\r\n\t", " "))
    stamp = email.utils.parsedate_to_datetime(stamps[0])
    there = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(microseconds=clock)
    expect(abs((stamp - there).total_seconds()) < 300, f"{stamps[0]} with the clock at {there}")


def flow(suite, sink, what, clock, waiting):
    """Mail flows, and what waits is tried again."""
    before, looks, tries = len(sink.messages), page.looks, tried(suite, waiting)
    for i in range(MESSAGES):
        send(suite, f"{what.replace(' ', '-')}-{i}", what)
    sink.wait(before + MESSAGES, seconds=60)
    ports.wait_until(lambda: tried(suite, waiting) >= tries + 2, 60, f"attempts with the clock {what}")
    looks = page.looks - looks
    expect(looks < MESSAGES * 500, f"{what}: {looks} looks for events for {MESSAGES} messages")
    looks_right(sink.messages[-1], clock)
    return looks


def later(session, line):
    return "450 4.2.1 not now" if not sink.script.get("open") else None


with sinks.Sink({"RCPT TO:<LATER": later}) as sink, \
        Suite(start=False, relayhost=sink.place, minimal_backoff_time="1s", maximal_backoff_time="1s",
              maximal_queue_lifetime="5d", bounce_queue_lifetime="5d", delay_warning_time="2d",
              smtpd_peername_lookup="no") as suite:
    page = shim.install(suite)
    suite.start()
    waiting = send(suite, "later", "waits")
    suite.wait_log(f"{waiting}: to=<.*status=deferred")
    numbers = []
    for what, jump in JUMPS.items():
        clock = page.clock = jump()
        numbers.append(flow(suite, sink, what, clock, waiting))
    suite.wait_log("the clock was set by", count=len(JUMPS))

    # A process that starts with a wrong clock finds mail of the future, and of the past.
    for what in ("1970", "past 2038", "right again"):
        suite.stop()
        clock = page.clock = JUMPS[what]()
        suite.start()
        flow(suite, sink, f"started in {what}", clock, waiting)
    suite.wait_log("nobody has worked on this queue for .* days, if the clock is right")
    sink.script["open"] = True
    ports.wait_until(lambda: any("later@example.net" in m.recipients for m in sink.messages), 60,
                     "the mail that waited")
    suite.wait_empty(60)
    arrived = collections.Counter(r for m in sink.messages for r in m.recipients)
    expect_equal({r: n for r, n in arrived.items() if n != 1 or r not in sent}, {}, "more than once, or uninvited")
    expect_equal(set(sent) - set(arrived), set(), "not delivered")
    expect_equal(len(set(ids)), len(ids), "different ids")
    text = "\n".join(suite.lines())
    for word in ("status=expired", "status=bounced", "sender non-delivery", "sender delay"):
        expect(word not in text, f"{word} in the log")
    print(f"{len(sent)} messages; looks for events in each step: {numbers}")
