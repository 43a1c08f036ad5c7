# SPDX-License-Identifier: MIT
"""Boots the real suite in a temporary directory and talks to it as its users do.

    with Suite(relayhost=sink.place) as suite:
        suite.send("from@example.org", ["to@example.net"], "Subject: hello\\n\\ntext\\n")
        sink.wait(1)

Settings are main.cf parameters. On the way out the suite is stopped, and the test fails when a
program panicked, a sanitizer spoke, or a process stayed behind. After a failure the directory is
kept and the end of the log is printed.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

import ports
import procs
import sanitizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTRIDER_BUILD", ROOT / "build")).resolve()
POSTRIDER = BUILD / "bin/postrider"
SENDMAIL = BUILD / "bin/sendmail"
BENCH_SOURCE = BUILD / "tests/bench_source"
BENCH_SINK = BUILD / "tests/bench_sink"
# AddressSanitizer multiplies what a program holds, and keeps freed memory aside.
ASAN = (BUILD / "CMakeCache.txt").exists() and \
    "POSTRIDER_SANITIZE:STRING=address" in (BUILD / "CMakeCache.txt").read_text()
CRASHED = r"killed by signal \d+ \(SIG(?:ABRT|BUS|FPE|ILL|SEGV|SYS|TRAP)\)"
WORKERS = ("smtpd", "qmgr", "smtp", "lmtp", "bounce", "tlsmgr", "scache", "tokenmgr", "saslmgr",
           "tlsrpt", "anvil")


# Numbers that no user of this host has: a suite that root starts has a uid per trust domain.
OWNERS = {} if os.geteuid() != 0 else {
    "network_in_owner": 61001, "network_out_owner": 61002, "keys_owner": 61003,
    "authentication_owner": 61004, "cache_owner": 61005, "bounce_owner": 61006}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


class Suite:
    def __init__(self, start=True, init_options=(), **settings):
        if not POSTRIDER.exists():
            raise SystemExit(f"{POSTRIDER} is not built")
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="postrider-test-"))
        self.top.chmod(0o755)
        self.dir = self.top / "instance"
        self.log = self.top / "mail.log"
        self.port = ports.free_port()
        self.start_at_enter = start
        self.master_pid = None
        done = subprocess.run([POSTRIDER, "init", self.dir, "--listen", f"127.0.0.1:{self.port}",
                               *init_options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"postrider init failed: {done.stdout}{done.stderr}")
        self.main_cf = self.dir / "main.cf"
        self.config = self.dir
        self.settings = {
            "maillog_file": self.log,
            "maillog_file_prefixes": self.top,
            "mynetworks": "127.0.0.0/8",
            "myhostname": "mail.postrider.example",
            "inet_protocols": "ipv4",
            **OWNERS,
        }
        self.configure(**settings)

    # --- configuration -------------------------------------------------------------------------
    def configure(self, **settings):
        """Writes parameters to main.cf; a running suite sees them after reload()."""
        text = self.main_cf.read_text()
        self.settings.update(settings)
        for name, value in self.settings.items():
            text, _ = re.subn(rf"(?m)^{name}[ \t]*=.*\n(?:[ \t]+\S.*\n)*", "", text)
            if text and not text.endswith("\n"):
                text += "\n"
            text += f"{name} = {value}\n"
        self.main_cf.write_text(text)

    def owner(self, parameter):
        """The uid of a trust domain, by the parameter that names it."""
        return OWNERS.get(parameter, (self.dir / "spool").stat().st_uid)

    def write(self, name, text):
        path = self.top / name
        path.write_text(text)
        return path

    # --- running -------------------------------------------------------------------------------
    def cli(self, *args, check=True, stdin=None, timeout=60):
        done = subprocess.run([POSTRIDER, "-c", self.config, *map(str, args)], capture_output=True,
                              text=True, input=stdin, check=False, timeout=timeout)
        if check and done.returncode != 0:
            raise RuntimeError(f"postrider {' '.join(map(str, args))} failed ({done.returncode}): "
                               f"{done.stdout}{done.stderr}")
        return done

    def start(self):
        self.cli("start")
        self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        ports.wait_until(self.greets, seconds, "the greeting")
        self.master_pid = self.find_master()

    def greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    def find_master(self):
        """The pid that the suite itself names."""
        status = json.loads(self.cli("status", "--json").stdout)
        return int(status["master"]["pid"])

    def master_by_file(self):
        """A master that started but never served, or None."""
        try:
            pid = int((self.dir / "spool/pid/master.pid").read_text())
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.config) in arguments else None

    def pids(self, name):
        """Running processes of one program, below our master."""
        return [p for p in procs.tree(self.master_pid) if procs.name_of(p) == name and procs.alive(p)]

    def stop(self):
        if self.master_pid is None:
            return
        pids = procs.tree(self.master_pid)
        self.cli("stop", timeout=90)
        procs.wait_gone(pids, 30)
        self.master_pid = None

    def reload(self):
        self.cli("reload")

    def kill_all(self):
        """kill -9 of the whole suite at once."""
        procs.wait_gone(procs.kill_tree(self.master_pid))
        self.master_pid = None

    # --- mail ----------------------------------------------------------------------------------
    def smtp(self, timeout=60):
        return smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=timeout)

    def send(self, sender, recipients, text="Subject: test\n\nhello\n", mail_options=(),
             rcpt_options=()):
        """Returns the queue id from the reply."""
        if isinstance(recipients, str):
            recipients = [recipients]
        client = self.smtp()
        client.ehlo()
        code, reply = client.mail(sender, list(mail_options))
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        for recipient in recipients:
            code, reply = client.rcpt(recipient, list(rcpt_options))
            if code // 10 != 25:
                raise smtplib.SMTPResponseException(code, reply)
        code, reply = client.data(text)
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
        client.quit()
        match = re.search(rb"queued as (\S+)", reply)
        return match.group(1).decode() if match else ""

    def raw(self):
        return RawClient(self.port)

    def sendmail(self, *args, text, check=True):
        done = subprocess.run([SENDMAIL, *args], input=text, text=True, capture_output=True,
                              check=False, timeout=60, env={**os.environ, "MAIL_CONFIG": str(self.config)})
        if check and done.returncode != 0:
            raise RuntimeError(f"sendmail failed ({done.returncode}): {done.stdout}{done.stderr}")
        return done

    # --- looking at it -------------------------------------------------------------------------
    def lines(self):
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def wait_log(self, pattern, count=1, seconds=20):
        """The first `count` matches of the pattern in the log."""
        expression = re.compile(pattern)

        def look():
            found = [m for m in map(expression.search, self.lines()) if m]
            return found[:count] if len(found) >= count else None

        try:
            found = ports.wait_until(look, seconds, f"log line {pattern!r}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the log ends:\n" + "\n".join(self.lines()[-15:])) from None
        return found[0] if count == 1 else found

    def queue(self, *args):
        """What `postrider queue --json` says: a list of messages. Complete, that is, not before the
        index has been checked after a start."""
        ports.wait_until(lambda: not json.loads(self.cli("queue", "--by", "state", "--json").stdout)["stale"],
                         30, "a checked index")
        return json.loads(self.cli("queue", "--json", *args).stdout)

    def wait_empty(self, seconds=30):
        ports.wait_until(lambda: not self.queue(), seconds, "an empty queue")

    # --- the frame of a test ---------------------------------------------------------------------
    def __enter__(self):
        try:
            return self.start() if self.start_at_enter else self
        except BaseException:
            self.clean_up(failed=True)
            raise

    def __exit__(self, kind, *_):
        failed = kind is not None and not (kind is SystemExit and _[0].code in (0, 77, None))
        problems = []
        if self.master_pid is not None:
            try:
                self.stop()
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as error:
                problems.append(f"the suite did not stop: {error}")
        trouble = rf"panic:|{sanitizers.IN_LOG}|sandbox: the system call"
        if not getattr(self, "expected_crashes", None):
            trouble += f"|{CRASHED}"
        if not getattr(self, "expected_trouble", None):
            trouble += "|fatal:"
        problems += [line for line in self.lines() if re.search(trouble, line)]
        self.clean_up(failed or bool(problems))
        if problems and not failed:
            raise AssertionError("\n".join(problems[:20]))

    def clean_up(self, failed):
        master = self.master_pid or self.master_by_file()
        if master is not None and procs.alive(master):
            procs.kill_tree(master, signal.SIGKILL)
        if failed:
            print(f"--- kept {self.top}; the log ends:", *self.lines()[-40:], sep="\n", file=sys.stderr)
        elif "POSTRIDER_KEEP" not in os.environ:
            shutil.rmtree(self.top, ignore_errors=True)


class RawClient:
    """An SMTP client that sends exactly what it is told."""

    def __init__(self, port, greet=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        if greet:
            self.greeting = self.reply()

    def reply(self):
        """One reply as text, lines joined; '' when the server closed."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return "\n".join(lines)
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            if line[3:4] != b"-":
                return "\n".join(lines)

    def write(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def command(self, line):
        self.write(line + "\r\n")
        return self.reply()

    def silent(self, seconds=0.3):
        """Whether the server says nothing for a while. A negative: it needs a moment to be sure."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b"x"
        except (TimeoutError, BlockingIOError):
            return True
        finally:
            self.socket.settimeout(30)

    def close(self):
        self.file.close()
        self.socket.close()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()


def expect(condition, what):
    """An assertion that also holds under python -O."""
    if not condition:
        raise AssertionError(what)


def expect_equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def expect_match(pattern, text, what=""):
    match = re.search(pattern, text)
    if not match:
        raise AssertionError(f"{what}: {pattern!r} is not in:\n{text}")
    return match


def now():
    return time.time()
