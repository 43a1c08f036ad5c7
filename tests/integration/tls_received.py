# SPDX-License-Identifier: MIT
"""TLS with clients: in the clear, by STARTTLS and from the first byte; RSA, ECDSA and Ed25519 side by side;
from swaks, openssl, gnutls-cli, posttls-finger, Debian's Postfix, and our own client.

# shows: smtpd_tls_security_level smtpd_tls_wrappermode smtpd_tls_chain_files smtpd_tls_loglevel
# shows: smtpd_tls_received_header smtpd_starttls_timeout smtpd_use_tls smtpd_enforce_tls
# shows: smtpd_tls_cert_file smtpd_tls_key_file smtpd_tls_eccert_file smtpd_tls_eckey_file
"""
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import tempfile

import certs
import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

SERVICES = {  # by name: what differs from main.cf
    "encrypt": {"smtpd_tls_security_level": "encrypt"},
    "wrapper": {"smtpd_tls_wrappermode": "yes", "smtpd_tls_security_level": ""},
    "none": {"smtpd_tls_security_level": "none"},
    "hidden": {"smtpd_discard_ehlo_keywords": "starttls"},
    "old": {"smtpd_tls_security_level": "", "smtpd_use_tls": "yes"},
    "older": {"smtpd_tls_security_level": "", "smtpd_enforce_tls": "yes"},
    "brief": {"smtpd_starttls_timeout": "1s"},
    "pairs": {"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "{rsa.cert}", "smtpd_tls_key_file": "{rsa.key}",
              "smtpd_tls_eccert_file": "{ecdsa.cert}", "smtpd_tls_eckey_file": "{ecdsa.key}"},
    "onefile": {"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "{rsa.both}"},
}


def no_check():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def send(client, name):
    client.sendmail("from@example.org", [f"{name}@example.net"], f"Subject: {name}\n\ntext\n")
    client.quit()


def run(*words, stdin=""):
    done = subprocess.run([str(w) for w in words], input=stdin, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def commands(ports_of):
    """What is said to whom in the clear."""
    with RawClient(ports_of["main"]) as client:
        expect("STARTTLS" in client.command("EHLO x"), "STARTTLS is offered")
        expect_equal(client.command("STARTTLS x"), "501 5.5.4 Syntax: STARTTLS", "with arguments")
    for name in ("none", "hidden"):
        with RawClient(ports_of[name]) as client:
            expect("STARTTLS" not in client.command("EHLO x"), f"{name}: STARTTLS is not offered")
            expect_equal(client.command("STARTTLS"), "502 5.5.1 Error: command not implemented", name)
    for name in ("encrypt", "older"):
        with RawClient(ports_of[name]) as client:
            expect("STARTTLS" in client.command("EHLO x"), f"{name}: STARTTLS is offered")
            for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA", "RSET", "VRFY x", "HELP",
                         "AUTH PLAIN", "HELO x"):
                expect_equal(client.command(line), "530 5.7.0 Must issue a STARTTLS command first", f"{name} {line}")
            expect_match("^250 ", client.command("NOOP"), name)
            expect_match("^221 ", client.command("QUIT"), name)
    with RawClient(ports_of["main"]) as client:
        expect_match("^250", client.command("EHLO x"), "EHLO")
        client.write("STARTTLS\r\nMAIL FROM:<a@example.org>\r\n")
        expect_equal(client.reply(), "503 5.5.0 Error: improper use of SMTP command pipelining", "too early")
        expect_equal(client.reply(), "", "the end")


def key_types(suite_port, made):
    for kind, algorithms in (("rsa", "rsa_pss_rsae_sha256"), ("ecdsa", "ecdsa_secp256r1_sha256"),
                             ("ed25519", "ed25519")):
        said = run("openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{suite_port}", "-sigalgs",
                   algorithms, "-showcerts", stdin="QUIT\r\n")
        leaf = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END", said, re.S)
        expect(leaf and leaf.group(0) in made[kind].cert.read_text(), f"{kind}: another certificate:\n{said}")
        expect_equal(said.count("-----BEGIN CERTIFICATE-----") >= 2, True, f"{kind}: the intermediate is sent")
    said = run("gnutls-cli", "--starttls-proto=smtp", "--insecure", "-p", suite_port, "127.0.0.1", stdin="QUIT\r\n")
    expect_match(r"(?m)^221 2\.0\.0 Bye", said, "gnutls-cli")
    if pathlib.Path("/usr/sbin/posttls-finger").exists():
        conf = made["root"].dir / "conf"
        conf.mkdir()
        (conf / "main.cf").write_text("compatibility_level = 3.6\nmail_owner = postfix\n")
        said = run("env", f"MAIL_CONFIG={conf}", "/usr/sbin/posttls-finger", "-l", "secure", "-F", made["root"].cert,
                   f"[127.0.0.1]:{suite_port}", "mail.example")
        expect_match(r"Verified TLS connection established to 127\.0\.0\.1\S+: TLSv1\.3", said, "posttls-finger")


def main():
    with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
        root = certs.Authority(pathlib.Path(directory, "ca"))
        middle = certs.Authority(pathlib.Path(directory, "middle"), name="Middle", parent=root)
        made = {kind: middle.issue("mail.example", kind=kind) for kind in certs.KEYS}
        made["root"] = root
        suite = Suite(start=False, relayhost=sink.place, smtpd_tls_security_level="may", smtpd_tls_loglevel="1",
                      smtpd_tls_received_header="yes", smtpd_error_sleep_time="0s", smtpd_peername_lookup="no",
                      smtpd_tls_chain_files=" ".join(str(made[k].both) for k in certs.KEYS))
        where = {**dict(zip(SERVICES, ports.free_ports(len(SERVICES)))), "main": suite.port}
        with (suite.config / "master.cf").open("a") as master_cf:
            for name, options in SERVICES.items():
                words = " ".join(f"-o {{ {key} = {value.format(**made)} }}" for key, value in options.items())
                master_cf.write(f"127.0.0.1:{where[name]} inet n - n - - smtpd {words}\n")
        with suite:
            suite.start()
            commands(where)
            key_types(where["main"], made)

            send(smtplib.SMTP("127.0.0.1", where["main"], "client.example"), "clear")
            for name in ("main", "encrypt", "old", "older", "pairs", "onefile"):
                client = smtplib.SMTP("127.0.0.1", where[name], "client.example")
                client.starttls(context=no_check())
                expect_equal(client.docmd("STARTTLS"), (554, b"5.5.1 Error: TLS already active"), name)
                client.ehlo()
                expect(not client.has_extn("starttls"), f"{name}: STARTTLS is offered again")
                send(client, name)
            send(smtplib.SMTP_SSL("127.0.0.1", where["wrapper"], "client.example", context=no_check()), "wrapper")
            for name, words in (("swaks", ["--tls"]), ("swaks-implicit", ["--tls-on-connect"])):
                port = where["wrapper" if "implicit" in name else "main"]
                said = run("swaks", "--server", f"127.0.0.1:{port}", "--from", "a@example.org", "--to",
                           f"{name}@example.net", *words)
                if "requires Net::SSLeay" in said:
                    print("swaks has no TLS (libnet-ssleay-perl)")
                    continue
                expect_match(r"<~  250 2\.0\.0 Ok: queued", said, name)
                sink_has(sink, name)

            # A second suite and a Postfix, which must have TLS.
            with Suite(relayhost=f"[127.0.0.1]:{where['encrypt']}", smtp_tls_security_level="encrypt") as other:
                other.send("from@example.org", ["ours@example.net"])
                sink_has(sink, "ours")
            if postfix_peer.available():
                listen = f"127.0.0.1:{ports.free_port()}"
                postfix = postfix_peer.Postfix(pathlib.Path(directory, "postfix"), listen,
                                               f"127.0.0.1:{where['encrypt']}",
                                               {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": root.cert,
                                                "smtp_tls_verify_cert_match": "mail.example"}).start()
                try:
                    host, port = listen.split(":")
                    send(smtplib.SMTP(host, int(port), "client.example"), "postfix")
                    sink_has(sink, "postfix")
                finally:
                    postfix.stop()
            check_headers(sink)

            # One that stalls, one that is no TLS, and one that leaves.
            with RawClient(where["brief"]) as client:
                expect_match("^220", client.command("STARTTLS"), "STARTTLS")
                expect_equal(client.reply(), "", "cut after smtpd_starttls_timeout")
            suite.wait_log(r"SSL_accept error from unknown\[127\.0\.0\.1\]: .*(timed out|deadline|time)")
            suite.wait_log(r"lost connection after STARTTLS from unknown\[127\.0\.0\.1\]")
            with RawClient(where["main"]) as client:
                expect_match("^220", client.command("STARTTLS"), "STARTTLS")
                client.write("EHLO x\r\nMAIL FROM:<a@example.org>\r\n")
                expect(not client.file.read().startswith(b"250"), "clear text after STARTTLS was answered")
            suite.wait_log(r"SSL_accept error from unknown\[127\.0\.0\.1\]: the peer does not speak TLS")
            with socket.create_connection(("127.0.0.1", where["wrapper"]), timeout=30) as client:
                client.sendall(b"EHLO x\r\n")
                expect(not client.recv(4096).startswith(b"220"), "a greeting in the clear")
            suite.wait_log(r"lost connection after CONNECT from unknown\[127\.0\.0\.1\]")

            suite.wait_log(r"Anonymous TLS connection established from unknown\[127\.0\.0\.1\]: TLSv1\.3 with cipher "
                           r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature ")
            for name in ("smtpd_use_tls", "smtpd_enforce_tls"):
                suite.wait_log(name + r" is obsolete; use smtpd_tls_security_level")
            with smtplib.SMTP("127.0.0.1", where["main"], "client.example") as idle:
                idle.starttls(context=no_check())
                suite.stop()
                expect_equal(idle.getreply()[0], 421, "at a stop")
            suite.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] ehlo=2 starttls=1")


def sink_has(sink, name):
    ports.wait_until(lambda: [m for m in sink.messages if m.recipients == [f"{name}@example.net"]], 30, name)


def check_headers(sink):
    using = (r"\r\n\t\(using TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)\r\n\t key-exchange X25519 server-signature "
             r"[^\r]*\)\r\n\t\(No client certificate requested\)\r\n\tby mail\.postrider\.example \(Postrider\) with "
             r"ESMTPS id ")
    names = ["main", "encrypt", "old", "older", "wrapper", "pairs", "onefile"]
    names += ["postfix"] if postfix_peer.available() else []
    for name in names:
        sink_has(sink, name)
        message = next(m for m in sink.messages if m.recipients == [f"{name}@example.net"])
        expect_match(using, message.header, name)
    clear = next(m for m in sink.messages if m.recipients == ["clear@example.net"])
    expect_match(r"\)\r\n\tby mail\.postrider\.example \(Postrider\) with ESMTP id ", clear.header, "clear")


main()
