# SPDX-License-Identifier: MIT
"""Lets an evil worker (tests/evil/evil_worker.cpp) take the place of each program of the suite in turn: it
tries what that program must not be able to do, and abuses every conversation that it has. Meanwhile mail
has to go on through the others, nothing may be lost, and the log has to say who misbehaves.

  security.py [--short] [--roles smtpd,qmgr]     POSTRIDER_BUILD names the build

The last role is smtpd where all programs have one user: there the doors between programs are open, so it
makes its attempts and plays the operator, and nothing else.

Prints for each program the level of its sandbox and how much of what was tried was denied, and for each
conversation how many abuses were survived. Attempts that fail outside of the sandbox too, because the
kernel does not have the call, are counted apart. Results go to BUILD/figures/sandbox.json and ipc.json.
"""
import argparse
import hashlib
import os
import re
import signal
import socket
import sys
import time

import account
import certs
import judge
import ports
import sasl_accounts
import service_client
import sinks
import suite as postrider
import tls_peer
from result import Result
from suite import Suite

ROLES = ("smtpd", "smtp", "lmtp", "bounce", "anvil", "scache", "tlsmgr", "tokenmgr", "saslmgr", "tlsrpt", "qmgr",
         "smtpd@one-user")
BESIDE = ("smtpd", "smtp", "lmtp")  # as a service of its own, beside the real one
BELIEVED = ("qmgr", "anvil", "scache", "saslmgr")  # at whose word master kills
EVIL = postrider.BUILD / "tests/evil/evil_worker"
SHORT_ABUSES = 5  # of each conversation


class Run:
    """One instance, in which one program is evil."""

    def __init__(self, role, short, outside):
        self.role, _, one_user = role.partition("@")
        self.short, self.one_user = short, bool(one_user)
        self.result = Result(role)
        # Its clients log in, which asks tokenmgr.
        self.sink = sinks.Sink({"AUTH": "235 2.7.0 ok"}, extensions=(*sinks.EXTENSIONS, "AUTH PLAIN"))
        self.evil_port, self.dead_port, self.free_port = ports.free_port(), ports.free_port(), ports.free_port()
        self.suite = Suite(start=False)
        self.sent, self.injected = {}, []
        self.number = 0
        self.prepare(outside)

    def prepare(self, outside):
        suite = self.suite
        self.programs = suite.top / "programs"
        self.programs.mkdir()
        for program in (postrider.BUILD / "libexec/postrider").iterdir():
            (self.programs / program.name).symlink_to(program)
        self.place = self.programs / (f"evil-{self.role}" if self.role in BESIDE else self.role)
        self.real = postrider.BUILD / "libexec/postrider" / self.role
        authority = certs.Authority(suite.top)
        self.certificate = authority.issue("mail.postrider.example")
        self.secure = tls_peer.TlsPeer(authority.issue("secure.example"))  # sessions with it are tlsmgr's
        accounts = sasl_accounts.make(suite)
        accounts.chmod(0o600)
        os.chown(accounts, suite.owner("mail_owner" if self.one_user else "authentication_owner"), -1)
        secret = suite.write("secret", "of another user\n")
        secret.chmod(0o600)
        os.chown(secret, 65533, 65533)
        passwords = suite.write("passwords", f"{self.sink.place} joe:password\n")
        passwords.chmod(0o600)
        transport = suite.write("transport", f"evil.example evil:{self.sink.place}\n"
                                f"secure.example smtp:[127.0.0.1]:{self.secure.port}\n"
                                f"wait.example smtp:[127.0.0.1]:{self.dead_port}\ndiscard.example discard:\n"
                                "bounce.example error:5.1.1 no such user\n")
        transport.chmod(0o644)
        suite.configure(daemon_directory=self.programs, relayhost=self.sink.place, daemon_timeout="20s", qmgr_ipc_timeout="10s",
                        service_throttle_time="1s", transport_maps=f"texthash:{transport}",
                        smtpd_tls_chain_files=self.certificate.both, smtpd_tls_security_level="may",
                        smtp_tls_security_level="may", smtpd_client_connection_count_limit=1000,
                        smtpd_client_connection_rate_limit=100000, smtp_connection_cache_destinations="127.0.0.1 plain.example",
                        smtpd_client_event_limit_exceptions="",
                        smtp_sasl_auth_enable="yes", smtp_sasl_password_maps=f"texthash:{passwords}",
                        smtp_sasl_security_options="noanonymous",
                        smtp_sasl_auth_cache_name="lmdb:$data_directory/refused",
                        minimal_backoff_time="2s", maximal_backoff_time="4s", transport_retry_time="1s",
                        **sasl_accounts.SETTINGS)
        suite.configure(smtpd_relay_restrictions="permit_mynetworks, permit_sasl_authenticated, reject")
        if self.role in ("tlsmgr", "tokenmgr"):  # asked for each connection
            suite.configure(smtp_connection_cache_on_demand="no", smtp_connection_cache_destinations="")
        if self.one_user:
            suite.configure(**{name: suite.owner("mail_owner") for name in postrider.OWNERS})
        lines = (suite.dir / "master.cf").read_text()
        if self.role == "smtpd":
            lines += f"127.0.0.1:{self.evil_port} inet n - n - 1 evil-smtpd\n"
        lines += f"evil unix - - n - 1 {'evil-' + self.role if self.role in ('smtp', 'lmtp') else 'smtp'}\n"
        (suite.dir / "master.cf").write_text(lines)
        if self.role in BESIDE:
            self.place.symlink_to(self.real)
        self.report = suite.top / "report"
        self.target = {
            "report": self.report, "queue": suite.dir / "spool", "config": suite.dir, "main_cf": suite.main_cf,
            "data": suite.dir / "data", "key": self.certificate.both, "accounts": accounts, "secret": secret,
            "ticket_keys": suite.dir / "data/tls_ticket_keys.lmdb", "port": 0,
            "free_port": self.free_port, "abstract": f"postrider-evil-test-{os.getpid()}",
            "ledger": suite.dir / "spool/journal/ledger.0"}
        if outside:
            self.target["outside"] = self.role
        if self.one_user:
            self.target["one_user"] = "yes"
        if self.short:
            self.target["most_abuses"] = SHORT_ABUSES
        server = socket.create_server(("127.0.0.1", 0))  # that no configuration names
        self.target["port"] = server.getsockname()[1]
        self.listeners = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
        self.listeners.append(server)
        self.listeners[0].bind("\0" + self.target["abstract"])
        self.listeners[0].listen(5)
        self.listeners[1].bind("\0" + self.target["abstract"] + "-d")

    # --- mail ----------------------------------------------------------------------------------
    def send(self, domain, wait=False):
        """One message with a token; kept as sent, and as acknowledged if it was."""
        self.number += 1
        token, recipient = f"t{self.role}{self.number}", f"to{self.number}@{domain}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        self.injected.append(f"S {token} {digest} {recipient}")
        try:
            queue_id = self.suite.send("from@sender.example", [recipient], f"Subject: {token}\n\n{digest}\n")
        except Exception as error:  # refused, or the connection has gone: not taken
            self.injected.append(f"N {token} {type(error).__name__}")
            self.result.refused[str(error)] += 1
            if wait:
                raise
            return ""
        self.injected.append(f"A {token}")
        return queue_id

    def arrived(self):
        lines = []
        for message in list(self.sink.messages):
            found = re.search(r"(?m)^Subject: (\S+)\r?$", message.header)
            if found and found.group(1).startswith("t" + self.role):
                lines.append(f"D {found.group(1)} {message.body.decode().strip()} {' '.join(message.recipients)}")
        for session in list(self.secure.sessions):
            recipients = [address for secure, line in session.commands if line.startswith("RCPT")
                          for address in re.findall("<(.*)>", line)]
            for mail, recipient in zip(session.mails, recipients):
                found = re.search(r"(?s)^Subject: (\S+)\r?$.*\r\n(\S+)\r\n\Z", mail.decode(), re.M)
                lines.append(f"D {found.group(1)} {found.group(2)} {recipient}")
        return lines

    def answer_logins(self):
        """A client that tries to log in: work for saslmgr."""
        try:
            with self.suite.smtp(timeout=5) as client:
                client.ehlo()
                client.docmd("AUTH PLAIN", "AGpvZQB3cm9uZw==")
        except OSError:
            pass

    # --- the evil one ----------------------------------------------------------------------------
    def switch(self, program):
        fresh = self.place.with_name(self.place.name + ".new")
        fresh.symlink_to(program)
        fresh.rename(self.place)

    def processes(self):
        """Of each command: (pids, level)."""
        out = {}
        with service_client.ServiceClient(self.suite.dir / "spool/private/master") as master:
            master.tell(10, verb=0)
            _, status = master.read()
        for service in map(service_client.decode, status["services"]):
            for process in map(service_client.decode, service.get("children", [])):
                command = service["command"].decode().split()[0]
                pids, _ = out.setdefault(command, ([], process.get("jail", b"").decode()))
                pids.append(process["pid"])
        return out

    def wake(self, name):
        """A program that nobody has asked yet is started by a connection."""
        path = self.suite.dir / "spool/private" / name
        if not path.exists() or self.processes().get(name, ([], ""))[1]:
            return
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            ports.wait_until(lambda: self.processes().get(name, ([], ""))[1], 60, f"a process of {name}")

    def write_target(self):
        self.wake(self.role)
        waiting = self.send("wait.example", wait=True)
        files = lambda: [p for p in (self.suite.dir / "spool/deferred").rglob(waiting) if p.is_file()]
        ports.wait_until(files, 60, "a message file")
        message = files()[0]
        running = self.processes()
        self.result.level = running.get(self.role, ([], ""))[1]
        self.target |= {"waiting_id": waiting, "message": message, "messages": message.parent,
                        "segment": sorted((self.suite.dir / "spool/journal").glob("*.seg"))[0],
                        "pid_master": self.suite.master_pid}
        for name in ("qmgr", "smtpd"):
            self.target[f"pid_{name}"] = running[name][0][0]
        (self.suite.dir / "evil").write_text("".join(f"{k} {v}\n" for k, v in self.target.items()))
        return running

    def lines(self):
        return self.report.read_text().splitlines() if self.report.exists() else []

    def start_evil(self, running):
        self.switch(EVIL)
        for pid in running.get(self.place.name, ([],))[0]:
            os.kill(pid, signal.SIGKILL)
        if self.role == "smtpd":
            self.knock()

    def start_by_connection(self):
        """Of a program that nobody happens to need."""
        if self.role not in BESIDE:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.suite.dir / ("spool/public/qmgr" if self.role == "qmgr" else
                                                     f"spool/private/{self.role}")))

    def knock(self):
        try:
            socket.create_connection(("127.0.0.1", self.evil_port), timeout=5).close()
        except OSError:
            pass

    def keep_it_busy(self, limit):
        """Until the evil one is done, or has nothing new to say for `limit` seconds."""
        known, since = 0, time.monotonic()
        while f"done {self.role}" not in self.lines():
            if f"attempts-end {self.role}" not in self.lines():
                self.start_by_connection()
            lines = len(self.lines())
            if lines != known:
                known, since = lines, time.monotonic()
            if time.monotonic() - since > limit:
                return
            if self.role != "qmgr":
                self.send("evil.example" if self.role in ("smtp", "lmtp") else "plain.example")
                self.send("plain.example")
            elif self.number < 20:
                self.send("plain.example")
            if self.role == "bounce":
                self.suite.send("from@sender.example", ["a@bounce.example"])
            if self.role == "smtpd":
                self.knock()
            if self.role == "saslmgr":
                self.answer_logins()
            if self.role == "tlsmgr":
                self.send("secure.example")
            if self.role == "tlsrpt":
                self.suite.cli("tlsrpt", "plain.example", check=False)
            time.sleep(0.3)

    def run(self):
        suite, result = self.suite, self.result
        suite.expected_trouble = True
        with self.sink, self.secure, suite:
            suite.start()
            self.send("plain.example", wait=True)
            self.answer_logins()
            before = self.write_target()
            self.start_evil(before)
            start = len(self.arrived())
            self.keep_it_busy(60 if self.short else 120)
            result.delivered = len(self.arrived()) - start
            if result.delivered == 0 and self.role != "qmgr":
                result.problems.append("no mail was delivered meanwhile")
            after = self.processes()
            for name, (pids, _) in before.items():
                if name != self.place.name and name in BELIEVED and not set(pids) & set(after.get(name, ([],))[0]):
                    result.problems.append(f"{name} did not survive")
            self.look_at_log()
            self.switch(self.real)
            for pid in self.processes().get(self.place.name, ([],))[0]:
                os.kill(pid, signal.SIGKILL)
            self.door_opens()
            self.drain()
            self.read_report()
            suite.log.write_text("")  # looked at; what follows is the end
        return result

    def look_at_log(self):
        log = "\n".join(self.suite.lines())
        self.result.killed = len(re.findall(r"misbehaves, says \w+: killed", log))
        # Who it was: the process where it came as a client or an agent, else the service.
        pids = [line.split()[2] for line in self.lines() if line.startswith("process ")]
        named = re.findall(rf"(?:warning|error): .*\bprocess (?:{'|'.join(pids)})\b", log)
        named += re.findall(rf"warning: .*\b{self.role}\b", log)
        self.result.named = len(named)
        if not named:
            self.result.problems.append("the log does not say who misbehaves")
        for line in self.suite.lines():
            if re.search(r"panic:|AddressSanitizer|UndefinedBehavior", line) or \
                    (re.search(postrider.CRASHED, line) and self.place.name not in line):
                self.result.problems.append(line)

    def door_opens(self):
        """The service that was spoiled serves again."""
        if self.role in ("smtp", "lmtp"):
            return  # shown by the mail that goes this way
        path = self.suite.dir / ("spool/public/qmgr" if self.role == "qmgr" else f"spool/private/{self.role}")

        def greets():
            try:
                with socket.socket(socket.AF_INET if self.role == "smtpd" else socket.AF_UNIX) as client:
                    client.settimeout(5)
                    client.connect(("127.0.0.1", self.evil_port) if self.role == "smtpd" else str(path))
                    return client.recv(1)
            except OSError:
                return b""
        try:
            ports.wait_until(greets, 60, f"a greeting of {self.role}")
        except TimeoutError as error:
            self.result.problems.append(str(error))

    def drain(self):
        """Everything that was taken arrives: nothing of it is lost, doubled or changed."""
        deadline = time.monotonic() + 120
        with sinks.Sink(port=self.dead_port):
            while time.monotonic() < deadline:
                self.suite.cli("release", "ALL", check=False)
                self.suite.cli("flush", check=False)
                if not self.suite.queue():
                    break
                time.sleep(1)
        # What waited went to the other sink.
        injected = [l for l in self.injected if "wait.example" not in l]
        tokens = {l.split()[1] for l in self.injected if "wait.example" in l}
        injected = [l for l in injected if l.split()[1] not in tokens]
        left = [m["queue_id"] for m in self.suite.queue()]
        verdict = judge.judge(injected, self.arrived())
        if verdict.lost or verdict.corrupt or verdict.crossed or left:
            self.result.problems.append(f"{verdict}; left in the queue: {len(left)}, {left[:3]}")
        self.result.verdict = verdict

    def read_report(self):
        result = self.result
        for line in self.lines():
            kind, role, *rest = line.split()
            if kind == "attempt":
                (result.outside if role == "outside" else result.attempts)[rest[0]] = tuple(rest[1:])
            elif kind == "abuse":
                channel, name, state = rest[:3]
                if state == "begin":
                    result.abuses[channel, name] = "killed"
                elif state == "end":
                    result.abuses[channel, name] = " ".join(rest[3:])
                elif state == "again":
                    result.abuses.pop((channel, name), None)
        if f"attempts-end {self.role}" not in self.lines():
            result.problems.append("not all attempts were made")
        if f"done {self.role}" not in self.lines():
            result.problems.append(f"the abuses did not come to their end; last: {self.lines()[-1:]}")


def run(roles, short):
    """Whether all held."""
    results, outside = [], {}
    for role in roles:
        result = Run(role, short, not outside).run()
        outside = outside or result.outside
        result.outside = outside
        results.append(result)
        print(f"{role}: {len(result.attempts)} attempts, {len(result.abuses)} abuses", flush=True)
    return results, account.show(results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--roles", default=",".join(ROLES))
    options = parser.parse_args()
    if os.geteuid() != 0:
        postrider.skip("needs root: without it all programs have one user")
    results, good = run(options.roles.split(","), options.short)
    if not options.short:
        account.record(results, "make check-security")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
