# SPDX-License-Identifier: MIT
"""Clients log in with each mechanism, by swaks, Python's smtplib and our own smtp; what a login is
good for; and that no password is in any output.

# shows: smtpd_sasl_auth_enable smtpd_sasl_local_domain smtpd_sasl_authenticated_header
# shows: smtpd_sasl_type smtpd_sasl_path cyrus_sasl_config_path smtpd_sasl_service saslmgr_service_name
"""
import base64
import shutil
import smtplib
import subprocess

import ports
import sasl_accounts
import sinks
from sasl_accounts import MECHANISMS, PASSWORD
from suite import RawClient, Suite, expect, expect_equal, expect_match

FAILED = (535, b"5.7.8 Error: authentication failed: authentication failure")


def connect(suite):
    client = suite.smtp()
    client.ehlo()
    return client


def log_in(suite, mechanism, user, password):
    """By smtplib: the reply, and the client."""
    client = connect(suite)
    client.user, client.password = user, password
    method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
    try:
        return client.auth(mechanism, method), client
    except smtplib.SMTPAuthenticationError as error:
        return (error.smtp_code, error.smtp_error), client


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place, mynetworks="192.0.2.1",
                                 smtpd_sasl_auth_enable="yes", smtpd_sasl_type="cyrus",
                                 smtpd_sasl_service="smtp", smtpd_sasl_local_domain="realm.example",
                                 smtpd_sasl_failure_delay="0s", smtpd_sasl_failure_limit="0",
                                 smtpd_relay_restrictions="permit_sasl_authenticated, reject") as suite:
    sasl_accounts.make(suite)
    # Another listener whose logins are checked by another service, with another file.
    sasl_accounts.make(suite, ["SCRAM-SHA-256"], name="other")
    elsewhere = suite.dir / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    (suite.dir / "sasl/other.conf").rename(elsewhere / "other.conf")
    other_port = ports.free_port()
    with (suite.dir / "master.cf").open("a") as master:
        master.write(f"127.0.0.1:{other_port} inet n - n - - smtpd\n"
                     "  -o saslmgr_service_name=saslmgr2\n"
                     "saslmgr2 unix - - n - 1 saslmgr\n"
                     f"  -o smtpd_sasl_path=other -o cyrus_sasl_config_path={elsewhere}\n")
    suite.start()
    with RawClient(other_port) as client:
        expect_match(r"(?m)^250-AUTH SCRAM-SHA-256$", client.command("EHLO x"), "the other file")
    client = connect(suite)
    expect_equal(sorted(client.esmtp_features["auth"].split()), sorted(MECHANISMS), "mechanisms")
    code, text = client.mail("a@b.example")
    expect_equal(code, 250, "MAIL")
    code, text = client.rcpt("to@example.net")
    expect_equal(code, 554, f"a stranger's RCPT: {text}")
    client.quit()

    sent = 0
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        for user in ("joe", "joe@realm.example"):
            reply, client = log_in(suite, mechanism, user, PASSWORD)
            expect_equal(reply[0], 235, f"{mechanism} {user}: {reply}")
            expect_equal(client.docmd("AUTH PLAIN =")[0], 503, "a second login")
            client.quit()
            reply, client = log_in(suite, mechanism, user, "wrong")
            expect_equal(reply, FAILED, mechanism)
            expect(client.docmd("NOOP")[0] == 250, "the session goes on")
            client.quit()
    suite.wait_log(r"warning: \S+\[127\.0\.0\.1\]: SASL PLAIN authentication failed: "
                   r"authentication failure, sasl_username=joe@realm\.example")
    reply, client = log_in(suite, "LOGIN", "nobody", "wrong")
    expect_equal(reply, FAILED, "an account that is none")
    client.quit()

    # swaks knows the others.
    if shutil.which("swaks"):
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            done = subprocess.run(
                ["swaks", "--server", "127.0.0.1", "--port", str(suite.port), "--auth", mechanism,
                 "--auth-user", "joe", "--auth-password", PASSWORD, "--from", "joe@example.org",
                 "--to", "to@example.net", "--body", mechanism],
                capture_output=True, text=True, check=False, timeout=60)
            expect_equal(done.returncode, 0, f"swaks {mechanism}: {done.stdout}{done.stderr}")
            sent += 1
            suite.wait_log(rf"smtpd\[\d+\]: \w+: client=\S+\[127\.0\.0\.1\], sasl_method={mechanism}, "
                           r"sasl_username=joe@realm\.example")
    expect("Authenticated sender" not in "".join(m.header for m in sink.wait(sent)), "a name in Received")

    # Our own client, by all of them; Received says who it was.
    suite.configure(smtpd_sasl_authenticated_header="yes")
    suite.reload()
    with Suite(start=False, relayhost=f"[127.0.0.1]:{suite.port}", smtp_sasl_auth_enable="yes",
               smtp_sasl_security_options="noanonymous") as other:
        passwords = other.write("passwords", f"[127.0.0.1]:{suite.port} ann:{PASSWORD}\n")
        other.configure(smtp_sasl_password_maps=f"texthash:{passwords}",
                        smtp_sasl_mechanism_filter=MECHANISMS[0])
        other.start()
        for mechanism in MECHANISMS:
            other.configure(smtp_sasl_mechanism_filter=mechanism.lower())
            other.reload()
            other.send("from@example.org", ["to@example.net"], f"Subject: x\n\n{mechanism}\n")
            sent += 1
            message = sink.wait(sent)[-1]
            expect_match(r"\(Authenticated sender: ann(@realm\.example)?\)", message.header, mechanism)
            suite.wait_log(rf"sasl_method={mechanism}, sasl_username=ann")

    # A crowd at once: there are fewer workers than clients, and an answer for each.
    crowd = [RawClient(suite.port) for _ in range(45)]
    for one in crowd:
        one.command("EHLO x")
    secret = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    for one in crowd:
        one.write(f"AUTH PLAIN {secret}\r\n")
    for one in crowd:
        expect_equal(one.reply(), "235 2.7.0 Authentication successful", "one of a crowd")
        one.close()

    # A reload makes workers that read the file again.
    sasl_accounts.make(suite, ["LOGIN"])
    suite.reload()

    def offered():
        client = connect(suite)
        names = client.esmtp_features.get("auth", "").split()
        client.quit()
        return names

    ports.wait_until(lambda: offered() == ["LOGIN"], 90, "the new list")

    text = "\n".join(suite.lines())
    for secret in (PASSWORD, "wrong", base64.b64encode(PASSWORD.encode()).decode(),
                   base64.b64encode(f"\0joe\0{PASSWORD}".encode()).decode()):
        expect(secret not in text, "a password in the log")
