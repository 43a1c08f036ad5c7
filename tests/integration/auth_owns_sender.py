# SPDX-License-Identifier: MIT
"""Who may use which sender: reject_sender_login_mismatch with accounts that log in, and the same answers from
Debian's Postfix.

# shows: smtpd_sender_login_maps
"""
import base64
import os
import pathlib
import pwd
import tempfile

import ports
import postfix_peer
import sasl_accounts
from sasl_accounts import PASSWORD, REALM
from suite import RawClient, Suite, expect, expect_equal

SAME = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_local_domain": REALM, "mynetworks": "192.0.2.1",
        "smtpd_sasl_security_options": "noanonymous", "recipient_delimiter": "+",
        "smtpd_sender_login_maps":
            "inline:{{joe@example.org=ann@realm.example, JOE@realm.example}, {@example.com=ann@realm.example}}",
        "smtpd_sender_restrictions": "reject_sender_login_mismatch",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, permit_mynetworks, permit_auth_destination, defer",
        "mydestination": "ours.example", "local_recipient_maps": ""}
SENDERS = ["joe@example.org", "JOE@Example.ORG", "joe+list@example.org", "jim@example.org", "joe@example.com",
           "nobody@example.net", ""]


def answers(port):
    out = {}
    for user in (None, "joe", "ann"):
        for sender in SENDERS:
            with RawClient(port) as client:
                client.command("EHLO x")
                if user:
                    secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
                    expect(client.command("AUTH PLAIN " + secret).startswith("235"), user)
                client.command(f"MAIL FROM:<{sender}>")
                out[user, sender] = client.command("RCPT TO:<somebody@ours.example>")
    return out


with tempfile.TemporaryDirectory() as directory, Suite(start=False, **SAME) as suite:
    database = sasl_accounts.make(suite, ["PLAIN"])
    suite.start()
    ours = answers(suite.port)
    owned, not_in = "250 2.1.5 Ok", "553 5.7.1 <{}>: Sender address rejected: not logged in"
    others = "553 5.7.1 <{}>: Sender address rejected: not owned by user joe@realm.example"
    for (user, sender), wanted in {
            (None, "joe@example.org"): not_in, (None, "joe+list@example.org"): not_in,
            (None, "nobody@example.net"): owned, (None, ""): owned, ("joe", "joe@example.org"): owned,
            ("joe", "joe@example.com"): others, ("joe", "jim@example.org"): others,
            ("ann", "joe@example.com"): owned, ("ann", "joe@example.org"): owned}.items():
        expect_equal(ours[user, sender], wanted.format(sender), f"{sender} by {user}")
    if postfix_peer.available():
        top = pathlib.Path(directory)
        top.chmod(0o755)
        copy = top / "sasldb2"
        copy.write_bytes(database.read_bytes())
        os.chown(copy, pwd.getpwnam("postfix").pw_uid, -1)
        port = ports.free_port()
        with postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", "127.0.0.1:9", SAME) as postfix:
            (postfix.conf / "sasl").mkdir(exist_ok=True)
            (postfix.conf / "sasl/smtpd.conf").write_text(
                f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {copy}\nmech_list: PLAIN\n")
            theirs = answers(port)
            for asked, answer in theirs.items():
                expect_equal(ours[asked], answer, f"{asked}, ours and Postfix's")
