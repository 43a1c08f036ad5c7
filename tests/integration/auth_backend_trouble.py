# SPDX-License-Identifier: MIT
"""saslauthd is away, slow, hangs, or answers nonsense: 454, never a login, and nobody else waits.

# shows: smtpd_sasl_time_limit
"""
import base64

import sasl_accounts
from fake_saslauthd import CLOSE, HANG, NO, OK, FakeSaslauthd
from suite import Suite, expect, expect_equal, expect_match

LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0joe\0s3cret").decode()
CROWD = 45
TEMPORARY = "454 4.7.0 Temporary authentication failure: "


def begin(suite):
    client = suite.raw()
    client.command("EHLO client.example")
    return client


with Suite(start=False, smtpd_sasl_time_limit="3s", smtpd_sasl_failure_limit="0",
           smtpd_timeout="60s", smtpd_client_connection_count_limit="0",
           **sasl_accounts.SETTINGS) as suite:
    sasl_accounts.configure(suite, "pwcheck_method: saslauthd", "mech_list: PLAIN LOGIN",
                            f"saslauthd_path: {suite.top}/saslauthd/mux")
    suite.start()
    with begin(suite) as client:
        expect_match("^" + TEMPORARY, client.command(LOGIN), "no saslauthd")
        suite.wait_log(r"saslmgr\[\d+\]: warning: SASL authentication problem: .*saslauthd")
        suite.wait_log(r"smtpd\[\d+\]: warning: \S+: SASL PLAIN authentication failed: .*sasl_username=joe")
        with FakeSaslauthd(suite.top / "saslauthd") as backend:
            backend.answer = NO
            expect_equal(client.command(LOGIN),
                         "535 5.7.8 Error: authentication failed: authentication failure", "NO")
            for nonsense in (CLOSE, b"", b"\0", b"\0\0", b"\0\1O", b"\xff\xff" + b"x" * 70000,
                             b"HTTP/1.1 200 OK\r\n\r\n", b"\0\x02ok", b"\0\x02"):
                backend.answer = nonsense
                expect_match("^(454 4.7.0|535 5.7.8) ", client.command(LOGIN), f"{nonsense!r:.40}")
                client = client if client.command("RSET").startswith("250") else begin(suite)

            # One hangs; another session logs in meanwhile.
            backend.answer = HANG
            count = len(backend.asked)
            slow = begin(suite)
            slow.write(LOGIN + "\r\n")
            backend.wait(count + 1)
            backend.answer = OK
            with begin(suite) as other:
                expect_equal(other.command(LOGIN), "235 2.7.0 Authentication successful", "another")
            expect_match("^" + TEMPORARY, slow.reply(), "one that hangs")
            expect_equal(slow.command(LOGIN), "235 2.7.0 Authentication successful", "afterwards")
            suite.wait_log(r"saslmgr\[\d+\]: warning: a SASL worker is given up during PLAIN: it does not")

            # A crowd: a bounded number of processes, an answer for each, and mail goes on.
            backend.answer = HANG
            count = len(backend.asked)
            crowd = [begin(suite) for _ in range(CROWD)]
            for one in crowd:
                one.write(LOGIN + "\r\n")
            backend.wait(count + 20)
            with begin(suite) as other:
                expect(other.command("MAIL FROM:<a@b.example>").startswith("250"), "MAIL meanwhile")
                expect(other.command("QUIT").startswith("221"), "QUIT meanwhile")
            manager = suite.pids("saslmgr")
            expect(len(manager) <= 33, f"{len(manager)} processes")
            for one in crowd:
                expect_match("^" + TEMPORARY, one.reply(), "one of a crowd")
                one.close()
            backend.answer = OK
            with begin(suite) as other:
                expect_equal(other.command(LOGIN), "235 2.7.0 Authentication successful", "the end")
    expect("s3cret" not in "\n".join(suite.lines()), "a password in the log")
    expect(base64.b64encode(b"s3cret").decode() not in "\n".join(suite.lines()), "encoded, too")
