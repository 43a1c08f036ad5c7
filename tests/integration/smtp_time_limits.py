# SPDX-License-Identifier: MIT
"""A server that stands still at some step holds up the mail for the time limit of that step, and the log
says which step it was.

# shows: smtp_helo_timeout smtp_mail_timeout smtp_rcpt_timeout smtp_data_init_timeout
# shows: smtp_data_xfer_timeout smtp_data_done_timeout smtp_rset_timeout smtp_quit_timeout
# shows: smtp_skip_quit_response
"""
import asyncio
import contextlib

import ports
import sinks
from suite import Suite, expect_equal


class NoReader(sinks.Sink):
    """Takes no content."""

    async def text(self, session, reader, writer):
        writer.transport.pause_reading()
        await asyncio.Event().wait()


class NoGoodbye(sinks.Sink):
    """Does not answer QUIT, and sees when its client has had enough."""

    async def talk(self, session, reader, writer):
        self.reader = reader
        await super().talk(session, reader, writer)

    async def say(self, writer, reply):
        if isinstance(reply, str) and reply.startswith("221"):
            await self.reader.read()
            raise EOFError
        await super().say(writer, reply)


STEPS = {  # where the server stands still -> what the log says
    "connect": "receiving the initial server greeting",
    "EHLO": "performing the EHLO handshake",
    "MAIL": "sending MAIL FROM",
    "RCPT": "sending RCPT TO",
    "DATA": "sending DATA command",
    "text": "sending message body",
    "dot": "sending end of data -- message may be sent more than once",
}
LIMITS = ("smtp_helo_timeout", "smtp_mail_timeout", "smtp_rcpt_timeout", "smtp_data_init_timeout",
          "smtp_data_xfer_timeout", "smtp_data_done_timeout", "smtp_rset_timeout", "smtp_quit_timeout")
with contextlib.ExitStack() as stack:
    plain = ("SIZE 104857600", "ENHANCEDSTATUSCODES")
    servers = {step: stack.enter_context(NoReader() if step == "text" else
                                         sinks.Sink({step: sinks.STALL}, extensions=plain))
               for step in STEPS}
    quits = stack.enter_context(NoGoodbye())
    resets = stack.enter_context(sinks.Sink({"RCPT TO:<NO@": "550 5.1.1 no", "RSET": sinks.STALL}))
    routes = {f"{step.lower()}.example": server for step, server in servers.items()}
    routes |= {"quit.example": quits, "rset.example": resets}
    table = ", ".join(f"{name}=smtp:{server.place}" for name, server in routes.items())
    suite = stack.enter_context(Suite(
        transport_maps=f"inline:{{ {table} }}", smtp_skip_quit_response="no",
        smtp_connection_cache_destinations="127.0.0.1",
        smtp_connection_cache_time_limit="8s", message_size_limit="50000000",
        minimal_backoff_time="1s", maximal_backoff_time="1s",  # a server that was slow elsewhere gets another try
        **dict.fromkeys(LIMITS, "2s")))
    for step in STEPS:
        text = "Subject: x\n\n" + ("x" * 70 + "\n") * (300000 if step == "text" else 1)
        suite.send("", [f"to@{step.lower()}.example"], text)
    for step, phrase in STEPS.items():
        suite.wait_log(rf"to=<to@{step.lower()}\.example>, .*dsn=4\.4\.2, status=deferred "
                       rf"\(conversation with 127\.0\.0\.1\[127\.0\.0\.1\] timed out while {phrase}\)",
                       seconds=40)
    # The mail is delivered, whatever becomes of the goodbye, and nobody waits for it for ever.
    suite.send("", ["to@quit.example"])
    quits.wait(1)
    suite.wait_log(r"to=<to@quit\.example>.*status=sent")
    ports.wait_until(lambda: quits.open == 0, 40, "the end of the session")
    # A session that cannot be reset is not used again.
    suite.send("", ["no@rset.example"])
    suite.wait_log(r"to=<no@rset\.example>.*status=bounced")
    suite.send("", ["to@rset.example"])
    resets.wait(1)
    expect_equal(len(resets.sessions), 2, "sessions")
