# SPDX-License-Identifier: MIT
"""What a password may be shown to: Debian's Postfix with a sasldb offers PLAIN and LOGIN, before STARTTLS and
behind it. One list of options holds in the clear, one under TLS, one where the certificate was verified.

# shows: smtp_sasl_security_options smtp_sasl_tls_security_options smtp_sasl_tls_verified_security_options
# shows: smtp_tls_CAfile
"""
import os
import pathlib
import pwd
import subprocess
import tempfile

import certs
import ports
import postfix_peer
import sinks
from suite import Suite, expect, expect_equal, skip

SASLPASSWD = pathlib.Path("/usr/sbin/saslpasswd2")
if not postfix_peer.available() or not SASLPASSWD.exists():
    skip("Debian's Postfix, sasl2-bin and root are needed")
PASSWORD = "correct horse: battery"
NO_LOGIN = "no mechanism available"
CLEAR, TLS, VERIFIED = {"level": "none"}, {"level": "encrypt"}, {"level": "secure"}
# (protection, options in the clear, under TLS, verified; None: the default) -> whether it logs in
CASES = [
    (CLEAR, None, None, None, False),  # noplaintext, noanonymous
    (CLEAR, "noplaintext", "noanonymous", "noanonymous", False),
    (CLEAR, "noanonymous", "noplaintext", "noplaintext", True),
    (TLS, None, None, None, False),  # as in the clear
    (TLS, "noplaintext", "noanonymous", None, True),
    (TLS, "noplaintext", "noplaintext", "noanonymous", False),  # nobody has been verified
    (TLS, "noanonymous", "noplaintext", "noanonymous", False),
    (VERIFIED, None, None, None, False),
    (VERIFIED, "noplaintext", "noanonymous", None, True),  # as under TLS
    (VERIFIED, "noplaintext", "noplaintext", "noanonymous", True),
    (VERIFIED, "noanonymous", "noanonymous", "noplaintext", False),
]


def server(top, port, sink_port, certificate):
    top.chmod(0o755)
    database = top / "sasldb2"
    subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "realm.example", "joe"],
                   input=PASSWORD, text=True, check=True, capture_output=True)
    os.chown(database, pwd.getpwnam("postfix").pw_uid, -1)
    postfix = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink_port}", {
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "cyrus", "smtpd_sasl_path": "smtpd",
        "smtpd_sasl_local_domain": "realm.example", "smtpd_sasl_security_options": "noanonymous",
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate.cert,
        "smtpd_tls_key_file": certificate.key, "smtpd_tls_auth_only": "no",
        "mynetworks": "192.0.2.1", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"})
    sasl = postfix.conf / "sasl"
    sasl.mkdir()
    (sasl / "smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                                     f"sasldb_path: {database}\nmech_list: PLAIN LOGIN\n")
    return postfix


def service(number, case, place, passwords, ca):
    """A transport for one case."""
    protection, *options, _ = case
    settings = {"smtp_tls_security_level": protection["level"], "smtp_tls_CAfile": ca,
                "smtp_tls_secure_cert_match": "postfix.example", "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_password_maps": f"texthash:{passwords}"}
    names = ["smtp_sasl_security_options", "smtp_sasl_tls_security_options", "smtp_sasl_tls_verified_security_options"]
    settings |= {name: value for name, value in zip(names, options) if value is not None}
    words = " ".join(f"-o {{ {key} = {value} }}" for key, value in settings.items())
    return f"smtp-{number} unix - - n - 1 smtp {words}\n", f"case{number}.example smtp-{number}:{place}\n"


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    root = certs.Authority(top / "ca")
    port = ports.free_port()
    place = f"[127.0.0.1]:{port}"
    with server(top, port, sink.port, root.issue("postfix.example")) as postfix, Suite(start=False) as suite:
        passwords = suite.write("passwords", f"{place} joe@realm.example:{PASSWORD}\n")
        parts = [service(i, case, place, passwords, root.cert) for i, case in enumerate(CASES)]
        suite.configure(transport_maps=f"texthash:{suite.write('transport', ''.join(p[1] for p in parts))}")
        with (suite.config / "master.cf").open("a") as file:
            file.writelines(p[0] for p in parts)
        suite.start()
        for number, case in enumerate(CASES):
            sent = suite.send("from@example.org", [f"to@case{number}.example"])
            seen = postfix.log.read_text().count("sasl_method=") if postfix.log.exists() else 0
            line = suite.wait_log(rf"{sent}: to=<to@case{number}\.example>.*status=.*").group()
            if case[-1]:
                expect("status=sent" in line, f"{case}: {line}")
            else:
                expect("dsn=4.7.0, status=deferred" in line and NO_LOGIN in line, f"{case}: {line}")
                expect_equal(postfix.log.read_text().count("sasl_method="), seen, f"{case}: logins")
        messages = sink.wait(sum(case[-1] for case in CASES))
        expect_equal(len(messages), sum(case[-1] for case in CASES), "mails")
        expect_equal(postfix.log.read_text().count("sasl_method=PLAIN, sasl_username=joe@realm.example"),
                     len(messages), "logins")
        expect(PASSWORD not in "\n".join(suite.lines()), "the password in the log")
