# SPDX-License-Identifier: MIT
"""The compatibility controls on the wire: each row is a service of its own in master.cf, with the
parameters as options, and a server of its own."""
# shows: smtp_always_send_ehlo smtp_never_send_ehlo smtp_helo_name smtp_skip_5xx_greeting
# shows: smtp_skip_quit_response smtp_discard_ehlo_keywords smtp_discard_ehlo_keyword_address_maps
# shows: smtp_pix_workarounds smtp_pix_workaround_maps smtp_pix_workaround_delay_time
# shows: smtp_pix_workaround_threshold_time smtp_reply_filter smtp_quote_rfc821_envelope
# shows: smtp_line_length_limit smtp_mail_timeout smtp_data_init_timeout smtp_data_xfer_timeout
# shows: smtp_xforward_timeout smtp_send_xforward_command debug_peer_list debug_peer_level
# shows: smtp_rset_timeout smtp_connection_cache_destinations smtp_quit_timeout
import asyncio

import sinks
from ports import wait_until
from suite import Suite, expect, expect_match

PIX = "220 ****************"
STARRED = {"connect": PIX}
NO_QUIT = "smtp_connection_cache_on_demand=no"


class Deaf(sinks.Sink):
    """Takes no content."""

    async def text(self, session, reader, writer):
        reader._transport.pause_reading()
        await asyncio.Event().wait()


def said(verb):
    return lambda sink: any(line.upper().startswith(verb) for line in sink.sessions[0].lines)


def no(question):
    return lambda sink: not question(sink)


# name, options, script of the server, what the log says of it, what the server saw
ROWS = [
    ("ehlo", ["smtp_always_send_ehlo=no", "smtp_helo_name=me.example"], {"connect": "220 sink SMTP"},
     "status=sent", said("HELO ME.EXAMPLE")),
    ("banner", ["smtp_always_send_ehlo=no"], {"connect": "220 sink ESMTP"}, "status=sent", said("EHLO")),
    ("helo", ["smtp_never_send_ehlo=yes"], {}, "status=sent", said("HELO")),
    ("skip", ["smtp_skip_5xx_greeting=yes"], {"connect": "554 5.7.1 go away"},
     r"dsn=4\.7\.1, status=deferred \(host \S+ refused to talk to me: 554 5\.7\.1 go away\)", said("QUIT")),
    ("believe", ["smtp_skip_5xx_greeting=no"], {"connect": "554 5.7.1 go away"},
     r"dsn=5\.7\.1, status=bounced \(host", None),
    ("keywords", ["smtp_discard_ehlo_keywords=pipelining,size,8bitmime,dsn,smtputf8"], {},
     "status=sent", no(said("MAIL FROM:<FROM@EXAMPLE.ORG> "))),
    ("address", ["smtp_discard_ehlo_keyword_address_maps=inline:{127.0.0.1=size}"], {},
     "status=sent", no(said("MAIL FROM:<FROM@EXAMPLE.ORG> SIZE"))),
    ("pix", ["smtp_pix_workaround_threshold_time=0s", "smtp_pix_workaround_delay_time=1s"], STARRED,
     r"delays=\S+/1[.\d]*, tls=may:none, dsn=2\S+ status=sent", said("HELO")),
    ("nopix", ["smtp_pix_workarounds="], STARRED, "status=sent", said("EHLO")),
    ("pixmap", ["smtp_pix_workaround_maps=inline:{127.0.0.1=disable_esmtp}", "smtp_pix_workarounds="],
     STARRED, "status=sent", said("HELO")),
    ("filter", ["smtp_reply_filter=inline:{{550 5.1.1 no=450 4.2.1 perhaps}}"], {"RCPT": "550 5.1.1 no"},
     r"dsn=4\.2\.1, status=deferred \(host \S+ said: 450 4\.2\.1 perhaps", None),
    ("leaveout", ["smtp_reply_filter=regexp:{{/^250.SIZE/}}"], {},
     "status=sent", no(said("MAIL FROM:<FROM@EXAMPLE.ORG> SIZE"))),
    ("quote", ["smtp_quote_rfc821_envelope=no"], {}, "status=sent", said("RCPT TO:<A B@QUOTE.EXAMPLE>")),
    ("quoted", [], {}, "status=sent", said('RCPT TO:<"A B"@QUOTED.EXAMPLE>')),
    ("fold", ["smtp_line_length_limit=80"], {}, "status=sent",
     lambda sink: b"x" * 80 + b"\r\n " in sink.messages[0].data),
    ("nofold", ["smtp_line_length_limit=0"], {}, "status=sent",
     lambda sink: b"x" * 3000 in sink.messages[0].data),
    ("mail", ["smtp_mail_timeout=1s"], {"MAIL": sinks.STALL}, "timed out while sending MAIL FROM", None),
    ("data", ["smtp_data_init_timeout=1s", "smtp_discard_ehlo_keywords=pipelining"],
     {"DATA": sinks.STALL}, "timed out while sending DATA command", None),
    ("deaf", ["smtp_data_xfer_timeout=1s"], {}, "timed out while sending message body", None),
    ("xforward", ["smtp_send_xforward_command=yes", "smtp_xforward_timeout=1s"],
     {"XFORWARD": sinks.STALL}, "timed out while sending XFORWARD command", None),
    ("quitting", ["smtp_skip_quit_response=yes", NO_QUIT], {"QUIT": sinks.STALL}, "status=sent",
     said("QUIT")),
    ("rset", ["smtp_rset_timeout=1s", "smtp_connection_cache_destinations=127.0.0.1"],
     {"RSET": sinks.STALL, "RCPT": ["550 5.1.1 no", "250 ok"]}, "status=bounced", None),
    ("quit", ["smtp_skip_quit_response=no", "smtp_quit_timeout=1s", NO_QUIT], {"QUIT": sinks.STALL},
     "status=sent", said("QUIT")),
]
TEXT = "Subject: x\r\n\r\n" + "x" * 3000 + "\r\n" + "y\r\n" * 10
LARGE = "Subject: large\r\n\r\n" + ("z" * 900 + "\r\n") * 9000

servers = {}
for name, options, script, _, _ in ROWS:
    extensions = (*sinks.EXTENSIONS, "XFORWARD NAME ADDR")
    servers[name] = (Deaf if name == "deaf" else sinks.Sink)(dict(script), extensions=extensions)
routes = ", ".join(f"{name}.example={name}:{sink.place}" for name, sink in servers.items())
with sinks.Sink() as reports, \
        Suite(start=False, transport_maps=f"inline:{{ {routes} }}", relayhost=reports.place,
              debug_peer_list="192.0.2.0/24, 127.0.0.1", debug_peer_level="2",
              message_size_limit="20000000", minimal_backoff_time="100s") as suite:
    with (suite.dir / "master.cf").open("a") as master_cf:
        for name, options, *_ in ROWS:
            arguments = " ".join(f"-o {{{option.replace('=', ' = ', 1)}}}" for option in options)
            master_cf.write(f"{name} unix - - n - - smtp {arguments}\n")
    suite.start()
    for name, *_ in ROWS:
        local = "a b" if name.startswith("quote") else "to"
        recipient = f'"{local}"@{name}.example' if " " in local else f"{local}@{name}.example"
        suite.send("from@example.org", recipient, LARGE if name == "deaf" else TEXT)
    for name, _, _, log, saw in ROWS:
        suite.wait_log(rf"to=<[^>]*@{name}\.example>.*{log}")
        if saw is not None:
            # What the client does behind the reply may come later than the log line.
            wait_until(lambda: servers[name].sessions and saw(servers[name]), 20,
                       f"{name}: what the server should see")
    log = "\n".join(suite.lines())
    expect_match(r"\w+: enabling PIX workarounds: disable_esmtp delay_dotcrlf for 127\.0\.0\.1\[127\.0\.0\.1\]:\d+",
                 log, "pix")
    expect_match(r"postrider/smtp\[\d+\]: discarding EHLO keywords: PIPELINING SIZE 8BITMIME DSN SMTPUTF8",
                 log, "discarded")
    expect_match(r"discarding EHLO keywords: SIZE\n", log, "discarded by address")

    expect_match(r"> 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: MAIL FROM:<from@example\.org>", log, "debug_peer_list")
    expect_match(r"< 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: 554 5\.7\.1 go away", log, "debug_peer_list")
    expect_match(r"127\.0\.0\.1\[127\.0\.0\.1\]:\d+: content of \d+ bytes sent", log, "debug_peer_level")

    # RSET that is not answered ends the session, and the next message takes another.
    suite.send("from@example.org", "second@rset.example")
    suite.wait_log(r"to=<second@rset\.example>.*status=sent")
    expect("RSET" in servers["rset"].sessions[0].lines, "RSET was tried")
    expect(len(servers["rset"].sessions) == 2, "and a new session taken")
for sink in servers.values():
    sink.close()
