# SPDX-License-Identifier: MIT
"""A worker that was taken over, in the place of smtpd, smtp and bounce, and of smtpd where all programs have one
user: everything that it tries is denied, its abuse of conversations is survived, mail goes on and none is lost,
and the log says who it was. The short form of `make check-security`."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "evil"))

import security  # noqa: E402
from suite import expect, skip

if os.geteuid() != 0:
    skip("needs root: without it all programs have one user")
results, good = security.run(("smtpd", "smtp", "bounce", "smtpd@one-user"), short=True)
for result in results:
    expect(len(result.made) >= 100, f"{result.role}: only {len(result.made)} attempts")
    fewest = 2 if "@" in result.role else 2 * security.SHORT_ABUSES
    expect(len(result.abuses) >= fewest, f"{result.role}: only {len(result.abuses)} abuses")
    expect(result.level, f"{result.role}: its level is not known")
expect(good, "something was not denied or not survived")
