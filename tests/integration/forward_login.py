# SPDX-License-Identifier: MIT
"""Who logs in here is logged in at the next server, Debian's Postfix with a sasldb, with the same name
and password: over TLS only, and the password is in no output and no file of ours.

# shows: smtpd_forward_auth smtpd_forward_auth_in_clear
"""
import base64
import os
import pathlib
import pwd
import smtplib
import subprocess
import tempfile

import certs
import ports
import postfix_peer
import sasl_accounts
import sinks
from sasl_accounts import PASSWORD
from suite import Suite, expect, expect_equal, expect_match, skip

SASLPASSWD = pathlib.Path("/usr/sbin/saslpasswd2")
if not postfix_peer.available() or not SASLPASSWD.exists():
    skip("Debian's Postfix, sasl2-bin and root are needed")


def send(suite, mechanism=None, user="joe@realm.example"):
    """The last reply."""
    with suite.smtp() as client:
        client.ehlo()
        if mechanism:
            client.user, client.password = user, PASSWORD
            code, _ = client.auth(mechanism, getattr(client, "auth_" + mechanism.lower().replace("-", "_")))
            expect_equal(code, 235, f"login by {mechanism}")
        code, reply = client.mail("joe@example.org")
        if code == 250:
            code, reply = client.rcpt("to@example.net")
        if code == 250:
            try:
                code, reply = client.data("Subject: my own\r\n\r\ntext\r\n")
            except smtplib.SMTPDataError as error:
                code, reply = error.smtp_code, error.smtp_error
        return f"{code} {reply.decode()}"


with tempfile.TemporaryDirectory(prefix="postrider-forward-") as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    root = certs.Authority(top / "ca")
    database = top / "sasldb2"
    subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "realm.example", "joe"],
                   input=PASSWORD, text=True, check=True, capture_output=True)
    os.chown(database, pwd.getpwnam("postfix").pw_uid, -1)
    port = ports.free_port()
    peer = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink.port}", {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": "realm.example",
        "mynetworks": "192.0.2.1", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": root.issue("next.example", "127.0.0.1").both})
    (peer.conf / "sasl").mkdir()
    (peer.conf / "sasl/smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                                               f"sasldb_path: {database}\nmech_list: PLAIN LOGIN CRAM-MD5\n")
    settings = {**sasl_accounts.SETTINGS, "mynetworks": "192.0.2.1", "mydestination": "",
                "smtpd_forward": f"smtp:127.0.0.1:{port}", "smtpd_forward_auth": "forward",
                "smtp_tls_security_level": "secure", "smtp_tls_CAfile": root.cert,
                "smtp_tls_secure_cert_match": "next.example", "debug_peer_list": "127.0.0.1"}
    with peer as postfix, Suite(start=False, **settings) as suite:
        sasl_accounts.make(suite)
        suite.start()
        expect_match(r"^530 5\.7\.0", send(suite), "nobody")
        expect_match(r"^250 2\.0\.0 Ok: queued as", send(suite, "PLAIN"), "PLAIN")
        expect_match(r"^250 2\.0\.0 Ok: queued as", send(suite, "LOGIN"), "LOGIN")
        expect_equal(len(sink.wait(2)), 2, "messages")
        expect_equal(postfix.log.read_text().count("sasl_method=PLAIN, sasl_username=joe@realm.example"), 2,
                     "whose mail it is")
        suite.wait_log(r"to=<to@example\.net>, .*conn_use=2, .*status=sent")  # the connection of its user
        expect_match(r"^530 5\.7\.0", send(suite, "CRAM-MD5"), "a login without a password")

        suite.configure(smtp_tls_security_level="none")
        suite.reload()
        ports.wait_until(suite.greets, 30, "the greeting")
        expect_match(r"^451 4\.7\.0", send(suite, "PLAIN"), "in the clear")
        suite.configure(smtpd_forward_auth_in_clear="yes")
        suite.reload()
        ports.wait_until(suite.greets, 30, "the greeting")
        expect_match(r"^250 2\.0\.0 Ok: queued as", send(suite, "PLAIN"), "in the clear, as asked for")

        text = suite.log.read_text()
        for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode().rstrip("=")[:-1],
                       base64.b64encode(f"\0joe@realm.example\0{PASSWORD}".encode()).decode()[:-4]):
            expect(secret not in text, "a password in the log")
            for path in (suite.dir / "spool").rglob("*"):
                if path.is_file():
                    expect(secret.encode() not in path.read_bytes(), f"a password in {path}")
