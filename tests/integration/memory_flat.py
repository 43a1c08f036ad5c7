# SPDX-License-Identifier: MIT
"""No program grows: memory and descriptors after 12,000 messages are what they were after 4,000."""
import json
import os
import subprocess

import ports
import procs
import suite as postrider
from suite import Suite, expect

# 2 MB for 8,000 messages would be 250 bytes a message. AddressSanitizer multiplies what a program holds
# at a moment, and keeps freed memory aside: up to 256 MB of it would look like growth.
MOST_GROWTH_KB = 8192 if postrider.ASAN else 2048
os.environ["ASAN_OPTIONS"] += ":quarantine_size_mb=1:thread_local_quarantine_size_kb=16"


def measure(suite):
    out = {}
    for pid in procs.tree(suite.master_pid):
        try:
            out[pid] = (procs.name_of(pid), procs.rss_kb(pid), procs.open_files(pid))
        except OSError:
            pass
    return out


def send(suite, count):
    done = subprocess.run([postrider.BENCH_SOURCE, "--to", f"127.0.0.1:{suite.port}", "--sessions", "10",
                           "--messages", str(count), "--per-session", "50"],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=200)
    expect(json.loads(done.stdout)["accepted"] == count, done.stdout)
    suite.wait_empty(120)


sink = subprocess.Popen([postrider.BENCH_SINK, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
try:
    port = int(sink.stdout.readline().split()[1])
    with Suite(relayhost=f"[127.0.0.1]:{port}") as suite:
        send(suite, 4000)
        before = measure(suite)
        send(suite, 8000)
        after = measure(suite)
        for pid, (name, memory, files) in after.items():
            print(f"{name}[{pid}]: {before.get(pid)} -> {(memory, files)}")
            if pid in before:
                expect(memory - before[pid][1] < MOST_GROWTH_KB,
                       f"{name} grew from {before[pid][1]} to {memory} kB")
                ports.wait_until(lambda: procs.open_files(pid) - before[pid][2] <= 8, 30,  # connections that rest go
                                 f"descriptors of {name} as before, {before[pid][2]} and not {files},")
finally:
    sink.terminate()
    sink.wait()
