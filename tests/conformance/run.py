# SPDX-License-Identifier: MIT
"""Sends the same messages through Debian's Postfix and through Postrider to the same recording server,
in many configurations, and compares what arrives, what is logged, and what is reported back.

    run.py [--short] [--only CONFIGURATION] [--message NAME] [--show] [--keep DIRECTORY]
"""
import argparse
import collections
import pathlib
import re
import sys
import tempfile
import threading
import time

import compare
import postfix_peer
import ports
from configurations import CONFIGURATIONS, FULL
from differences import DIFFERENCES, page
from messages import MESSAGES
from recorder import Recorder, Server
from suite import ROOT, skip
from systems import PostfixSystem, PostriderSystem

PAGE_FILE = ROOT / "doc/conformance.md"


def expected(work):
    return {(c.key, m.key, i + 1) for c, m in work for i in range(len(m.recipients))}


def settle(systems, wanted, seconds):
    """Waits until each recipient has an outcome in both systems and every session has ended."""
    def all_there():
        missing = 0
        for system in systems:
            system.look()
            refused = {key for key in system.refused}
            missing += sum(1 for key in wanted if key not in system.outcomes and key[:2] not in refused)
        return missing == 0

    try:
        ports.wait_until(all_there, seconds, "an outcome for every recipient")
    except TimeoutError:
        for system in systems:
            missing = sorted(key for key in wanted if key not in system.outcomes
                             and key[:2] not in system.refused)
            print(f"{system.name}: no outcome for {len(missing)} recipients: {missing[:10]}")
    recorder = systems[0].recorder

    def quiet():
        counts = [sum(len(s.groups) for s in recorder.sessions(system.returns)) for system in systems]
        return recorder.open == 0 and counts
    ports.wait_until(quiet, 60, "the end of all sessions")


def wait_reports(systems, work, seconds=30):
    """Reports are sent when a message is through: waits until both systems sent as many, and then a
    moment for one too many."""
    recorder = systems[0].recorder

    def counts():
        return [sum(1 for s in recorder.sessions(system.returns) if s.end != "open") for system in systems]
    deadline, last, since = time.monotonic() + seconds, None, time.monotonic()
    while time.monotonic() < deadline:
        now = counts()
        if now != last:
            last, since = now, time.monotonic()
        same = now[0] == now[1] and recorder.open == 0
        if time.monotonic() - since > (1.0 if same else 5.0):
            break
        time.sleep(0.05)
    return last


def feed_serial(system, work):
    for configuration, message in work:
        system.feed([(configuration, message)], 1)
        wanted = expected([(configuration, message)])

        def there():
            system.look()
            return (configuration.key, message.key) in system.refused or wanted <= set(system.outcomes)
        ports.wait_until(there, 60, f"{configuration.name}, {message.name}")


def in_parallel(functions):
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # told to the caller below
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Tally:
    def __init__(self):
        self.compared, self.equal, self.intended = 0, 0, 0
        self.unexpected = []
        self.used = collections.Counter()

    def judge(self, configuration, message, theirs, ours):
        self.compared += 1
        if theirs == ours:
            self.equal += 1
            return
        names = explain(configuration, message, theirs, ours)
        if names:
            self.intended += 1
            self.used.update(names)
        else:
            self.unexpected.append((configuration, message, theirs, ours))


def explain(configuration, message, theirs, ours):
    """The names of the differences after which nothing is left; empty when something is."""
    concerned = [d for d in DIFFERENCES if d.concerns(configuration, message)]
    for tried in [[d] for d in concerned] + [concerned]:
        a, b, names = theirs.copy(), ours.copy(), []
        for difference in tried:
            before = a.copy(), b.copy()
            difference.rewrite(a)
            difference.rewrite(b)
            if (a, b) != before:
                names.append(difference.name)
        if a == b:
            return names
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--short", action="store_true", help="few messages, for `make check`")
    parser.add_argument("--only", default="", help="a regular expression for configurations")
    parser.add_argument("--not", dest="leave_out", default="(?!)", help="and those to leave out")
    parser.add_argument("--message", default="", help="a regular expression for messages")
    parser.add_argument("--show", action="store_true", help="print everything, also what is equal")
    parser.add_argument("--most", type=int, default=30, help="how many unexpected differences to print")
    parser.add_argument("--keep", help="a directory for logs and transcripts")
    options = parser.parse_args()
    if not postfix_peer.available():
        skip("Debian's Postfix and root are needed")

    configurations = [c for c in CONFIGURATIONS if re.search(options.only, f"{c.key} {c.name}")
                      and not re.search(options.leave_out, f"{c.key} {c.name}")]
    messages = [m for m in MESSAGES if re.search(options.message, f"{m.key} {m.name}")
                and (m.short or not options.short)]
    work = [(c, m) for m in messages for c in configurations if c.wants(m)]
    parallel = [(c, m) for c, m in work if not c.serial]
    serial = [(c, m) for c, m in work if c.serial]
    complete = not (options.short or options.only or options.message
                    or options.leave_out != "(?!)")
    started = time.monotonic()

    with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory, Recorder() as recorder:
        top = pathlib.Path(options.keep or directory)
        top.mkdir(exist_ok=True)
        top.chmod(0o755)
        systems = []
        for kind in (PostfixSystem, PostriderSystem):
            own = top / kind.name
            own.mkdir()
            system = kind(recorder, configurations, own)
            system.prepare(Server(extensions=FULL))
            systems.append(system)
        running = []
        try:
            for system in systems:
                system.start()
                running.append(system)
            in_parallel([lambda s=s: s.feed(parallel) for s in systems])
            print(f"fed after {time.monotonic() - started:.1f} s")
            in_parallel([lambda s=s: feed_serial(s, serial) for s in systems])
            settle(systems, expected(work), 120)
            print(f"settled after {time.monotonic() - started:.1f} s")
            wait_reports(systems, work)
            print(f"reports after {time.monotonic() - started:.1f} s")
            tally = compare_all(systems, configurations, work, options.show)
            failed = report(tally, configurations, messages, options, complete,
                            time.monotonic() - started)
        finally:
            for system in running:
                if options.keep and system.log().parent != system.directory:
                    (top / f"{system.name}.log").write_bytes(system.log().read_bytes())
                system.stop()
    return 1 if failed else 0


def compare_all(systems, configurations, work, show):
    tally = Tally()
    theirs, ours = (compare.Viewer(system) for system in systems)
    by_configuration = collections.defaultdict(list)
    for c, m in work:
        by_configuration[c.key].append(m)
    for c in configurations:
        for m in [*by_configuration[c.key], None]:
            key = m.key if m else "-"
            a, b = theirs.view(c, key), ours.view(c, key)
            if m is None and not a.sessions and not b.sessions:
                continue
            if show:
                print(f"=== {c.key} {c.name} / {key} {m.name if m else 'sessions'}\nPostfix:\n"
                      f"{compare.describe(a)}\nPostrider:\n{compare.describe(b)}")
            tally.judge(c, m, a, b)
    return tally


def report(tally, configurations, messages, options, complete, seconds):
    for c, m, a, b in tally.unexpected[:options.most]:
        print(f"--- {c.key} {c.name} / {m.key + ' ' + m.name if m else 'sessions without a message'}\n"
              f"{compare.contrast(a, b)}")
    by_configuration = collections.Counter(f"{c.key} {c.name}" for c, *_ in tally.unexpected)
    for name, count in sorted(by_configuration.items()):
        print(f"unexpected: {count:4} in {name}")
    stale = [d.name for d in DIFFERENCES if not tally.used[d.name]] if complete else []
    for d in DIFFERENCES:
        if tally.used[d.name]:
            print(f"intended: {tally.used[d.name]:4} times {d.name}")
    if PAGE_FILE.read_text() != page():
        stale.append(f"{PAGE_FILE}")
    for name in stale:
        print(f"out of date: {name}")
    print(f"{len(messages)} messages, {len(configurations)} configurations: {tally.compared} compared, "
          f"{tally.equal} equal, {tally.intended} different as intended, "
          f"{len(tally.unexpected)} unexpected; {seconds:.0f} s")
    return bool(tally.unexpected or stale)


if __name__ == "__main__":
    sys.exit(main())
