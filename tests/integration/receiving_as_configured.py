# SPDX-License-Identifier: MIT
"""What the parameters of smtpd that need nobody else say is what a client sees: a listener for each
set of them, in one suite."""
# shows: smtpd_banner smtpd_helo_required disable_vrfy_command strict_rfc821_envelopes
# shows: smtpd_discard_ehlo_keywords line_length_limit smtpd_recipient_limit
# shows: smtpd_recipient_overshoot_limit smtpd_hard_error_limit smtpd_soft_error_limit
# shows: smtpd_error_sleep_time smtpd_junk_command_limit smtpd_session_time_limit smtpd_timeout
# shows: smtpd_session_limit relay_domains_reject_code append_at_myorigin stress
# shows: smtpd_forbid_unauth_pipelining relay_domains parent_domain_matches_subdomains
# shows: smtpd_recipient_restrictions smtpd_relay_restrictions queue_minfree
# shows: smtpd_forbid_bare_newline_reject_code smtpd_local_submission
# shows: smtpd_client_connection_count_limit smtpd_client_event_limit_exceptions
import ports
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

HELLO, MAIL = "EHLO client.example", "MAIL FROM:<a@b.example>"


class Listeners:
    def __init__(self, suite):
        self.suite, self.ports = suite, ports.free_ports(40)

    def add(self, **settings):
        port = self.ports.pop()
        text = f"127.0.0.1:{port} inet n - n - - smtpd\n"
        text += "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())
        with (self.suite.dir / "master.cf").open("a") as file:
            file.write(text)
        return port


def codes(client, *commands):
    return [client.command(command)[:3] for command in commands]


with sinks.Sink() as sink, Suite(start=False, relayhost=sink.place) as suite:
    add = Listeners(suite).add
    stranger = {"mynetworks": "192.0.2.0/24"}
    banner = add(smtpd_banner="$myhostname ESMTP at your service")
    polite = add(smtpd_helo_required="yes", disable_vrfy_command="yes",
                 strict_rfc821_envelopes="yes", smtpd_discard_ehlo_keywords="dsn, chunking")
    short = add(line_length_limit=512)
    few = add(smtpd_recipient_limit=2, smtpd_recipient_overshoot_limit=1, smtpd_hard_error_limit=2)
    patient = add(smtpd_soft_error_limit=1, smtpd_error_sleep_time="1h")
    junk = add(smtpd_junk_command_limit=2, smtpd_hard_error_limit=2, smtpd_error_sleep_time=0)
    brief = add(smtpd_session_time_limit="1s")
    idle = add(smtpd_timeout="1s")
    alone = add(smtpd_session_limit=1)
    domains = add(relay_domains="ours.example", relay_domains_reject_code=550,
                  smtpd_relay_restrictions="reject_unauth_destination", **stranger)
    exact = add(relay_domains="ours.example", parent_domain_matches_subdomains="",
                smtpd_relay_restrictions="reject_unauth_destination", **stranger)
    closed = add(smtpd_recipient_restrictions="reject")
    origin = add(myorigin="here.example", append_at_myorigin="yes")
    stressed = add(stress="yes")
    lenient = add(smtpd_forbid_unauth_pipelining="no")
    strict = add(smtpd_forbid_bare_newline="reject", smtpd_forbid_bare_newline_exclusions="",
                 smtpd_forbid_bare_newline_reject_code=521)
    local = add(smtpd_local_submission="yes")
    once = add(smtpd_client_connection_count_limit=1, smtpd_client_event_limit_exceptions="")
    free = add(smtpd_client_connection_count_limit=1)
    suite.start()

    with RawClient(banner) as client:
        expect_equal(client.greeting, "220 mail.postrider.example ESMTP at your service", "greeting")
    with RawClient(polite) as client:
        expect_equal(codes(client, MAIL), ["503"], "MAIL before HELO")
        said = client.command(HELLO)
        for keyword, offered in (("DSN", False), ("CHUNKING", False), ("VRFY", False), ("SIZE", True)):
            expect_equal(f"{keyword}" in said.upper(), offered, keyword)
        expect_equal(codes(client, "VRFY a", "MAIL FROM:a@b.example"), ["502", "501"], "strictness")
    with RawClient(short) as client:
        client.write("NOOP " + "x" * 600)
        expect_match("^500 5.5.2 Error: command line too long", client.reply(), "a long line")
        expect_equal(client.reply(), "", "the session is over")
    with RawClient(few) as client:
        codes(client, HELLO, MAIL)
        said = codes(client, *[f"RCPT TO:<u{i}@x.example>" for i in range(5)])
        expect_equal(said, ["250", "250", "452", "452", "452"], "recipients")
        expect_match("^421 4.7.0 .*too many errors", client.reply(), "errors beyond the overshoot")
    with RawClient(patient) as client:
        expect_equal(codes(client, "FOO"), ["502"], "the first error")
        client.write("FOO\r\n")
        expect(client.silent(), "the reply to the second one is slept on")
    with RawClient(junk) as client:
        expect_equal(codes(client, *["NOOP"] * 4), ["250"] * 4, "NOOP")
        expect_match("^421 4.7.0 .*too many errors", client.reply(), "too much of it")
    with RawClient(brief) as client:
        expect_match("^421 4.4.2 ", client.reply(), "the session's time is over")
    with RawClient(idle) as client:
        expect_match("^421 4.4.2 .*timeout exceeded", client.reply(), "silence")
    with RawClient(alone) as first:
        expect_equal(codes(first, HELLO, MAIL), ["250", "250"], "the only session")
        with RawClient(alone) as second:
            expect_match("^421 4.3.2 ", second.greeting, "the second session")
    with RawClient(domains) as client:
        codes(client, HELLO, MAIL)
        expect_equal(codes(client, "RCPT TO:<u@ours.example>", "RCPT TO:<u@sub.ours.example>",
                           "RCPT TO:<u@theirs.example>"), ["250", "250", "550"], "relay_domains")
    with RawClient(exact) as client:
        codes(client, HELLO, MAIL)
        expect_equal(codes(client, "RCPT TO:<u@ours.example>", "RCPT TO:<u@sub.ours.example>"),
                     ["250", "554"], "without parent domains")
    with RawClient(closed) as client:
        codes(client, HELLO, MAIL)
        expect_equal(codes(client, "RCPT TO:<u@x.example>"), ["554"], "reject")
    with RawClient(stressed) as client:
        expect_equal(codes(client, "FOO"), ["502"], "the only error under stress")
        expect_match("^421 4.7.0 ", client.reply(), "the end")
    with RawClient(lenient) as client:
        client.write(HELLO + "\r\nNOOP\r\n")
        expect_match("^250", client.reply(), "EHLO")
        expect_match("^250", client.reply(), "what was sent behind it")
    with RawClient(suite.port) as client:
        client.write(HELLO + "\r\nNOOP\r\n")
        expect_match("^503", client.reply(), "pipelining is refused by default")
    with RawClient(strict) as client:
        client.write("NOOP\n")
        expect_match("^521 ", client.reply(), "a bare newline")
    with RawClient(local) as client:
        expect_match("^421 ", client.greeting, "local submission over the network")
    with RawClient(once), RawClient(once) as second:
        expect_match("^421 4.7.0 .*too many connections", second.greeting, "the second connection")
    with RawClient(free), RawClient(free) as second:
        expect_match("^220 ", second.greeting, "a client in mynetworks")
    with RawClient(origin) as client:
        codes(client, HELLO, "MAIL FROM:<from>", "RCPT TO:<to>", "DATA")
        expect_match("^250 ", client.command("Subject: x\r\n\r\nx\r\n."), "the message")
    sink.wait(1)
    expect_equal((sink.messages[0].sender, sink.messages[0].recipients),
                 ("from@here.example", ["to@here.example"]), "addresses without a domain")

    suite.configure(queue_minfree="900000g")
    suite.reload()

    def is_full():
        with RawClient(suite.port) as client:
            return codes(client, HELLO, MAIL)[1] == "452"
    ports.wait_until(is_full, 20, "452 for want of space")
