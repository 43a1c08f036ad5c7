# SPDX-License-Identifier: MIT
"""What access tables do with a whole message: hold, discard, redirect, copy, a header in front; lists for
DATA and the end of data; and lists that are looked at without delay.

# shows: smtpd_client_restrictions smtpd_helo_restrictions smtpd_sender_restrictions smtpd_data_restrictions
# shows: smtpd_end_of_data_restrictions smtpd_delay_reject smtpd_log_access_permit_actions default_rbl_reply
# shows: smtpd_forbidden_commands smtpd_noop_commands smtpd_command_filter smtpd_reject_footer
# shows: smtpd_reject_footer_maps smtpd_unimplemented_command_limit
"""
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

COMMON = {"mynetworks": "192.0.2.0/24", "relay_domains": "relay.example", "smtpd_error_sleep_time": "0s",
          "smtpd_relay_restrictions": "reject_unauth_destination"}


def transact(client, sender, recipients, body="Subject: x\r\n\r\nx\r\n."):
    client.command(f"MAIL FROM:<{sender}>")
    replies = [client.command(f"RCPT TO:<{to}>") for to in recipients]
    replies.append(client.command("DATA"))
    if replies[-1].startswith("354"):
        replies.append(client.command(body))
    client.command("RSET")
    return replies


with sinks.Sink() as sink, \
        Suite(relay_transport=f"smtp:{sink.place}", **COMMON, smtpd_log_access_permit_actions="static:all",
              smtpd_sender_restrictions="check_sender_access inline:{"
              "{hold@b.example = HOLD look}, {gone@b.example = DISCARD}, {to@b.example = REDIRECT r@relay.example}, "
              "{copy@b.example = BCC c@relay.example}, {head@b.example = PREPEND X-Policy: seen}, "
              "{fine@b.example = OK}}",
              smtpd_data_restrictions="check_sender_access inline:{data@b.example=REJECT}",
              smtpd_end_of_data_restrictions="check_sender_access inline:{eod@b.example=DEFER}",
              ) as suite:
    with suite.raw() as client:
        client.command("EHLO helo.example")
        for user, last in (("gone", "^250 2.0.0 Ok: discarded"), ("to", "^250"), ("copy", "^250"), ("head", "^250"),
                           ("hold", "^250"), ("eod", "^450 4.7.1 <eod@b.example>: Sender address rejected"),
                           ("data", "^554 5.7.1 <data@b.example>: Sender address rejected"), ("fine", "^250")):
            expect_match(last, transact(client, f"{user}@b.example", ["u@relay.example", "v@relay.example"])[-1], user)
    got = {}
    for message in sink.wait(4):
        got[message.sender.split("@")[0]] = message
    expect_equal(set(got), {"to", "copy", "head", "fine"}, "delivered")
    expect_equal(got["to"].recipients, ["r@relay.example"], "redirected")
    expect_equal(set(got["copy"].recipients), {"u@relay.example", "v@relay.example", "c@relay.example"}, "copied")
    expect_match(r"(^|\n)X-Policy: seen\r?\nReceived: from helo.example ", got["head"].header, "in front")
    suite.wait_log(r"NOQUEUE: hold: RCPT from .*: <hold@b\.example>: Sender address look; from=<hold@b\.example> "
                   r"to=<u@relay\.example> proto=ESMTP helo=<helo\.example>")
    suite.wait_log(r"NOQUEUE: discard: RCPT from .*<gone@b\.example>: Sender address triggers DISCARD action")
    suite.wait_log(r"NOQUEUE: permit: RCPT from .*: action=OK for Sender address=fine@b\.example")
    suite.wait_log(r"NOQUEUE: reject: DATA from .*<data@b\.example>: Sender address rejected: Access denied")
    suite.wait_log(r"NOQUEUE: reject: END-OF-MESSAGE from .*<eod@b\.example>")
    expect_equal(len(suite.queue()), 1, "on hold")

with Suite(**COMMON, smtpd_delay_reject="no",
           smtpd_client_restrictions="check_client_access inline:{127.0.0.2=REJECT}",
           smtpd_helo_restrictions="reject_invalid_helo_hostname",
           smtpd_sender_restrictions="reject_non_fqdn_sender",
           default_rbl_reply="$rbl_code $rbl_what is on $rbl_domain",
           smtpd_noop_commands="XNOTHING", smtpd_forbidden_commands="CONNECT",
           smtpd_command_filter="pcre:{{/^HELLO (.*)/ HELO $$1}}",
           smtpd_reject_footer="see https://help.example/$client_address",
           smtpd_reject_footer_maps="regexp:{{/need fully-qualified/ \\c (a.b)}}",
           smtpd_unimplemented_command_limit="3") as suite:
    with suite.raw() as client:
        expect_equal(client.command("EHLO bad..name"),
                     "501-5.5.2 <bad..name>: Helo command rejected: Invalid name\n"
                     "501 5.5.2 see https://help.example/127.0.0.1", "at HELO")
        expect_match("^250", client.command("HELLO good.example"), "another command")
        expect_equal(client.command("XNOTHING at all"), "250 2.0.0 Ok")
        expect_equal(client.command("MAIL FROM:<a@short>"),
                     "504 5.5.2 <a@short>: Sender address rejected: need fully-qualified address (a.b)",
                     "at MAIL")
        expect_match("^502", client.command("WHAT"))
        expect_match("^502", client.command("EXPN x"))
        expect_match("^502[- ](.|\n)*", client.command("WHAT"))
        expect_match("^503[- ]5.5.1 Error: too many unimplemented", client.reply())
        expect_equal(client.reply(), "", "closed")
    with suite.raw() as client:
        expect_match("^521", client.command("CONNECT x:25 HTTP/1.1"), "no SMTP")
        expect_equal(client.reply(), "", "closed")

for wrong, what in (({"smtpd_recipient_restrictions": "reject_unkown_sender_domain"},
                     r"main\.cf:\d+: smtpd_recipient_restrictions = .*reject_unkown_sender_domain.*did you mean "
                     "reject_unknown_sender_domain"),
                    ({"smtpd_recipient_restrictions": "reject_unverified_sender"}, "not in this version"),
                    ({"smtpd_restriction_classes": "nothing"}, "restriction class nothing: set nothing"),
                    ({"smtpd_relay_restrictions": "permit_mynetworks"}, "anybody could relay")):
    with Suite(start=False, **{**COMMON, **wrong}) as suite:
        suite.expected_trouble = True
        suite.cli("start")
        with RawClient(suite.port, greet=False):
            suite.wait_log(what)
