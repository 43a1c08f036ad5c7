# SPDX-License-Identifier: MIT
"""transport_maps, sender-dependent relay hosts and relayhost, in Postfix's order; a text table is read
again when it changes."""
import itertools

import ports
import sinks
from suite import Suite, expect_equal

with sinks.Sink() as general, sinks.Sink() as special, sinks.Sink() as by_sender, \
        Suite(start=False, relayhost=general.place) as suite:
    table = suite.write("transport", f"special.example smtp:{special.place}\n")
    senders = suite.write("senders", f"@sender.example {by_sender.place}\n")
    suite.configure(transport_maps=f"texthash:{table}",
                    sender_dependent_relayhost_maps=f"texthash:{senders}")
    suite.start()
    suite.send("a@example.org", ["x@special.example"])
    special.wait(1)
    suite.send("a@example.org", ["x@other.example"])
    general.wait(1)
    suite.send("a@sender.example", ["x@other.example"])
    by_sender.wait(1)
    suite.send("a@sender.example", ["x@special.example"])
    special.wait(2)
    table.write_text(f"other.example smtp:{special.place}\n")
    numbers = itertools.count()

    def follows():  # the file is looked at once a second
        before = len(special.messages)
        suite.send("a@example.org", [f"y{next(numbers)}@other.example"])
        suite.wait_empty()
        return len(special.messages) > before

    ports.wait_until(follows, 20, "the changed table in force")
    expect_equal(len(by_sender.messages), 1, "by sender")
    suite.wait_empty()
