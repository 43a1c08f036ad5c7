# SPDX-License-Identifier: MIT
"""Mail that is acknowledged at the very time at which qmgr is replaced is delivered, too: while clients
send without pause, the suite reloads again and again."""
import ports
import sinks
from senders import Senders
from suite import Suite, expect_equal

RELOADS = 12
with sinks.Sink() as sink, Suite(relayhost=sink.place, minimal_backoff_time="1s",
                                 maximal_backoff_time="1s") as suite:
    clients = Senders(suite.port, 4)
    for generation in range(RELOADS):
        suite.wait_log("queue recovered", count=generation + 1, seconds=60)
        clients.wait_for(20)
        suite.reload()
    suite.wait_log("queue recovered", count=RELOADS + 1, seconds=60)
    clients.end()
    acknowledged = clients.acknowledged

    def delivered():
        return {r for m in sink.messages for r in m.recipients}

    try:
        ports.wait_until(lambda: acknowledged <= delivered(), 60)
    except TimeoutError:
        pass
    expect_equal(sorted(acknowledged - delivered()), [], f"lost, of {len(acknowledged)}")
