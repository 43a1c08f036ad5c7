# SPDX-License-Identifier: MIT
"""Aliases, canonical addresses, copies and unknown recipients, as Debian's Postfix has them: the same
tables (made by postmap), the same mail, the same recipients, headers and refusals.

# shows: virtual_alias_maps
# shows: virtual_alias_domains
# shows: canonical_maps
# shows: sender_canonical_maps
# shows: recipient_canonical_maps
# shows: canonical_classes
# shows: sender_canonical_classes
# shows: recipient_canonical_classes
# shows: local_header_rewrite_clients
# shows: relay_recipient_maps
# shows: local_recipient_maps
# shows: relocated_maps
# shows: always_bcc
# shows: sender_bcc_maps
# shows: recipient_bcc_maps
# shows: append_dot_mydomain
# shows: unknown_local_recipient_reject_code
# shows: unknown_relay_recipient_reject_code
# shows: unknown_virtual_alias_reject_code
# shows: smtpd_reject_unlisted_recipient
# shows: smtpd_reject_unlisted_sender
"""
import pathlib
import re
import subprocess
import tempfile

import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

TABLES = {
    "virtual": """
all@alias.example   one@far.example, two@far.example
nested@alias.example all@alias.example three@far.example
self@ours.example   self@ours.example, kept@far.example
ext@alias.example   ext@far.example
ext+own@alias.example own@far.example
@whole.example      @far.example
alias.example       anything
whole.example       anything
bare                bare@far.example
short@alias.example user@host
twice@alias.example one@far.example
""",
    "canonical": """
old@ours.example    New.Name@ours.example
@renamed.example    @far.example
common@ours.example shared@ours.example
""",
    "sender": "common@ours.example  as-sender@ours.example\n",
    "recipient": "common@ours.example  as-recipient@ours.example\n",
    "sender_bcc": "copied@ours.example  sent-copies@far.example\n",
    "recipient_bcc": "watched@relay.example  watch-copies@far.example\n",
    "relay": "known@relay.example ok\nwatched@relay.example ok\n",
    "local": "joe ok\nold ok\ncommon ok\nshared ok\nNew.Name ok\nas-recipient ok\nkeep ok\ncopied ok\n",
    "relocated": "gone@ours.example  gone@new.example\n",
}
# Who sends, and to whom, in one message each.
MAILS = [
    ("a@far.example", ["all@alias.example"]),
    ("a@far.example", ["nested@alias.example", "one@far.example"]),
    ("a@far.example", ["self@ours.example"]),
    ("a@far.example", ["ext+x@alias.example", "ext+own@alias.example", "ext@alias.example"]),
    ("a@far.example", ["anyone@whole.example", "x+y@whole.example"]),
    ("a@far.example", ["bare@ours.example", "short@alias.example", "ALL@Alias.Example"]),
    ("a@far.example", ["all@alias.example", "ALL@alias.example"]),
    ("old@ours.example", ["old@ours.example", "who@renamed.example"]),
    ("common@ours.example", ["common@ours.example"]),
    ("copied@ours.example", ["watched@relay.example", "known@relay.example"]),
    ("", ["known@relay.example"]),
    ("joe", ["joe", "x@host"]),
]
HEADER = ("From: Old <old@ours.example>\r\nTo: common@ours.example, \"x y\"@renamed.example (c),\r\n"
          " Group: joe, who@renamed.example;\r\nCc: joe@host, <known@relay.example>\r\n"
          "Reply-To: common@ours.example\r\nSubject: old@ours.example\r\n")
REFUSED = ["nobody@ours.example", "nobody@relay.example", "nobody@alias.example", "gone@ours.example",
           "known@relay.example", "joe@ours.example", "nobody@far.example", "bare@ours.example"]


def settings(top):
    maps = {}
    for name, text in TABLES.items():
        path = top / name
        path.write_text(text)
        subprocess.run(["/usr/sbin/postmap", "-c", top, f"lmdb:{path}"], check=True)
        maps[name] = f"lmdb:{path}"
    return {
        "myorigin": "ours.example", "mydomain": "ours.example", "mydestination": "ours.example",
        "relay_domains": "relay.example", "recipient_delimiter": "+", "append_dot_mydomain": "yes",
        "virtual_alias_maps": maps["virtual"], "virtual_alias_domains": "$virtual_alias_maps",
        "canonical_maps": maps["canonical"],
        "canonical_classes": "envelope_sender, envelope_recipient, header_sender, header_recipient",
        "sender_canonical_maps": maps["sender"], "sender_canonical_classes": "envelope_sender, header_sender",
        "recipient_canonical_maps": maps["recipient"], "recipient_canonical_classes": "header_recipient",
        "sender_bcc_maps": maps["sender_bcc"], "recipient_bcc_maps": maps["recipient_bcc"],
        "always_bcc": "keep@far.example", "relay_recipient_maps": maps["relay"],
        "local_recipient_maps": maps["local"], "relocated_maps": maps["relocated"],
        "local_header_rewrite_clients": "permit_mynetworks",
        "unknown_local_recipient_reject_code": "550", "unknown_relay_recipient_reject_code": "551",
        "unknown_virtual_alias_reject_code": "450", "smtpd_reject_unlisted_recipient": "yes",
        "smtpd_reject_unlisted_sender": "yes", "enable_original_recipient": "no",
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    }


def send(port, sender, recipients, header="Subject: x\r\n"):
    with RawClient(port) as client:
        client.command("EHLO client.example")
        replies = [client.command(f"MAIL FROM:<{sender}>")]
        replies += [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        replies.append(client.command("DATA"))
        if replies[-1].startswith("354"):
            replies.append(re.sub(r"queued as \S+", "queued", client.command(f"{header}\r\ntext\r\n.")))
    return replies


def addressed(message):
    """The header fields that hold addresses, lines joined."""
    return re.findall(r"(?m)^(?:From|To|Cc|Reply-To|Subject): [^\r\n]*", re.sub(r"\r\n[ \t]+", " ", message.header))


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    port = ports.free_port()
    (top / "main.cf").write_text("")
    common = settings(top)
    seen = {}
    with postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", relay=f"127.0.0.1:{sink.port}",
                              settings={**common, "local_transport": f"smtp:[127.0.0.1]:{sink.port}",
                                        "relay_transport": f"smtp:[127.0.0.1]:{sink.port}"}), \
            Suite(relayhost=sink.place, local_transport=f"smtp:{sink.place}", relay_transport=f"smtp:{sink.place}",
                  **{name: value for name, value in common.items() if name != "enable_original_recipient"}) as ours:
        for who, at in (("Postfix", port), ("Postrider", ours.port)):
            seen[who] = []
            for number, (sender, recipients) in enumerate(MAILS):
                header = HEADER.replace("Subject: ", f"Subject: {who} {number} ")
                expect(send(at, sender, recipients, header)[-1].startswith("250"), f"{who}: {sender} {recipients}")
                if who == "Postrider":
                    ours.wait_empty()

        def arrived():
            found = {}
            for message in sink.messages:
                match = re.search(r"(?m)^Subject: (Postfix|Postrider) (\d+)", message.header)
                if not match:
                    continue  # a report
                who, number = match.groups()
                one = found.setdefault((who, int(number)), {"to": [], "from": set(), "header": None})
                one["to"] += message.recipients
                one["from"].add(message.sender)
                one["header"] = [line for line in addressed(message) if not line.startswith("Subject")]
            return found

        def complete():
            found = arrived()
            return all(("Postfix", n) in found and ("Postrider", n) in found
                       and len(found["Postfix", n]["to"]) == len(found["Postrider", n]["to"])
                       for n in range(len(MAILS)))
        try:
            ports.wait_until(complete, 30, "all mail")
        except TimeoutError:
            pass  # said below, with what differs
        found = arrived()
        for n, mail in enumerate(MAILS):
            theirs, own = found["Postfix", n], found["Postrider", n]
            expect_equal(sorted(own["to"]), sorted(theirs["to"]), f"recipients of {mail}")
            expect_equal(own["from"], theirs["from"], f"sender of {mail}")
            expect_equal(own["header"], theirs["header"], f"header of {mail}")

        for recipient in REFUSED:
            expect_equal(send(ours.port, "a@far.example", [recipient])[1],
                         send(port, "a@far.example", [recipient])[1], f"to {recipient}")
            expect_equal(send(ours.port, recipient, ["joe@ours.example"])[:2],
                         send(port, recipient, ["joe@ours.example"])[:2], f"from {recipient}")

    # Local submission is rewritten as well, a stranger's header is not.
    with Suite(relayhost=sink.place, **{**common, "local_header_rewrite_clients": "permit_inet_interfaces",
                                        "enable_original_recipient": "yes", "always_bcc": "",
                                        "local_transport": f"smtp:{sink.place}"}) as ours:
        before = len(sink.messages)
        ours.sendmail("-f", "old", "joe", text="From: old\nTo: joe\nSubject: local\n\ntext\n")
        message = sink.wait(before + 1)[before]
        expect_equal(message.sender, "New.Name@ours.example", "sender")
        expect_equal(addressed(message), ["From: New.Name@ours.example", "To: joe@ours.example", "Subject: local"],
                     "header")
        # What tables do not answer is no verdict.
        ours.configure(virtual_alias_maps="socketmap:inet:127.0.0.1:1:x", virtual_alias_domains="")
        ours.reload()

        def is_put_off():
            with RawClient(ours.port) as client:
                client.command("EHLO client.example")
                client.command("MAIL FROM:<a@far.example>")
                return client.command("RCPT TO:<joe@ours.example>").startswith("451 4.3.0")
        ports.wait_until(is_put_off, 20, "451 for a table that is away")
