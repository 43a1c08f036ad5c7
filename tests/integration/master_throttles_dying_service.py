# SPDX-License-Identifier: MIT
"""A service whose processes die at once is tried ever more rarely, with an alarm; the others serve on;
a reload with a better configuration ends the misery at once."""
import re

from echo_suite import EchoSuite
from ports import wait_until

GOOD = "good unix n - n - - echo_worker"
with EchoSuite(GOOD, "bad unix n - n 60 1 echo_worker -o mail_name=fail",
               "missing unix n - n 60 1 no_such_program", service_throttle_time="1h") as suite:
    suite.wait_log(r"error: service bad is throttled")
    suite.wait_log(r"error: service missing is throttled")
    suite.wait_log(r"service missing: process \S+ pid \d+: the program cannot be executed")
    pauses = [float(p) for p in re.findall(r"service bad is throttled.*next try in ([\d.]+) s",
                                           suite.text())]
    suite.wait_log(r"service bad is throttled", count=3)
    pauses = [float(p) for p in re.findall(r"service bad is throttled.*next try in ([\d.]+) s",
                                           suite.text())]
    assert pauses[0] >= 0.8 and all(b >= 1.9 * a for a, b in zip(pauses, pauses[1:])), pauses
    first = suite.greeting("public/good")
    assert suite.greeting("public/good")["pid"] == first["pid"]

    suite.services(GOOD, "bad unix n - n 60 1 echo_worker")
    suite.hang_up()
    assert suite.greeting("public/bad")["origin"] == "first.example"
    # It was the only thing wrong: nothing dies any more.
    deaths = suite.count_log("service bad: process")
    pid = suite.greeting("public/bad")["pid"]
    assert wait_until(lambda: suite.greeting("public/bad")["pid"] == pid)
    assert suite.count_log("service bad: process") == deaths
