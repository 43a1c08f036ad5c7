# SPDX-License-Identifier: MIT
"""Mail from Postfix's smtp-source goes through the suite to Postfix's smtp-sink, whole and once."""
import shutil
import subprocess
import tempfile

import ports
import sinks
from suite import Suite, expect_equal, expect_match, skip

SOURCE = shutil.which("smtp-source", path="/usr/sbin:/usr/bin")
if not SOURCE:
    skip("Debian's Postfix is not installed")
with tempfile.TemporaryDirectory() as directory, sinks.SmtpSink(directory) as sink, \
        Suite(relayhost=sink.place) as suite:
    subprocess.run([SOURCE, "-s", "5", "-m", "60", "-l", "3000", "-f", "from@example.org",
                    "-t", "to@example.net", f"127.0.0.1:{suite.port}"], check=True, timeout=60)
    ports.wait_until(lambda: len(sink.files()) >= 60, what="60 messages in smtp-sink")
    suite.wait_empty()
    files = sink.files()
    expect_equal(len(files), 60, "messages")
    for file in files:
        text = file.read_text()
        expect_match(r"(?m)^X-Mail-Args: <from@example\.org>", text, "sender")
        expect_match(r"(?m)^X-Rcpt-Args: <to@example\.net>", text, "recipient")
        expect_equal(text.count("X" * 70) > 10, True, "the text of smtp-source")
    expect_equal(len(suite.wait_log(r"status=sent \(250", count=60)), 60, "sent lines")
    expect_equal(len(suite.wait_log(r": removed$", count=60)), 60, "removed lines")
