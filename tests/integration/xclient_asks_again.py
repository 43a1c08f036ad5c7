# SPDX-License-Identifier: MIT
"""With smtpd_delay_reject = no a client is judged when it comes. After XCLIENT, and behind a PROXY
header, that is the client which is named there: restrictions on client and HELO and mail filters meet it
as they do in Debian's Postfix, in the same dialogues.

# shows: smtpd_delay_reject
# shows: smtpd_authorized_xclient_hosts
"""
import contextlib
import re
import socket
import tempfile

import milter_peer as m
import ports
import postfix_peer
import sinks
from suite import RawClient, Suite, expect, expect_equal, skip

if not postfix_peer.available():
    skip("Debian's Postfix and root are needed")

EHLO = "EHLO proxy.example"
MAIL = ["MAIL FROM:<a@b.example>", "RCPT TO:<u@far.example>"]
DIALOGUES = [
    # A client that is refused gets nothing more, not even XCLIENT.
    [EHLO, "XCLIENT ADDR=192.0.2.66", "NOOP", EHLO, "XCLIENT ADDR=192.0.2.1", "QUIT"],
    [EHLO, "XCLIENT ADDR=192.0.2.67", *MAIL],
    [EHLO, "XCLIENT NAME=bad.example ADDR=192.0.2.1", *MAIL],
    # One that is taken, after another one.
    [EHLO, "XCLIENT ADDR=127.0.0.7", EHLO, *MAIL],
    [EHLO, "XCLIENT ADDR=192.0.2.1", EHLO, *MAIL],
    # HELO restrictions are about what the new client says, and not about what XCLIENT says it said.
    ["EHLO bad.example", EHLO, "XCLIENT ADDR=127.0.0.7", "HELO bad.example", "HELO good.example", *MAIL],
    [EHLO, "XCLIENT ADDR=127.0.0.7 HELO=bad.example", *MAIL],
    # What was left open about the client before does not count for the one that comes.
    ["EHLO doubtful.example", "XCLIENT ADDR=127.0.0.7", EHLO, *MAIL],
    [EHLO, "XCLIENT ADDR=127.0.0.68", EHLO, *MAIL],
    [EHLO, "XCLIENT ADDR=127.0.0.7", "EHLO doubtful.example", *MAIL],
    # A filter refuses one client and not the other.
    [EHLO, "XCLIENT ADDR=127.0.0.88", "NOOP", *MAIL],
    [EHLO, "XCLIENT ADDR=127.0.0.89", *MAIL],
]
CLIENTS = ("{192.0.2.66 = REJECT}, {192.0.2.67 = DEFER}, {bad.example = 521 5.7.1 Gone}, "
           "{127.0.0.68 = DEFER_IF_PERMIT}")
SAME = {
    "myhostname": "mail.postrider.example", "smtpd_banner": "mail.postrider.example ESMTP",
    "mynetworks": "127.0.0.0/8", "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
    "smtpd_delay_reject": "no", "smtpd_authorized_xclient_hosts": "127.0.0.1",
    "smtpd_client_restrictions": f"check_client_access inline:{{{CLIENTS}}}",
    "smtpd_helo_restrictions": "check_helo_access inline:{{bad.example = REJECT}, "
                               "{doubtful.example = DEFER_IF_PERMIT}}",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_discard_ehlo_keywords": "chunking",
}


def judge(data):
    """Of a filter: what it is told of the client's address."""
    address = m.client_of(data)[1].decode()
    return [{"127.0.0.88": m.REJECT, "127.0.0.89": m.reply("421 4.7.0 go away")}.get(address, m.CONTINUE)]


def talk(port, milter, dialogue):
    milter.heard, milter.macros = [], {}
    out = []
    with RawClient(port) as client:
        out.append(client.greeting)
        for line in dialogue:
            try:
                reply = client.command(line)
            except ConnectionError:
                reply = ""  # closed before all that was sent was read
            out.append((line, "250" if line.startswith("EHLO") and reply.startswith("250") else reply))
            if not reply:
                break
    heard = [(command, fields) for command, fields in milter.heard if command in "CHMR"]
    macros = milter.macros.get("C", {})
    return {"replies": out, "heard": heard, "macros": {n: macros.get(n) for n in ("{client_addr}", "{client_name}", "_")}}


with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory, sinks.Sink() as sink, \
        m.Milter({"C": judge}) as milter, \
        Suite(relayhost=sink.place, smtpd_milters=milter.place, **SAME) as ours:
    port = ports.free_port()
    with postfix_peer.Postfix(f"{directory}/postfix", f"127.0.0.1:{port}", f"127.0.0.1:{sink.port}",
                              {**SAME, "smtpd_milters": milter.place}) as theirs:
        for dialogue in DIALOGUES:
            mine, other = talk(ours.port, milter, dialogue), talk(port, milter, dialogue)
            for what, said in other.items():
                expect_equal(mine[what], said, f"{dialogue}: {what}, ours and Postfix's")

        def refusals(log):
            return sorted(set(re.findall(r"NOQUEUE: ((?:milter-)?reject: \S+ from .*?);", log)))

        with contextlib.suppress(TimeoutError):  # logs are written by others, behind the reply
            ports.wait_until(lambda: refusals("\n".join(ours.lines())) == refusals(theirs.log.read_text()), 20)
        rejects = [refusals("\n".join(ours.lines())), refusals(theirs.log.read_text())]
        expect(len(rejects[1]) >= 6, "refusals")
        expect_equal(rejects[0], rejects[1], "refusals in the log, ours and Postfix's")


# Behind a PROXY header the first client is the named one.
def greeting(port, header):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(header)
        with client.makefile("rb") as replies:
            return replies.readline().decode().rstrip()


with m.Milter({"C": judge}) as milter:
    suite = Suite(start=False, smtpd_milters=milter.place, **SAME)
    proxied = ports.free_port()
    with (suite.config / "master.cf").open("a") as master_cf:
        master_cf.write(f"127.0.0.1:{proxied} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n")
    suite.start_at_enter = True
    with suite:
        for address, wanted in (("192.0.2.66", "554 5.7.1 <unknown[192.0.2.66]>: Client host rejected: Access denied"),
                                ("127.0.0.88", "554 mail.postrider.example ESMTP not accepting connections"),
                                ("127.0.0.7", "220 mail.postrider.example ESMTP")):
            milter.heard = []
            expect_equal(greeting(proxied, f"PROXY TCP4 {address} 198.51.100.1 4711 25\r\n".encode()), wanted, address)
            heard = [fields[1] for command, fields in milter.heard if command == "C"]
            expect_equal(heard, [address.encode()] if address != "192.0.2.66" else [], f"the filter, {address}")
