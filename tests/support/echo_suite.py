# SPDX-License-Identifier: MIT
"""The real master with echo workers (tests/support/workers/echo_worker.cpp) instead of mail programs.

    with EchoSuite("echo unix n - n - - echo_worker") as suite:
        print(suite.greeting("public/echo")["pid"])
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import ports
import procs
import sanitizers

BUILD = pathlib.Path(os.environ.get("POSTRIDER_BUILD", "build")).resolve()
MASTER = BUILD / "libexec/postrider/master"
WORKERS = BUILD / "tests/workers"


class EchoSuite:
    def __init__(self, *services, user=None, **settings):
        """user: the uid as which master is started, when the test itself runs as root."""
        self.as_user = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="postrider-echo-"))
        self.top.chmod(0o755)
        self.config = self.top / "etc"
        self.config.mkdir()
        self.queue = self.top / "queue"
        self.log = self.top / "log"
        self.pid = None
        self.settings = {
            "queue_directory": self.queue,
            "data_directory": self.top / "data",
            "daemon_directory": WORKERS,
            "maillog_file": self.log,
            "maillog_file_prefixes": self.top,
            "myhostname": "host.example",
            "myorigin": "first.example",
            "mail_owner": "nobody",
        }
        self.configure(**settings)
        self.services(*services)
        if user is not None:
            os.chown(self.top, user, user)

    # --- configuration and life --------------------------------------------------------------------
    def configure(self, **settings):
        self.settings.update(settings)
        (self.config / "main.cf").write_text(
            "".join(f"{name} = {value}\n" for name, value in self.settings.items()))

    def services(self, *lines):
        (self.config / "master.cf").write_text("".join(line + "\n" for line in lines))

    def master(self, *options, check=True):
        done = subprocess.run([MASTER, "-c", self.config, *options], capture_output=True, text=True,
                              check=False, timeout=60, **self.as_user)
        if check and done.returncode != 0:
            raise RuntimeError(f"master failed ({done.returncode}): {done.stderr}")
        return done

    def start(self):
        self.master()
        self.pid = int((self.queue / "pid/master.pid").read_text())

    def hang_up(self, expected=r"reload: generation (\d+)"):
        """SIGHUP; returns when the log has the expected line once more."""
        before = self.count_log(expected)
        os.kill(self.pid, signal.SIGHUP)
        ports.wait_until(lambda: self.count_log(expected) > before, what=f"log line {expected}")

    def stop(self):
        pids = procs.tree(self.pid)
        os.kill(self.pid, signal.SIGTERM)
        procs.wait_gone(pids, 40)
        self.pid = None

    def running(self):
        return self.master("-t", check=False).returncode == 1

    # --- looking ------------------------------------------------------------------------------------
    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def count_log(self, pattern):
        return len(re.findall(pattern, self.text()))

    def wait_log(self, pattern, count=1):
        ports.wait_until(lambda: self.count_log(pattern) >= count, what=f"log line {pattern}")

    def workers(self):
        """Living worker processes; a forked child that has not executed its program yet is none."""
        return [p for p in procs.tree(self.pid)
                if procs.name_of(p) == "echo_worker" and procs.alive(p)]

    # --- clients ------------------------------------------------------------------------------------
    def connect(self, place):
        """place: a port number, or a path below the queue directory."""
        if isinstance(place, int):
            return Client(socket.create_connection(("127.0.0.1", place), timeout=30))
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(str(self.queue / place))
        return Client(sock)

    def greeting(self, place):
        with self.connect(place) as client:
            return client.greeting

    # --- frame ----------------------------------------------------------------------------------------
    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.end(failed=True)
            raise
        return self

    def __exit__(self, kind, *_):
        failed = kind is not None
        try:
            if self.pid is not None and procs.alive(self.pid):
                self.stop()
        except TimeoutError:
            self.end(failed=True)
            raise
        bad = re.findall(rf".*(?:panic:|{sanitizers.IN_LOG}).*", self.text())
        self.end(failed or bool(bad))
        if bad and not failed:
            raise AssertionError("\n".join(bad))

    def end(self, failed):
        if self.pid is not None and procs.alive(self.pid):
            procs.kill_tree(self.pid)
        if failed:
            print(f"--- kept {self.top}; the log:", self.text()[-6000:], sep="\n", file=sys.stderr)
        else:
            shutil.rmtree(self.top, ignore_errors=True)


class Client:
    """Reads the greeting line: "pid N origin NAME listener PLACE"."""

    def __init__(self, sock):
        self.socket = sock
        self.file = sock.makefile("r", newline="\n")
        words = self.line().split()
        self.greeting = dict(zip(words[::2], words[1::2]))
        self.pid = int(self.greeting["pid"])

    def line(self):
        text = self.file.readline()
        if not text.endswith("\n"):
            raise ConnectionError("closed by the worker")
        return text.rstrip("\n")

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\n")
        return self.line()

    def tell(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def closed(self):
        try:
            return self.file.read(1) == ""
        except ConnectionError:
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()
