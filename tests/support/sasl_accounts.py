# SPDX-License-Identifier: MIT
"""Accounts for a suite whose smtpd takes logins: a sasldb with joe and ann, and smtpd.conf.

    accounts = sasl_accounts.make(suite)                  # before suite.start()
    sasl_accounts.configure(suite, "pwcheck_method: saslauthd", "saslauthd_path: /...")
"""
import pathlib
import subprocess

from suite import skip

SASLPASSWD = pathlib.Path("/usr/sbin/saslpasswd2")
PASSWORD = "correct horse: battery"
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
REALM = "realm.example"
SETTINGS = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": REALM,
            "smtpd_sasl_security_options": "noanonymous", "smtpd_sasl_failure_delay": "0s",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}


def configure(suite, *lines, name="smtpd"):
    directory = suite.dir / "sasl"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    path = directory / f"{name}.conf"
    path.write_text("".join(line + "\n" for line in lines))
    path.chmod(0o644)


def make(suite, mechanisms=tuple(MECHANISMS), name="smtpd"):
    if not SASLPASSWD.exists():
        skip("sasl2-bin is needed")
    database = suite.top / "sasldb2"
    for user in ("joe", "ann"):
        subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", REALM, user], input=PASSWORD,
                       text=True, check=True, capture_output=True)
    database.chmod(0o644)
    configure(suite, "pwcheck_method: auxprop", "auxprop_plugin: sasldb", f"sasldb_path: {database}",
              f"mech_list: {' '.join(mechanisms)}", name=name)
    return database
