# SPDX-License-Identifier: MIT
"""What one evil worker has come to."""
import collections

LACKING = ("ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP", "EINVAL")
BAD = ("DONE", "BELIEVED", "BOARD-CUT", "GREETED")


class Result:
    def __init__(self, role):
        self.role, self.level = role, ""
        self.attempts, self.abuses, self.outside = {}, {}, {}
        self.problems, self.delivered, self.killed, self.named = [], 0, 0, 0
        self.refused = collections.Counter()  # mail that was not taken meanwhile, by the kind of trouble

    @property
    def made(self):
        return {n: s for n, s in self.attempts.items() if s[0] != "right" and not self.lacks(n)}

    def lacks(self, name):
        """The kernel does not have it, or this test cannot reach it: outside the same error came."""
        seen, without = self.attempts[name], self.outside.get(name)
        return without is not None and without[0] == "denied" and without[1] in LACKING and seen == without

    @property
    def allowed(self):
        return {n: s for n, s in self.made.items() if s[0] != "denied"}

    @property
    def channels(self):
        """Of each conversation: abuses, survived, what was not, and how they ended."""
        out = collections.defaultdict(lambda: [0, 0, [], collections.Counter()])
        for (channel, name), seen in self.abuses.items():
            counts = out[channel if name != "a_door_of_others" else "doors of others"]
            counts[0] += 1
            counts[3][seen] += 1
            if any(seen.startswith(b) or f",{b}" in seen for b in BAD):
                counts[2].append(f"{name}: {seen}")
            else:
                counts[1] += 1
        return out
