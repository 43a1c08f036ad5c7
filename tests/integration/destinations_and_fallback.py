# SPDX-License-Identifier: MIT
"""Destinations of a list are tried in order, ports have names, and a fallback relay takes what cannot be
found or reached, but not what was refused, nor what is our own.

shows: smtp_fallback_relay known_tcp_ports proxy_interfaces
"""
import ports
import sinks
from hostile_names import MX, HostileServer, a, answers, mx, only
from suite import Suite, expect, expect_equal, expect_match

closed = ports.free_port()
RULES = {
    "ours.example": only(MX, answers(mx(10, "us.example"), mx(20, "them.example"))),
    "us.example": answers(a("127.0.0.1")),
    "proxied.example": answers(a("198.51.100.7")),
    "inner.example": only(MX, answers(mx(10, "127.0.0.77"))),
    "null.example": only(MX, answers(mx(0, "."))),
}
with HostileServer(RULES) as dns, sinks.Sink({"RCPT TO:<no@": "550 5.1.1 unknown"}) as first, \
        sinks.Sink() as back, \
        Suite(start=False, dns_resolvers=dns.resolver, inet_interfaces="127.0.0.1",
              proxy_interfaces="198.51.100.7",
              known_tcp_ports=f"smtp=25, odd={first.port}, back=spare={back.port}, shut={closed}",
              smtp_fallback_relay="[127.0.0.1]:shut, [127.0.0.1]:spare") as suite:
    table = suite.write("transport", "list.example smtp:nowhere.example:odd, [127.0.0.1]:shut, [127.0.0.1]:odd\n"
                                     "down.example smtp:[127.0.0.1]:shut\n")
    suite.configure(transport_maps=f"texthash:{table}")
    suite.start()
    sent = suite.send("", ["to@list.example", "no@list.example"])
    suite.wait_log(rf"{sent}: to=<to@list\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{first.port}.*status=sent")
    match = suite.wait_log(rf"{sent}: to=<no@list\.example>.*status=(\w+)")
    expect_equal(match.group(1), "bounced", match.group(0))
    suite.wait_log(rf"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{closed}: Connection refused")
    expect_equal(back.messages, [], "what was refused does not go to the fallback relay")

    for recipient in ("to@nowhere.example", "to@down.example", "to@null.example"):
        sent = suite.send("", [recipient])
        suite.wait_log(rf"{sent}: to=<{recipient}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{back.port}.*status=sent")
    for domain in ("ours.example", "proxied.example", "inner.example"):
        sent = suite.send("", [f"to@{domain}"])
        match = suite.wait_log(rf"{sent}: to=<to@{domain}>, relay=none.*dsn=(\S+), status=bounced \((.*)\)")
        expect_equal(match.groups(), ("5.4.6", f"mail for {domain} loops back to myself"), domain)
    expect_equal(len(back.messages), 3, "mail at the fallback relay")

    # Without the relay that works, nothing is the mail's fault.
    suite.stop()
    suite.configure(smtp_fallback_relay="relay.nowhere.example")
    suite.start()
    sent = suite.send("", ["to@nowhere.example"])
    suite.wait_log(rf"{sent}: to=<to@nowhere\.example>.*dsn=4\.3\.5, status=deferred")
    suite.wait_log(r"warning: smtp_fallback_relay configuration problem")

    # A mistake is found before mail is.
    suite.stop()
    suite.configure(smtp_fallback_relay="[127.0.0.1]:nosuchport")
    checked = suite.cli("check", check=False)
    expect(checked.returncode != 0, "check takes a malformed fallback relay")
    expect_match(r"smtp_fallback_relay: unknown service: nosuchport/tcp", checked.stdout + checked.stderr, "check")
