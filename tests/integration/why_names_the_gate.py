# SPDX-License-Identifier: MIT
"""postrider why says what keeps a message: the last reply verbatim, the server, the attempts, and what
it waits for now."""
import json

import sinks
from suite import Suite, expect, expect_match

with sinks.Sink({"RCPT TO:<LATER": "450 4.7.1 greylisted, come back in 5 minutes"}) as sink, \
        Suite(relayhost=sink.place) as suite:
    sent = suite.send("from@example.org", ["later@example.net"])
    suite.wait_log(rf"{sent}: to=<later@example\.net>.*status=deferred")
    text = suite.cli("why", sent).stdout
    expect_match("later@example.net", text, "recipient")
    expect_match("450 4.7.1 greylisted, come back in 5 minutes", text, "reply")
    expect_match(rf"127\.0\.0\.1.*{sink.port}", text, "server")
    value = json.loads(suite.cli("why", sent, "--json").stdout)
    expect("greylisted" in json.dumps(value), value)
    suite.cli("hold", sent)
    expect_match("(?i)hold|held", suite.cli("why", sent).stdout, "held")
    expect(suite.cli("why", "0000000000", check=False).returncode != 0, "an unknown id is an error")
