# SPDX-License-Identifier: MIT
"""Who guesses passwords is delayed, sent away, and held back in the whole suite: by account and by
where he is, but not so that the owner is locked out.

# shows: smtpd_sasl_failure_limit smtpd_sasl_failure_time smtpd_sasl_failure_delay
"""
import base64
import smtplib
import time

import sasl_accounts
from sasl_accounts import PASSWORD
from suite import Suite, expect, expect_equal

HELD_BACK = (454, "4.7.0 Temporary authentication failure: too many failed logins")
REFUSED = (535, "5.7.8 Error: authentication failed: authentication failure")
WELCOME = (235, "2.7.0 Authentication successful")


def connect(suite, host="127.0.0.1"):
    client = smtplib.SMTP("127.0.0.1", suite.port, "client.example", timeout=60,
                          source_address=(host, 0))
    client.ehlo()
    return client


def attempt(suite, host, user, password):
    client = connect(suite, host)
    secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, text = client.docmd("AUTH PLAIN " + secret)
    client.quit()
    return code, text.decode()


with Suite(start=False, **{**sasl_accounts.SETTINGS, "smtpd_sasl_failure_limit": "4",
                           "smtpd_sasl_failure_time": "1h", "smtpd_sasl_failure_delay": "1s",
                           "smtpd_hard_error_limit": "3", "smtpd_error_sleep_time": "0"}) as suite:
    sasl_accounts.make(suite, ["PLAIN"])
    suite.start()
    expect_equal(attempt(suite, "127.0.0.9", "joe", PASSWORD), WELCOME, "the owner")

    # Delayed, and the session ends.
    client = connect(suite, "127.0.0.2")
    wrong = base64.b64encode(b"\0joe\0guess").decode()
    before = time.monotonic()
    for _ in range(3):
        expect_equal(client.docmd("AUTH PLAIN " + wrong)[0], 535, "a guess")
    expect(time.monotonic() - before >= 3, "a second for each")
    expect_equal(client.getreply()[0], 421, "after the last one")
    client.close()
    suite.wait_log(r"too many errors after AUTH from \S+\[127\.0\.0\.2\]")

    # Beyond the limit nothing is tried: not from there, nor for the account from elsewhere.
    expect_equal(attempt(suite, "127.0.0.2", "joe", "guess"), REFUSED, "the fourth guess")
    suite.wait_log(r"saslmgr\[\d+\]: warning: too many failed logins: joe@realm\.example from 127\.0\.0\.2")
    expect_equal(attempt(suite, "127.0.0.2", "ann", PASSWORD), HELD_BACK, "another account from there")
    expect_equal(attempt(suite, "127.0.0.3", "joe", PASSWORD), HELD_BACK, "the account from elsewhere")
    expect_equal(attempt(suite, "127.0.0.3", "JOE@realm.example", "guess"), HELD_BACK, "in other letters")
    expect_equal(attempt(suite, "127.0.0.3", "ann", PASSWORD), WELCOME, "another account from elsewhere")
    expect_equal(attempt(suite, "127.0.0.9", "joe", PASSWORD), WELCOME, "the owner, where he always is")
    text = "\n".join(suite.lines())
    for secret in ("guess", wrong, PASSWORD):
        expect(secret not in text, "a password in the log")
