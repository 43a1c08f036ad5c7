# SPDX-License-Identifier: MIT
"""Logins by XOAUTH2 and OAUTHBEARER, with tokens from a file, a command, and a token endpoint that
replaces refresh tokens. A refused token is asked for anew, once. No token is in any log.

# shows: oauth_token_sources oauth_CAfile token_service_name
"""
import base64
import json
import os
import pathlib
import stat
import tempfile

import certs
import sinks
import token_endpoint
from suite import Suite, expect, expect_equal


class Relay(sinks.Sink):
    """Takes mail of who shows a token of `good`. `refused`: called when another one came."""

    def __init__(self, mechanisms):
        self.good, self.logins, self.refused = set(), [], lambda token: None
        super().__init__({"AUTH": self.auth, "MAIL": self.mail, "": self.second, "AQ==": self.second},
                         extensions=(*sinks.EXTENSIONS, f"AUTH {mechanisms}"))

    def auth(self, session, line):
        _, mechanism, response = line.split(" ")
        text = base64.b64decode(response).decode()
        user = text.split("\1")[0].replace("user=", "").replace("n,a=", "").rstrip(",")
        token = text.split("auth=Bearer ")[1].rstrip("\1")
        session.in_auth, session.good = False, token in self.good
        self.logins.append((session.number, mechanism, user, token))
        if session.good:
            return "235 2.7.0 ok"
        self.refused(token)
        session.in_auth = mechanism
        return "334 " + base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()

    def second(self, session, line):
        mechanism, session.in_auth = getattr(session, "in_auth", False), False
        if not mechanism:
            return None
        expect_equal(line, "AQ==" if mechanism == "OAUTHBEARER" else "", "the closing response")
        return "535 5.7.8 token refused"

    def mail(self, session, line):
        return None if getattr(session, "good", False) else "530 5.7.0 log in first"


SETTINGS = {"smtp_sasl_auth_enable": "yes", "smtp_connection_cache_on_demand": "no",
            "smtp_sasl_security_options": "noanonymous",
            "debug_peer_list": "127.0.0.1", "notify_classes": "protocol, bounce, resource"}
SECRETS = ["file-token-1", "file-token-2", "command-token", "AT-1", "AT-2", "RT-1", "RT-2", "client-s3cret"]


def check_log(suite):
    log = "\n".join(suite.lines())
    for secret in SECRETS:
        for form in (secret, base64.b64encode(secret.encode()).decode()[:12]):
            expect(form not in log, f"{form} in the log")


def deliver(suite, relay):
    sent = suite.send("from@example.org", ["to@example.net"])
    suite.wait_log(rf"{sent}: removed")
    return relay.logins[-1]


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    authority = certs.Authority(top / "ca")

    # A file, which is read each time, and a command.
    with Relay("PLAIN XOAUTH2") as relay:
        with Suite(start=False, relayhost=relay.place, smtp_sasl_password_maps="static:joe@example.com:token:t",
                   **SETTINGS) as suite:
            token = suite.write("token", "file-token-1\n")
            script = suite.write("script", '#!/bin/sh\n[ "$1" = "a b" ] && exit 1\necho command-token\n')
            script.chmod(0o755)
            table = suite.write("sources", f"t file:{token}\n")
            for path in (token, script, table):
                os.chown(path, suite.dir.stat().st_uid, -1)
            token.chmod(0o644)
            suite.configure(oauth_token_sources=f"texthash:{table}")
            suite.start()
            relay.good = {"file-token-1"}
            expect_equal(deliver(suite, relay)[1:], ("XOAUTH2", "joe@example.com", "file-token-1"), "login")
            # Taken back: the source has another one by then.
            relay.good = {"file-token-2"}
            relay.refused = lambda _: token.write_text("file-token-2\n")
            login = deliver(suite, relay)
            expect_equal([entry[3] for entry in relay.logins if entry[0] == login[0]],
                         ["file-token-1", "file-token-2"], "logins of one connection")
            # The same one again: not tried a second time.
            relay.good, relay.refused = set(), lambda _: None
            count = len(relay.logins)
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: .*dsn=4\.7\.8, status=deferred \(SASL authentication failed; server "
                           r"127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 token refused\)")
            suite.wait_log(r'warning: 127\.0\.0\.1\[127\.0\.0\.1\] about the token: {"status":"401"')
            expect_equal(len(relay.logins), count + 1, "logins")
            relay.good = {"command-token"}
            suite.configure(oauth_token_sources=f"inline:{{{{t=command:{script} a b}}}}")
            suite.reload()
            expect_equal(deliver(suite, relay)[3], "command-token", "token of the command")
            # Away: mail waits. There is no way to do without a token.
            suite.configure(token_service_name="nobody")
            suite.reload()
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: .*dsn=4\.7\.0, status=deferred \(SASL authentication failed; cannot "
                           r"authenticate to server 127\.0\.0\.1\[127\.0\.0\.1\]: token t: ")
            check_log(suite)

    # A token endpoint. It gives each refresh token once.
    valid = {"RT-1": ("AT-1", "RT-2"), "RT-2": ("AT-2", None)}

    def answer(form):
        if form["refresh_token"] not in valid:
            return 400, {"error": "invalid_grant", "error_description": "AADSTS70000: it was revoked"}
        access, refresh = valid.pop(form["refresh_token"])
        return 200, {"access_token": access, "expires_in": 3600, "token_type": "Bearer",
                     **({"refresh_token": refresh} if refresh else {})}

    with Relay("XOAUTH2 OAUTHBEARER") as relay, \
            token_endpoint.TokenEndpoint(authority.issue("localhost"), answer) as endpoint:
        with Suite(start=False, relayhost=relay.place, smtp_sasl_password_maps="static:joe@example.com:token:office",
                   oauth_CAfile=authority.cert, **SETTINGS) as suite:
            private = suite.top / "tokens"
            private.mkdir(mode=0o700)
            office = private / "office.json"
            office.write_text(json.dumps({
                "token_endpoint": endpoint.url, "client_id": "me", "client_secret": "client-s3cret",
                "scope": "https://outlook.office.com/SMTP.Send offline_access", "refresh_token": "RT-1",
                "comment": {"kept": True}}))
            office.chmod(0o600)
            owner = suite.owner("authentication_owner")
            for path in (private, office):
                os.chown(path, owner, -1)
            suite.configure(oauth_token_sources=f"inline:{{office=refresh:{office}}}")
            suite.start()
            relay.good = {"AT-1", "AT-2"}
            expect_equal(deliver(suite, relay)[1:], ("OAUTHBEARER", "joe@example.com", "AT-1"), "login")
            expect_equal(endpoint.forms, [{
                "grant_type": "refresh_token", "refresh_token": "RT-1", "client_id": "me",
                "client_secret": "client-s3cret",
                "scope": "https://outlook.office.com/SMTP.Send offline_access"}], "request")
            kept = json.loads(office.read_text())
            expect_equal((kept["refresh_token"], kept["comment"]), ("RT-2", {"kept": True}), "the file")
            expect_equal(stat.S_IMODE(office.stat().st_mode), 0o600, "its mode")
            expect_equal(sorted(p.name for p in private.iterdir()), ["office.json"], "files")
            deliver(suite, relay)
            expect_equal(len(endpoint.forms), 1, "requests")  # it is kept
            # A new process begins with the refresh token that was written down.
            suite.stop()
            suite.start()
            expect_equal(deliver(suite, relay)[3], "AT-2", "token")
            suite.stop()
            suite.start()
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(r"error: token office: refused; somebody has to log in again: .*localhost.*"
                           r"status 400: invalid_grant: AADSTS70000: it was revoked")
            suite.wait_log(rf"{sent}: .*dsn=4\.7\.0, status=deferred \(SASL authentication failed; .*"
                           r"token office: .*invalid_grant")
            check_log(suite)

        # An endpoint with a certificate of somebody else gets nothing.
        with Suite(start=False, relayhost=relay.place, smtp_sasl_password_maps="static:joe@example.com:token:office",
                   oauth_CAfile=certs.Authority(top / "other", "Other Authority").cert, **SETTINGS) as suite:
            count = len(endpoint.forms)
            suite.configure(oauth_token_sources=f"inline:{{office=refresh:{office}}}")
            office_copy = suite.write("office.json", office.read_text() if office.exists() else json.dumps(
                {"token_endpoint": endpoint.url, "client_id": "me", "refresh_token": "RT-1"}))
            os.chown(office_copy, suite.owner("authentication_owner"), -1)
            office_copy.chmod(0o600)
            suite.configure(oauth_token_sources=f"inline:{{office=refresh:{office_copy}}}")
            suite.start()
            sent = suite.send("from@example.org", ["to@example.net"])
            suite.wait_log(rf"{sent}: .*status=deferred \(SASL authentication failed; .*token office: https://localhost")
            expect_equal(len(endpoint.forms), count, "requests")
            check_log(suite)

# Refused logins outlive the processes that saw them.
with sinks.Sink({"AUTH": "535 5.7.8 no"}, extensions=(*sinks.EXTENSIONS, "AUTH PLAIN")) as sink:
    with Suite(relayhost=sink.place, smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
               smtp_sasl_auth_cache_name="lmdb:$data_directory/refused",
               smtp_sasl_password_maps="static:joe:secret") as suite:
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*status=deferred \(SASL authentication failed; server")
        suite.stop()
        suite.start()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*dsn=4\.7\.8, status=deferred \(SASL \[CACHED\] authentication failed; "
                       r"server 127\.0\.0\.1 said: 535 5\.7\.8 no\)")
        expect_equal(sum(line.startswith("AUTH") for s in sink.sessions for line in s.lines), 1, "logins")

# A table that cannot be opened: `check` says so; mail waits with that reason; refusals are kept all the same.
with sinks.Sink({"AUTH": "535 5.7.8 no"}, extensions=(*sinks.EXTENSIONS, "AUTH PLAIN XOAUTH2")) as sink:
    with Suite(relayhost=sink.place, smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
               smtp_sasl_auth_cache_name="lmdb:$data_directory/refused", smtp_sasl_mechanism_filter="plain",
               smtp_sasl_password_maps="static:joe:secret") as suite:
        for broken in ("texthash:/nonexistent/sources", "nonsense:/sources"):
            suite.configure(oauth_token_sources=broken)
            done = suite.cli("check", check=False)
            expect(done.returncode != 0 and "oauth_token_sources" in done.stdout + done.stderr,
                   f"check of {broken}: {done.stdout}{done.stderr}")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*status=deferred \(SASL authentication failed; server")
        suite.wait_log(r"tokenmgr\[\d+\]: error: .*oauth_token_sources.*; mail that needs a token waits")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*status=deferred \(SASL \[CACHED\] authentication failed")
        suite.configure(smtp_sasl_password_maps="static:joe:token:t", smtp_sasl_mechanism_filter="")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*dsn=4\.7\.0, status=deferred \(SASL authentication failed; .*token t: "
                       r"oauth_token_sources")
