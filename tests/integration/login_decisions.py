# SPDX-License-Identifier: MIT
"""When we log in, as whom, and what follows from a refusal.

# shows: smtp_sasl_password_maps smtp_sasl_password_result_delimiter smtp_sasl_auth_soft_bounce
# shows: smtp_sender_dependent_authentication smtp_send_dummy_mail_auth smtp_sasl_path
# shows: smtp_sasl_auth_cache_name smtp_sasl_auth_cache_time smtp_sasl_mechanism_filter
"""
import base64

import sinks
from suite import Suite, expect, expect_equal

EXTENSIONS = (*sinks.EXTENSIONS, "AUTH PLAIN X-OTHER", "AUTH=PLAIN")
OPEN = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous"}
SECRET = "Tr0ub4dor&3"


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def logins(session):
    return [line for line in session.lines if line.upper().startswith("AUTH")]


def deliver(suite, sink, sender="from@example.org"):
    """The session of one more message."""
    sent = suite.send(sender, ["to@example.net"])
    suite.wait_log(rf"{sent}: removed")
    return sink.sessions[sink.messages[-1].session]


# Who has an entry logs in. Others do not, and AUTH=<> is for who has. Both the next hop as it is
# written and the host count, the host first.
with sinks.Sink({"AUTH": "235 2.7.0 ok"}, extensions=EXTENSIONS) as sink:
    with Suite(relayhost=sink.place, smtp_send_dummy_mail_auth="yes",
               smtp_sasl_password_result_delimiter="|",
               smtp_sasl_password_maps=f"inline:{{{{{sink.place}=a:b|{SECRET}}}}}", **OPEN) as suite:
        session = deliver(suite, sink)
        expect_equal(logins(session), [plain("a:b", SECRET)], "login of the next hop")
        expect(sink.messages[-1].mail_line.endswith(" AUTH=<>"), sink.messages[-1].mail_line)
        suite.configure(smtp_sasl_password_result_delimiter=":", smtp_send_dummy_mail_auth="no",
                        smtp_sasl_password_maps=f"inline:{{{{{sink.place}=hop:x}}, 127.0.0.1=host:x}}")
        suite.reload()
        expect_equal(logins(deliver(suite, sink)), [plain("host", "x")], "login of the host")
        expect("AUTH=" not in sink.messages[-1].mail_line, sink.messages[-1].mail_line)
        suite.configure(smtp_sasl_password_maps=f"inline:{{127.0.0.1:{sink.port}=port:x}}",
                        smtp_send_dummy_mail_auth="yes")
        suite.reload()
        expect_equal(logins(deliver(suite, sink)), [], "login of a stranger")
        expect("AUTH=" not in sink.messages[-1].mail_line, sink.messages[-1].mail_line)

        # A plug-in directory without plug-ins.
        suite.configure(smtp_sasl_path="/nonexistent", smtp_sasl_password_maps="static:joe:x")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"{sent}: .*status=deferred \(SASL authentication failed; cannot authenticate "
                       r"to server 127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism available\)")
        # All that is offered is filtered out.
        suite.configure(smtp_sasl_path="", smtp_sasl_mechanism_filter="!plain, static:all")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(r"warning: 127\.0\.0\.1\[127\.0\.0\.1\] offered no supported AUTH mechanisms|"
                       rf"{sent}: .*status=deferred \(SASL authentication failed; cannot authenticate")
        # A table that cannot be asked.
        suite.configure(smtp_sasl_password_maps="fail:broken", smtp_sasl_mechanism_filter="")
        suite.reload()
        sent = suite.send("from@example.org", ["to@example.net"])
        suite.wait_log(rf"warning: {sent}: smtp_sasl_password_maps lookup error")
        suite.wait_log(rf"{sent}: .*dsn=4\.3\.0, status=deferred \(local data error while talking to "
                       r"127\.0\.0\.1\[127\.0\.0\.1\]\)")

# By sender, and no connection serves two of them, though all are kept.
with sinks.Sink({"AUTH": "235 2.7.0 ok"}, extensions=EXTENSIONS) as sink:
    with Suite(relayhost=sink.place, smtp_sender_dependent_authentication="yes",
               smtp_connection_cache_destinations="127.0.0.1", recipient_delimiter="+",
               smtp_connection_cache_time_limit="60s",
               smtp_sasl_password_maps="inline:{one@example.org=one:x, @example.com=two:x, "
                                       "127.0.0.1=all:x}", **OPEN) as suite:
        one = deliver(suite, sink, "one+list@example.org")
        expect_equal(logins(one), [plain("one", "x")], "login of one")
        two = deliver(suite, sink, "anybody@example.com")
        expect_equal(logins(two), [plain("two", "x")], "login of two")
        rest = deliver(suite, sink, "other@example.org")
        expect_equal(logins(rest), [plain("all", "x")], "login of the rest")
        for sender, session in (("one+list@example.org", one), ("anybody@example.com", two),
                                ("other@example.org", rest)):
            expect(deliver(suite, sink, sender) is session, f"a new connection for {sender}")
        expect(deliver(suite, sink, "third@example.org") is not rest, "a connection of another sender")

# Refused: deferred, or bounced; asked again, or remembered.
for soft, cached in (("yes", False), ("no", False), ("yes", True)):
    with sinks.Sink({"AUTH": "535 5.7.8 Error: bad credentials"}, extensions=EXTENSIONS) as sink:
        with Suite(relayhost=sink.place, smtp_sasl_auth_soft_bounce=soft,
                   smtp_sasl_auth_cache_name="lmdb:$data_directory/refused" if cached else "",
                   smtp_sasl_auth_cache_time="1h", notify_classes="protocol, bounce",
                   debug_peer_list="127.0.0.1",
                   smtp_sasl_password_maps=f"static:joe:{SECRET}", **OPEN) as suite:
            status = r"dsn=4\.7\.8, status=deferred" if soft == "yes" else r"dsn=5\.7\.8, status=bounced"
            for again in (False, True):
                # The cache is one of a process or of the service that keeps it: one delivery each.
                sent = suite.send("from@example.org", ["to@example.net"])
                word = r" \[CACHED\]" if cached and again else ""
                suite.wait_log(rf"{sent}: to=<to@example\.net>, .*{status} \(SASL{word} authentication "
                               r"failed; server 127\.0\.0\.1(\[127\.0\.0\.1\])? said: 535 5\.7\.8 Error: "
                               r"bad credentials\)")
            # Of those that went on after EHLO: reports may be on their way.
            talks = [list(s.lines) for s in sink.sessions]
            asked = [sum(line.startswith("AUTH") for line in lines) for lines in talks if len(lines) > 1]
            if cached:
                expect_equal(sum(asked), 1, "logins")
            else:
                expect(len(asked) >= 2 and set(asked) == {1}, f"logins: {asked}")
            text = "\n".join(suite.lines())
            expect("> 127.0.0.1[127.0.0.1]" in text and "AUTH PLAIN [...]" in text, "a conversation")
            for secret in (SECRET, base64.b64encode(SECRET.encode()).decode(), plain("joe", SECRET)[11:]):
                expect(secret not in text, f"{secret} in the log")
