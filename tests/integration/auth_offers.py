# SPDX-License-Identifier: MIT
"""To whom AUTH is offered, and which mechanisms; what a client may do wrong.

# shows: smtpd_tls_auth_only smtpd_sasl_security_options smtpd_sasl_mechanism_filter
# shows: smtpd_sasl_exceptions_networks broken_sasl_auth_clients smtpd_sasl_response_limit
# shows: smtpd_sasl_type
"""
import base64

import ports
import sasl_accounts
from sasl_accounts import PASSWORD, SETTINGS
from suite import RawClient, Suite, expect, expect_equal, expect_match

LOGIN = "AUTH PLAIN " + base64.b64encode(f"\0joe\0{PASSWORD}".encode()).decode()
# One listener for each way to be configured.
WAYS = {
    "plain": {},
    "hashed": {"smtpd_sasl_security_options": "noanonymous,noplaintext"},
    "filtered": {"smtpd_sasl_mechanism_filter": "!login,static:rest"},
    "tls_only": {"smtpd_tls_auth_only": "yes"},
    "old": {"broken_sasl_auth_clients": "yes", "smtpd_sasl_mechanism_filter": "plain"},
    "excepted": {"smtpd_sasl_exceptions_networks": "!127.0.0.2,127.0.0.0/8"},
    "hidden": {"smtpd_discard_ehlo_keywords": "auth"},
    "short": {"smtpd_sasl_response_limit": "600"},
    "off": {"smtpd_sasl_auth_enable": "no"},
    "dovecot": {"smtpd_sasl_type": "dovecot"},
}
ALL = {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "ANONYMOUS"}


def offers(text):
    """The words behind AUTH, or None."""
    for line in text.split("\n"):
        if line[4:9] == "AUTH ":
            return set(line[9:].split())
    return None


with Suite(start=False, **SETTINGS) as suite:
    sasl_accounts.make(suite, sorted(ALL))
    ways = {way: ports.free_port() for way in WAYS}
    with (suite.dir / "master.cf").open("a") as master:
        for way, settings in WAYS.items():
            master.write(f"127.0.0.1:{ways[way]} inet n - n - - smtpd\n")
            master.write("".join(f"  -o {name}={value}\n" for name, value in settings.items()))
    suite.start()

    def begin(way):
        client = RawClient(ways[way])
        return client, client.command("EHLO client.example")

    for way, wanted in {"plain": ALL - {"ANONYMOUS"}, "hashed": {"CRAM-MD5", "SCRAM-SHA-256"},
                        "filtered": ALL - {"LOGIN", "ANONYMOUS"}, "tls_only": None, "old": {"PLAIN"},
                        "excepted": None, "hidden": None, "off": None, "dovecot": None}.items():
        client, text = begin(way)
        expect_equal(offers(text), wanted, way)
        expect_equal("AUTH=PLAIN" in text, way == "old", f"{way}: AUTH=")
        reply = client.command(LOGIN)
        client.close()
        wanted = {"plain": "235 ", "filtered": "235 ", "old": "235 ", "excepted": "235 ",
                  "hashed": "535 5.7.8 .*no mechanism available", "tls_only": "504 5.5.4 "}
        expect_match("^" + wanted.get(way, "503 5.5.1 Error: authentication not enabled"), reply, way)
    suite.wait_log(r"warning: smtpd_sasl_type = dovecot: only cyrus is known here; AUTH is not offered")

    client, _ = begin("short")
    expect_equal(client.command("AUTH PLAIN"), "334 ", "a challenge")
    expect_equal(client.command("A" * 601), "500 5.5.6 SASL response limit exceeded", "a long line")
    expect_match("^535 ", client.command("AUTH PLAIN") and client.command("A" * 600), "the longest")
    client.close()

    client, _ = begin("plain")
    for line, reply in ((LOGIN + " more", "501 5.5.4 Syntax: AUTH mechanism"),
                        ("AUTH PLAIN %%%", "501 5.5.2 Error: authentication failed: malformed initial"),
                        ("AUTH ANONYMOUS dHJhY2U=", "535 5.7.8 "), ("AUTH X", "535 5.7.8 "),
                        ("AUTH CRAM-MD5", "334 "), ("*", "501 5.7.0 Authentication aborted"),
                        ("AUTH PLAIN AAAAAA==", "535 5.7.8 "), ("AUTH PLAIN =", "535 5.7.8 "),
                        ("MAIL FROM:<joe@example.org> AUTH=joe+0Aroot", "501 "),
                        ("MAIL FROM:<joe@example.org>", "250 "),
                        (LOGIN, "503 5.5.1 Error: MAIL transaction in progress"), ("RSET", "250 "),
                        (LOGIN, "235 2.7.0 Authentication successful"),
                        (LOGIN, "503 5.5.1 Error: already authenticated"),
                        ("MAIL FROM:<joe@example.org> AUTH=joe@example.org", "250 ")):
        got = client.command(line)
        expect(got.startswith(reply), f"{line[:30]}: {got}")
    client.close()
    suite.wait_log(r"warning: \S+: SASL CRAM-MD5 authentication aborted")
    suite.wait_log(r"warning: \S+: SASL PLAIN authentication failed: malformed initial response, "
                   r"sasl_username=\(unavailable\)")
