# SPDX-License-Identifier: MIT
"""The to= lines of the log are those of Debian's Postfix: both suites deliver the same mail to the same
servers, and their lines are equal but for delays, process numbers and queue ids.

# shows: default_delivery_status_filter smtp_log_tls_feature_status lmtp_log_tls_feature_status
# shows: smtp_helo_timeout smtp_rcpt_timeout smtp_data_done_timeout
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
from suite import Suite, expect, skip

if not postfix_peer.available() or not names.available():
    skip("Debian's Postfix, nsd and root are needed")

ZONE = """
ok A 127.0.0.1
noport A 127.0.0.1
null MX 0 .
noaddress MX 10 nowhere
mx MX 10 mx1
mx MX 20 mx2
mx1 A 127.0.0.9
mx2 A 127.0.0.1
empty TXT "nothing here"
"""
# Of delivery_status_filter: what is there is replaced, what cannot be looked up stays as it is.
FILTER = r"""
/^2\.0\.0 250 2\.0\.0 taken for the filter$/  2.6.0 well taken
/^5\.1\.1 .* said: (550) 5\.1\.1 to soft/     4.1.1 let us wait, in spite of $1
/^4\.2\.0 .* said: 450 4\.2\.0 to hard/       5.2.0 do not wait
/^5\.1\.1 .* said: 550 5\.1\.1 to success/    2.0.0 a lie
/^5\.1\.1 .* said: 550 5\.1\.1 to nonsense/   hello
"""
SCRIPT = {
    "RCPT TO:<TOSOFT@": "550 5.1.1 to soft", "RCPT TO:<TOHARD@": "450 4.2.0 to hard",
    "RCPT TO:<TOSUCCESS@": "550 5.1.1 to success", "RCPT TO:<TONONSENSE@": "550 5.1.1 to nonsense",
    "RCPT TO:<LATER@": "450 4.2.0 <later>: greylisted",
    "RCPT TO:<NEVER@": "550 5.1.1 <never>: no such user",
    "RCPT TO:<PLAIN@": "550 no enhanced code",
    "RCPT TO:<WRONG@": "550 4.1.1 codes that disagree",
    "RCPT TO:<LINES@": "550-5.7.1 first line\r\n550 5.7.1 second line",
    "RCPT TO:<CUT@": sinks.CLOSE,
    "RCPT TO:<STALL@": sinks.STALL,
    "MAIL FROM:<SOFT@": "451 4.7.1 not you, not now",
    "MAIL FROM:<HARD@": "553 5.1.8 not you",
}
DOTS = {"busy": "421 4.3.2 closing", "later": "452 4.3.1 disk full", "never": "554 5.7.1 spam",
        "cut": sinks.CLOSE, "stall": sinks.STALL}
GREETINGS = {"greet4": "421 4.3.2 too busy", "greet5": "554 5.7.1 go away", "greetcut": sinks.CLOSE,
             "greetstall": sinks.STALL}


# Intended: the code of RFC 7505 for a domain that takes no mail.
ON_PURPOSE = {"to@null.test": ("dsn=5.1.0,", "dsn=5.1.10,")}


def normal(line):
    """What both must say: from to= on, without times and process numbers."""
    line = line[line.index("to=<"):]
    line = re.sub(r"delay=[\d.]+, delays=[\d.]+(?:/[\d.]+){3}", "delay=, delays=", line)
    return line


def lines_of(text):
    """recipient -> its line"""
    found = {}
    for line in text.splitlines():
        match = re.search(r": to=<([^>]*)>.* status=", line)
        if match:
            found.setdefault(match.group(1), normal(line))
    return found


def send(port, sender, recipient):
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as client:
        client.sendmail(sender, [recipient], "Subject: test\n\nhello\n")


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    top.chmod(0o755)
    unix = top / "store"
    servers = {"rcpt": sinks.Sink(dict(SCRIPT))}
    for name, reply in DOTS.items():
        servers["dot" + name] = sinks.Sink({"dot": reply})
    for name, reply in GREETINGS.items():
        servers[name] = sinks.Sink({"connect": reply})
    servers["ehlo"] = sinks.Sink({"EHLO": "550 5.5.1 no", "HELO": "550 5.5.1 no"})
    servers["filter"] = sinks.Sink({"dot": "250 2.0.0 taken for the filter"})
    (top / "filter").write_text(FILTER)
    servers["data"] = sinks.Sink({"DATA": "451 4.3.0 later"})
    store = sinks.Sink({"dot never@lmtp.example": "550 5.2.1 closed",
                        "dot later@lmtp.example": "450 4.2.2 over quota"}, lmtp=True, unix=unix)
    unix.chmod(0o777)
    refused = ports.free_port()
    routes = {f"{name}.example": f"smtp:{server.place}" for name, server in servers.items()}
    routes["refused.example"] = f"smtp:[127.0.0.1]:{refused}"
    routes["lmtp.example"] = f"lmtp:unix:{unix}"
    routes["nosocket.example"] = f"lmtp:unix:{top}/missing"
    table = "inline:{ " + ", ".join(f"{{{k} = {v}}}" for k, v in routes.items()) + " }"
    mail = [("from@a.example", r) for r in (
        "ok@rcpt.example", "later@rcpt.example", "never@rcpt.example", "plain@rcpt.example",
        "wrong@rcpt.example", "lines@rcpt.example", "cut@rcpt.example", "stall@rcpt.example",
        "tosoft@rcpt.example", "tohard@rcpt.example", "tosuccess@rcpt.example",
        "tononsense@rcpt.example", "to@filter.example", "unqualified",
        '"quoted part"@rcpt.example', "to@ehlo.example", "to@data.example",
        *(f"to@dot{name}.example" for name in DOTS), *(f"to@{name}.example" for name in GREETINGS),
        "to@refused.example", "ok@lmtp.example", "never@lmtp.example", "later@lmtp.example",
        "to@nosocket.example", "to@missing.test", "to@null.test",
        "to@noaddress.test", "to@empty.test")]
    mail += [("soft@a.example", "soft@rcpt.example"), ("hard@a.example", "hard@rcpt.example")]
    expected = {r if "@" in r else r + "@rcpt.example" for _, r in mail}
    settings = {
        "myhostname": "mail.postrider.example", "transport_maps": table, "notify_classes": "",
        "smtp_helo_timeout": "1s", "smtp_rcpt_timeout": "1s", "smtp_data_done_timeout": "1s",
        "smtp_destination_concurrency_failed_cohort_limit": "0",
        "lmtp_destination_concurrency_failed_cohort_limit": "0",
        "smtp_connection_cache_on_demand": "no", "lmtp_connection_cache_on_demand": "no",
        "myorigin": "rcpt.example",
        "default_delivery_status_filter": f"regexp:{top}/filter, fail:always",
    }
    zones = {"test": ZONE}
    host = f"127.0.53.{os.getpid() % 250 + 1}"
    with names.NameServer(top / "dns", zones, host=host, port=53) as dns:
        # Postfix finds the same name server through the resolv.conf of its chroot.
        port = ports.free_port()
        theirs = postfix_peer.Postfix(
            top / "postfix", f"127.0.0.1:{port}",
            settings={**settings, "default_transport": "smtp", "smtp_dns_support_level": "enabled",
                      "smtpd_recipient_restrictions": "permit"})
        theirs.use_name_server(host)
        with theirs, Suite(**settings, smtp_log_tls_feature_status="no", lmtp_log_tls_feature_status="no", dns_resolvers=dns.resolver) as ours:
            for sender, recipient in mail:
                send(port, sender, recipient)
                send(ours.port, sender, recipient)
            wait = lambda look: ports.wait_until(lambda: expected <= set(look()), 60)
            try:
                wait(lambda: lines_of(theirs.log.read_text()))
                wait(lambda: lines_of("\n".join(ours.lines())))
            except TimeoutError:
                pass
            a, b = lines_of(theirs.log.read_text()), lines_of("\n".join(ours.lines()))
            for who, (old, new) in ON_PURPOSE.items():
                expect(old in a[who], f"Postfix: {a[who]}")
                a[who] = a[who].replace(old, new)
            differ = [f"{who}\n  Postfix:   {a.get(who)}\n  Postrider: {b.get(who)}"
                      for who in sorted(expected) if a.get(who) != b.get(who)]
            expect(not differ, "\n".join(differ))
    for server in (*servers.values(), store):
        server.close()
