# SPDX-License-Identifier: MIT
"""A delivery agent that crashes on certain mail. The message that kills it three times is held, and
`postrider why` says so; a destination that kills it with any message is put off and none of its
messages is held; all other mail is delivered at once, under load as well.

The agent is the real one; a small library in front of libc makes it crash when it is about to send a
certain recipient, as a fault in the handling of that mail would."""
import json
import subprocess
import threading
import time

import ports
import sinks
import suite as postrider
from suite import Suite, expect, expect_equal

CRASH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>
ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  if (memmem(bytes, size, "TO:<poison", 10) != NULL || memmem(bytes, size, "@kills.example>", 15) != NULL)
    raise(SIGKILL); // kill() is not on the list of its sandbox
  return ((ssize_t (*)(int, const void*, size_t, int))dlsym(RTLD_NEXT, "send"))(fd, bytes, size, flags);
}
"""


def fragile_agent(suite):
    directory = suite.top / "programs"
    directory.mkdir()
    (suite.top / "crash.c").write_text(CRASH)
    library = suite.top / "crash.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, suite.top / "crash.c", "-ldl"], check=True)
    for program in (postrider.BUILD / "libexec/postrider").iterdir():
        wrapper = directory / program.name
        if program.name != "smtp":
            wrapper.symlink_to(program)
            continue
        wrapper.write_text(f"#!/bin/sh\nexport ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0\n"
                           f"export LD_PRELOAD={library}\nexec {program} \"$@\"\n")
        wrapper.chmod(0o755)
    suite.configure(daemon_directory=directory)


def why(suite, message):
    return json.loads(suite.cli("why", message, "--json").stdout)


def deaths(suite):
    return sum("is gone with" in line for line in suite.lines())


def send(suite, *recipients):
    return suite.send("from@example.org", list(recipients))


def delivered(sink):
    return {m.recipients[0] for m in sink.messages}


def poison_is_held(suite, sink):
    """Other mail goes on meanwhile: nothing of it is lost, and nothing waits for long."""
    stop = threading.Event()
    sent = []

    def load():
        while not stop.is_set():
            to = f"u{len(sent)}@d{len(sent) % 20}.example"
            send(suite, to)
            sent.append((to, time.monotonic()))

    thread = threading.Thread(target=load)
    thread.start()
    ports.wait_until(lambda: len(sent) > 20, 30, "some load")
    poison = send(suite, "poison@d1.example")
    suite.wait_log(f"{poison}: 3 delivery agents died of this message: held")
    ports.wait_until(lambda: why(suite, poison)["queue_name"] == "hold", 20, "the message to be held")
    stop.set()
    thread.join()
    ports.wait_until(lambda: {to for to, _ in sent} <= delivered(sink), 20, "the other mail")
    expect("poison@d1.example" not in delivered(sink), "delivered after all?")
    told = why(suite, poison)
    expect_equal(told["strikes"], 3, "strikes")
    expect("delivery agents died of this message" in json.dumps(told), "the reason")
    expect("died of this message" in suite.cli("why", poison).stdout, "the reason, for people")
    expect_equal(deaths(suite), 3, "deaths of agents")
    # What was in doubt at the first death waits for its next try; nothing else is held.
    expect_equal([m["queue_id"] for m in suite.queue() if m["queue_name"] == "hold"], [poison], "held")
    suite.cli("release", poison)  # the operator may try again
    suite.wait_log(f"{poison}: 3 delivery agents died of this message: held", count=2)
    suite.cli("delete", poison)
    ports.wait_until(lambda: poison not in {m["queue_id"] for m in suite.queue()}, 20, "its end")


def killing_destination_is_put_off(suite, sink):
    before = deaths(suite)
    bad = [send(suite, f"x{i}@kills.example") for i in range(10)]
    good = [f"y{i}@fine{i}.example" for i in range(10)]
    for to in good:
        send(suite, to)
    ports.wait_until(lambda: set(good) <= delivered(sink), 20, "the mail to others")
    suite.wait_log("to=<x.@kills.example>.*delivery agents die at this destination", count=10)
    expect_equal(deaths(suite) - before, 3, "deaths of agents")
    expect_equal({m["queue_name"] for m in suite.queue() if m["queue_id"] in bad}, {"deferred"},
                 "put off, not held")
    send(suite, "z@fine.example")
    ports.wait_until(lambda: "z@fine.example" in delivered(sink), 20, "mail after it")
    expect_equal(deaths(suite) - before, 3, "no more deaths")


with sinks.Sink(host="0.0.0.0") as the_sink, Suite(start=False) as the_suite:
    # Every domain is a destination of its own, all at one sink.
    domains = [f"d{i}.example" for i in range(20)] + [f"fine{i}.example" for i in range(10)] + [
        "fine.example", "kills.example"]
    hosts = the_suite.write("transport", "".join(
        f"{d} smtp:[127.0.{i // 250}.{i % 250 + 1}]:{the_sink.port}\n" for i, d in enumerate(domains)))
    the_suite.configure(transport_maps=f"texthash:{hosts}", smtp_dns_support_level="disabled")
    fragile_agent(the_suite)
    the_suite.start()
    for scene in (poison_is_held, killing_destination_is_put_off):
        print(scene.__name__, flush=True)
        scene(the_suite, the_sink)
