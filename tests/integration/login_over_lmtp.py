# SPDX-License-Identifier: MIT
"""LMTP logs in by parameters of its own.

# shows: lmtp_sasl_auth_enable lmtp_sasl_password_maps lmtp_sasl_security_options lmtp_sasl_type
# shows: lmtp_sasl_mechanism_filter lmtp_sasl_path lmtp_sasl_password_result_delimiter
# shows: lmtp_sasl_auth_cache_name lmtp_sasl_auth_cache_time lmtp_sasl_auth_soft_bounce
# shows: lmtp_send_dummy_mail_auth lmtp_sender_dependent_authentication
"""
import base64

import sinks
from suite import Suite, expect, expect_equal

EXTENSIONS = (*sinks.EXTENSIONS, "AUTH PLAIN LOGIN")


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


with sinks.Sink({"AUTH": "235 2.7.0 ok"}, lmtp=True, extensions=EXTENSIONS) as store, \
        sinks.Sink({"AUTH": "535 5.7.8 no"}, lmtp=True, extensions=EXTENSIONS) as strict, sinks.Sink() as returned:
    with Suite(relayhost=returned.place, lmtp_sasl_auth_enable="yes", lmtp_sasl_type="cyrus",
               lmtp_connection_cache_on_demand="no",
               lmtp_sasl_security_options="noanonymous", lmtp_sasl_mechanism_filter="!login, static:all",
               lmtp_sasl_password_result_delimiter="|", lmtp_sasl_password_maps="static:joe|secret",
               lmtp_send_dummy_mail_auth="yes", lmtp_sender_dependent_authentication="yes",
               transport_maps=f"inline:{{ mail.example=lmtp:inet:127.0.0.1:{store.port}, "
                              f"strict.example=lmtp:inet:127.0.0.1:{strict.port} }}") as suite:
        suite.send("from@example.org", ["to@mail.example"])
        message = store.wait(1)[0]
        lines = store.sessions[message.session].lines
        expect_equal([line for line in lines if line.startswith("AUTH")], [plain("joe", "secret")], "login")
        expect(message.mail_line.endswith(" AUTH=<>"), message.mail_line)
        suite.wait_log("warning: lmtp_sender_dependent_authentication has no effect")

        sent = suite.send("from@example.org", ["to@strict.example"])
        suite.wait_log(rf"{sent}: .*dsn=4\.7\.8, status=deferred \(SASL authentication failed; server")
        suite.configure(lmtp_sasl_auth_soft_bounce="no", lmtp_sasl_auth_cache_time="1h",
                        lmtp_sasl_auth_cache_name="lmdb:$data_directory/lmtp_refused")
        suite.reload()
        for word in ("", r" \[CACHED\]"):
            sent = suite.send("from@example.org", ["to@strict.example"])
            suite.wait_log(rf"{sent}: .*dsn=5\.7\.8, status=bounced \(SASL{word} authentication failed; server")

        suite.configure(lmtp_sasl_auth_cache_name="")  # which knows servers by name alone
        for change in ({"lmtp_sasl_mechanism_filter": "login", "lmtp_sasl_security_options": "noplaintext"},
                       {"lmtp_sasl_mechanism_filter": "", "lmtp_sasl_security_options": "",
                        "lmtp_sasl_path": "/nonexistent"}):
            suite.configure(**change)
            suite.reload()
            sent = suite.send("from@example.org", ["to@mail.example"])
            suite.wait_log(rf"{sent}: .*status=deferred \(SASL authentication failed; cannot authenticate to "
                           r"server 127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism available\)")
