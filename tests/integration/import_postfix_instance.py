# SPDX-License-Identifier: MIT
"""A satellite's configuration of Postfix is read, reported line by line, and made an instance that
sends mail to the same relay host; one that asks for a content filter is not started without it."""
import json

import sinks
from suite import Suite, expect, expect_equal, expect_match

MASTER = """\
127.0.0.1:{port} inet  n       -       y       -       -       smtpd
  -o smtpd_client_restrictions=permit_mynetworks,reject
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
smtp      unix  -       -       y       -       -       smtp
  -o smtp_helo_name=satellite.example
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${{recipient}}
postlog   unix-dgram n  -       n       -       1       postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
setgid_group = postdrop
myhostname = satellite.example
mynetworks = 127.0.0.0/8
inet_protocols = ipv4
relayhost = {relay}
smtp_tls_security_level = may
biff = no
"""

with sinks.Sink() as sink, Suite(start=False) as suite:
    foreign = suite.top / "postfix"
    foreign.mkdir()
    (foreign / "master.cf").write_text(MASTER.format(port=suite.port))
    (foreign / "main.cf").write_text(MAIN.format(relay=sink.place) +
                                     "content_filter = scan:[127.0.0.1]:10025\n")
    refused = suite.cli("import", "postfix", foreign, "--into", suite.top / "refused", "--user",
                        "nobody", check=False)
    expect_equal(refused.returncode, 1, refused.stdout + refused.stderr)
    expect_match(r"error: .*content_filter", refused.stdout, "the filter is an error")

    (foreign / "main.cf").write_text(MAIN.format(relay=sink.place))
    report = json.loads(suite.cli("--json", "import", "postfix", foreign).stdout)
    fates = {item["said"]: item["fate"] for item in report}
    expect_equal(fates["myhostname = satellite.example"], "works", "myhostname")
    expect_equal(fates["setgid_group = postdrop"], "not needed", "setgid_group")
    expect_equal(fates["maildrop unix pipe"], "not needed", "a pipe that nothing uses")
    expect("NOT SUPPORTED" not in fates.values(), f"unsupported: {fates}")

    done = suite.cli("import", "postfix", foreign, "--into", suite.top / "made", "--user", "nobody")
    expect_match(r"(?m)^ready: ", done.stdout, "it is ready")
    suite.config = suite.dir = suite.top / "made"
    suite.log = suite.dir / "log/postrider.log"
    suite.start()
    suite.send("from@example.org", ["to@example.net"])
    sink.wait(1)
    expect_equal(sink.messages[0].recipients, ["to@example.net"], "recipient")
    suite.wait_log(r"relay=.*status=sent")
    expect_match(r"(?i)ehlo satellite\.example", "\n".join(sink.sessions[0].lines), "its name")
