# SPDX-License-Identifier: MIT
"""What main.cf says about the form of the log: names, digits, quotes, the recipient as it was written.

# shows: syslog_name delay_logging_resolution_limit info_log_address_format soft_bounce process_id
# shows: process_name
"""
import re

import sinks
from suite import Suite, expect, expect_equal, expect_match

DELAYS = r"delay=([\d.]+), delays=([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+), "
with sinks.Sink({"RCPT TO:<NEVER@": "550 5.1.1 no"}) as sink, \
        Suite(relayhost=sink.place, syslog_name="mail/out", delay_logging_resolution_limit="6",
              myorigin="home.example", soft_bounce="yes",
              smtpd_banner="$myhostname ESMTP $process_name $process_id") as suite:
    with suite.raw() as client:
        banner = client.greeting
    expect(int(banner.split()[-1]) in suite.pids("smtpd"), banner)
    expect_equal(banner.split()[-2], "smtpd", "process_name")

    suite.send('"two words"@example.org', ["plain"])
    line = suite.wait_log(r" mail/out/smtp\[\d+\]: \w+: (to=<plain@home\.example>, orig_to=<plain>, .*)")
    digits = re.search(DELAYS, line.group(1)).groups()
    expect(any(len(d.partition(".")[2]) > 2 for d in digits), f"more than two digits: {digits}")
    suite.wait_log(r' mail/out/qmgr\[\d+\]: \w+: from=<"two words"@example\.org>, size=')
    suite.send("", ['"a b"@example.net'])
    suite.wait_log(r'to=<"a b"@example\.net>, relay=')

    # soft_bounce: the failure is not final.
    suite.send("from@example.org", ["never@example.net"])
    suite.wait_log(r"to=<never@example\.net>, .*dsn=4\.1\.1, status=SOFTBOUNCE \(host ")
    expect_equal([m["recipients"][0]["address"] for m in suite.queue()], ["never@example.net"], "kept")

    suite.configure(delay_logging_resolution_limit="0", info_log_address_format="internal")
    suite.reload()
    suite.wait_log(r"mail/out/master.*reload")
    suite.send("", ['"c d"@example.net'])
    line = suite.wait_log(r"(to=<c d@example\.net>, relay=.*)").group(1)
    expect_match(r"delay=\d+, delays=\d+/\d+/\d+/\d+, tls=may:none, dsn", line, "whole seconds")
    suite.cli("queue", "delete", "--all", check=False)
