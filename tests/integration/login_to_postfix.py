# SPDX-License-Identifier: MIT
"""Debian's Postfix with Cyrus SASL and a sasldb takes mail only of who has logged in: by each
mechanism that both have. A wrong password defers, with Postfix's words.

# shows: smtp_sasl_auth_enable smtp_sasl_password_maps smtp_sasl_mechanism_filter smtp_sasl_type
# shows: smtp_sasl_security_options send_cyrus_sasl_authzid
"""
import os
import pathlib
import pwd
import subprocess
import tempfile

import ports
import postfix_peer
import sinks
from suite import Suite, expect, expect_equal, skip

SASLPASSWD = pathlib.Path("/usr/sbin/saslpasswd2")
if not postfix_peer.available() or not SASLPASSWD.exists():
    skip("Debian's Postfix, sasl2-bin and root are needed")
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
PASSWORD = "correct horse: battery"


def server(directory, port, sink_port):
    top = pathlib.Path(directory)
    top.chmod(0o755)
    database = top / "sasldb2"
    subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "realm.example", "joe"],
                   input=PASSWORD, text=True, check=True, capture_output=True)
    os.chown(database, pwd.getpwnam("postfix").pw_uid, -1)
    postfix = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink_port}", {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "cyrus", "smtpd_sasl_path": "smtpd",
        "smtpd_sasl_local_domain": "realm.example", "smtpd_sasl_security_options": "noanonymous",
        "mynetworks": "192.0.2.1", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"})
    sasl = postfix.conf / "sasl"  # where Debian's looks
    sasl.mkdir()
    (sasl / "smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                                     f"sasldb_path: {database}\nmech_list: {' '.join(MECHANISMS)}\n")
    return postfix


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    port = ports.free_port()
    place = f"[127.0.0.1]:{port}"
    with server(directory, port, sink.port) as postfix, \
            Suite(start=False, relayhost=place, smtp_sasl_auth_enable="yes",
                  smtp_sasl_type="cyrus") as suite:
        passwords = suite.write("passwords", f"{place} joe@realm.example:{PASSWORD}\n")
        suite.configure(smtp_sasl_password_maps=f"texthash:{passwords}",
                        smtp_sasl_mechanism_filter=MECHANISMS[0],
                        smtp_sasl_security_options="noanonymous")
        suite.start()
        for number, mechanism in enumerate(MECHANISMS):
            suite.configure(smtp_sasl_mechanism_filter=mechanism.lower(),
                            send_cyrus_sasl_authzid="yes" if mechanism == "PLAIN" else "no")
            suite.reload()
            suite.send("from@example.org", ["to@example.net"], f"Subject: {mechanism}\n\n{mechanism}\n")
            messages = sink.wait(number + 1)
            expect_equal(messages[number].body, f"{mechanism}\r\n".encode(), "body")
            line = f"sasl_method={mechanism}, sasl_username=joe@realm.example"
            ports.wait_until(lambda: line in postfix.log.read_text(), 10, f"{mechanism} in the log of Postfix")
        suite.wait_empty()
        # The default forbids what a listener could read; of the rest the best is chosen.
        suite.configure(smtp_sasl_mechanism_filter="",
                        smtp_sasl_security_options="noplaintext, noanonymous")
        suite.reload()
        suite.send("from@example.org", ["to@example.net"])
        sink.wait(len(MECHANISMS) + 1)
        log = postfix.log.read_text()
        counts = [log.count(f"sasl_method={mechanism},") for mechanism in MECHANISMS]
        expect_equal(sum(counts), len(MECHANISMS) + 1, "logins")
        expect_equal(counts[:2], [1, 1], "logins in plain text")

        suite.configure(smtp_sasl_mechanism_filter="plain", smtp_sasl_security_options="noanonymous")
        suite.reload()
        passwords.write_text(f"{place} joe@realm.example:wrong\n")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: to=<to@example\.net>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port}, "
                       r"delay=.*, dsn=4\.7\.8, status=deferred \(SASL authentication failed; server "
                       r"127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 Error: authentication failed")
        # Unfit mechanisms only: nothing is tried.
        suite.configure(smtp_sasl_mechanism_filter="login, plain",
                        smtp_sasl_security_options="noplaintext")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*, dsn=4\.7\.0, status=deferred \(SASL authentication failed; "
                       r"cannot authenticate to server 127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism "
                       r"available\)")
        # No entry: a stranger, who is turned away.
        passwords.write_text(f"other.example joe@realm.example:{PASSWORD}\n")
        suite.reload()
        sent = suite.send("", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 554 5\.7\.1 .*"
                       r"Access denied")
        for secret in (PASSWORD, "horse", "Y29ycmVjdCBob3JzZTogYmF0dGVyeQ"):
            expect(secret not in "\n".join(suite.lines()), f"{secret} in the log")
