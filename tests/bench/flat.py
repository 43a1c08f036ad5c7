#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No program grows: relays 200,000 messages and looks at the memory and the descriptors of each
process ten times on the way, each time when the queue is empty. Before, 8,000 messages pile up in
the queue, because the next hop sleeps: what that takes is reserved for the next pile and no growth.

  flat.py [--messages 200000] [--samples 10] [--size 4096]

Prints a line per process: the samples, and the slope through those behind the first two (caches fill
at first). Exit status 1 when a process gains more than --most bytes a message (default
16), which would be 1.6 GB for a host with 100 million of them, or more than 16 descriptors.
"""
import argparse
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import procs  # noqa: E402
import suite as postrider  # noqa: E402


def slope(points):
    """Least squares: y gained per x."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def sample(suite):
    out = {}
    for pid in procs.tree(suite.master_pid):
        try:
            out[pid] = (procs.name_of(pid), procs.rss_kb(pid), procs.open_files(pid))
        except OSError:
            pass  # ended meanwhile
    return out


def send(suite, count, size, empty=True):
    done = subprocess.run([postrider.BENCH_SOURCE, "--to", f"127.0.0.1:{suite.port}",
                           "--sessions", "20", "--messages", str(count), "--size", str(size),
                           "--per-session", "200"], stdout=subprocess.PIPE, text=True, check=False)
    result = json.loads(done.stdout)
    if result["accepted"] != count:
        sys.exit(f"the suite did not take everything: {result}")
    if empty:
        suite.wait_empty(600)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--most", type=float, default=16, help="bytes per message that may be gained")
    args = parser.parse_args()
    step = args.messages // args.samples
    directory = tempfile.mkdtemp(prefix="postrider-flat-")
    sink = subprocess.Popen([postrider.BENCH_SINK, "--listen", "127.0.0.1:0"],
                            stdout=subprocess.PIPE, text=True, cwd=directory)
    samples = []
    began = time.monotonic()
    try:
        port = int(sink.stdout.readline().split()[1])
        with postrider.Suite(relayhost=f"[127.0.0.1]:{port}",
                             smtp_dns_support_level="disabled") as suite:
            sink.send_signal(signal.SIGSTOP)
            try:
                send(suite, 8_000, args.size, empty=False)
            finally:
                sink.send_signal(signal.SIGCONT)
            suite.wait_empty(600)
            for i in range(args.samples):
                send(suite, step, args.size)
                samples.append(((i + 1) * step, sample(suite)))
                total = sum(rss for _, rss, _ in samples[-1][1].values())
                print(f"{samples[-1][0]:8} messages, {time.monotonic() - began:6.0f} s: "
                      f"{total / 1024:.1f} MB resident", flush=True)
    finally:
        sink.terminate()
        sink.wait()
    grew = False
    for pid, (name, _, _) in samples[-1][1].items():
        points = [(count, seen[pid]) for count, seen in samples if pid in seen]
        settled = points[2:] if len(points) > 3 else points
        gained = slope([(count, rss * 1024) for count, (_, rss, _) in settled])
        files = [f for _, (_, _, f) in settled]
        bad = gained > args.most or max(files) - files[0] > 16
        grew = grew or bad
        print(f"{name}[{pid}]: {gained:+.2f} bytes a message{'  GROWS' if bad else ''}")
        print("   kB:   " + " ".join(str(rss) for _, (_, rss, _) in points))
        print("   files: " + " ".join(str(f) for _, (_, _, f) in points), flush=True)
    sys.exit(1 if grew else 0)


if __name__ == "__main__":
    main()
