# SPDX-License-Identifier: MIT
"""Debian's pflogsumm reads the log and counts right."""
import re
import shutil
import subprocess

import sinks
from suite import Suite, expect_equal, skip

PROGRAM = shutil.which("pflogsumm", path="/usr/sbin:/usr/bin")
if not PROGRAM:
    skip("pflogsumm is not installed")
with sinks.Sink({"RCPT TO:<GONE": "550 5.1.1 no", "RCPT TO:<LATER": "450 4.2.0 later"}) as sink, \
        Suite(relayhost=sink.place, smtp_log_tls_feature_status="no",
              smtpd_relay_restrictions="permit_mynetworks, reject",
              smtpd_error_sleep_time="0s") as suite:
    for i in range(7):
        suite.send("from@example.org", [f"to{i}@example.net", "second@example.net"])
    for i in range(3):
        suite.send("", [f"gone{i}@example.net"])
    for i in range(2):
        suite.send("from@example.org", [f"later{i}@example.net"])
    suite.wait_log("status=sent", count=14)
    suite.wait_log("status=bounced", count=3)
    suite.wait_log("status=deferred", count=2)
    suite.wait_log(": removed", count=10)
    suite.stop()
    text = subprocess.run([PROGRAM, "--syslog-name=postrider", suite.log], capture_output=True, text=True,
                          check=True).stdout
    counts = {name: int(number) for number, name in
              re.findall(r"(?m)^ +(\d+)k? +(received|delivered|deferred|bounced|rejected|senders|recipients)\b",
                         text)}
    expect_equal(counts, {"received": 12, "delivered": 14, "deferred": 2, "bounced": 3, "rejected": 0,
                          "senders": 2, "recipients": 8}, text)
