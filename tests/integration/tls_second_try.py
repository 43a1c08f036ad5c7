# SPDX-License-Identifier: MIT
"""What happens after TLS has failed, or worked: at level may the second try in the clear for mail that has
waited, but not for a login; a server that had TLS and lost it; sessions that are resumed; connections that
are used again.

# shows: smtp_tls_downgrade_defer_time lmtp_tls_downgrade_defer_time smtp_tls_connection_reuse
# shows: lmtp_tls_connection_reuse smtp_tls_session_cache_database lmtp_tls_session_cache_database
# shows: lmtp_tls_session_cache_timeout minimal_backoff_time
"""
import re
import tempfile

import certs
from suite import Suite, expect, expect_equal
from tls_peer import TlsPeer

AGAIN = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}


def count(suite, pattern):
    return sum(1 for line in suite.lines() if re.search(pattern, line))


def relay(peer, **settings):
    return Suite(relayhost=f"[127.0.0.1]:{peer.port}", smtp_tls_security_level="may", smtp_tls_loglevel="1",
                 **settings)


def old_mail_goes_in_the_clear(certificate):
    for kind in ("cut", "garbage"):
        with TlsPeer(certificate, starttls=kind) as peer, relay(peer, **AGAIN) as suite:
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: to=<to@example\.net>, .*tls=may:none, .*status=sent")
            expect(count(suite, rf"{sent}: to=.*tls=may\?, dsn=4\.7\.5, status=deferred \(Cannot start TLS: "
                                "handshake failure\\)") >= 1, f"{kind}: young mail waits")
            expect_equal(count(suite, rf"{sent}: .*; falling back to clear text"), 1, f"{kind}: said once")
            expect_equal(len(peer.clear_mails), 1, f"{kind}: mail")


def tls_that_breaks_behind_the_handshake(certificate):
    """The handshake is good, the next thing is not: old mail goes in the clear, young mail waits."""
    for verb in ("EHLO", "MAIL"):
        with TlsPeer(certificate, cut_at=(verb,)) as peer, relay(peer, **AGAIN) as suite:
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: to=<to@example\.net>, .*tls=may:none, .*status=sent")
            expect(count(suite, rf"{sent}: to=.*tls=may, dsn=4\.4\.2, status=deferred \(lost connection") >= 1,
                   f"{verb}: young mail waits")
            expect_equal(count(suite, rf"{sent}: .*; falling back to clear text"), 1, f"{verb}: said once")
            expect_equal(len(peer.mails), 1, f"{verb}: mail")
            expect_equal(len(peer.clear_mails), 1, f"{verb}: mail in the clear")
        # Where TLS is a must, and where a password would be shown, never.
        for settings in ({"smtp_tls_security_level": "encrypt"},
                         {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "static:user:secret",
                          "smtp_sasl_security_options": ""}):
            with TlsPeer(certificate, cut_at=(verb,)) as peer, relay(peer, **AGAIN) as suite:
                suite.configure(**settings)
                suite.reload()
                sent = suite.send("from@example.org", ["to@example.net"])
                suite.wait_log(rf"{sent}: to=<to@example\.net>, .*status=deferred", count=3)
                expect_equal(peer.mails, [], f"{verb}: mail")
                expect_equal(count(suite, "falling back"), 0, f"{verb}: fallback")
                suite.cli("delete", sent)


def a_kept_session_that_broke_is_no_attempt(certificate):
    """It ends while it is idle, or at MAIL: the next one is opened at once, with TLS, and nothing is said of it."""
    with TlsPeer(certificate) as peer, relay(peer, smtp_connection_cache_destinations="127.0.0.1",
                                             smtp_connection_cache_time_limit="60s", **AGAIN) as suite:
        def deliver():
            sent = suite.send("from@example.org", ["to@example.net"])
            return suite.wait_log(rf"{sent}: to=.*status=\w+.*").group()
        deliver()
        expect("conn_use=2" in deliver(), "the session is kept")
        peer.cut_at, peer.cut_session = ("MAIL", "RSET"), peer.sessions[0]  # only what is open already breaks
        line = deliver()
        expect("tls=may, " in line and "status=sent" in line and "conn_use" not in line, line)
        expect_equal([s.tls is not None for s in peer.sessions], [True, True], "sessions with TLS")
        expect_equal(len(peer.sessions[1].mails), 1, "mail over the new one")
        peer.cut_at = ()
        # Cut between two messages.
        peer.sessions[1].close()
        line = deliver()
        expect("tls=may, " in line and "status=sent" in line and "conn_use" not in line, line)
        expect_equal(len(peer.sessions), 3, "sessions")
        expect_equal(count(suite, r"postrider/smtp\[.*(status=deferred|lost connection|falling back)"), 0, "troubles")
        expect_equal(len(peer.clear_mails), 0, "mail in the clear")


def mandatory_tls_is_never_left(certificate):
    with TlsPeer(certificate, starttls="cut") as peer, relay(peer, **AGAIN) as suite:
        suite.configure(smtp_tls_security_level="encrypt")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: to=<to@example\.net>, .*tls=encrypt\?, .*status=deferred", count=3)
        expect_equal(peer.mails, [], "mail")
        expect_equal(count(suite, "falling back"), 0, "fallback")
        suite.cli("delete", sent)


def a_login_is_not_left(certificate):
    with TlsPeer(certificate, starttls="cut") as peer, relay(peer, **AGAIN) as suite:
        suite.configure(smtp_sasl_auth_enable="yes", smtp_sasl_password_maps="static:user:secret",
                        smtp_sasl_security_options="")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: to=<to@example\.net>, .*status=deferred", count=3)
        expect_equal(peer.mails, [], "mail")
        suite.cli("delete", sent)


def tls_that_is_lost(certificate):
    with TlsPeer(certificate) as peer, relay(peer, smtp_tls_downgrade_defer_time="4s", **AGAIN,
                                             smtp_connection_cache_on_demand="no") as suite:
        suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(r"to=<to@example\.net>, .*tls=may, .*status=sent")
        peer.starttls = "no"
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: to=.*dsn=4\.7\.4, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] had TLS "
                       r"before, but now does not offer it\)")
        suite.wait_log(rf"{sent}: to=.*tls=may:none, .*status=sent")
        expect_equal(count(suite, r"warning: host .*had TLS before.*smtp_tls_downgrade_defer_time"), 1, "one warning")
        expect_equal(len(peer.clear_mails), 1, "in the clear at last")
        # And not at all where nobody asks for that.
        peer.starttls = "yes"
        suite.configure(smtp_tls_downgrade_defer_time="0")
        suite.reload()
        suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(r"to=<to@example\.net>, .*tls=may, .*status=sent", count=2)
        peer.starttls = "no"
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: to=.*tls=may:none, .*status=sent")


def sessions_are_resumed(certificate):
    for cache in (True, False):
        settings = {"smtp_connection_cache_on_demand": "no"}
        if not cache:
            settings["smtp_tls_session_cache_database"] = ""
        with TlsPeer(certificate) as peer, relay(peer, **settings) as suite:
            for _ in range(3):
                sent = suite.send("from@example.org", ["to@example.net"])
                suite.wait_log(rf"{sent}: to=.*status=sent")
            expect_equal([s.resumed for s in peer.sessions], [False, cache, cache], f"cache {cache}: resumed")
            expect_equal(len({s.tls for s in peer.sessions}), 1, "version")


def connections_are_used_again(certificate):
    for reuse in ("yes", "no"):
        with TlsPeer(certificate) as peer, relay(peer, smtp_tls_connection_reuse=reuse,
                                                 smtp_connection_cache_destinations="127.0.0.1",
                                                 smtp_connection_cache_time_limit="60s") as suite:
            for _ in range(3):
                sent = suite.send("from@example.org", ["to@example.net"])
                suite.wait_log(rf"{sent}: to=.*tls=may, .*status=sent")
            expect_equal(len(peer.sessions), 1 if reuse == "yes" else 3, f"reuse {reuse}: connections")
            expect_equal(count(suite, "conn_use=3"), 1 if reuse == "yes" else 0, f"reuse {reuse}: log")


def the_same_in_lmtp(certificate):
    with TlsPeer(certificate) as peer:
        with Suite(transport_maps=f"static:lmtp:inet:[127.0.0.1]:{peer.port}", lmtp_tls_security_level="may",
                   lmtp_connection_cache_on_demand="no", lmtp_tls_session_cache_timeout="0",
                   lmtp_tls_session_cache_database="", lmtp_tls_connection_reuse="no",
                   lmtp_tls_downgrade_defer_time="1h") as suite:
            for _ in range(2):
                sent = suite.send("from@example.org", ["to@example.net"])
                suite.wait_log(rf"{sent}: to=.*tls=may, .*status=sent")
            expect_equal([s.resumed for s in peer.sessions], [False, False], "resumed")
            peer.starttls = "454"
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: to=.*dsn=4\.7\.4, status=deferred \(host .* had TLS before, but now refuses to "
                           r"start it: 454 4\.7\.0 TLS not available\)")
            suite.cli("delete", sent)


with tempfile.TemporaryDirectory() as place:
    made = certs.Authority(place).issue("peer.example")
    for case in (old_mail_goes_in_the_clear, tls_that_breaks_behind_the_handshake,
                 a_kept_session_that_broke_is_no_attempt, mandatory_tls_is_never_left, a_login_is_not_left, tls_that_is_lost,
                 sessions_are_resumed, connections_are_used_again, the_same_in_lmtp):
        print(case.__name__, flush=True)
        case(made)
