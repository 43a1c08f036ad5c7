# SPDX-License-Identifier: MIT
"""Twenty reloads: no connection is refused, a session that was open goes on, new settings hold, and a
broken main.cf leaves the old ones in force."""
import threading

import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_banner="$myhostname ESMTP one") as suite:
    refused, stop, connected = [], threading.Event(), [0]

    def connect():
        while not stop.is_set():
            try:
                with RawClient(suite.port) as client:
                    if not client.greeting.startswith("220"):
                        refused.append(client.greeting)
                    connected[0] += 1
            except OSError as error:
                refused.append(str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    with suite.raw() as old:
        old.command("EHLO client.example")
        suite.configure(smtpd_banner="$myhostname ESMTP two")
        for _ in range(20):
            suite.reload()
        suite.wait_log("reload")

        def greeting():
            with RawClient(suite.port) as client:
                return client.greeting.endswith("two")

        ports.wait_until(greeting, 20, "the new banner")
        expect_match("^250", old.command("MAIL FROM:<a@example.org>"), "the old session")
        expect_match("^250", old.command("RCPT TO:<b@example.net>"), "the old session")
        expect_match("^354", old.command("DATA"), "the old session")
        expect_match("^250", old.command("Subject: x\r\n\r\nx\r\n."), "the old session")
    sink.wait(1)
    stop.set()
    thread.join()
    expect_equal(refused, [], "refused")
    expect(connected[0] > 20, "connections were made meanwhile")

    good = suite.main_cf.read_text()
    suite.main_cf.write_text(good + "smtpd_timeout = often\nsmtpd_banner = $myhostname three\n")
    done = suite.cli("reload", check=False)
    expect(done.returncode != 0, "a bad value is told")
    expect_match(r"main\.cf.*smtpd_timeout|smtpd_timeout.*main\.cf", done.stdout + done.stderr, "what and where")
    with RawClient(suite.port) as client:
        expect(client.greeting.endswith("two"), client.greeting)
    suite.main_cf.write_text(good)
