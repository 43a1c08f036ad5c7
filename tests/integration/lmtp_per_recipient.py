# SPDX-License-Identifier: MIT
"""LMTP over a UNIX socket and TCP: each recipient has its own reply after the data, and its own fate."""
import os
import tempfile

import sinks
from suite import Suite, expect, expect_equal

SCRIPT = {"dot later@mail.example": ["450 4.2.2 over quota", "250 2.0.0 now"],
          "dot never@mail.example": "550 5.2.1 closed"}
with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o755)
    path = f"{directory}/lmtp"
    with sinks.Sink(dict(SCRIPT), lmtp=True, unix=path) as store, sinks.Sink(lmtp=True) as tcp, \
            sinks.Sink() as returned:
        os.chmod(path, 0o777)
        with Suite(relayhost=returned.place, minimal_backoff_time="1s", maximal_backoff_time="1s",
                   transport_maps=f"inline:{{ mail.example=lmtp:unix:{path}, "
                                  f"tcp.example=lmtp:inet:127.0.0.1:{tcp.port} }}") as suite:
            sent = suite.send("from@example.org", [f"{n}@mail.example" for n in ("now", "later", "never")])
            suite.wait_log(rf"{sent}: to=<now@mail\.example>.*status=sent")
            suite.wait_log(rf"{sent}: to=<never@mail\.example>.*dsn=5\.2\.1, status=bounced")
            suite.wait_log(rf"{sent}: to=<later@mail\.example>.*dsn=4\.2\.2, status=deferred")
            suite.wait_log(rf"{sent}: to=<later@mail\.example>.*status=sent")
            expect_equal([m.recipients for m in store.wait(2)],
                         [["now@mail.example"], ["later@mail.example"]], "accepted")
            expect(any(line.startswith("LHLO ") for line in store.sessions[0].lines), "LHLO")
            expect_equal(returned.wait(1)[0].recipients, ["from@example.org"], "report")
            suite.send("from@example.org", ["to@tcp.example"])
            expect_equal(tcp.wait(1)[0].recipients, ["to@tcp.example"], "over TCP")
            suite.wait_empty()
