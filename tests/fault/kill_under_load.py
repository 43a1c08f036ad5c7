# SPDX-License-Identifier: MIT
"""Kills programs of the running suite at random, and the whole of it, while mail flows; then lets the
queue drain and judges by books that lie outside (tests/support/judge.py): what was acknowledged is
delivered, bounced or queued, nothing else arrived, and duplicates stay within the bound.

  kill_under_load.py [--kills 10] [--seed N] [--only smtpd,bounce]

The bound: the kill of an agent, of qmgr, of master or of all may repeat the transactions that were
open at that moment, one per session of the killed agent: at most 20 sessions to one next hop
(smtp_destination_concurrency_limit) with at most MOST_RECIPIENTS each. It holds for every single kill,
and each repeated delivery must go back to one. A kill of smtpd or bounce repeats nothing, and no kill
makes a second report of one failure.

Half of the victims are stopped for a moment first: what their peers said meanwhile lies unread when
they die, and what they said themselves is not yet answered.

In the end the queue directory, the journal's segments and the programs' descriptors must be as
before, and a further start must find nothing to do.
"""
import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time

import figures
import judge
import ports
import procs
import suite as postrider
from suite import Suite, expect

DOMAIN = "kill.example"
KILLED = {"smtp": 4, "qmgr": 3, "smtpd": 3, "bounce": 1, "scache": 1, "master": 2,
          "everything": 3}
MAY_REPEAT = {"smtp", "qmgr", "master", "everything"}
MOST_RECIPIENTS = 3
MOST_SESSIONS = 20
MOST_DESCRIPTORS = 64  # of an idle program, beside those for segments
LONG_RUN = 40  # kills


# --- the injector: a process of its own ------------------------------------------------------------
class Injector:
    def __init__(self, port, book, sessions, rate):
        self.port, self.book, self.sessions = port, judge.Book(book), sessions
        self.pause, self.stopping = sessions / rate, False

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        await asyncio.gather(*(self.session() for _ in range(self.sessions)))

    def stop(self):
        self.stopping = True

    async def session(self):
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                await self.talk(reader, writer)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)
            finally:
                writer.close()

    @staticmethod
    async def reply(reader):
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line[3:4] != b"-":
                return line[:3].decode()

    async def talk(self, reader, writer):
        if await self.reply(reader) != "220":
            return
        writer.write(b"EHLO injector.example\r\n")
        await self.reply(reader)
        for _ in range(random.randint(1, 20)):
            if self.stopping:
                break
            started = time.monotonic()
            if not await self.message(reader, writer):
                return
            await asyncio.sleep(max(0.0, self.pause - (time.monotonic() - started)))
        writer.write(b"QUIT\r\n")
        await self.reply(reader)

    async def message(self, reader, writer):
        token = secrets.token_hex(16)
        kinds = random.choices(["ok", "later", "bad"], [90, 7, 3],
                               k=random.choice([1, 1, 1, 2, MOST_RECIPIENTS]))
        recipients = [f"{kind}{i}-{token}@{DOMAIN}" for i, kind in enumerate(kinds)]
        size = random.choice([200, 2000, 4000, 9000, 9000, 120_000] if random.random() < 0.3 else [3000])
        lines = [f"body of {token}", ".", "..two dots", ".one dot"]
        while sum(map(len, lines)) < size:
            lines.append(secrets.token_hex(random.randint(1, 38)))
        body = "".join(line + "\r\n" for line in lines).encode()
        digest = hashlib.sha256(body).hexdigest()
        stuffed = b"".join(b"." + x if x.startswith(b".") else x for x in body.splitlines(True))
        await self.book.durable(f"S {token} {digest} {' '.join(recipients)}")
        writer.write(f"MAIL FROM:<from-{token}@{DOMAIN}>\r\n".encode() +
                     b"".join(f"RCPT TO:<{r}>\r\n".encode() for r in recipients) + b"DATA\r\n")
        try:
            codes = [await self.reply(reader) for _ in range(len(recipients) + 2)]
            if codes[-1] != "354" or any(c[0] != "2" for c in codes[:-1]):
                await self.book.durable(f"N {token} {','.join(codes)}")
                return False
            writer.write(f"Subject: {token}\r\nX-Token: {token}\r\n\r\n".encode() + stuffed + b".\r\n")
            code = await self.reply(reader)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            await self.book.durable(f"U {token}")
            raise
        await self.book.durable(f"A {token}" if code == "250" else f"N {token} {code}")
        return code == "250"


# --- the sink: another one -------------------------------------------------------------------------
class JudgeSink:
    """Defers `later` recipients at their first sight, refuses `bad` ones, answers a little late. Its
    counters are on the status line that SIGUSR1 makes it print: transactions open now, and taken."""

    def __init__(self, book, port):
        self.book, self.port = judge.Book(book), port
        self.seen, self.open, self.taken, self.stop = set(), 0, 0, asyncio.Event()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGUSR1, lambda: print(self.open, self.taken, flush=True))
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=2**20, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await self.stop.wait()

    async def serve(self, reader, writer):
        state = {"open": 0}
        try:
            await self.talk(reader, writer, state)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= state["open"]
            writer.close()

    async def talk(self, reader, writer, state):
        def say(text):
            writer.write(text.encode() + b"\r\n")

        sender, recipients = None, []
        say("220 sink ESMTP")
        while True:
            line = (await reader.readline()).decode("latin-1")
            if not line.endswith("\n"):
                return
            verb = line[:4].upper()
            address = re.search(r"<([^>]*)>", line)
            if verb == "EHLO":
                say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES")
            elif verb == "MAIL":
                sender, recipients = address.group(1), []
                say("250 2.1.0 ok")
            elif verb == "RCPT":
                name = address.group(1)
                if name.startswith("bad"):
                    say("550 5.1.1 nobody of that name")
                elif name.startswith("later") and name not in self.seen:
                    self.seen.add(name)
                    say("450 4.2.1 not now")
                else:
                    recipients.append(name)
                    say("250 2.1.5 ok")
            elif verb == "DATA":
                if not recipients:
                    say("503 5.5.1 no recipients")
                    continue
                say("354 go on")
                self.open += len(recipients)
                state["open"] = len(recipients)
                text = await self.text(reader)
                when = time.monotonic()
                await asyncio.sleep(random.random() * 0.02)
                await self.record(sender, recipients, text, when)
                self.taken += 1
                say("250 2.0.0 taken")
                await writer.drain()
                self.open -= state["open"]
                state["open"] = 0
            elif verb == "RSET":
                sender, recipients = None, []
                say("250 ok")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    @staticmethod
    async def text(reader):
        data = bytearray()
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line == b".\r\n":
                return bytes(data)
            data += line[1:] if line.startswith(b".") else line

    async def record(self, sender, recipients, text, when):
        header, _, body = text.partition(b"\r\n\r\n")
        if sender == "":
            token = re.match(r"from-([0-9a-f]{32})@", recipients[0])
            if not token or len(recipients) != 1:
                return await self.book.durable(f"X report to {recipients}")
            failed = [r.decode() for r, action in re.findall(
                rb"(?im)^Final-Recipient: *rfc822; *(\S+)\r\n(?:\S[^\r]*\r\n)*?Action: *(\w+)", body)
                if action.lower() == b"failed"]
            if failed:
                report = hashlib.sha256(re.search(rb"(?im)^Message-ID:[^\r]*", header)[0]).hexdigest()
                return await self.book.durable(f"B {token.group(1)} {report[:32]} {' '.join(failed)}")
            return await self.book.durable(f"W {token.group(1)}")
        token = re.search(rb"(?m)^X-Token: ([0-9a-f]{32})\r?$", header)
        token = token.group(1).decode() if token else ""
        if not token or f"from-{token}@{DOMAIN}" != sender or not body.startswith(f"body of {token}".encode()):
            return await self.book.durable(f"X {token or 'no-token'} from {sender} to {recipients}")
        names = " ".join(recipients)
        await self.book.durable(f"D {token} {hashlib.sha256(body).hexdigest()} {names}\n"
                                f"T {token} {when:.6f} {names}")


# --- the run ---------------------------------------------------------------------------------------
def child(*arguments, **options):
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], text=True, **options)


class Run:
    def __init__(self, kills, seed, rate, only):
        self.kills, self.random, self.rate = kills, random.Random(seed), rate
        self.weights = {k: v for k, v in KILLED.items() if not only or k in only}
        self.times, self.back, self.problems = [], {}, []  # of kills that may repeat; seconds, by program

    def execute(self):
        with Suite(start=False) as suite:
            self.suite, self.books = suite, suite.top
            suite.expected_trouble = True
            self.sink = child("sink", self.books / "sink.book", 0, stdout=subprocess.PIPE)
            port = int(self.sink.stdout.readline())
            # Small segments and times, so that segments come round and messages move to files.
            suite.configure(
                relayhost=f"[127.0.0.1]:{port}", minimal_backoff_time="1s", maximal_backoff_time="3s",
                journal_segment_size="1048576", journal_residence_time="2s",
                large_message_threshold="65536", smtp_destination_recipient_limit=MOST_RECIPIENTS,
                smtp_destination_concurrency_limit=MOST_SESSIONS, ledger_size_limit="65536",
                smtp_dns_support_level="disabled")
            suite.start()
            injector = child("inject", self.books / "injector.book", suite.port, 20, self.rate)
            try:
                self.wait_flow()
                attempts = 0
                while sum(map(len, self.back.values())) < self.kills and attempts < 3 * self.kills + 10:
                    self.kill()
                    attempts += 1
                injector.terminate()
                injector.wait(60)
                left = self.drain()
                if not left and not self.problems:
                    self.look_clean()
                    self.start_again()
                suite.stop()
            finally:
                for process in (injector, self.sink):
                    if process.poll() is None:
                        process.terminate()
                        process.wait()
            self.conclude(left)

    def status(self):
        """Recipients in transactions open at the sink, and transactions it took."""
        self.sink.send_signal(signal.SIGUSR1)
        return [int(x) for x in self.sink.stdout.readline().split()]

    def wait_flow(self):
        before = self.status()[1]
        ports.wait_until(lambda: self.status()[1] >= before + 3, 60, "mail at the sink")

    def kill(self):
        what = self.random.choices(list(self.weights), list(self.weights.values()))[0]
        # Spread over all moments of a message's life: between two kills mail flows for a while.
        time.sleep(self.random.uniform(0.05, 0.6))
        pause = self.random.choice([0, self.random.uniform(0.01, 0.3)])
        if what in ("everything", "master"):
            began = self.kill_master(what, pause)
        else:
            pids = self.suite.pids(what)
            if not pids:
                return  # an idle service has no process
            victim = self.random.choice(pids)
            if pause:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(pause)
            began = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            procs.wait_gone([victim])
        if what in MAY_REPEAT:
            self.times.append(began)
        self.wait_flow()
        self.back.setdefault(what, []).append(time.monotonic() - began)
        if sum(map(len, self.back.values())) % 25 == 0:
            print(f"{sum(map(len, self.back.values()))} kills", flush=True)

    def kill_master(self, what, pause):
        master, pids = self.suite.master_pid, procs.tree(self.suite.master_pid)
        if pause:
            for pid in pids if what == "everything" else [master]:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(pause)
        began = time.monotonic()
        if what == "everything":
            procs.wait_gone(procs.kill_tree(master))
        else:
            os.kill(master, signal.SIGKILL)
            try:
                procs.wait_gone(pids, 20)  # the lifeline: workers end with master
            except TimeoutError as error:
                self.problems.append(f"after the death of master: {error}")
                for pid in pids:
                    if procs.alive(pid):
                        os.kill(pid, signal.SIGKILL)
        self.suite.start()
        return began

    # --- the end ---------------------------------------------------------------------------------
    def queue_status(self):
        return json.loads(self.suite.cli("status", "--json").stdout)["queue"]

    def drain(self):
        """Until the queue is empty, or nothing moves any more: what is left is counted as queued."""
        ports.wait_until(lambda: not self.queue_status()["index_stale"], 60, "the check of the index")
        held = [m for m in self.suite.queue() if m["queue_name"] == "hold"]
        print(f"held because agents died of it three times: {len(held)}")
        # Three agents were killed while they had it: it is held, as it should be, and may go now.
        self.suite.cli("release", "ALL", check=False)
        self.suite.cli("flush", "ALL", check=False)
        deadline, last, since = time.monotonic() + 180, None, time.monotonic()
        while time.monotonic() < deadline:
            left = self.suite.queue()
            if not left:
                return []
            if len(left) != last:
                last, since = len(left), time.monotonic()
            if time.monotonic() - since > 30:
                break
            time.sleep(0.1)
        self.problems.append(f"stuck in the queue: {left[:3]}")
        return [(re.search(r"-([0-9a-f]{32})@", r["address"]).group(1), r["address"])
                for m in left for r in m.get("recipients", [])
                if re.search(r"-([0-9a-f]{32})@", r["address"])]

    def files(self):
        root = self.suite.dir / "spool"
        return [str(path.relative_to(root)) for folder in ("incoming", "deferred", "hold")
                for path in (root / folder).rglob("*") if not path.is_dir()]

    def look_clean(self):
        """Nothing is left of all that mail but segments that wait for more."""
        def settled():
            queue = self.queue_status()
            return not self.files() and queue["live_segments"] == queue["lent_segments"] and \
                queue["in_flight"] == 0 and queue["active"] == 0
        try:
            ports.wait_until(settled, 30, "a clean queue directory")
        except TimeoutError:
            self.problems.append(f"not clean: {self.files()[:5]} {self.queue_status()}")
        queue = self.queue_status()
        used = {name: [procs.open_files(p) for p in self.suite.pids(name)] for name in postrider.WORKERS}
        used["master"] = [procs.open_files(self.suite.master_pid)]
        print(f"segments: {queue['segments']}, lent {queue['lent_segments']}; descriptors: "
              f"{ {k: v for k, v in used.items() if v} }")
        for name, counts in used.items():
            room = MOST_DESCRIPTORS + (queue["segments"] if name == "qmgr" else queue["live_segments"])
            if any(count > room for count in counts):
                self.problems.append(f"{name} has {counts} descriptors")
        # Unfinished records of killed writers lie in corrupt/; acknowledged ones never may.
        aside = [path.read_text() for path in ((self.suite.dir / "spool") / "corrupt").glob("*.reason")]
        print(f"torn records set aside: {len(aside)}")
        self.problems += [f"set aside: {text}" for text in aside if text.startswith("damaged")]
        self.problems += [line for line in self.suite.lines()
                          if re.search(r"panic:|Sanitizer|acknowledged mail damaged", line)]

    def start_again(self):
        before = self.status()[1]
        self.suite.kill_all()
        self.suite.start()
        ports.wait_until(lambda: not self.queue_status()["index_stale"], 60, "the check of the index")
        left = self.suite.queue()
        if left or self.status()[1] != before:
            self.problems.append(f"a start with an empty queue found {left} and sent "
                                 f"{self.status()[1] - before}")

    def record(self, verdict, bound, each, by_kill):
        figures.record(postrider.BUILD, "kills", f"tests/fault/kill_under_load.py --kills {self.kills}", [
            ("programs killed", sum(map(len, self.back.values()))), ("acknowledged", verdict.acked),
            ("delivered", verdict.delivered), ("bounced", verdict.bounced), ("lost", len(verdict.lost)),
            ("corrupt, phantom or crossed", len(verdict.corrupt + verdict.phantom + verdict.crossed)),
            ("duplicates", f"{verdict.duplicates} (bound {bound})"),
            ("most duplicates of one kill", f"{max(by_kill.values(), default=0)} (bound {each})"),
            ("delivered but not acknowledged", verdict.unacked_delivered),
            ("longest time until mail flowed again", f"{max(max(t) for t in self.back.values()):.2f} s")])

    def conclude(self, left):
        injector = (self.books / "injector.book").read_text().splitlines()
        sink = (self.books / "sink.book").read_text().splitlines()
        verdict = judge.judge(injector, sink, left)
        for name, seconds in sorted(self.back.items()):
            middle = sorted(seconds)[len(seconds) // 2]
            print(f"{len(seconds):4} kills of {name}: mail flows again after {middle:.2f} s, at most "
                  f"{max(seconds):.2f} s")
        each = MOST_SESSIONS * MOST_RECIPIENTS
        by_kill, unexplained = judge.explain(sink, self.times, each)
        bound = len(self.times) * each
        print(f"{sum(map(len, self.back.values()))} kills in all\n{verdict}\n"
              f"bound on duplicates: {bound}, {each} per kill; most of one kill: "
              f"{max(by_kill.values(), default=0)}; without a kill: {len(unexplained)}")
        if self.kills >= LONG_RUN:  # the short one of make check does not take its place
            self.record(verdict, bound, each, by_kill)
        # The judge can see a loss in these very books: hide one delivery from it.
        tokens = {x.split()[1] for x in injector if x.startswith("A")}
        hidden = next(x for x in sink if x.startswith("D") and x.split()[1] in tokens
                      and sum(y.startswith("D " + x.split()[1]) for y in sink) == 1)
        damaged = judge.judge(injector, [x for x in sink if x != hidden], left)
        expect(len(damaged.lost) > len(verdict.lost), "the judge did not miss a hidden delivery")
        expect(verdict.acked > 0 and verdict.bounced > 0, "the load was no test")
        expect(sum(map(len, self.back.values())) >= self.kills, "too few programs were there to be killed")
        expect(verdict.sound(bound), "mail was lost, repeated or damaged")
        expect(not unexplained, f"repeated without a kill: {unexplained[:5]}")
        expect(max(by_kill.values(), default=0) <= each, f"one kill repeated too much: {by_kill}")
        expect(not self.problems, "\n".join(self.problems))


def main():
    if sys.argv[1:2] == ["inject"]:
        book, port, sessions, rate = sys.argv[2:6]
        return asyncio.run(Injector(int(port), book, int(sessions), float(rate)).run())
    if sys.argv[1:2] == ["sink"]:
        return asyncio.run(JudgeSink(sys.argv[2], int(sys.argv[3])).run())
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rate", type=float, default=250, help="messages a second, at most")
    parser.add_argument("--only", default="", help=f"of {','.join(KILLED)}")
    args = parser.parse_args()
    judge.self_test()
    seed = args.seed if args.seed is not None else secrets.randbelow(10**6)
    print(f"seed {seed}", flush=True)
    return Run(args.kills, seed, args.rate, set(filter(None, args.only.split(",")))).execute()


if __name__ == "__main__":
    main()
