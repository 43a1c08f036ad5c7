# SPDX-License-Identifier: MIT
"""Debian's Postfix and Dovecot as next servers in the session: over TCP with a login, over LMTP by a
UNIX socket, behind servers that are down or whose TLS is no good.

# shows: smtpd_forward smtpd_forward_auth smtpd_forward_auth_in_clear smtpd_forward_split
"""
import os
import pathlib
import pwd
import subprocess
import tempfile

import certs
import dovecot_peer
import ports
import postfix_peer
import sinks
import tls_peer
from suite import Suite, expect, expect_equal, expect_match, skip

SASLPASSWD = pathlib.Path("/usr/sbin/saslpasswd2")
if not postfix_peer.available() or not dovecot_peer.available() or not SASLPASSWD.exists():
    skip("Debian's Postfix, Dovecot, sasl2-bin and root are needed")
TEXT = "Subject: by way of the session\n\n" + ".dots\n..\n" * 50 + "end\n"
US = {"mydestination": "", "relay_domains": "example.net, mail.example"}
PASSWORD = "correct horse"


def put_again(suite, **settings):
    suite.configure(**settings)
    suite.reload()
    ports.wait_until(suite.greets, 30, "the greeting")


def answer(suite, recipients, text=TEXT):
    with suite.smtp() as client:
        client.ehlo()
        code, reply = client.mail("from@example.com")
        for one in recipients if code == 250 else []:
            code, reply = client.rcpt(one)
        if code == 250:
            code, reply = client.data(text)
        return f"{code} {reply.decode()}"


with tempfile.TemporaryDirectory(prefix="postrider-forward-") as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    root, stranger = certs.Authority(top / "ca"), certs.Authority(top / "other", "Other Authority")
    good = root.issue("next.example", "127.0.0.1")
    database = top / "sasldb2"
    subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "realm.example", "joe"],
                   input=PASSWORD, text=True, check=True, capture_output=True)
    os.chown(database, pwd.getpwnam("postfix").pw_uid, -1)
    port = ports.free_port()
    peer = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink.port}", {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": "realm.example",
        "mynetworks": "192.0.2.1", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_recipient_restrictions": "check_recipient_access inline:{bad@example.net=reject}, permit",
        "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": good.both})
    (peer.conf / "sasl").mkdir()
    (peer.conf / "sasl/smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                                               f"sasldb_path: {database}\nmech_list: PLAIN LOGIN\n")
    users = {"one@mail.example": None, "full@mail.example": 1000}
    untrusted = tls_peer.TlsPeer(stranger.issue("127.0.0.1"))
    clear = tls_peer.TlsPeer(starttls="no")
    with peer as postfix, dovecot_peer.Dovecot(top / "dovecot", users) as store, untrusted, clear, \
            Suite(start=False, relayhost=sink.place, **US) as suite:
        passwords = suite.write("passwords", f"127.0.0.1:{port} joe@realm.example:{PASSWORD}\n")
        suite.configure(smtpd_forward=f"smtp:127.0.0.1:{port}", smtp_sasl_auth_enable="yes",
                        smtp_sasl_password_maps=f"texthash:{passwords}",
                        smtp_sasl_security_options="noanonymous", smtp_tls_security_level="none")
        suite.start()
        # The table's password does not go out in the clear.
        expect_match(r"^451 4\.7\.0", answer(suite, ["to@example.net"]), "no login in the clear")
        put_again(suite, smtpd_forward_auth_in_clear="yes")
        expect_match(r"^250 2\.0\.0 Ok: queued as", answer(suite, ["to@example.net"]), "with it")
        put_again(suite, smtpd_forward_auth="off")
        expect_match(r"^554 5\.7\.1", answer(suite, ["to@example.net"]), "without it")

        # TLS that cannot be, TLS that is not trusted, and then this one.
        put_again(suite, smtpd_forward_auth="maps", smtpd_forward_auth_in_clear="no",
                  smtp_sasl_tls_security_options="noanonymous", smtp_tls_security_level="secure",
                  smtp_tls_secure_cert_match="127.0.0.1, next.example", smtp_tls_CAfile=root.cert,
                  smtpd_forward=f"tcp://127.0.0.1:{clear.port}, tcp://127.0.0.1:{untrusted.port}, "
                                f"smtp:127.0.0.1:{port}")
        expect_match(r"^250 2\.0\.0 Ok: queued as", answer(suite, ["to@example.net"]), "the third")
        suite.wait_log("TLS is required, but was not offered by host")
        suite.wait_log("Server certificate not trusted")
        expect_equal(untrusted.mails, [], "mail in strange hands")
        suite.wait_log(rf"to=<to@example\.net>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port}.*, tls=secure.*, "
                       r"dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as")
        expect_match(r"^554 5\.7\.1 .*bad@example\.net", answer(suite, ["bad@example.net"]), "its refusal")
        expect("joe" in postfix.log.read_text(), "the login")
        bodies = {m.body for m in sink.wait(2)}
        expect_equal(bodies, {TEXT.split("\n\n", 1)[1].replace("\n", "\r\n").encode()}, "bodies")

        # By certificate; and TLS from the first byte.
        knows = tls_peer.TlsPeer(root.issue("127.0.0.1"), client_ca=root.cert,
                                 keywords_tls=["8BITMIME", "AUTH PLAIN EXTERNAL"], replies={"AUTH": "235 2.7.0 ok"})
        wrapped = tls_peer.TlsPeer(root.issue("127.0.0.1"), wrapper=True)
        with knows, wrapped:
            put_again(suite, smtpd_forward=f"tcp://127.0.0.1:{knows.port}", smtpd_forward_auth="external",
                      smtp_tls_chain_files=root.issue("client.example").both)
            expect_match("^250", answer(suite, ["to@example.net"]), "by certificate")
            said = [line for _, line in knows.sessions[-1].commands]
            expect(any(line.startswith("AUTH EXTERNAL") for line in said), f"AUTH EXTERNAL: {said}")
            put_again(suite, smtpd_forward=f"tls://127.0.0.1:{wrapped.port}", smtpd_forward_auth="off",
                      smtp_tls_security_level="none", smtp_tls_chain_files="")
            expect_match("^250", answer(suite, ["to@example.net"]), "TLS from the first byte")
            expect(wrapped.sessions[-1].tls, "TLS")

        # Mailboxes: each recipient has its own answer.
        put_again(suite, smtpd_forward=f"lmtp:unix:{store.socket}")
        expect_match("Saved", answer(suite, ["one@mail.example"]), "Dovecot's words")
        expect_match(r"^550 5\.1\.1", answer(suite, ["nobody@mail.example"]), "nobody")
        big = "Subject: big\n\n" + "0123456789\n" * 1000
        expect_match(r"^[45]52 [45]\.2\.2", answer(suite, ["full@mail.example"], big), "a full mailbox")
        put_again(suite, smtpd_forward_split="queue", transport_maps=
                  f"inline:{{ mail.example=lmtp:unix:{store.socket} }}")
        expect_match("passed on for 1, queued as",
                     answer(suite, ["one@mail.example", "full@mail.example"], big), "one of two")
        suite.wait_log(r"to=<full@mail\.example>, .*dsn=[45]\.2\.2, status=(bounced|deferred)")
        ports.wait_until(lambda: len(store.mails("one@mail.example")) == 2, 20, "mail of one")
        expect_equal(store.mails("full@mail.example"), [], "the full mailbox")
