# SPDX-License-Identifier: MIT
"""`postrider queue` asked while qmgr hands over to a successor is answered by one of the two."""
import threading

import ports
from suite import Suite, expect_equal

RELOADS = 12

with Suite() as suite:
    failures, asked, done = [], [0], threading.Event()

    def ask():
        while not done.is_set():
            answer = suite.cli("queue", "--by", "state", "--json", check=False)
            asked[0] += 1
            if answer.returncode != 0:
                failures.append(answer.stdout + answer.stderr)

    askers = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in askers:
        thread.start()
    for _ in range(RELOADS):
        before = asked[0]
        suite.reload()
        ports.wait_until(lambda: asked[0] >= before + 6, 60, "answers")
    done.set()
    for thread in askers:
        thread.join()
    expect_equal(failures, [], f"of {asked[0]} questions")
