# SPDX-License-Identifier: MIT
"""Clients have the names that Debian's Postfix gives them, whatever their reverse zone says: in the
lines of the log, in the Received: header, and towards the next hop in XFORWARD.

# shows: smtpd_peername_lookup
"""
import os
import pathlib
import re
import smtplib
import tempfile

import names
import ports
import postfix_peer
import sinks
from suite import Suite, expect, expect_equal, skip

if not postfix_peer.available() or not names.available():
    skip("Debian's Postfix, nsd and root are needed")

LONGEST = ".".join(["x" * 63] * 3 + ["y" * 50]) + ".test"  # 248 bytes
# Of 127.0.1.*: what its reverse zone has, and whether it has a name.
CASES = {
    1: ("PTR good.test.", "good.test"),
    2: ("PTR thief.test.", None),
    3: ("PTR six.test.", None),
    4: ("PTR gone.test.", None),
    5: ("TXT nothing", None),
    6: (r"PTR back\\slash.test.", None),
    7: ("PTR 127.0.1.7.", None),
    8: (r"PTR bad\010name.test.", None),
    9: ("PTR localhost.", None),
    10: ("CNAME 10.0-15.1.0.127.in-addr.arpa.", "classless.test"),
    11: (f"PTR {LONGEST}.", LONGEST),
    12: ("PTR under_score.test.", "under_score.test"),
    13: (r"PTR a[127.0.0.1].test.", None),
    14: ("PTR -dash.test.", None),
    15: ("PTR host.dead.", None),  # its name server has trouble
    16: ("PTR .", None),
    17: ("PTR several.test.", "several.test"),
    18: ("PTR alias.test.", "alias.test"),
}
REVERSE = "\n".join(f"{n}.1.0 {data}" for n, (data, _) in CASES.items()) + """
10.0-15.1.0 PTR classless.test.
"""
FORWARD = f"""
good A 127.0.1.1
thief A 127.0.9.9
six AAAA ::1
classless A 127.0.1.10
{LONGEST}. A 127.0.1.11
under_score A 127.0.1.12
several A 127.0.9.1
several A 127.0.1.17
several A 127.0.9.2
alias CNAME target
target A 127.0.1.18
"""
ZONES = {"127.in-addr.arpa": REVERSE, "test": FORWARD, "dead": None,
         "2.0.127.in-addr.arpa": None}
CLIENTS = [f"127.0.1.{n}" for n in CASES] + ["127.0.2.1", "127.0.3.1"]


def send(port, client):
    with smtplib.SMTP("127.0.0.1", port, "helo.example", timeout=60,
                      source_address=(client, 0)) as smtp:
        smtp.sendmail(f"from@{client}.example", ["to@example.net"], "Subject: test\n\nhello\n")


def facts(lines, message):
    """What is said about one client: by the log, by the message, by XFORWARD."""
    address = re.escape(re.search(r"from@(.*)\.example", message.sender).group(1))
    said = set()
    for line in lines:
        for pattern in (rf": (connect from \S+\[{address}\])", rf": (disconnect from \S+\[{address}\])",
                        rf": (client=\S+\[{address}\])$",
                        rf"(warning: hostname \S+ does not resolve to address {address}(:.*)?$)"):
            match = re.search(pattern, line)
            if match:
                said.add(match.group(1))
    received = re.search(r"^Received: (from [^\r\n]*)", message.header, re.M)
    said.add(received.group(1))
    return said


def compare(top, host, dns):
    port = ports.free_port()
    lists = {}
    with sinks.Sink(extensions=(*sinks.EXTENSIONS, "XFORWARD NAME ADDR")) as sink:
        settings = {"smtpd_peername_lookup": "yes", "smtp_send_xforward_command": "yes",
                    "smtp_connection_cache_on_demand": "no"}
        theirs = postfix_peer.Postfix(top / "postfix", f"127.0.0.1:{port}", relay=sink.place[1:].replace("]", ""),
                                      settings=settings)
        theirs.use_name_server(host, also=["smtpd"])
        with theirs, Suite(relayhost=sink.place, dns_resolvers=dns.resolver, **settings) as ours:
            for who, at in (("Postfix", port), ("Postrider", ours.port)):
                before = len(sink.messages)
                for client in CLIENTS:
                    send(at, client)
                messages = sink.wait(before + len(CLIENTS), seconds=60)[before:]
                lines = ours.lines() if who == "Postrider" else theirs.log.read_text().splitlines()
                lists[who] = {}
                for message in messages:
                    said = facts(lines, message)
                    said |= {line for line in sink.sessions[message.session].lines
                             if line.startswith("XFORWARD")}
                    lists[who][message.sender] = said
    return lists


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    host = f"127.0.53.{os.getpid() % 250 + 1}"
    with names.NameServer(top / "dns", ZONES, host=host, port=53) as dns:
        said = compare(top, host, dns)

for client in CLIENTS:
    sender = f"from@{client}.example"
    expect_equal(said["Postrider"][sender], said["Postfix"][sender], client)
    number = int(client.split(".")[3]) if client.startswith("127.0.1.") else 0
    name = CASES[number][1] if number else None
    expect(f"from helo.example ({name or 'unknown'} [{client}])" in said["Postrider"][sender],
           f"{client}: {said['Postrider'][sender]}")
    expect(f"XFORWARD {'NAME=' + name + ' ' if name else ''}ADDR={client}" in said["Postrider"][sender],
           f"{client}: {said['Postrider'][sender]}")
warned = {c for c in CLIENTS for line in said["Postrider"][f"from@{c}.example"] if "warning:" in line}
expect_equal(warned, {f"127.0.1.{n}" for n in (2, 3, 4, 9, 15)}, "who claims the name of somebody else")
