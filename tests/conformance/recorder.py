# SPDX-License-Identifier: MIT
"""A server that writes down what a client does: the commands, which of them came before an answer
was needed, the bytes of the content, and how the session ended.

    with Recorder() as recorder:
        port = recorder.listen("name", Server(extensions=("PIPELINING",)))
        ... mail goes there ...
        recorder.sessions("name")

A session is a list of groups. A group is what the client sent without reading a reply in between: a
list of command lines, with Data where content came. To see that, the server holds its replies back
until the client is silent for a moment, where the client may say more.
"""
import asyncio
import dataclasses
import re
import threading

CUT = "cut"      # as a reply: end the connection instead
STALL = "stall"  # as a reply: say nothing any more
QUIET = 0.05     # a client that pipelines is silent that long: it waits for us
LONG_QUIET = 0.3  # the same when it has sent much: more may be on the way
QUIT_HOLD = 1.0  # how long a client may take to leave without the reply to QUIT,
RCPT_HOLD = 0.05  # and for what it has to write down about each recipient before
AFTER_CUT = 5.0  # how long it may take to notice that we are gone
END_OF_GROUP = ("DATA", "QUIT", "EHLO", "HELO", "LHLO")


@dataclasses.dataclass
class Server:
    """What a server offers and answers. `replies` maps a step (connect, EHLO, HELO, XFORWARD, MAIL,
    RCPT, DATA, dot, RSET, QUIT) to a reply, or to a function of (talk, line) that returns one, or None
    for the ordinary reply. A reply is text without its last CRLF, CUT or STALL."""
    banner: str = "220 sink.example ESMTP"
    extensions: tuple = ()
    replies: dict = dataclasses.field(default_factory=dict)
    lmtp: bool = False

    @property
    def pipelining(self):
        return "PIPELINING" in self.extensions


class Data(bytes):
    """Content as it came: with its dots, without the final one (DATA); or one chunk (BDAT)."""


@dataclasses.dataclass
class Session:
    port: int
    groups: list = dataclasses.field(default_factory=list)
    replies: list = dataclasses.field(default_factory=list)  # ours, a list for each group
    end: str = "open"

    def commands(self):
        return [c for group in self.groups for c in group if not isinstance(c, Data)]


def message_of(commands):
    """The message that commands are about ("m017"), or "-"."""
    for line in commands:
        if line[:4] in ("MAIL", "RCPT"):
            found = re.search(r"\bm(\d{3})\b", line)
            if found:
                return found.group(0)
    return "-"


class Talk:
    """One connection."""

    def __init__(self, server, session, reader, writer):
        self.server, self.session = server, session
        self.reader, self.writer = reader, writer
        self.buffer, self.eof = b"", False
        self.mail, self.recipients = "", []  # of the transaction; recipients that were accepted
        self.rcpts = 0                       # RCPT commands of the transaction
        self.last_chunk = True               # no more content will follow

    async def more(self, seconds=None):
        """Reads once; False at the end of input or when nothing comes."""
        try:
            piece = await asyncio.wait_for(self.reader.read(1 << 20), seconds)
        except (asyncio.TimeoutError, ConnectionError) as error:
            self.eof = self.eof or isinstance(error, ConnectionError)
            return False
        self.eof = not piece
        self.buffer += piece
        return bool(piece)

    async def line(self, seconds=None):
        while b"\n" not in self.buffer:
            if self.eof or not await self.more(seconds):
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")

    async def content(self):
        """To CRLF.CRLF, or None when the client leaves before."""
        data = bytearray(b"\r\n")  # as if of the line before: the dot may come at once
        while True:
            looked = max(0, len(data) - 4)
            data += self.buffer
            self.buffer = b""
            end = data.find(b"\r\n.\r\n", looked)
            if end >= 0:
                self.buffer = bytes(data[end + 5:])
                return Data(data[2:end + 2])
            if not await self.more():
                return None

    async def chunk(self, size):
        while len(self.buffer) < size:
            if not await self.more():
                return None
        piece, self.buffer = self.buffer[:size], self.buffer[size:]
        return Data(piece)

    async def group(self, content_first):
        """What the client says before it waits for us; empty when it has left."""
        items, size = [], 0
        if content_first:
            content = await self.content()
            if content is None:
                return ["(left in the middle of the content)"]
            items.append(content)
            if not self.server.pipelining and b"\n" not in self.buffer:
                return items
        while True:
            quiet = None if not items else LONG_QUIET if size > 3000 else QUIET
            if items and b"\n" not in self.buffer and not self.server.pipelining:
                return items
            line = await self.line(quiet)
            if line is None:
                return items
            size += len(line)
            items.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "BDAT":
                chunk = await self.chunk(int(line.split(" ")[1]))
                if chunk is None:
                    return [*items, "(left in the middle of a chunk)"]
                items.append(chunk)
            elif verb in END_OF_GROUP:
                return items

    def reply(self, step, line, ordinary):
        value = self.server.replies.get(step)
        if callable(value):
            value = value(self, line)
        return ordinary if value is None else value

    def answer(self, item):
        """The replies to one item of a group; changes the transaction."""
        if isinstance(item, Data):
            return self.after_content() if self.last_chunk else ["250 2.0.0 Ok: chunk"]
        verb = item.split(" ")[0].upper()
        if verb in ("EHLO", "LHLO"):
            names = ["sink.example", *self.server.extensions]
            text = "\r\n".join(f"250{' ' if n is names[-1] else '-'}{n}" for n in names)
            return [self.reply("EHLO", item, text)]
        if verb == "HELO":
            return [self.reply("HELO", item, "250 sink.example")]
        if verb == "MAIL":
            reply = self.reply("MAIL", item, "250 2.1.0 Ok")
            if reply[0] == "2":
                self.mail, self.recipients, self.rcpts = item, [], 0
            return [reply]
        if verb == "RCPT":
            self.rcpts += 1
            reply = self.reply("RCPT", item, "250 2.1.5 Ok") if self.mail else "503 5.5.1 no MAIL"
            if reply[0] == "2":
                self.recipients.append(item)
            return [reply]
        if verb == "DATA":
            self.last_chunk = True
            if not self.recipients:
                return [self.reply("DATA", item, "554 5.5.1 no valid recipients")]
            return [self.reply("DATA", item, "354 go on")]
        if verb == "BDAT":
            self.last_chunk = item.upper().endswith(" LAST")
            return []  # answered with its chunk
        if verb == "RSET":
            self.mail = ""
            return [self.reply("RSET", item, "250 2.0.0 Ok")]
        if verb == "XFORWARD":
            return [self.reply("XFORWARD", item, "250 2.0.0 Ok")]
        if verb == "QUIT":
            return [self.reply("QUIT", item, "221 2.0.0 Bye")]
        if verb == "NOOP":
            return ["250 2.0.0 Ok"]
        return ["502 5.5.2 what?"]

    def after_content(self):
        mail, recipients, self.mail = self.mail, self.recipients, ""
        if not recipients:
            return ["554 5.5.1 no valid recipients"]
        if not self.server.lmtp:
            return [self.reply("dot", mail, "250 2.0.0 Ok: taken")]
        return [self.reply("dot", line, "250 2.1.5 Ok: taken") for line in recipients]

    async def say(self, replies):
        """Writes them; False when the conversation is over."""
        for reply in replies:
            if reply in (CUT, STALL):
                if reply is CUT:
                    self.writer.write_eof()
                return False
            self.writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
            await self.writer.drain()
        return True

    async def leave(self):
        """We have said our last word: what does the client do?"""
        rest = []
        while (line := await self.line(AFTER_CUT)) is not None:
            rest.append(line)
        if rest:
            self.session.groups.append(rest)
        self.session.end = "client left" if self.eof else "client stayed"

    async def run(self):
        session = self.session
        first = self.reply("connect", "", self.server.banner)
        session.replies.append([first])
        if not await self.say([first]):
            return await self.leave()
        content_next = False
        while True:
            group = await self.group(content_next)
            if not group:
                session.end = "client left"
                return
            session.groups.append(group)
            replies = []
            quits = isinstance(group[-1], str) and group[-1].upper() == "QUIT"
            for item in group[:-1] if quits else group:
                replies += self.answer(item)
            session.replies.append(replies)
            content_next = bool(replies) and replies[-1].startswith("354")
            if not await self.say(replies):
                return await self.leave()
            if quits:
                return await self.bye(group[-1])

    async def bye(self, line):
        """Does the client wait for the reply to QUIT?"""
        await self.more(QUIT_HOLD + RCPT_HOLD * self.rcpts)
        if self.eof:
            self.session.end = "client left after QUIT"
            return
        goodbye = self.answer(line)
        self.session.replies.append(goodbye)
        if not await self.say(goodbye):
            return await self.leave()
        await self.leave()
        if self.session.end == "client left":
            self.session.end = "client left after the reply to QUIT"


class Recorder:
    """Many servers in one thread."""

    def __init__(self):
        self.lock = threading.Condition()
        self.servers, self.by_port = [], {}
        self.open = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        for server in self.servers:
            server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def listen(self, server):
        """Returns the port."""
        async def open_socket():
            async def serve(reader, writer):
                await self.serve(server, port, reader, writer)
            opened = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22, backlog=512)
            port = opened.sockets[0].getsockname()[1]
            self.servers.append(opened)
            return port

        port = asyncio.run_coroutine_threadsafe(open_socket(), self.loop).result()
        self.by_port[port] = []
        return port

    async def serve(self, server, port, reader, writer):
        session = Session(port)
        with self.lock:
            self.by_port[port].append(session)
            self.open += 1
        try:
            await Talk(server, session, reader, writer).run()
        except ConnectionError:
            session.end = "reset"
        finally:
            writer.close()
            with self.lock:
                self.open -= 1
                self.lock.notify_all()

    def sessions(self, port):
        with self.lock:
            return list(self.by_port.get(port, []))

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()
