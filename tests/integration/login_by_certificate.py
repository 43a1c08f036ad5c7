# SPDX-License-Identifier: MIT
"""SASL EXTERNAL: Exim takes mail only of who it knows by the certificate of the connection. Who has none,
or one that the server does not know, is not logged in, and mail waits.

# shows: smtp_tls_chain_files send_cyrus_sasl_authzid
"""
import pathlib
import tempfile

import certs
import exim_peer
from suite import Suite, expect, expect_equal, skip

if not exim_peer.available():
    skip("no Exim (tools/unpack_peers.sh build/peers), or no mount namespace for it")

# The name is the certificate's; an identity that is asked for as well has to be the same.
AUTHENTICATOR = """\
certificate:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = {advertise}
  server_param2 = ${{certextract {{subject,CN}}{{$tls_in_peercert}}}}
  server_condition = ${{if and {{{{def:auth2}}{{or {{{{eq {{$auth1}}{{}}}}{{eq {{$auth1}}{{$auth2}}}}}}}}}}}}
  server_set_id = $auth2
"""


def server(directory, root, certificate, advertise):
    return exim_peer.Exim(
        directory, cert=certificate.cert, key=certificate.key, accept="accept authenticated = *",
        more=f"tls_verify_certificates = {root.cert}\ntls_try_verify_hosts = *",
        authenticators=AUTHENTICATOR.format(advertise=advertise))


def relay(exim, **settings):
    return Suite(relayhost=f"[127.0.0.1]:{exim.port}", smtp_tls_security_level="encrypt", smtp_tls_loglevel="1",
                 smtp_sasl_auth_enable="yes", smtp_sasl_password_maps="static:client.example:",
                 smtp_connection_cache_on_demand="no", **settings)


def send(suite):
    return suite.send("from@example.org", ["to@example.net"])


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    root, stranger = certs.Authority(top / "ca"), certs.Authority(top / "other", "Other Authority")
    known, unknown = root.issue("client.example"), stranger.issue("client.example")
    somebody = root.issue("somebody.example")

    # Offered to who has shown a good certificate.
    with server(top / "exim", root, root.issue("exim.example"), "$tls_in_certificate_verified") as exim:
        with relay(exim, start=False) as suite:
            for name, pair in (("known", known), ("unknown", unknown), ("somebody", somebody)):
                chain = suite.write(f"{name}.pem", pair.both.read_text())
                chain.chmod(0o644)
            suite.configure(smtp_tls_chain_files=suite.top / "known.pem")
            suite.start()
            for count, authzid in enumerate(("no", "yes"), 1):
                suite.configure(send_cyrus_sasl_authzid=authzid)
                suite.reload()
                sent = send(suite)
                suite.wait_log(rf"{sent}: to=.*tls=encrypt, .*status=sent")
                taken = exim.taken()
                expect_equal(len(taken), count, "mails")
                expect(" A=certificate:client.example " in taken[-1], taken[-1])
            # Another name than the certificate's.
            suite.configure(smtp_tls_chain_files=suite.top / "somebody.pem")
            suite.reload()
            sent = send(suite)
            suite.wait_log(rf"{sent}: .*dsn=4\.0\.0, status=deferred \(SASL authentication failed; server "
                           r"127\.0\.0\.1\[127\.0\.0\.1\] said: 535 Incorrect authentication data")
            # Another authority: not offered, and mail without a login is refused.
            suite.configure(smtp_tls_chain_files=suite.top / "unknown.pem")
            suite.reload()
            sent = send(suite)
            suite.wait_log(rf"{sent}: .*status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 ")
            expect_equal(len(exim.taken()), 2, "mails")

    # Offered to everybody: who has no certificate does not claim to be anybody.
    with server(top / "exim2", root, root.issue("exim.example"), "true") as exim, relay(exim) as suite:
        sent = send(suite)
        suite.wait_log(rf"{sent}: .*dsn=4\.7\.0, status=deferred \(SASL authentication failed; cannot authenticate "
                       r"to server 127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism available\)")
        expect_equal(exim.taken(), [], "mails")
