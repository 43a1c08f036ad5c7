# SPDX-License-Identifier: MIT
"""Submission as the sample master.cf has it (587 with STARTTLS, 465 with TLS from the first byte), what TLS
changes of AUTH, and logins by certificate.

# shows: smtpd_sasl_tls_security_options smtpd_tls_auth_only smtpd_sasl_mechanism_filter
"""
import base64
import smtplib
import ssl
import tempfile

import certs
import ports
import sasl_accounts
import sinks
from sasl_accounts import PASSWORD
from suite import RawClient, Suite, expect, expect_equal, expect_match

WAYS = {
    "submission": {"smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes"},
    "submissions": {"smtpd_tls_wrappermode": "yes"},
    "both": {"smtpd_sasl_security_options": "noanonymous,noplaintext",
             "smtpd_sasl_tls_security_options": "noanonymous"},
    "certificate": {"smtpd_tls_ask_ccert": "yes", "smtpd_sasl_mechanism_filter": "static:all"},
}
ALL = {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"}
LOGIN = "AUTH PLAIN " + base64.b64encode(f"\0joe\0{PASSWORD}".encode()).decode()


def offers(client):
    client.ehlo()
    return set(client.esmtp_features.get("auth", "").split())


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    authority = certs.Authority(directory)
    server = authority.issue("mail.postrider.example")
    context = ssl.create_default_context(cafile=authority.cert)
    context.check_hostname = False
    with Suite(start=False, relayhost=sink.place, mynetworks="192.0.2.1",
               smtpd_tls_security_level="may", smtpd_tls_CAfile=authority.cert,
               **{**sasl_accounts.SETTINGS, "smtpd_sasl_authenticated_header": "yes"}) as suite:
        chain = suite.write("chain.pem", server.both.read_text())
        ca = suite.write("ca.pem", authority.cert.read_text())
        suite.configure(smtpd_tls_chain_files=chain, smtpd_tls_CAfile=ca)
        sasl_accounts.make(suite, [*sorted(ALL), "EXTERNAL"])
        way = {name: ports.free_port() for name in WAYS}
        with (suite.dir / "master.cf").open("a") as master:
            for name, settings in WAYS.items():
                master.write(f"127.0.0.1:{way[name]} inet n - n - - smtpd\n")
                master.write("".join(f"  -o {key}={value}\n" for key, value in settings.items()))
        suite.start()

        # Not before TLS, and what was learnt before it does not count behind it.
        with RawClient(way["submission"]) as raw:
            expect("AUTH" not in raw.command("EHLO x"), "AUTH in the clear")
            expect_match("^530 5.7.0 ", raw.command(LOGIN), "AUTH in the clear")
        with smtplib.SMTP("127.0.0.1", way["submission"], "client.example", timeout=60) as client:
            client.starttls(context=context)
            expect_equal(client.docmd(LOGIN)[0], 503, "AUTH before the second EHLO")
            expect_equal(offers(client), ALL, "behind STARTTLS")
            client.login("joe", PASSWORD)
            client.sendmail("joe@example.org", ["to@example.net"], "Subject: 587\n\ntext\n")
        with smtplib.SMTP_SSL("127.0.0.1", way["submissions"], "client.example", timeout=60,
                              context=context) as client:
            client.login("ann", PASSWORD)
            client.sendmail("ann@example.org", ["to@example.net"], "Subject: 465\n\ntext\n")
        for message, user in zip(sink.wait(2), ("joe", "ann")):
            expect_match(rf"\(Authenticated sender: {user}@realm\.example\)", message.header, "Received")
            expect_match(r"with ESMTPSA id", message.header, "Received")

        # A login in the clear is forgotten by STARTTLS.
        with smtplib.SMTP("127.0.0.1", way["both"], "client.example", timeout=60) as client:
            expect_equal(offers(client), {"CRAM-MD5", "SCRAM-SHA-256"}, "in the clear")
            expect_equal(client.docmd(LOGIN)[0], 535, "PLAIN in the clear")
            client.user, client.password = "joe", PASSWORD
            expect_equal(client.auth("CRAM-MD5", client.auth_cram_md5)[0], 235, "CRAM-MD5 in the clear")
            client.starttls(context=context)
            expect_equal(offers(client), ALL, "under TLS")
            expect_equal(client.mail("joe@example.org")[0], 250, "MAIL")
            expect_equal(client.rcpt("to@example.net")[0], 554, "a login from before TLS")
            client.rset()
            expect_equal(client.docmd(LOGIN)[0], 235, "PLAIN under TLS")

        # EXTERNAL is who a certificate says, when it is ours.
        stranger = certs.Authority(directory, "Stranger").issue("joe")
        for certificate, reply in ((authority.issue("joe"), 235), (stranger, None), (None, None)):
            own = ssl.create_default_context(cafile=authority.cert)
            own.check_hostname = False
            if certificate:
                own.load_cert_chain(certificate.cert, certificate.key)
            with smtplib.SMTP("127.0.0.1", way["certificate"], "client.example", timeout=60) as client:
                client.starttls(context=own)
                expect_equal("EXTERNAL" in offers(client), reply is not None, "EXTERNAL is offered")
                expect_equal(client.docmd("AUTH EXTERNAL =")[0], reply or 535, "EXTERNAL")
        suite.wait_log(r"SASL EXTERNAL authentication failed: no mechanism available")
