# SPDX-License-Identifier: MIT
"""Tables that ask another process: who waits for a slow answer waits alone, in smtpd and in qmgr; a
server that fails, lies or is gone makes mail wait, and is asked again."""
import json
import threading

import ports
import sinks
from socketmap_server import Server
from suite import Suite, expect, expect_equal, expect_match

with sinks.Sink() as general, sinks.Sink() as special, \
        Suite(start=False, relayhost=general.place) as suite:
    server = Server(suite.top / "socket")
    # relay_domains is asked about mail of clients in mynetworks, too.
    suite.configure(smtpd_relay_restrictions="permit_auth_destination, permit_mynetworks, reject",
                    transport_maps=f"socketmap:unix:{suite.top}/socket:transport",
                    relay_domains=f"socketmap:unix:{suite.top}/socket:relay",
                    minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s")
    server.answers["transport", "user@quick.example"] = f"OK smtp:{special.place}"
    suite.start()

    # qmgr: one recipient's route is not known yet, others go.
    gate = threading.Event()
    server.answers["transport", "user@slow.example"] = gate
    server.answers["transport", "user@slow.example", "then"] = f"OK smtp:{special.place}"
    suite.send("a@example.org", ["user@slow.example"])
    suite.send("a@example.org", ["user@quick.example"])
    special.wait(1)
    suite.send("a@example.org", ["user@other.example"])
    general.wait(1)
    expect_equal([m.recipients for m in special.messages], [["user@quick.example"]], "before the gate")
    gate.set()
    special.wait(2)
    suite.wait_empty()

    # An operator drops mail whose route is being looked up: no trace of it goes out.
    gate = threading.Event()
    server.answers["transport", "user@dropped.example"] = gate
    server.answers["transport", "user@dropped.example", "then"] = f"OK smtp:{special.place}"
    suite.send("a@example.org", ["user@dropped.example"])
    suite.wait_log(r"from=<a@example.org>.*\(queue active\)", 4)
    suite.cli("delete", "ALL")
    suite.wait_empty()
    gate.set()

    # smtpd: a session waits for the answer about its recipient, another one does not.
    gate = threading.Event()
    server.answers["relay", "slow-relay.example"] = gate
    server.answers["relay", "slow-relay.example", "then"] = "OK yes"
    slow, quick = suite.raw(), suite.raw()
    for session in (slow, quick):
        session.command("EHLO client.example")
        session.command("MAIL FROM:<a@example.org>")
    slow.write(b"RCPT TO:<user@slow-relay.example>\r\n")
    expect_match("^250", quick.command("RCPT TO:<user@quick.example>"), "the other session")
    expect(slow.silent(), "the first session waits")
    gate.set()
    expect_match("^250", slow.reply(), "the answer came")
    slow.close()
    quick.close()

    # Trouble: temporary for the client of smtpd, a deferral in qmgr, until the answer is good.
    for number, answer in enumerate(["TEMP later", "PERM wrong", "WHAT", b"9999999:x", b"\xff" * 5000,
                                     "OK a\r\nb", "TIMEOUT "]):
        server.answers["relay", "bad.example"] = answer
        session = suite.raw()
        session.command("EHLO client.example")
        session.command("MAIL FROM:<a@example.org>")
        expect_match("^451 4.3.0", session.command("RCPT TO:<user@bad.example>"), f"{answer!r}")
        session.close()
    server.answers["transport", "user@bad.example"] = b"4:OK x;"
    server.answers["relay", "bad.example"] = "NOTFOUND "
    suite.send("a@example.org", ["user@bad.example"])
    suite.wait_log(r"to=<user@bad.example>.*status=deferred \(cannot route: .*socketmap server")
    server.answers["transport", "user@bad.example"] = f"OK smtp:{special.place}"
    special.wait(3)
    suite.wait_empty()

    # `postrider why` asks for the route, and does without when the answer is slow.
    server.answers["transport", "user@down.example"] = "OK smtp:[127.0.0.1]:1"
    waiting = suite.send("a@example.org", ["user@down.example"])
    suite.wait_log(r"to=<user@down\.example>.*status=deferred")
    suite.cli("hold", waiting)
    told = json.loads(suite.cli("why", waiting, "--json").stdout)["recipients"][0]
    expect_equal((told["transport"], told["nexthop"]), ("smtp", "[127.0.0.1]:1"), "the route")
    gate = threading.Event()
    server.answers["transport", "user@down.example"] = gate
    server.answers["transport", "user@down.example", "then"] = "NOTFOUND "
    expect_match("user@down.example", suite.cli("why", waiting).stdout, "without the route")
    gate.set()
    suite.cli("delete", waiting)
    suite.wait_empty()

    # The server is gone, and comes back.
    server.close()
    session = suite.raw()
    session.command("EHLO client.example")
    session.command("MAIL FROM:<a@example.org>")
    expect_match("^451", session.command("RCPT TO:<user@quick.example>"), "no server")
    server.open()
    expect_match("^250", session.command("RCPT TO:<user@quick.example>"), "the server is back")
    session.close()
    expect(all(key.count("@") == (1 if table == "transport" else 0) for table, key in server.asked),
           f"whole keys only: {server.asked}")

# A command line that is looked up before it is read: whoever is asked about waits, and nobody else.
with Suite(start=False) as suite:
    server = Server(suite.top / "socket")
    suite.configure(smtpd_command_filter=f"socketmap:unix:{suite.top}/socket:command")
    gate = threading.Event()
    server.answers["command", "HELLO slow.example"] = gate
    server.answers["command", "HELLO slow.example", "then"] = "OK HELO slow.example"
    server.answers["command", "NOOP please"] = "TEMP later"
    suite.start()
    slow, quick = suite.raw(), suite.raw()
    slow.write(b"HELLO slow.example\r\n")
    ports.wait_until(lambda: ("command", "HELLO slow.example") in server.asked, 20, "the question")
    expect_match("^250", quick.command("HELO quick.example"), "the other session")
    expect(slow.silent(), "the first session waits")
    gate.set()
    expect_match("^250", slow.reply(), "the answer came")
    expect_match("^451 4.3.0", quick.command("NOOP please"), "no answer")
    slow.close()
    quick.close()
