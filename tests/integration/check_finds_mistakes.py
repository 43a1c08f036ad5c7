# SPDX-License-Identifier: MIT
"""postrider check asks smtpd about each of its lines in master.cf: certificates, keys, SNI tables, words of
restrictions. It says what is wrong, in which file, and what to do; a good configuration is good.

# shows: smtpd_tls_chain_files smtpd_tls_cert_file smtpd_tls_key_file tls_server_sni_maps
# shows: smtpd_reject_footer_maps smtpd_log_access_permit_actions smtpd_noop_commands smtpd_forbidden_commands
"""
import pathlib
import tempfile

import certs
from suite import Suite, expect, expect_equal, expect_match

with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory:
    authority = certs.Authority(pathlib.Path(directory))
    good = authority.issue("mail.postrider.example")
    other = authority.issue("other.example")
    expired = authority.expired("mail.postrider.example")
    empty = pathlib.Path(directory, "empty.pem")
    empty.write_text("")
    tls = {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": good.both}
    socketmap = "socketmap:unix:/nowhere/socket:x"
    cases = [
        (tls, None),
        ({**tls, "smtpd_tls_chain_files": "/no/such.pem"}, r"/no/such\.pem.*STARTTLS is answered with 454"),
        ({**tls, "smtpd_tls_chain_files": empty}, rf"{empty}: no private key and no certificate"),
        ({**tls, "smtpd_tls_chain_files": "", "smtpd_tls_cert_file": good.cert, "smtpd_tls_key_file": other.key},
         rf"{other.key}: the private key does not belong to the certificate in {good.cert}"),
        ({**tls, "smtpd_tls_chain_files": "", "smtpd_tls_cert_file": good.cert, "smtpd_tls_key_file": "/no/key.pem"},
         r"/no/key\.pem"),
        ({**tls, "smtpd_tls_CAfile": "/no/ca.pem"}, r"/no/ca\.pem"),
        ({**tls, "smtpd_tls_chain_files": ""}, "smtpd_tls_security_level: TLS needs a certificate; set smtpd_tls_chain_files"),
        ({**tls, "smtpd_tls_chain_files": "", "smtpd_tls_security_level": "", "smtpd_tls_wrappermode": "yes"},
         "smtpd_tls_wrappermode: TLS needs a certificate"),
        ({**tls, "smtpd_tls_chain_files": "/no/such.pem", "smtpd_tls_wrappermode": "yes"}, "all clients are turned away"),
        ({**tls, "tls_server_sni_maps": f"inline:{{other.example={other.both}}}"}, None),
        ({**tls, "tls_server_sni_maps": "inline:{other.example=/no/sni.pem}"},
         r"tls_server_sni_maps: other\.example: .*/no/sni\.pem"),
        ({**tls, "tls_server_sni_maps": "regexp:{{/x/ y}}"}, "tls_server_sni_maps"),
        ({**tls, "smtpd_tls_security_level": "sometimes"}, "no such TLS level: sometimes; there are none, may and encrypt"),
        ({**tls, "smtpd_tls_priority": "NORMAL:nonsense"}, "smtpd_tls_priority"),
        ({"smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destinations"},
         r"main\.cf:\d+: smtpd_recipient_restrictions = .*reject_unauth_destination"),
        ({"smtpd_recipient_restrictions": "reject_unverified_recipient"}, "reject_unverified_recipient.*relay_recipient_maps"),
        ({"smtpd_sender_restrictions": "reject_unverified_sender"}, "reject_unverified_sender.*reject_unknown_sender_domain"),
        ({"smtpd_client_restrictions": "check_etrn_access inline:{a=OK}"}, "check_etrn_access.*there is no ETRN here"),
        # Tables that would be waited for where nothing can wait.
        ({"smtpd_reject_footer_maps": socketmap}, "smtpd_reject_footer_maps: a socketmap: table .*copy it"),
        ({"smtpd_noop_commands": socketmap}, "smtpd_noop_commands: a socketmap: table .*copy it"),
        ({"smtpd_forbidden_commands": socketmap}, "smtpd_forbidden_commands: a socketmap: table .*copy it"),
        ({"smtpd_log_access_permit_actions": socketmap}, "smtpd_log_access_permit_actions.*: a socketmap: table .*copy it"),
    ]
    for settings, wrong in cases:
        with Suite(start=False, **settings) as suite:
            done = suite.cli("check", check=False)
            said = done.stdout + done.stderr
            if wrong is None:
                expect_equal(done.returncode, 0, said)
            else:
                expect(done.returncode != 0, f"{settings} is taken for good")
                expect_match(rf"error: .*{wrong}", said, str(settings))
    # What is no mistake but will hurt.
    with Suite(start=False, **{**tls, "smtpd_tls_chain_files": expired.both}) as suite:
        done = suite.cli("check", check=False)
        expect_match(rf"warning: .*{expired.both}.*expired", done.stdout + done.stderr)
    # Options of one line count for that line, which is named.
    with Suite(start=False) as suite:
        with (suite.config / "master.cf").open("a") as master_cf:
            master_cf.write("127.0.0.1:4650 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
                            " -o smtpd_tls_chain_files=/no/chain.pem\n")
        line = len((suite.config / "master.cf").read_text().splitlines()) - 1
        done = suite.cli("check", check=False)
        expect_match(rf"error: .*master\.cf:{line}: service 127\.0\.0\.1:4650: .*/no/chain\.pem", done.stdout + done.stderr)
        expect(done.returncode != 0, "it is a mistake")
