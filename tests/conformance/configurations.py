# SPDX-License-Identifier: MIT
"""The configurations of the conformance run: what the server can and answers, and what both clients
are told. Each becomes a transport of its own in both systems, with a domain of its own.

`options` are parameters of the transport (-o in master.cf), `queue` those that qmgr reads with the
transport's name before them; {dir} is a directory for tables. Where a server's replies depend on the
message or the recipient, they depend on their numbers alone, so that both systems hear the same.
"""
import dataclasses
import re

from recorder import CUT, STALL, Server

FULL = ("PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8")


def without(*names):
    return tuple(e for e in FULL if e.split(" ")[0] not in names)


@dataclasses.dataclass
class Configuration:
    name: str
    servers: list                       # as many endpoints, tried in this order
    options: dict = dataclasses.field(default_factory=dict)
    ours: dict = dataclasses.field(default_factory=dict)  # parameters that only Postrider has
    queue: dict = dataclasses.field(default_factory=dict)
    tables: dict = dataclasses.field(default_factory=dict)  # name -> text
    lmtp: bool = False
    serial: bool = False                # one message after the other: sessions are used again
    long: bool = False                  # also the longest messages
    refuses: bool = False               # an endpoint in front of the others where nobody listens
    only: str = ""                      # a regular expression for names of messages
    number: int = 0

    @property
    def key(self):
        return f"c{self.number:02}"

    @property
    def domain(self):
        return f"{self.key}.example"

    def wants(self, message):
        return (self.long or not message.long) and re.search(self.only, message.name) is not None


def numbers(line):
    """(message, recipient) that a command names."""
    message = re.search(r"\bm(\d{3})\b", line)
    recipient = re.search(r"\br(\d{2,3})\b", line)
    return int(message.group(1)) if message else 0, int(recipient.group(1)) if recipient else 0


def mixed_rcpt(_, line):
    message, recipient = numbers(line)
    return {1: "450 4.2.1 try again later", 3: "550 5.1.1 unknown user",
            4: "452 4.2.2 mailbox is full", 6: "551 5.7.1 not here",
            7: "251 2.1.5 will forward"}.get((message + recipient) % 9)


def at_most(count):
    def reply(talk, _):
        return "452 4.5.3 too many recipients" if talk.rcpts > count else None
    return reply


def by_message(*replies):
    """The n-th message gets the n-th reply, and so on around."""
    def reply(_, line):
        return replies[numbers(line)[0] % len(replies)]
    return reply


def at_step(reply, steps, step):
    """`reply` at one step of each session, which step by the number of the message."""
    def answer(talk, line):
        return reply if steps[numbers(line or talk.mail)[0] % len(steps)] == step else None
    return answer


def wherever(reply, steps=("MAIL", "RCPT", "DATA", "dot", "")):
    replies = {step: at_step(reply, steps, step) for step in ("MAIL", "RCPT", "dot")}

    def data(talk, _):  # DATA itself names nobody
        return reply if steps[numbers(talk.mail)[0] % len(steps)] == "DATA" else None
    return {**replies, "DATA": data}


def at_data(*replies):
    def reply(talk, _):
        return replies[numbers(talk.mail)[0] % len(replies)]
    return reply


def lmtp_dots(_, line):
    message, recipient = numbers(line)
    return {1: "450 4.2.2 over quota", 3: "550 5.2.1 mailbox closed"}.get((message + recipient) % 5)


def server(*extensions, banner="220 sink.example ESMTP", lmtp=False, **replies):
    return Server(banner, tuple(extensions), replies, lmtp)


GENERIC = {"generic": """\
@inside.example         @outside.example
one@inside.example      first.one@outside.example
two@inside.example      second@outside.example
eight@inside.example    "quoted eight"@outside.example
eleven@inside.example   plain-eleven
"""}
CHECKS = {
    "header": """\
/^X-Ignore:/            IGNORE
/^X-Replace: (.*)/      REPLACE X-Replaced: new for $1
/^X-Prepend:/           PREPEND X-Prepended: before it
/^X-Warn:/              WARN a header
/^X-Info:/              INFO a header
/^X-Strip:/             STRIP a header
/^X-Dunno:/             DUNNO
""",
    "mime": """\
/^(Content-Type: .*)replace-me(.*)/   REPLACE $1replaced$2
/^Content-Type: application\\/x-ignore/   IGNORE
""",
    "nested": """\
/^Subject: nested-replace/  REPLACE Subject: nested was replaced
/^X-Ignore:/                IGNORE
""",
    "body": """\
/^body-ignore/          IGNORE
/^body-replace(.*)/     REPLACE body was replaced$1
/^body-prepend/         PREPEND a line before it
/^body-warn/            WARN a line
/^body-strip/           STRIP a line
"""}
CHECK_OPTIONS = {"smtp_header_checks": "regexp:{dir}/header", "smtp_mime_header_checks": "regexp:{dir}/mime",
                 "smtp_nested_header_checks": "regexp:{dir}/nested",
                 "smtp_body_checks": "regexp:{dir}/body"}
REPLY_FILTER = {"filter": """\
/^250-PIPELINING$/i         250-X-NOTHING
/^450 4\\.2\\.1 (.*)/       550 5.2.1 filtered $1
/^550 5\\.1\\.1 (.*)/       450 4.1.1 filtered $1
/^250 2\\.0\\.0 Ok: taken$/ 250 2.0.0 filtered
"""}
STATUS_FILTER = {"status": """\
/^4\\.2\\.1 (.*)/           5.2.1 no more $1
/^5\\.1\\.1 (.*)/           4.1.1 perhaps $1
/^2\\.0\\.0 (.*)/           2.6.0 $1, filtered
"""}
SECOND = server(*FULL, banner="220 second.example ESMTP")
DOWN_421 = "421 4.3.2 closing"

CONFIGURATIONS = [
    # What servers offer.
    Configuration("HELO only", [server(EHLO="502 5.5.1 what?")]),
    Configuration("ESMTP without extensions", [server()]),
    Configuration("everything", [server(*FULL)], long=True),
    Configuration("PIPELINING alone", [server("PIPELINING")]),
    Configuration("SIZE without a limit", [server("SIZE")]),
    Configuration("SIZE 0", [server("SIZE 0", "8BITMIME")]),
    # Without the message that Postfix returns before MAIL for its domain: as those that are too big.
    Configuration("SIZE with a small limit", [server("SIZE 20000", "8BITMIME")], long=True,
                  only="^(?!UTF-8 domain)"),
    Configuration("8BITMIME alone", [server("8BITMIME")]),
    Configuration("no 8BITMIME", [server(*without("8BITMIME", "SMTPUTF8"))], long=True),
    Configuration("SMTPUTF8 without 8BITMIME", [server(*without("8BITMIME"))]),
    Configuration("no SMTPUTF8", [server(*without("SMTPUTF8"))]),
    Configuration("DSN alone", [server("DSN")]),
    Configuration("no DSN", [server(*without("DSN"))]),
    Configuration("ENHANCEDSTATUSCODES alone", [server("ENHANCEDSTATUSCODES")]),
    Configuration("extensions in small letters", [server("pipelining", "size 5000000", "8BitMime", "Dsn")]),
    Configuration("CHUNKING", [server(*FULL, "CHUNKING")], long=True),
    Configuration("CHUNKING, not used", [server(*FULL, "CHUNKING")], ours={"smtp_chunking": "no"}),
    # What we make of it.
    Configuration("keywords discarded", [server(*FULL, "CHUNKING")],
                  {"smtp_discard_ehlo_keywords": "pipelining, dsn, chunking, silent-discard"}),
    Configuration("keywords discarded by address", [server(*FULL)],
                  {"smtp_discard_ehlo_keyword_address_maps": "inline:{127.0.0.1=8bitmime}",
                   "smtp_discard_ehlo_keywords": "size"}),
    Configuration("EHLO only if the banner says so, and it does", [server(*FULL)],
                  {"smtp_always_send_ehlo": "no"}),
    Configuration("EHLO only if the banner says so, and it does not",
                  [server(*FULL, banner="220 sink.example SMTP")], {"smtp_always_send_ehlo": "no"}),
    Configuration("EHLO never", [server(*FULL)], {"smtp_never_send_ehlo": "yes"}),
    Configuration("short lines", [server(*FULL)], {"smtp_line_length_limit": "80"}),
    Configuration("lines of any length", [server(*FULL)], {"smtp_line_length_limit": "0"}),
    Configuration("addresses not quoted", [server(*FULL)], {"smtp_quote_rfc821_envelope": "no"}),
    Configuration("PIX", [server(*FULL, banner="220 ************************")],
                  {"smtp_pix_workaround_delay_time": "1s", "smtp_pix_workaround_threshold_time": "0s"},
                  only="plain|dots|8-bit|two|fifty"),
    Configuration("PIX, no workaround by address", [server(*FULL, banner="220 ************************")],
                  {"smtp_pix_workaround_maps": "inline:{127.0.0.1=delay_dotcrlf}"}),
    Configuration("8-bit as it is", [server("SIZE")], {"disable_mime_output_conversion": "yes"}),
    Configuration("boundaries compared shortly", [server()], {"mime_boundary_length_limit": "3"}),
    Configuration("nesting limited to 2", [server()], {"mime_nesting_limit": "2"}),
    Configuration("generic addresses", [server(*FULL)],
                  {"smtp_generic_maps": "texthash:{dir}/generic"}, tables=GENERIC),
    Configuration("checks", [server(*FULL)], CHECK_OPTIONS, tables=CHECKS),
    Configuration("checks and conversion", [server()],
                  {**CHECK_OPTIONS, "smtp_generic_maps": "texthash:{dir}/generic"},
                  tables={**CHECKS, **GENERIC}),
    Configuration("replies filtered", [server(*FULL, RCPT=mixed_rcpt)],
                  {"smtp_reply_filter": "regexp:{dir}/filter"}, tables=REPLY_FILTER),
    Configuration("status filtered", [server(*FULL, RCPT=mixed_rcpt)],
                  {"smtp_delivery_status_filter": "regexp:{dir}/status"}, tables=STATUS_FILTER),
    Configuration("XFORWARD", [server(*FULL, "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")],
                  {"smtp_send_xforward_command": "yes"}),
    Configuration("XFORWARD of two, without PIPELINING", [server("XFORWARD ADDR HELO")],
                  {"smtp_send_xforward_command": "yes"}),
    Configuration("XFORWARD refused", [server(*FULL, "XFORWARD NAME ADDR", XFORWARD="550 5.7.1 no")],
                  {"smtp_send_xforward_command": "yes"}),
    Configuration("reply to QUIT awaited", [server(*FULL)], {"smtp_skip_quit_response": "no"}),
    Configuration("one recipient at a time", [server(*FULL)], queue={"destination_recipient_limit": "1"}),
    Configuration("two recipients at a time", [server("8BITMIME")],
                  queue={"destination_recipient_limit": "2"}),
    Configuration("any number of recipients", [server(*FULL)], queue={"destination_recipient_limit": "0"}),
    # How servers refuse.
    Configuration("4xx greeting, then another host",
                  [server(*FULL, banner="450 4.3.2 not now"), SECOND]),
    Configuration("5xx greeting, then another host",
                  [server(*FULL, banner="554 5.3.2 never"), SECOND]),
    Configuration("5xx greeting that counts", [server(*FULL, banner="554 5.3.2 never"), SECOND],
                  {"smtp_skip_5xx_greeting": "no"}),
    Configuration("421 greeting", [server(*FULL, banner="421 4.3.2 go away")]),
    Configuration("cut instead of a greeting", [server(*FULL, connect=CUT), SECOND]),
    Configuration("4xx to EHLO, then another host", [server(*FULL, EHLO="450 4.3.2 not now"), SECOND]),
    Configuration("5xx to EHLO and HELO", [server(*FULL, EHLO="550 5.7.1 no", HELO="550 5.7.1 no")]),
    Configuration("5xx to EHLO and HELO, then another host",
                  [server(*FULL, EHLO="550 5.7.1 no", HELO="550 5.7.1 no"), SECOND]),
    Configuration("cut at EHLO", [server(*FULL, EHLO=CUT)]),
    Configuration("MAIL refused", [server(*FULL, MAIL=by_message(
        "450 4.1.8 later", "550 5.1.8 never", None, "452 4.3.1 no space", "555 5.5.4 what?"))]),
    Configuration("MAIL refused without PIPELINING, then another host", [server(MAIL=by_message(
        "450 4.1.8 later", "550 5.1.8 never", None, "452 4.3.1 no space")), SECOND]),
    Configuration("recipients refused", [server(*FULL, RCPT=mixed_rcpt)]),
    Configuration("recipients refused without PIPELINING", [server("8BITMIME", RCPT=mixed_rcpt)]),
    Configuration("recipients refused, then another host", [server(*FULL, RCPT=mixed_rcpt), SECOND]),
    Configuration("all recipients refused", [server(*FULL, RCPT="550 5.1.1 unknown user")]),
    Configuration("all recipients refused, DATA accepted",
                  [server(*FULL, RCPT="550 5.1.1 unknown user", DATA="354 go on")]),
    Configuration("all recipients refused without PIPELINING", [server(RCPT="450 4.1.1 not now")]),
    Configuration("too many recipients", [server(*FULL, RCPT=at_most(10))]),
    Configuration("552 for too many recipients", [server(*FULL, RCPT=by_message(
        "552 5.5.3 too many recipients", None))]),
    Configuration("DATA refused", [server(*FULL, DATA=at_data(
        "451 4.3.0 later", "554 5.3.0 never", None, "250 2.0.0 odd"))]),
    Configuration("DATA refused without PIPELINING, then another host",
                  [server(DATA=at_data("451 4.3.0 later", "554 5.3.0 never", None)), SECOND]),
    Configuration("content refused", [server(*FULL, dot=by_message(
        "451 4.3.0 later", "554 5.6.0 never", None, "552 5.2.2 full"))]),
    Configuration("content refused, then another host", [server(*FULL, dot=by_message(
        "451 4.3.0 later", "554 5.6.0 never", None)), SECOND]),
    Configuration("421 anywhere", [server(*FULL, **wherever(DOWN_421))]),
    Configuration("421 anywhere without PIPELINING", [server(**wherever(DOWN_421))]),
    Configuration("421 anywhere, then another host", [server(*FULL, **wherever(DOWN_421)), SECOND]),
    Configuration("cut anywhere", [server(*FULL, **wherever(CUT))]),
    Configuration("cut anywhere without PIPELINING", [server(**wherever(CUT))]),
    Configuration("cut anywhere, then another host",
                  [server(*FULL, **wherever(CUT, ("MAIL", "RCPT", "DATA"))), SECOND]),
    Configuration("silence anywhere", [server(*FULL, **wherever(STALL))],
                  {"smtp_mail_timeout": "4s", "smtp_rcpt_timeout": "4s", "smtp_data_init_timeout": "4s",
                   "smtp_data_done_timeout": "4s"}, only="plain|dots|8-bit|recipients|quoted|multi"),
    Configuration("replies of several lines", [server(
        *FULL, MAIL="250-2.1.0 one\r\n250-2.1.0 two\r\n250 2.1.0 three",
        dot=by_message("550-5.6.0 one\r\n550-5.6.0 two\r\n550 5.6.0 three",
                       "250-2.0.0 one\r\n250 2.0.0 two", "550-one\r\n450 two", "450"))]),
    Configuration("replies without enhanced codes", [server(
        "PIPELINING", MAIL="250 ok", RCPT=by_message("250 ok", "550 no such user", "450 later"),
        dot=by_message("250 taken", "554 no", "452 no space", "250"))]),
    Configuration("enhanced codes that contradict", [server(
        *FULL, RCPT=by_message("550 4.1.1 odd", "450 5.1.1 odd", None, "550 2.1.1 odd"),
        dot=by_message("554 4.6.0 odd", "250 5.0.0 odd"))]),
    Configuration("nobody listens, then another host", [SECOND], refuses=True),
    Configuration("fallback relay", [server(*FULL, RCPT=mixed_rcpt), SECOND],
                  {"smtp_fallback_relay": "{endpoint 2}"}),
    # Sessions that are used again.
    Configuration("sessions kept", [server(*FULL, RCPT=mixed_rcpt)],
                  {"smtp_connection_cache_destinations": "127.0.0.1",
                   "smtp_connection_cache_time_limit": "10s"}, serial=True),
    Configuration("sessions kept for four messages", [server("8BITMIME", "SMTPUTF8")],
                  {"smtp_connection_cache_destinations": "127.0.0.1",
                   "smtp_connection_cache_time_limit": "10s",
                   "smtp_connection_reuse_count_limit": "3"}, serial=True),
    # LMTP.
    Configuration("LMTP", [server(*FULL, banner="220 store.example LMTP", lmtp=True, dot=lmtp_dots)],
                  lmtp=True),
    Configuration("LMTP without extensions", [server(banner="220 store.example LMTP", lmtp=True,
                                                     RCPT=mixed_rcpt, dot=lmtp_dots)], lmtp=True),
    Configuration("LMTP, recipients refused", [server(*FULL, lmtp=True, RCPT=mixed_rcpt)],
                  {"lmtp_skip_quit_response": "yes"}, lmtp=True),
    Configuration("LMTP without DSN, assumed final", [server(*without("DSN"), lmtp=True)],
                  {"lmtp_assume_final": "yes"}, lmtp=True),
    Configuration("LMTP, 421 anywhere", [server(*FULL, lmtp=True, **wherever(DOWN_421))], lmtp=True),
    Configuration("LMTP, cut anywhere", [server(*FULL, lmtp=True, **wherever(CUT))], lmtp=True),
]
for index, one in enumerate(CONFIGURATIONS):
    one.number = index + 1
