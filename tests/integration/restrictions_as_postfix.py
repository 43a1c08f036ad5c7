# SPDX-License-Identifier: MIT
"""The same restrictions, the same dialogue: the replies and the reject lines of Debian's Postfix. The
recipient chooses the list, by a restriction class of its own.

# shows: smtpd_restriction_classes smtpd_recipient_restrictions smtpd_relay_restrictions
# shows: access_map_reject_code access_map_defer_code reject_code defer_code maps_rbl_reject_code
# shows: invalid_hostname_reject_code non_fqdn_reject_code unknown_client_reject_code
# shows: unknown_hostname_reject_code unknown_address_reject_code plaintext_reject_code
# shows: multi_recipient_bounce_reject_code reject_tempfail_action unknown_address_tempfail_action
# shows: unknown_helo_hostname_tempfail_action rbl_reply_maps permit_mx_backup_networks
# shows: smtpd_null_access_lookup_key smtpd_reject_footer smtpd_delay_reject
"""
import os
import pathlib
import re
import tempfile

import names
import ports
import postfix_peer
from suite import RawClient, Suite, expect_equal, skip

if not postfix_peer.available() or not names.available():
    skip("Debian's Postfix, nsd and root are needed")

ZONES = {"test": """
good MX 10 mx.good
good NS ns.good
ns.good A 127.9.9.53
mx.good A 127.9.9.25
bare A 127.9.9.80
null MX 0 .
backup MX 10 primary.backup
primary.backup A 127.9.9.1
helo A 127.9.9.9
1.0.0.127.bl A 127.0.0.4
1.0.0.127.bl TXT "spam and worse"
1.0.0.127.wl A 127.0.9.1
bare.test.dbl A 127.0.1.2
""", "dead": None}

# list, HELO, sender
CASES = [
    ("reject", "helo.test", "a@good.test"),
    ("defer", "helo.test", "a@good.test"),
    ("permit", "helo.test", "a@good.test"),
    ("permit_mynetworks, reject", "helo.test", "a@good.test"),
    ("permit_auth_destination, reject", "helo.test", "a@good.test"),
    ("reject_plaintext_session", "helo.test", "a@good.test"),
    ("defer_if_permit", "helo.test", "a@good.test"),
    ("defer_if_reject, reject", "helo.test", "a@good.test"),
    ("defer_if_permit, reject", "helo.test", "a@good.test"),
    ("warn_if_reject reject, permit", "helo.test", "a@good.test"),
    ("reject_invalid_helo_hostname", "bad..name", "a@good.test"),
    ("reject_invalid_helo_hostname", "helo.test", "a@good.test"),
    ("reject_invalid_helo_hostname", "[127.0.0.300]", "a@good.test"),
    ("reject_non_fqdn_helo_hostname", "short", "a@good.test"),
    ("reject_non_fqdn_helo_hostname", "[127.0.0.1]", "a@good.test"),
    ("reject_unknown_helo_hostname", "helo.test", "a@good.test"),
    ("reject_unknown_helo_hostname", "gone.test", "a@good.test"),
    ("reject_unknown_helo_hostname", "slow.dead", "a@good.test"),
    ("reject_non_fqdn_sender", "helo.test", "a@short"),
    ("reject_unknown_sender_domain", "helo.test", "a@good.test"),
    ("reject_unknown_sender_domain", "helo.test", "a@bare.test"),
    ("reject_unknown_sender_domain", "helo.test", "a@gone.test"),
    ("reject_unknown_sender_domain", "helo.test", "a@null.test"),
    ("reject_unknown_sender_domain", "helo.test", "a@slow.dead"),
    ("reject_unknown_sender_domain, reject", "helo.test", "a@slow.dead"),
    ("reject_rbl_client bl.test", "helo.test", "a@good.test"),
    ("reject_rbl_client bl.test=127.0.0.[2;4..8]", "helo.test", "a@good.test"),
    ("reject_rbl_client bl.test=127.0.0.[5..8]", "helo.test", "a@good.test"),
    ("reject_rhsbl_sender dbl.test", "helo.test", "a@bare.test"),
    ("permit_dnswl_client wl.test, reject", "helo.test", "a@good.test"),
    ("check_client_access inline:{127.0=REJECT}", "helo.test", "a@good.test"),
    ("check_client_access cidr:{{127.0.0.0/8 550 5.7.9 not you}}", "helo.test", "a@good.test"),
    ("check_helo_access inline:{{helo.test = 450 4.2.0 busy}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = REJECT 5.1.8 go away}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{a@ = DEFER}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{nobody = REJECT}}", "helo.test", ""),
    ("check_sender_mx_access cidr:{{127.9.9.25/32 REJECT}}", "helo.test", "a@good.test"),
    ("check_sender_ns_access inline:{{ns.good.test = REJECT}}", "helo.test", "a@good.test"),
    ("check_sender_mx_access inline:{{mx.good.test = OK}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = DEFER_IF_PERMIT 4.7.3 grey}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = OK}}, reject", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = 1234567}}, reject", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = 450}}, reject", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = 450 5.1.1 x}}, reject", "helo.test", "a@good.test"),
    ("check_recipient_access inline:{{relay.test = 550 5.1.8 x}}, reject", "helo.test", "a@good.test"),
    ("check_client_access inline:{{127 = 550 5.1.8 x}}, reject", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = OK whatever}}, reject", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = permit_mynetworks, defer}}", "helo.test", "a@good.test"),
    ("reject_unknown_client_hostname, reject_unknown_reverse_client_hostname", "helo.test", "a@good.test"),
    ("reject_unauth_destination, permit_mx_backup, reject", "helo.test", "a@good.test"),
    ("check_helo_mx_access cidr:{{127.9.9.9/32 REJECT}}", "helo.test", "a@good.test"),
    ("check_sender_a_access cidr:{{127.9.9.80/32 REJECT}}", "helo.test", "a@bare.test"),
    ("check_recipient_access inline:{{relay.test = REJECT}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = HOLD look}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = WARN hm}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = INFO hm}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = REDIRECT r@relay.test}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = BCC b@relay.test}}", "helo.test", "a@good.test"),
    ("check_sender_access inline:{{good.test = defer_if_reject, reject}}", "helo.test", "a@good.test"),
    ("check_sender_access fail:x", "helo.test", "a@good.test"),
    ("reject_multi_recipient_bounce", "helo.test", ""),
]


def settings():
    classes = {f"case{i}": case[0] for i, case in enumerate(CASES)}
    table = ", ".join(f"{{{name}@relay.test = {name}}}" for name in classes)
    return {
        "mynetworks": "192.0.2.0/24", "relay_domains": "relay.test", "smtpd_error_sleep_time": "0s",
        "smtpd_hard_error_limit": "1000", "smtpd_soft_error_limit": "1000",
        "smtpd_peername_lookup": "yes", "smtpd_delay_reject": "yes",
        "smtpd_restriction_classes": ", ".join(classes), **classes,
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "smtpd_recipient_restrictions": f"check_recipient_access inline:{{{table}}}",
        "access_map_reject_code": "557", "access_map_defer_code": "456", "reject_code": "553",
        "defer_code": "453", "maps_rbl_reject_code": "555", "invalid_hostname_reject_code": "502",
        "non_fqdn_reject_code": "505", "unknown_client_reject_code": "551",
        "unknown_hostname_reject_code": "552", "unknown_address_reject_code": "556",
        "plaintext_reject_code": "451", "multi_recipient_bounce_reject_code": "559",
        "reject_tempfail_action": "defer_if_permit", "unknown_address_tempfail_action": "defer_if_permit",
        "unknown_helo_hostname_tempfail_action": "defer_if_permit",
        "rbl_reply_maps": "inline:{{dbl.test = 550 5.7.8 $$rbl_what is on $$rbl_domain}}",
        "permit_mx_backup_networks": "127.9.9.0/24", "smtpd_null_access_lookup_key": "nobody",
        "smtpd_reject_footer": r"ask $sender_domain\nand be patient", "myhostname": "mx.ours.test",
    }


def talk(port):
    """The reply to the RCPT of each case."""
    replies = []
    for i, (_, helo, sender) in enumerate(CASES):
        with RawClient(port) as client:
            client.command(f"EHLO {helo}")
            client.command(f"MAIL FROM:<{sender}>")
            replies.append(client.command(f"RCPT TO:<case{i}@relay.test>"))
    last = len(CASES) - 1 # a notice for many
    with RawClient(port) as client:
        client.command("EHLO helo.test")
        client.command("MAIL FROM:<>")
        client.command("RCPT TO:<one@relay.test>")
        client.command("RCPT TO:<two@relay.test>")
        replies.append(client.command(f"RCPT TO:<case{last}@relay.test>"))
    with RawClient(port) as client: # without a class
        client.command("EHLO helo.test")
        client.command("MAIL FROM:<a@good.test>")
        for address in ("far@elsewhere.test", "far%elsewhere.test@relay.test", "good@relay.test"):
            replies.append(client.command(f"RCPT TO:<{address}>"))
    return replies


def said(lines):
    """What the log has of it, as both write it; Postfix has an id once it has taken a recipient."""
    found = []
    for line in lines:
        match = re.search(r": \w+: ((?:reject|reject_warning|hold|warn|info|redirect|bcc): .*)$", line)
        if match:
            found.append(match.group(1))
    return found


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    host = f"127.0.53.{os.getpid() % 250 + 1}"
    port = ports.free_port()
    wanted = settings()
    with names.NameServer(top / "dns", ZONES, host=host, port=53) as dns:
        theirs = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", settings=wanted)
        theirs.use_name_server(host, also=["smtpd"])
        with theirs, Suite(dns_resolvers=dns.resolver, **wanted) as ours:
            answers = {"theirs": talk(port), "ours": talk(ours.port)}
            ports.wait_until(lambda: len(said(ours.lines())) >= len(said(theirs.log.read_text().splitlines())), 10,
                             "all lines of our log")
            logs = {"theirs": said(theirs.log.read_text().splitlines()), "ours": said(ours.lines())}

names_of = [case[0] for case in CASES] + ["many", "relay", "routing", "good"]
different = [f"{name}\n  Postfix:   {theirs}\n  Postrider: {ours}"
             for name, theirs, ours in zip(names_of, answers["theirs"], answers["ours"]) if theirs != ours]
expect_equal(different, [], "replies")
different = [f"\n  Postfix:   {theirs}\n  Postrider: {ours}"
             for theirs, ours in zip(logs["theirs"], logs["ours"]) if theirs != ours]
expect_equal(different, [], "lines of the log")
expect_equal(len(logs["ours"]), len(logs["theirs"]), "how many")
