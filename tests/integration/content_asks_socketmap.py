# SPDX-License-Identifier: MIT
"""Content and addresses on the way out looked up in a socketmap server: order and bytes stay, however
long it takes, other deliveries go on meanwhile, and a server that is gone defers."""
import socketserver
import threading

import sinks
from suite import Suite, expect, expect_equal

GATE = threading.Event()
ANSWERS = {"generic joe@in.example": "OK Joe@out.example",
           "body change": "OK REPLACE changed", "body drop": "OK IGNORE",
           "header Subject: slow": "OK PREPEND X-Before: slow"}
LINES = [f"line {i}" if i % 7 else ("change", "drop")[i % 2] for i in range(2000)]
EXPECTED = [x if x != "change" else "changed" for x in LINES if x != "drop"]
asked = []


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            length = b""
            while (byte := self.rfile.read(1)) not in (b":", b""):
                length += byte
            if not length:
                return
            request = self.rfile.read(int(length) + 1)[:-1].decode()
            asked.append(request)
            if request == "header Subject: slow":
                GATE.wait()
            answer = ANSWERS.get(request, "NOTFOUND ").encode()
            self.wfile.write(b"%d:%s," % (len(answer), answer))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with sinks.Sink() as sink, Server(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"socketmap:inet:127.0.0.1:{server.server_address[1]}"
    with Suite(relayhost=sink.place, smtp_generic_maps=f"{place}:generic",
               smtp_header_checks=f"{place}:header", smtp_body_checks=f"{place}:body") as suite:
        body = "\n".join(LINES) + "\n"
        suite.send("joe@in.example", ["slow@example.net"], "Subject: slow\nFrom: joe@in.example\n\n" + body)
        suite.send("joe@in.example", ["quick@example.net"], "Subject: quick\nTo: joe@in.example\n\nchange\n")
        quick = sink.wait(1)[0]
        expect_equal((quick.sender, quick.recipients, quick.body),
                     ("Joe@out.example", ["quick@example.net"], b"changed\r\n"), "not held up")
        expect("header Subject: slow" in asked, "the other one waits")
        GATE.set()
        slow = sink.wait(2)[1]
        expect("X-Before: slow\r\nSubject: slow\r\nFrom: Joe@out.example\r\n" in slow.data.decode(), "headers")
        expect_equal(slow.body.decode().split("\r\n")[:-1], EXPECTED, "body")
        suite.wait_empty()
        ANSWERS["body again"] = "TEMP not now"
        sent = suite.send("joe@in.example", ["to@example.net"], "Subject: x\n\nagain\n")
        suite.wait_log(rf"{sent}: to=<to@example\.net>.*dsn=4\.3\.0, status=deferred "
                       r"\(local data error while talking to ")
        expect_equal(len(sink.messages), 2, "nothing was sent without its checks")
    server.shutdown()
