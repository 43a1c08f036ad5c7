# SPDX-License-Identifier: MIT
"""log_format = json: each line is one object, with the fields of the text form."""
import json

import sinks
from suite import Suite, expect, expect_equal

with sinks.Sink() as sink, Suite(relayhost=sink.place, log_format="json") as suite:
    sent = suite.send("from@example.org", ["to@example.net"])
    sink.wait(1)
    suite.wait_empty()
    suite.stop()
    events = [json.loads(line) for line in suite.lines()]
    mine = [e for e in events if e.get("id") == sent]
    expect(len(mine) >= 3, f"events of the message: {mine}")
    expect(any(e.get("status") == "sent" and e.get("to") == "to@example.net" for e in mine), mine)
    expect_equal([e for e in events if "event" not in e and "message" not in e and "text" not in e], [],
                 "objects that say nothing")
