# SPDX-License-Identifier: MIT
"""TLS with clients, one service for each setting: protocols and ciphers, names, clients' certificates, sessions
that are resumed by another process and after a restart, and certificates that are replaced.

# shows: tls_server_sni_maps smtpd_tls_CAfile smtpd_tls_CApath smtpd_tls_ask_ccert smtpd_tls_req_ccert
# shows: relay_clientcerts
# shows: smtpd_tls_ccert_verifydepth smtpd_tls_fingerprint_digest smtpd_tls_protocols smtpd_tls_mandatory_protocols
# shows: smtpd_tls_ciphers smtpd_tls_mandatory_ciphers smtpd_tls_exclude_ciphers smtpd_tls_mandatory_exclude_ciphers
# shows: smtpd_tls_priority smtpd_tls_compatibility_mode smtpd_tls_session_cache_timeout
"""
import os
import pathlib
import re
import smtplib
import ssl
import subprocess
import tempfile

import certs
import ports
from suite import BUILD, Suite, expect, expect_equal, expect_match

ONE_SUITE = "ECDHE-ECDSA-AES128-GCM-SHA256"
TLS12 = ssl.TLSVersion.TLSv1_2


class Refused(Exception):
    pass


class Client:
    """One connection with STARTTLS: protocol, cipher, the server's certificate."""

    def __init__(self, port, name=None, certificate=None, ciphers=None, highest=None, session=None, context=None):
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = TLS12
            context.set_ciphers((ciphers or "DEFAULT") + ":@SECLEVEL=0")
            if highest:
                context.maximum_version = highest
            if certificate:
                context.load_cert_chain(certificate.cert, certificate.key)
        self.context = context
        self.smtp = smtplib.SMTP("127.0.0.1", port, "client.example", timeout=30)
        try:
            self.smtp.ehlo()
            code, text = self.smtp.docmd("STARTTLS")
            if code != 220:
                raise Refused(text)
            self.smtp.sock = context.wrap_socket(self.smtp.sock, server_hostname=name, session=session)
            self.smtp.file = None
            self.smtp.ehlo()
        except (OSError, smtplib.SMTPException, Refused) as error:
            self.smtp.close()
            raise Refused(str(error)) from None
        self.protocol, self.cipher = self.smtp.sock.version(), self.smtp.sock.cipher()[0]
        self.leaf = self.smtp.sock.getpeercert(True)
        self.resumed = self.smtp.sock.session_reused

    def end(self):
        """What can be resumed."""
        session = self.smtp.sock.session
        self.smtp.quit()
        return session


def refused(*words, **more):
    try:
        Client(*words, **more)
    except Refused:
        return True
    return False


def colons(digest):
    return ":".join(digest[i:i + 2] for i in range(0, len(digest), 2)).upper()


def services(made, directory):
    text = pathlib.Path(directory, "sni")
    text.write_text(f"www.example {made['www'].both}\n.below.example {made['www'].both}\n")
    ca_path = pathlib.Path(directory, "roots")
    ca_path.mkdir()
    (ca_path / "one.pem").write_text(made["root"].cert.read_text())
    strict = {"smtpd_tls_security_level": "encrypt"}
    ask = {"smtpd_tls_ask_ccert": "yes"}
    trusting = {"smtpd_tls_CAfile": made["root"].cert}
    return {
        "plain": {},
        "protocols": {"smtpd_tls_protocols": ">=TLSv1.3"},
        "encrypt": strict,
        "mandatory-protocols": {**strict, "smtpd_tls_mandatory_protocols": ">=TLSv1.3", "smtpd_tls_protocols": "TLSv1"},
        "ciphers": {"smtpd_tls_ciphers": "high", "tls_high_cipherlist": ONE_SUITE},
        "mandatory-ciphers": {**strict, "smtpd_tls_mandatory_ciphers": "high", "tls_high_cipherlist": ONE_SUITE},
        "exclude": {"smtpd_tls_exclude_ciphers": "AES256"},
        "mandatory-exclude": {**strict, "smtpd_tls_mandatory_exclude_ciphers": "AES256"},
        "not-mandatory": {"smtpd_tls_mandatory_exclude_ciphers": "AES256"},
        "native": {"smtpd_tls_priority": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM"},
        "compatible": {"smtpd_tls_compatibility_mode": "yes"},
        "names": {"tls_server_sni_maps": f"texthash:{text}"},
        "ask": {**ask, **trusting},
        "ask-path": {**ask, "smtpd_tls_CApath": ca_path},
        "ask-no-roots": {**ask, "smtpd_tls_fingerprint_digest": "sha1"},
        "ask-depth": {**ask, **trusting, "smtpd_tls_ccert_verifydepth": "0"},
        "require": {**strict, **trusting, "smtpd_tls_req_ccert": "yes"},
        "relay": {**ask, "mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "permit_tls_clientcerts, reject",
                  "relay_clientcerts": "inline:{%s=client}" % colons(made["client"].key_fingerprint())},
        "may-require": {**trusting, "smtpd_tls_req_ccert": "yes"},
        "renewed": {"smtpd_tls_chain_files": made["renewed"].cert.with_suffix(".both")},
        "never-again": {"smtpd_tls_session_cache_timeout": "0"},
    }


def negotiation(where):
    for name in ("protocols", "mandatory-protocols"):
        expect_equal(Client(where[name]).protocol, "TLSv1.3", name)
        expect(refused(where[name], highest=TLS12), f"{name}: TLSv1.2 is taken")
    for name in ("ciphers", "mandatory-ciphers"):
        expect_equal(Client(where[name], highest=TLS12).cipher, ONE_SUITE, name)
        expect(refused(where[name], highest=TLS12, ciphers="AES256"), f"{name}: another cipher is taken")
    for name in ("exclude", "mandatory-exclude"):
        expect("AES_256" not in Client(where[name]).cipher, name)
        expect(refused(where[name], highest=TLS12, ciphers="AES256"), f"{name}: AES256 is taken")
    for name in ("plain", "encrypt", "not-mandatory", "compatible"):
        expect("AES256" in Client(where[name], highest=TLS12, ciphers="AES256").cipher, name)
    client = Client(where["native"])
    expect_equal((client.protocol, client.cipher), ("TLSv1.2", ONE_SUITE), "native")


def names(suite, where, made):
    for asked, which in ((None, "good"), ("other.example", "good"), ("www.example", "www"), ("WWW.Example", "www"),
                         ("x.below.example", "www"), ("below.example", "good"), ("a" * 63 + ".example", "good"),
                         ("192.0.2.1", "good")):
        expect_equal(Client(where["names"], name=asked).leaf, made[which].der, f"SNI {asked}")
    suite.wait_log(r"Anonymous TLS connection established from \S+ to www\.example: TLSv1\.3 ")
    suite.wait_log(r"Anonymous TLS connection established from \S+\]: TLSv1\.3 ")


def client_certificates(suite, where, made):
    def trust(service, certificate, words):
        Client(where[service], certificate=certificate).end()
        line = suite.wait_log(rf"{service}/smtpd\[\d+\]: (Anonymous|Trusted|Untrusted) TLS connection established")
        expect_equal(line.group(1), words, service)

    trust("ask", made["client"], "Trusted")
    trust("ask-path", made["client"], "Trusted")
    trust("ask-no-roots", made["client"], "Untrusted")
    prints = suite.wait_log(r"ask-no-roots/smtpd\[\d+\]: \S+: subject_CN=client.example, issuer=Middle, "
                            r"fingerprint=(\S+), pkey_fingerprint=(\S+)")
    expect_equal([p.replace(":", "").lower() for p in prints.groups()],
                 [made["client"].fingerprint("sha1"), made["client"].key_fingerprint("sha1")], "fingerprints")
    trust("ask-depth", made["client"], "Untrusted")
    suite.wait_log(r"certificate verification failed for \S+: certificate chain longer than limit\(0\)")
    Client(where["require"], certificate=made["client"]).end()
    for service, certificate in (("require", None), ("require", made["stranger"])):
        expect(refused(where[service], certificate=certificate), f"{service} without a good certificate")
    suite.wait_log(r"NOQUEUE: abort: TLS from \S+: No client certificate presented")
    suite.wait_log(r"NOQUEUE: abort: TLS from \S+: Client certificate not trusted")
    for certificate, wanted in ((made["client"], 250), (made["stranger"], 554), (None, 554)):
        client = Client(where["relay"], certificate=certificate)
        client.smtp.mail("a@b.example")
        expect_equal(client.smtp.rcpt("c@elsewhere.example")[0], wanted, "relay by certificate")
        client.end()
    trust("may-require", None, "Anonymous")
    suite.wait_log(r"smtpd_tls_req_ccert: can't require client certificates unless TLS is required")


def resumption(suite, where):
    for highest in (None, TLS12):
        client = Client(where["plain"], highest=highest)
        session = client.end()

        def again(service):
            other = Client(where[service], context=client.context, session=session)
            other.end()
            return other.resumed

        expect(again("plain"), f"{highest}: resumed")
        expect(not again("encrypt"), f"{highest}: by another service")
        expect(not again("never-again"), f"{highest}: where there is no resumption")
        pids = set(suite.pids("smtpd"))
        suite.stop()
        suite.start()
        expect(not pids & set(suite.pids("smtpd")), "other processes")
        expect(again("plain"), f"{highest}: resumed after a restart")
    suite.wait_log(r"Anonymous TLS connection reused from ")


def replacement(suite, where, made):
    """At a reload a renewed certificate counts at once. One that is no good changes nothing, where the process
    can see that; where only root could read it, the next process is without TLS."""
    file = made["good"].cert.with_suffix(".both")
    kept, wrong = file.read_text(), made["next"].key.read_text() + made["www"].cert.read_text()

    def put(text, mode):
        file.write_text(text)
        file.chmod(mode)
        suite.reload()

    def shows(certificate):
        ports.wait_until(lambda: Client(where["plain"]).leaf == certificate.der, 30, "the certificate")

    shows(made["good"])
    put(made["next"].both.read_text(), 0o644)
    shows(made["next"])
    put(wrong, 0o644)
    suite.wait_log(r"the private key does not belong to the certificate .*; the old configuration stays in force")
    shows(made["next"])
    if os.geteuid() == 0:
        put(kept, 0o600)
        shows(made["good"])
        put(wrong, 0o600)
        def without_tls():  # the process of before may still be about to go
            try:
                one = smtplib.SMTP("127.0.0.1", where["plain"], "client.example", timeout=30)
                return one if one.docmd("STARTTLS") == (454, b"4.7.0 TLS not available due to local problem") else None
            except (OSError, smtplib.SMTPException):
                return None

        client = ports.wait_until(without_tls, 30, "a process without TLS")
        suite.wait_log(r"the private key does not belong to the certificate .*; going on without TLS")
        expect_equal(client.docmd("NOOP")[0], 250, "the session goes on")
        client.quit()
    put(kept, 0o644)
    shows(made["good"])


def mistakes(suite, made):
    """What smtpd says of settings that cannot work, before it serves anybody."""
    cases = [
        ({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": ""}, "TLS needs a certificate; set smtpd_tls_ch"),
        ({"smtpd_tls_wrappermode": "yes", "smtpd_tls_chain_files": ""}, "smtpd_tls_wrappermode: TLS needs a certif"),
        ({"smtpd_tls_cert_file": "none", "smtpd_tls_chain_files": ""}, "without a certificate is not supported"),
        ({"smtpd_tls_security_level": "sometimes"}, "no such TLS level: sometimes"),
        ({"smtpd_tls_fingerprint_digest": "sha17"}, "smtpd_tls_fingerprint_digest: no such digest"),
        ({"smtpd_tls_exclude_ciphers": "NOSUCH"}, "smtpd_tls_exclude_ciphers or smtpd_tls_protocols: "),
        ({"smtpd_tls_priority": "NORMAL:+NOSUCH"}, "smtpd_tls_priority: "),
        ({"smtpd_tls_chain_files": "/nonexistent"}, "/nonexistent: "),
        ({"tls_server_sni_maps": "inline:{a=/nonexistent}"}, "tls_server_sni_maps: a: /nonexistent: "),
        ({"tls_server_sni_maps": "regexp:{{/a/ b}}"}, "tls_server_sni_maps: "),
        ({"smtpd_tls_security_level": "secure"}, "unsupported TLS level \"secure\", using \"encrypt\""),
    ]
    running = []
    for settings, text in cases:
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        running.append(subprocess.Popen([BUILD / "libexec/postrider/smtpd", "-c", suite.config, "--stdio", *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True))
    for (settings, text), process in zip(cases, running):
        said = process.communicate(timeout=60)[0]
        expect(text in said, f"{settings}: {said}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        root = certs.Authority(pathlib.Path(directory, "ca"))
        middle = certs.Authority(pathlib.Path(directory, "middle"), name="Middle", parent=root)
        made = {"root": root, "good": root.issue("mail.example"), "next": root.issue("mail.example"),
                "www": root.issue("www.example"), "client": middle.issue("client.example"),
                "renewed": root.issue("mail.example"), "stranger": root.issue("client.example", signed=False)}
        pathlib.Path(directory).chmod(0o755)  # so that workers can look at files that are no secret
        made["renewed"].both.chmod(0o644)
        suite = Suite(start=False, smtpd_tls_security_level="may", smtpd_tls_chain_files=made["good"].both,
                      smtpd_tls_loglevel="2", smtpd_error_sleep_time="0s", smtpd_peername_lookup="no")
        table = services(made, directory)
        where = dict(zip(table, ports.free_ports(len(table))))
        with (suite.config / "master.cf").open("a") as master_cf:
            for name, options in table.items():
                words = " ".join(f"-o {{ {key} = {value} }}" for key, value in options.items())
                master_cf.write(f"127.0.0.1:{where[name]} inet n - n - - smtpd -o syslog_name={name} {words}\n")
        with suite:
            suite.start()
            expect_equal(Client(where["renewed"]).leaf, made["renewed"].der, "before")
            made["renewed"].cert.with_suffix(".both").write_text(made["next"].both.read_text())
            negotiation(where)
            names(suite, where, made)
            client_certificates(suite, where, made)
            mistakes(suite, made)
            # Without a reload, a minute later at most.
            ports.wait_until(lambda: Client(where["renewed"]).leaf == made["next"].der, 100, "the renewed certificate")
            replacement(suite, where, made)
            resumption(suite, where)


main()
