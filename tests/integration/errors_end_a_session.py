# SPDX-License-Identifier: MIT
"""A client that only makes errors is slowed down and then cut off with 421."""
from suite import Suite, expect_equal, expect_match

with Suite(smtpd_soft_error_limit="3", smtpd_hard_error_limit="6", smtpd_error_sleep_time="0s") as suite:
    with suite.raw() as client:
        client.command("EHLO client.example")
        replies = [client.command("WHAT") for _ in range(6)]
        expect_match("^(50[02]\n?){5}$", "\n".join(r[:3] for r in replies[:5]), "errors")
        last = replies[5] if replies[5].startswith("421") else client.reply()
        expect_match(r"^421 4\.7\.0", last, "the end")
        expect_equal(client.reply(), "", "closed")
