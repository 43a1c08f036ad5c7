# SPDX-License-Identifier: MIT
"""Servers that receive mail in tests: a scripted one of our own, and Debian's smtp-sink.

The script is a dictionary from the start of a command line (in upper case), or "connect" or "dot",
to what is answered: a reply text; a list of them, taken in turn, the last for ever; a function of
(session, line); CLOSE; or STALL. The longest key that matches wins. An LMTP sink answers the final
dot once per recipient; "dot <address>" scripts one of them.
"""
import asyncio
import dataclasses
import pathlib
import re
import shutil
import subprocess
import threading

import ports

CLOSE = object()
STALL = object()
EXTENSIONS = ("PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8")


@dataclasses.dataclass
class Message:
    sender: str
    recipients: list
    data: bytes
    mail_line: str
    rcpt_lines: list
    session: int

    @property
    def header(self):
        return self.data.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")

    @property
    def body(self):
        parts = self.data.split(b"\r\n\r\n", 1)
        return parts[1] if len(parts) > 1 else b""


class Session:
    def __init__(self, number):
        self.number = number
        self.lines = []
        self.reset()

    def reset(self):
        self.sender, self.recipients, self.mail_line, self.rcpt_lines = None, [], "", []
        self.chunks = bytearray()


def address(line):
    match = re.search(r"<([^>]*)>", line)
    return match.group(1) if match else ""


class Sink:
    """A server in a thread of its own. `messages` holds what was accepted, in order."""

    def __init__(self, script=None, lmtp=False, host="127.0.0.1", port=0, unix=None,
                 extensions=EXTENSIONS, name="sink.example", listener=None):
        self.script, self.lmtp, self.name = dict(script or {}), lmtp, name
        self.extensions = extensions
        self.host, self.port, self.unix = host, port, unix
        self.messages, self.sessions, self.open = [], [], 0
        self.changed = threading.Condition()
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.failure = None

        def run():
            asyncio.set_event_loop(self.loop)
            try:
                if unix is not None:
                    start = asyncio.start_unix_server(self.serve, unix, limit=2**24)
                elif listener is not None:
                    start = asyncio.start_server(self.serve, sock=listener, limit=2**24)
                else:
                    start = asyncio.start_server(self.serve, host, port, limit=2**24, backlog=1024)
                self.server = self.loop.run_until_complete(start)
                if unix is None:
                    self.port = self.server.sockets[0].getsockname()[1]
            except OSError as error:
                self.failure = error
                return
            finally:
                ready.set()
            self.loop.run_forever()
            self.server.close()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.close()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        ready.wait()
        if self.failure:
            raise self.failure

    @property
    def place(self):
        return f"[{self.host}]:{self.port}"

    def close(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()

    def wait(self, count, seconds=20.0):
        """The messages, once there are at least `count`."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, seconds):
                raise TimeoutError(f"{len(self.messages)} of {count} messages came within {seconds:g} s")
            return list(self.messages)

    def answer(self, session, line, default, keys=None):
        upper = line.upper()
        known = [k for k in self.script if (k in keys if keys else upper.startswith(k.upper()))]
        if not known:
            return default
        value = self.script[max(known, key=len)]
        if isinstance(value, list):
            value = value.pop(0) if len(value) > 1 else value[0]
        if callable(value):
            value = value(session, line)
        return default if value is None else value

    async def serve(self, reader, writer):
        session = Session(len(self.sessions))
        session.peer = writer.get_extra_info("peername")
        session.task = asyncio.current_task()  # nobody else keeps one that waits for nothing
        with self.changed:
            self.sessions.append(session)
            self.open += 1
            self.changed.notify_all()
        try:
            await self.talk(session, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, EOFError, asyncio.CancelledError):
            pass
        finally:
            with self.changed:
                self.open -= 1
                self.changed.notify_all()
            writer.close()

    async def say(self, writer, reply):
        if reply is CLOSE:
            raise EOFError
        if reply is STALL:
            await asyncio.Event().wait()
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()

    async def talk(self, session, reader, writer):
        protocol = "LMTP" if self.lmtp else "ESMTP"
        await self.say(writer, self.answer(session, "", f"220 {self.name} {protocol}", {"connect"}))
        while True:
            raw = await reader.readline()
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            session.lines.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                names = [self.name, *self.extensions]
                text = "\r\n".join(f"250{' ' if n is names[-1] else '-'}{n}" for n in names)
                reply = self.answer(session, line, text)
            elif verb == "DATA":
                reply = self.answer(session, line, "354 go on" if session.recipients
                                    else "503 5.5.1 no recipients")
                await self.say(writer, reply)
                if reply.startswith("354"):
                    await self.text(session, reader, writer)
                continue
            elif verb == "BDAT":
                await self.chunk(session, line, reader, writer)
                continue
            elif verb == "MAIL":
                reply = self.answer(session, line, "250 2.1.0 ok")
                if isinstance(reply, str) and reply[0] == "2":
                    session.reset()
                    session.sender, session.mail_line = address(line), line
            elif verb == "RCPT":
                reply = self.answer(session, line, "250 2.1.5 ok") if session.sender is not None \
                    else "503 5.5.1 no MAIL"
                if isinstance(reply, str) and reply[0] == "2":
                    session.recipients.append(address(line))
                    session.rcpt_lines.append(line)
            elif verb == "RSET":
                session.reset()
                reply = self.answer(session, line, "250 2.0.0 ok")
            elif verb == "QUIT":
                await self.say(writer, self.answer(session, line, "221 2.0.0 bye"))
                return
            else:
                known = verb in ("HELO", "NOOP", "XFORWARD")
                reply = self.answer(session, line, "250 ok" if known else "500 5.5.2 what?")
            await self.say(writer, reply)

    async def text(self, session, reader, writer):
        data = bytearray()
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                return
            if line == b".\r\n":
                break
            data += line[1:] if line.startswith(b".") else line
        await self.take(session, data, writer)

    async def chunk(self, session, line, reader, writer):
        size, *last = line.split(" ")[1:]
        session.chunks += await reader.readexactly(int(size))
        if not session.recipients:
            await self.say(writer, "503 5.5.1 no recipients")
        elif last:
            await self.take(session, session.chunks, writer)
        else:
            await self.say(writer, self.answer(session, line, f"250 2.0.0 {size} bytes"))

    async def take(self, session, data, writer):
        accepted, replies = [], []
        for recipient in session.recipients if self.lmtp else [None]:
            keys = {"dot"} if recipient is None else {"dot", f"dot {recipient}"}
            reply = self.answer(session, "", "250 2.0.0 taken", keys)
            replies.append(reply)
            if isinstance(reply, str) and reply[0] == "2":
                accepted += session.recipients if recipient is None else [recipient]
        if accepted:
            message = Message(session.sender, accepted, bytes(data), session.mail_line,
                              session.rcpt_lines, session.number)
            self.keep(message)
        for reply in replies:
            await self.say(writer, reply)
        session.reset()

    def keep(self, message):
        """Called before the reply is sent."""
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()


class SmtpSink:
    """Debian's smtp-sink; what it received lies in files of `directory`."""

    def __init__(self, directory, *options):
        program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(exist_ok=True)
        self.port = ports.free_port()
        as_root = ["-u", "root"] if pathlib.Path("/proc/self").stat().st_uid == 0 else []
        self.process = subprocess.Popen(
            [program, *as_root, "-d", f"{self.dir}/m.", *options, f"127.0.0.1:{self.port}", "1000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ports.wait_listening("127.0.0.1", self.port)

    @property
    def place(self):
        return f"[127.0.0.1]:{self.port}"

    def files(self):
        return [p for p in sorted(self.dir.iterdir()) if p.stat().st_size]

    def close(self):
        self.process.terminate()
        self.process.wait()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()
