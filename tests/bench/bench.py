#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the suite beside Debian's Postfix: the same source, sink, host, file system and settings,
by turns in one run. Needs root, because Postfix does. Nothing else should run meanwhile.

  bench.py                       everything (about ten minutes)
  bench.py relay --sessions 20 --sizes 4096
  bench.py slow                  1,000 destinations that answer the final dot after 1 s
  bench.py tls                   mandatory TLS to one destination and to 1,000; Postfix also with
                                 smtp_tls_connection_reuse
  bench.py forward               in-session forwarding beside smtpd_proxy_filter
  bench.py crowd                 a well-behaved client while 5,000 slow ones hold sessions (Postrider
                                 alone: Postfix serves as many clients as it has processes)
  bench.py sandbox --bare DIR    what the sandbox of the processes costs: by turns with the programs of
                                 DIR, a build with -DPOSTRIDER_MEASURE_WITHOUT_SANDBOX=ON
  bench.py --only postfix        one side alone, without ratios

Messages per second: from the first command of the source to the last message at the sink. CPU: user
and system time of all processes of the mail system, also those that have ended, per message; and that
of the machine (all of it, less source and sink), which includes what the kernel does for the system
outside of its processes.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import crowd as slow_clients  # noqa: E402
import figures
import ports
import postfix_peer
import procs
import suite as postrider

NAMES = ("messages", "recipients", "bytes", "sessions", "open", "peak_open", "first_ns", "last_ns",
         "full_handshakes", "resumed_handshakes")


class Sink:
    def __init__(self, directory, *options):
        self.file = pathlib.Path(directory, f"sink-{time.monotonic_ns()}")
        self.process = subprocess.Popen([postrider.BENCH_SINK, "--stats", self.file, *options],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def stats(self):
        return dict(zip(NAMES, struct.unpack("10Q", self.file.read_bytes())))

    def cpu(self):
        return procs.cpu_seconds(self.process.pid)

    def wait(self, count, idle=60):
        """Until `count` messages came; gives up when none came for `idle` seconds."""
        seen, since = -1, time.monotonic()
        while True:
            stats = self.stats()
            if stats["messages"] >= count:
                return stats
            if stats["messages"] != seen:
                seen, since = stats["messages"], time.monotonic()
            if time.monotonic() - since > idle:
                raise TimeoutError(f"{seen} of {count} messages, and no more for {idle} s")
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def machine_seconds():
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / procs.TICK


class Memory(threading.Thread):
    """The most memory that the tree took, sampled."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.peak, self.end = root, 0, threading.Event()

    def run(self):
        while not self.end.wait(0.5):
            self.peak = max(self.peak, procs.pss_kb(self.root))

    def result(self):
        self.end.set()
        self.join()
        return max(self.peak, procs.pss_kb(self.root))


def quiet(root, seconds=5):
    """Waits until the system has done its work behind the last message."""
    end, last = time.monotonic() + seconds, procs.cpu_seconds(root)
    while time.monotonic() < end:
        time.sleep(0.25)
        now = procs.cpu_seconds(root)
        if now - last <= 0.01:
            return
        last = now


def load(pid, port, sink, messages, memory=False, **options):
    arguments = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", str(v))]
    watch = Memory(pid) if memory else None
    if watch:
        watch.start()
    at_start = sink.stats()
    before, taken = at_start["messages"], procs.cpu_seconds(pid)
    machine, of_sink = machine_seconds(), sink.cpu()
    done = subprocess.run([postrider.BENCH_SOURCE, "--to", f"127.0.0.1:{port}",
                           "--messages", str(messages), *arguments],
                          stdout=subprocess.PIPE, text=True, check=False)
    source = json.loads(done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"the source could not send everything: {source}")
    stats = sink.wait(before + messages)
    quiet(pid)
    seconds = (stats["last_ns"] - source["started_ns"]) / 1e9
    return {
        "rate": messages / seconds,
        "accept_rate": source["per_second"],
        "cpu_us": (procs.cpu_seconds(pid) - taken) / messages * 1e6,
        "machine_us": (machine_seconds() - machine - (sink.cpu() - of_sink) - source["cpu"])
                      / messages * 1e6,
        "p50_ms": source["dot_to_reply_ms"]["p50"],
        "p99_ms": source["dot_to_reply_ms"]["p99"],
        "memory_mb": (watch.result() if watch else procs.pss_kb(pid)) / 1024,
        "sessions": stats["peak_open"],
        "messages": messages,
        "full": stats["full_handshakes"] - at_start["full_handshakes"],
        "resumed": stats["resumed_handshakes"] - at_start["resumed_handshakes"],
    }


class Side:
    """One mail system, started for one sink."""

    def __init__(self, name, directory, sink=None, settings=None):
        self.name = name
        settings = dict(settings or {})
        if name == "postfix":
            self.port = ports.free_port()
            relay = f"127.0.0.1:{sink.port}" if sink else None
            self.system = postfix_peer.Postfix(tempfile.mkdtemp(dir=directory) + "/postfix",
                                               f"127.0.0.1:{self.port}", relay, settings)
            self.system.start()
            self.pid = self.system.pid
        else:
            if sink:
                settings["relayhost"] = f"[127.0.0.1]:{sink.port}"
            settings.setdefault("smtp_dns_support_level", "disabled")
            self.system = postrider.Suite(**settings)
            self.system.start()
            self.port, self.pid = self.system.port, self.system.master_pid

    def stop(self):
        self.system.stop()
        if self.name == "postrider":
            self.system.clean_up(failed=False)


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def show(names, title, results):
    line = f"{title:32}"
    for name in names:
        runs = results[name]
        line += (f" | {name:9} {median(runs, 'rate'):8.0f}/s {median(runs, 'cpu_us'):6.0f} us "
                 f"{median(runs, 'machine_us'):6.0f} us")
    if len(names) == 2:
        a, b = results["postfix"], results["postrider"]
        rate = median(b, "rate") / median(a, "rate")
        cpu = median(a, "cpu_us") / max(median(b, "cpu_us"), 0.1)
        machine = median(a, "machine_us") / max(median(b, "machine_us"), 0.1)
        line += f" | {rate:5.1f} x the rate, 1/{cpu:.1f} of the CPU (machine: 1/{machine:.1f})"
    print(line, flush=True)


def relay(args, names, directory, record):
    print("relay to one next hop: messages/s, CPU of the processes and of the machine per message")
    for size in args.sizes:
        for sessions in args.sessions:
            results = {name: [] for name in names}
            for _ in range(args.rounds):
                for name in names:
                    sink = Sink(directory)
                    side = Side(name, directory, sink)
                    try:
                        load(side.pid, side.port, sink, 200, sessions=sessions, size=size)  # warm
                        trial = load(side.pid, side.port, sink, 400, sessions=sessions, size=size)
                        count = int(min(max(trial["rate"] * args.seconds, 1000), args.most))
                        results[name].append(load(side.pid, side.port, sink, count,
                                                  sessions=sessions, size=size))
                    finally:
                        side.stop()
                        sink.stop()
            record[f"relay {sessions} x {size}"] = results
            show(names, f"{sessions:4} sessions, {size:7} bytes", results)
            for name in names:
                print(f"      {name}: 250 after {median(results[name], 'p50_ms'):.2f} ms, 99 % within "
                      f"{median(results[name], 'p99_ms'):.2f} ms; rates "
                      + ", ".join(f"{r['rate']:.0f}" for r in results[name]), flush=True)


def thousand(directory, port):
    """The transport map of 1,000 domains, each with an address of its own."""
    table = pathlib.Path(directory, "transport")
    first = 127 << 24 | 1 << 16 | 1
    table.write_text("".join(
        f"d{i + 1:04d}.test smtp:[{'.'.join(str((first + i) >> s & 255) for s in (24, 16, 8, 0))}]"
        f":{port}\n" for i in range(1000)))
    return table


def slow(args, names, directory, record):
    print("1,000 destinations, each answers the final dot after 1 s")
    results = {}
    for name in names:
        port = ports.free_port()
        sink = Sink(directory, "--range", f"127.1.0.1:{port}+1000", "--final-delay-ms", "1000")
        table = thousand(directory, port)
        side = Side(name, directory, None, {"transport_maps": f"texthash:{table}"})
        try:
            count = args.slow_messages if name == "postrider" else args.slow_messages // 30
            results[name] = [load(side.pid, side.port, sink, count, memory=True, sessions=100,
                                  size=4096, domains=1000)]
        finally:
            side.stop()
            sink.stop()
        run = results[name][0]
        print(f"  {name}: {run['rate']:.0f}/s over {run['sessions']} open sessions, "
              f"{run['cpu_us']:.0f} us, at most {run['memory_mb']:.0f} MB", flush=True)
    record["slow"] = results
    if len(names) == 2:
        show(names, "slow peers", results)


def certificate(directory):
    """A self-signed one, with its key: nobody is asked to trust it (level encrypt)."""
    key, cert = pathlib.Path(directory, "key.pem"), pathlib.Path(directory, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=sink.bench.example", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    both = pathlib.Path(directory, "both.pem")
    both.write_text(key.read_text() + cert.read_text())
    return both


REUSE = "postfix+reuse"  # with smtp_tls_connection_reuse, which is off by default there


def tls_settings(name):
    settings = {"smtp_tls_security_level": "encrypt"}
    if name.startswith("postfix"):  # as Debian ships it
        settings["smtp_tls_session_cache_database"] = "btree:${data_directory}/smtp_scache"
        settings["smtp_tls_connection_reuse"] = "yes" if name == REUSE else "no"
    return settings


def tls(args, names, directory, record):
    print("mandatory TLS: messages/s, CPU per message, messages per handshake, handshakes in full per "
          "100 messages, how many of all handshakes were resumed")
    names = [n for name in names for n in ((name, REUSE) if name == "postfix" else (name,))]
    pem = certificate(directory)
    for destinations in (1, 1000):
        results = {}
        for name in names:
            port = ports.free_port()
            sink = Sink(directory, "--tls", pem, "--range", f"127.1.0.1:{port}+{destinations}")
            settings = tls_settings(name)
            settings["transport_maps"] = f"texthash:{thousand(directory, port)}"
            side = Side(name.split("+")[0], directory, None, settings)
            options = {"sessions": 20, "size": 4096, "domains": destinations}
            try:
                load(side.pid, side.port, sink, 200, **options)  # warm
                trial = load(side.pid, side.port, sink, 400, **options)
                count = int(min(max(trial["rate"] * args.seconds, 2000), args.most))
                results[name] = [load(side.pid, side.port, sink, count, **options)]
            finally:
                side.stop()
                sink.stop()
            run = results[name][0]
            handshakes = run["full"] + run["resumed"]
            print(f"  {destinations:4} destinations, {name:14} {run['rate']:7.0f}/s "
                  f"{run['cpu_us']:6.0f} us, {run['messages'] / max(handshakes, 1):7.1f} a handshake, "
                  f"{100 * run['full'] / run['messages']:6.2f} full of 100, "
                  f"{100 * run['resumed'] / max(handshakes, 1):4.0f} % resumed", flush=True)
        record[f"tls {destinations}"] = results
        for name in names:
            if "postrider" not in results or name == "postrider":
                continue
            ours, theirs = results["postrider"][0], results[name][0]
            print(f"       {ours['rate'] / theirs['rate']:.1f} x the rate of {name}, "
                  f"1/{theirs['cpu_us'] / max(ours['cpu_us'], 0.1):.1f} of its CPU", flush=True)


FORWARD = {  # by name: the system, and its settings for a sink
    "postfix": ("postfix", lambda sink: {"smtpd_proxy_filter": f"127.0.0.1:{sink.port}"}),
    "postfix+speed": ("postfix", lambda sink: {"smtpd_proxy_filter": f"127.0.0.1:{sink.port}",
                                               "smtpd_proxy_options": "speed_adjust"}),
    "postrider": ("postrider", lambda sink: {"smtpd_forward": f"tcp://127.0.0.1:{sink.port}"}),
    "postrider+data": ("postrider", lambda sink: {"smtpd_forward": f"tcp://127.0.0.1:{sink.port}",
                                                  "smtpd_forward_check": "data"}),
}


def forward(args, names, directory, record):
    """What a message costs more than one that goes to the sink without anybody in between."""
    print("forwarding in the session: messages/s, what one message takes longer than without a mail "
          "system in between (at one session), final dot to reply, CPU per message")
    kinds = [kind for kind, (system, _) in FORWARD.items() if system in names]
    for sessions in (1, 20):
        options = {"sessions": sessions, "size": 4096}
        results = {kind: [] for kind in ["direct", *kinds]}
        for _ in range(args.rounds):
            for kind in results:
                sink = Sink(directory)
                try:
                    if kind == "direct":
                        results[kind].append(load(sink.process.pid, sink.port, sink, 10000, **options))
                        continue
                    system, settings = FORWARD[kind]
                    side = Side(system, directory, sink, settings(sink))
                    try:
                        trial = load(side.pid, side.port, sink, 400, **options)
                        count = int(min(max(trial["rate"] * args.seconds, 1000), args.most))
                        results[kind].append(load(side.pid, side.port, sink, count, **options))
                    finally:
                        side.stop()
                finally:
                    sink.stop()
        record[f"forward {sessions}"] = results
        alone = 1000 / median(results["direct"], "rate")
        for kind in kinds:
            runs = results[kind]
            added = f"{1000 / median(runs, 'rate') - alone:6.2f} ms more" if sessions == 1 else " " * 14
            print(f"  {sessions:3} sessions, {kind:14} {median(runs, 'rate'):7.0f}/s, {added}, dot to reply "
                  f"{median(runs, 'p50_ms'):.2f} ms (99 %: {median(runs, 'p99_ms'):.2f}), "
                  f"{median(runs, 'cpu_us'):5.0f} us", flush=True)
        if len(names) == 2:
            for ours, theirs in (("postrider", "postfix"), ("postrider+data", "postfix+speed")):
                print(f"       {ours}: {median(results[ours], 'rate') / median(results[theirs], 'rate'):.1f} "
                      f"x the rate of {theirs}, 1/"
                      f"{median(results[theirs], 'cpu_us') / max(median(results[ours], 'cpu_us'), 0.1):.1f} "
                      f"of its CPU", flush=True)


def crowd(args, directory, record):
    print(f"20 well-behaved sessions, alone and beside {args.crowd} that send a byte in 5 s")
    results = {"alone": [], "crowd": []}
    for _ in range(args.rounds):
        for name, runs in results.items():
            sink = Sink(directory)
            side = Side("postrider", directory, sink, {"smtpd_peername_lookup": "no"})
            others = None
            try:
                if name == "crowd":
                    others = slow_clients.Crowd(side.port, args.crowd)
                load(side.pid, side.port, sink, 1000, sessions=20, size=4096)
                runs.append(load(side.pid, side.port, sink, args.most // 2, memory=True, sessions=20,
                                 size=4096))
            finally:
                if others:
                    others.stop()
                side.stop()
                sink.stop()
    record["crowd"] = results
    for name, runs in results.items():
        print(f"  {name}: {median(runs, 'rate'):.0f}/s, {median(runs, 'cpu_us'):.0f} us, 250 after "
              f"{median(runs, 'p50_ms'):.2f} ms, at most {median(runs, 'memory_mb'):.0f} MB", flush=True)
    print(f"  {100 * median(results['crowd'], 'rate') / median(results['alone'], 'rate'):.0f} % of the "
          "rate without them", flush=True)
    figures.record(postrider.BUILD, "crowd", f"tests/bench/bench.py crowd --crowd {args.crowd}", [
        (f"slow clients with an open session, {what}", value) for what, value in (
            ("number", args.crowd),
            ("rate of 20 good sessions without them", f"{median(results['alone'], 'rate'):.0f}/s"),
            ("rate beside them", f"{median(results['crowd'], 'rate'):.0f}/s"),
            ("share", f"{100 * median(results['crowd'], 'rate') / median(results['alone'], 'rate'):.0f} %"),
            ("250 to 99 % of the good after", f"{median(results['crowd'], 'p99_ms'):.1f} ms"),
            ("most memory", f"{median(results['crowd'], 'memory_mb'):.0f} MB"))])


def sandbox(args, directory, record):
    """Pairs of runs, each side first in every other pair; of the ratios within a pair, the median."""
    print("the same messages with the sandbox and without it, 20 sessions, 4096 bytes")
    sides = {"sandbox": {}, "bare": {"daemon_directory": str(args.bare.resolve() / "libexec/postrider")}}
    results = {name: [] for name in sides}
    for turn in range(args.rounds):
        for name in sorted(sides, reverse=turn % 2 == 0):
            sink = Sink(directory)
            side = Side("postrider", directory, sink, sides[name])
            try:
                load(side.pid, side.port, sink, 2000, sessions=20, size=4096)  # warm
                results[name].append(load(side.pid, side.port, sink, args.most // 3, sessions=20, size=4096))
            finally:
                side.stop()
                sink.stop()
    record["sandbox"] = results
    for name, runs in results.items():
        print(f"  {name:8} {median(runs, 'rate'):.0f}/s, {median(runs, 'cpu_us'):.1f} us of the processes and "
              f"{median(runs, 'machine_us'):.1f} us of the machine per message", flush=True)

    def cost(key):
        ratios = [w[key] / o[key] for w, o in zip(results["sandbox"], results["bare"])]
        return f"{100 * (statistics.median(ratios) - 1):+.1f} %"

    costs = [("messages a second", cost("rate")), ("CPU time of the processes per message", cost("cpu_us")),
             ("CPU time of the machine per message", cost("machine_us"))]
    print("  with it: " + ", ".join(f"{what} {value}" for what, value in costs), flush=True)
    figures.record(postrider.BUILD, "sandbox-cost", "tests/bench/bench.py sandbox --bare DIR "
                   f"--rounds {args.rounds} --most {args.most}",
                   [("pairs of runs, by turns", args.rounds), ("messages in a run", args.most // 3)] +
                   [(f"{what}, with the sandbox against without it", value) for what, value in costs])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=["relay", "slow", "tls", "forward", "crowd", "sandbox", "all"], default="all")
    parser.add_argument("--bare", type=pathlib.Path, help="a build without the sandbox")
    parser.add_argument("--only", choices=["postfix", "postrider"])
    parser.add_argument("--sessions", type=lambda s: [int(x) for x in s.split(",")],
                        default=[1, 20, 100])
    parser.add_argument("--sizes", type=lambda s: [int(x) for x in s.split(",")],
                        default=[1024, 4096, 102400])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--most", type=int, default=60000, help="messages in one run")
    parser.add_argument("--crowd", type=int, default=5000, help="slow clients")
    parser.add_argument("--slow-messages", type=int, default=60000)
    parser.add_argument("--json", help="write all figures to this file")
    args = parser.parse_args()
    names = [args.only] if args.only else ["postfix", "postrider"]
    if args.part == "sandbox":
        names = ["postrider"]
        if not args.bare:
            parser.error("sandbox needs --bare DIR")
    if "postfix" in names and not postfix_peer.available():
        sys.exit("Debian's Postfix and root are needed for its side; or: --only postrider")
    directory = tempfile.mkdtemp(prefix="postrider-bench-")
    os.chmod(directory, 0o755)
    record = {}
    try:
        if args.part in ("relay", "all"):
            relay(args, names, directory, record)
        if args.part in ("slow", "all"):
            slow(args, names, directory, record)
        if args.part in ("tls", "all"):
            tls(args, names, directory, record)
        if args.part in ("forward", "all"):
            forward(args, names, directory, record)
        if args.part in ("crowd", "all") and "postrider" in names:
            crowd(args, directory, record)
        if args.part == "sandbox":
            sandbox(args, directory, record)
    finally:
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(record, indent=1))
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
