# SPDX-License-Identifier: MIT
"""What a client may do in a time is counted over all processes of a service, by anvil; without it
mail goes on, and each process counts for itself."""
# shows: smtpd_client_connection_rate_limit smtpd_client_message_rate_limit
# shows: smtpd_client_recipient_rate_limit smtpd_client_new_tls_session_rate_limit
# shows: smtpd_client_auth_rate_limit smtpd_client_ipv4_prefix_length smtpd_client_ipv6_prefix_length
# shows: anvil_rate_time_unit anvil_status_update_time anvil_service_name
import os
import pathlib
import re
import signal
import socket
import ssl
import tempfile

import certs
import ports
import procs
import sinks
from suite import RawClient, Suite, expect, expect_equal, expect_match

HELLO, MAIL = "EHLO client.example", "MAIL FROM:<a@b.example>"
HERE = r"unknown\[127\.0\.0\.1\]"
TOO_MANY = r"^421 4\.7\.0 mail\.postrider\.example Error: too many connections from 127\.0\.0\.1$"


def add(suite, **settings):
    port = ports.free_port()
    text = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    text += "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())
    with (suite.dir / "master.cf").open("a") as file:
        file.write(text)
    return port


def said(client, *commands):
    return [client.command(command) for command in commands]


def greeting(port):
    with RawClient(port) as client:
        return client.greeting


def greeting_to(address, port):
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0)) as s:
        return s.makefile("r").readline().rstrip()


def warned(suite, what, number, port):
    suite.wait_log(rf"warning: {what} limit exceeded: {number} from {HERE} for service 127\.0\.0\.1:{port}$")


def start_tls(port):
    """The reply to STARTTLS, and what the server says first under TLS (to EHLO)."""
    with RawClient(port) as client:
        client.command(HELLO)
        answer = client.command("STARTTLS")
        if not answer.startswith("220"):
            return answer, ""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(client.socket) as wrapped:
            wrapped.sendall(b"NOOP\r\n")
            return answer, wrapped.recv(1000).decode()


def rates(suite, doors):
    with RawClient(doors["messages"]) as client:
        client.command(HELLO)
        answers = said(client, MAIL, "RSET", MAIL, "RSET", MAIL)
        expect_equal([a[:3] for a in answers[:4]], ["250"] * 4, "two messages")
        expect_equal(answers[4], "450 4.7.1 Error: too much mail from 127.0.0.1", "the third")
    warned(suite, "Message delivery request rate", 3, doors["messages"])

    with RawClient(doors["recipients"]) as client:
        answers = said(client, HELLO, MAIL, "RCPT TO:<a@x.example>", "RCPT TO:<b@x.example>")
        expect_equal(answers[2][:3], "250", "one recipient")
        expect_equal(answers[3], "450 4.7.1 Error: too many recipients from 127.0.0.1", "another")
    warned(suite, "Recipient address rate", 2, doors["recipients"])

    with RawClient(doors["logins"]) as client:
        answers = said(client, HELLO, "AUTH PLAIN", "AUTH PLAIN")
        expect_equal(answers[1][:3], "503", "AUTH is not enabled")
        expect_equal(answers[2], "450 4.7.1 Error: too many AUTH commands from 127.0.0.1", "another")
    warned(suite, "AUTH command rate", 2, doors["logins"])

    expect_match("^250", start_tls(doors["sessions"])[1], "the first TLS session")
    expect_match(r"^421 4\.7\.0 mail\.postrider\.example Error: too many new TLS sessions from "
                 rf"{HERE}\r\n$", start_tls(doors["sessions"])[1], "the second")
    warned(suite, "New TLS session rate", 2, doors["sessions"])
    expect_match(rf"^454 4\.7\.0 Error: too many new TLS sessions from {HERE}$",
                 start_tls(doors["sessions"])[0], "the third is not begun")
    suite.wait_log(rf"warning: Refusing STARTTLS request from {HERE} for service 127\.0\.0\.1:{doors['sessions']}$")


def networks(suite, doors):
    expect_match("^220 ", greeting_to("127.0.0.1", doors["wide"]), "the first of a network")
    expect_match("^421 4.7.0 .* from 127.0.1.1$", greeting_to("127.0.1.1", doors["wide"]), "the second")
    # Addresses of IPv6, as a proxy says them.
    with RawClient(doors["wide6"]) as one, RawClient(doors["wide6"]) as other, \
            RawClient(doors["wide6"]) as stranger:
        expect_match("^220 ", one.command("XCLIENT ADDR=IPV6:2001:db8:1::1"), "one")
        expect_match("^220 ", stranger.command("XCLIENT ADDR=IPV6:2001:db9::1"), "of another network")
        expect_match("^421 4.7.0 .* from 2001:db8:2::1$", other.command("XCLIENT ADDR=IPV6:2001:db8:2::1"),
                     "two in one network")


def processes_share_a_count(suite, port):
    """A process that is replaced keeps its session; its successor knows of it."""
    with RawClient(port) as first:
        expect_match("^220 ", first.greeting, "the first")
        before = set(suite.pids("smtpd"))
        suite.configure(smtpd_sasl_time_limit="17s")
        suite.reload()
        ports.wait_until(lambda: greeting(port).startswith("421 4.7.0"), 20, "the successor")
        expect_match(TOO_MANY, greeting(port), "the second, with another process")
        expect(set(suite.pids("smtpd")) - before, "another process")
        expect(first.silent(), "the first one goes on")
        warned(suite, "Connection concurrency", 2, port)
    ports.wait_until(lambda: greeting(port).startswith("220"), 20, "room again")


with tempfile.TemporaryDirectory() as directory, sinks.Sink() as sink, \
        Suite(start=False, relayhost=sink.place, smtpd_client_event_limit_exceptions="",
              smtpd_peername_lookup="no", anvil_rate_time_unit="1h", anvil_status_update_time="1s") as suite:
    authority = certs.Authority(pathlib.Path(directory) / "ca")
    chain = suite.write("chain.pem", authority.issue("mail.postrider.example").both.read_text())
    chain.chmod(0o644)
    doors = {
        "count": add(suite, smtpd_client_connection_count_limit=1),
        "rate": add(suite, smtpd_client_connection_rate_limit=2),
        "messages": add(suite, smtpd_client_message_rate_limit=2),
        "recipients": add(suite, smtpd_client_recipient_rate_limit=1),
        "logins": add(suite, smtpd_client_auth_rate_limit=1),
        "sessions": add(suite, smtpd_client_new_tls_session_rate_limit=1, smtpd_tls_chain_files=chain,
                        smtpd_tls_security_level="may"),
        "wide": add(suite, smtpd_client_connection_rate_limit=1, smtpd_client_ipv4_prefix_length=16),
        "wide6": add(suite, smtpd_client_connection_count_limit=1, smtpd_client_ipv6_prefix_length=32,
                     smtpd_client_ipv4_prefix_length=32, smtpd_authorized_xclient_hosts="127.0.0.1",
                     smtpd_client_event_limit_exceptions="127.0.0.1"),
    }
    suite.start()
    rates(suite, doors)
    networks(suite, doors)
    processes_share_a_count(suite, doors["count"])

    # The rate of connections, until its time is over.
    expect_equal([greeting(doors["rate"])[:3] for _ in range(2)], ["220"] * 2, "two")
    expect_match(TOO_MANY, greeting(doors["rate"]), "the third")
    warned(suite, "Connection rate", 3, doors["rate"])
    suite.wait_log(r"anvil\[\d+\]: statistics: max connection rate \d+/3600s for "
                   r"\(127\.0\.0\.1:\d+:\S+\) at \w{3} [ \d]\d \d\d:\d\d:\d\d$")
    suite.wait_log(r"anvil\[\d+\]: statistics: max connection count \d+ for \(127\.0\.0\.1:\d+:\S+\) at ")
    suite.wait_log(r"anvil\[\d+\]: statistics: max message rate 3/3600s for ")
    suite.wait_log(r"anvil\[\d+\]: statistics: max cache size \d+ at ")
    suite.configure(anvil_rate_time_unit="1s")
    suite.reload()
    ports.wait_until(lambda: greeting(doors["rate"]).startswith("220"), 20, "the next time unit")

    # Killed: it begins anew, and mail goes on.
    killed = suite.pids("anvil")
    expect_equal(len(killed), 1, "anvil")
    os.kill(killed[0], signal.SIGKILL)
    procs.wait_gone(killed)
    suite.send("a@b.example", ["c@d.example"])
    sink.wait(1)

    # Not there: the limits of each process hold.
    suite.configure(anvil_service_name="nowhere")
    suite.reload()
    ports.wait_until(lambda: greeting(doors["count"]).startswith("220") and
                     any(re.search(r"warning: nowhere is away, going on without: ", x) for x in suite.lines()),
                     20, "smtpd without anvil")
    with RawClient(doors["count"]) as first:
        expect_match("^220 ", first.greeting, "the first")
        expect_match(TOO_MANY, greeting(doors["count"]), "the second")
    suite.send("a@b.example", ["c@d.example"])
    sink.wait(2)
