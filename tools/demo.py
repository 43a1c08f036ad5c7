#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows the suite at work: a private instance, a name server with a zone of its own, and a receiver,
all on loopback. Three messages go in: one is delivered to the MX host that DNS names, one is deferred
and explained, one is bounced."""
import json
import os
import pathlib
import re
import shlex
import smtplib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
sys.dont_write_bytecode = True

import names  # noqa: E402
import ports  # noqa: E402
import procs  # noqa: E402
import sinks  # noqa: E402

POSTRIDER = pathlib.Path(os.environ.get("POSTRIDER_BUILD", ROOT / "build")).resolve() / "bin/postrider"
ZONE = """
ok     MX 10 mx1.ok
ok     MX 20 mx2.ok
mx1.ok A 127.0.1.9
mx2.ok A 127.0.1.1
later  MX 10 mx.later
mx.later A 127.0.1.1
gone   MX 10 mx.gone
mx.gone A 127.0.1.1
"""
RECEIVER = {"RCPT TO:<BOB@LATER": "450 4.7.1 Greylisted, come back in five minutes",
            "RCPT TO:<CAROL@GONE": "550 5.1.1 No mailbox of that name"}


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*command, check=True):
    print("$", " ".join(shlex.quote(str(c).replace(str(POSTRIDER), "postrider")) for c in command),
          flush=True)
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(done.stdout, end="", flush=True)
    if check and done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}")
    return done.stdout


def main():
    top = pathlib.Path(tempfile.mkdtemp(prefix="postrider-demo-"))
    top.chmod(0o755)
    home, listen, port = top / "instance", ports.free_port(), ports.free_port("127.0.1.1")
    with names.NameServer(top / "dns", {"test": ZONE}, signed=["test"]) as dns, \
            sinks.Sink(dict(RECEIVER), host="127.0.1.1", port=port, name="mx2.ok.test") as receiver:
        say("A private instance: one directory, one user, high ports")
        run(POSTRIDER, "init", home, "--listen", f"127.0.0.1:{listen}")
        main_cf = home / "main.cf"
        log = top / "mail.log"
        lines = {"myhostname": "mail.demo.test", "maillog_file": log, "maillog_file_prefixes": top,
                 "mynetworks": "127.0.0.0/8", "inet_protocols": "ipv4", "smtp_tcp_port": port,
                 "dns_resolvers": dns.resolver, "dns_trust_anchor_file": dns.anchor_file}
        text = main_cf.read_text()
        for name, value in lines.items():
            text = re.sub(rf"(?m)^{name}[ \t]*=.*\n", "", text) + f"{name} = {value}\n"
        main_cf.write_text(text)
        print(*(f"    {k} = {v}" for k, v in lines.items()), sep="\n")
        command = [POSTRIDER, "-c", home]
        pids = []
        try:
            run(*command, "start")
            ports.wait_listening("127.0.0.1", listen)
            status = subprocess.run([*command, "status", "--json"], stdout=subprocess.PIPE, check=True)
            pids = procs.tree(json.loads(status.stdout)["master"]["pid"])
            show(command, listen, log, receiver)
            say("And down again")
            run(*command, "stop")
        finally:
            for pid in pids:
                if procs.alive(pid):
                    os.kill(pid, 15)
    say(f"All of it is in {top}: configuration, queue, log, zone.")


def show(command, listen, log, receiver):
    def wait_log(pattern):
        def look():
            for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
                if re.search(pattern, line):
                    return line
            return None

        return ports.wait_until(look, 30, f"log line {pattern}")

    def send(to, subject):
        with smtplib.SMTP("127.0.0.1", listen, "app.demo.test") as client:
            client.ehlo()
            client.mail("alice@ok.test")
            client.rcpt(to)
            _, reply = client.data(f"From: Alice <alice@ok.test>\nTo: <{to}>\nSubject: {subject}\n\n"
                                   f"Hello {to}.\n")
        print(f"MAIL FROM:<alice@ok.test>  RCPT TO:<{to}>  ->  250 {reply.decode()}")
        return re.search(r"queued as (\S+)", reply.decode()).group(1)

    def lines_of(ident):
        print(*(re.sub(r"^.*?(postrider/)", r"    \1", line) for line in
                log.read_text(errors="replace").splitlines() if f" {ident}: " in line), sep="\n")

    say("Accepted, looked up, delivered: ok.test has two MX hosts, the first is down")
    ident = send("dave@ok.test", "delivered")
    message = receiver.wait(1)[0]
    wait_log(f"{ident}: removed")
    lines_of(ident)
    print("The receiver got:")
    print(*("    " + line for line in message.data.decode().splitlines()), sep="\n")

    say("Deferred: later.test greylists. Why is it still here?")
    ident = send("bob@later.test", "deferred")
    wait_log(rf"{ident}: to=.*status=deferred")
    lines_of(ident)
    run(*command, "queue")
    run(*command, "why", ident)

    say("Bounced: gone.test knows no Carol. The report goes back to the sender")
    ident = send("carol@gone.test", "bounced")
    wait_log(rf"{ident}: to=.*status=bounced")
    report = receiver.wait(2)[1]
    lines_of(ident)
    print(f"The receiver got, for {report.recipients[0]} from <>:")
    print(*("    " + line for line in report.data.decode().splitlines()[:60]), sep="\n")


if __name__ == "__main__":
    main()
