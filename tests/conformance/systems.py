# SPDX-License-Identifier: MIT
"""The two systems under comparison, each with one transport per configuration, fed over SMTP."""
import concurrent.futures
import dataclasses
import pathlib
import re
import socket

import postfix_peer
import ports
from suite import RawClient, Suite

# Said to both, so that no default of one version stands against that of another.
COMMON = {
    "myhostname": "mail.conform.example",
    "mydomain": "conform.example",
    "myorigin": "conform.example",
    "smtp_helo_name": "client.conform.example",
    "lmtp_lhlo_name": "client.conform.example",
    "mynetworks": "127.0.0.0/8",
    "inet_protocols": "ipv4",
    "message_size_limit": "50000000",
    "recipient_delimiter": "+",
    "notify_classes": "",
    "minimal_backoff_time": "4000s",  # nothing is tried twice
    "queue_run_delay": "4000s",
    "maximal_backoff_time": "4000s",
    "default_destination_concurrency_failed_cohort_limit": "0",
    "smtp_connection_cache_on_demand": "no",
    "lmtp_connection_cache_on_demand": "no",
    "smtp_line_length_limit": "998",
    "lmtp_line_length_limit": "998",
    "smtp_dns_support_level": "disabled",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_forbid_bare_newline_exclusions": "",
    "smtputf8_enable": "yes",
}
# What Postfix does to mail before its client sees it, turned off where Postrider has no such thing.
POSTFIX = {
    "local_header_rewrite_clients": "",
    "message_drop_headers": "",
    "append_dot_mydomain": "no",
    "swap_bangpath": "no",
    "allow_percent_hack": "no",
    "resolve_dequoted_address": "no",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_peername_lookup": "yes",
    "smtpd_recipient_limit": "1000",
    "anvil_rate_time_unit": "1s",
    "default_process_limit": "30",
    "qmgr_message_active_limit": "100000",
    "qmgr_message_recipient_limit": "200000",
    "cleanup_replace_stray_cr_lf": "yes",
}
OUTCOME = re.compile(r": ([0-9A-Za-z]+): to=<(.*?)>, (?:orig_to=<.*?>, )?relay=(.*?), (?:conn_use=(\d+), )?"
                     r"delay=[-0-9.]+, delays=[-0-9./]+, (?:tls=\S+, )?dsn=([0-9.]+), status=([a-z]+) \((.*)\)$")
RECIPIENT = re.compile(r"\br(\d+)\.m(\d{3}).*c(\d\d)\.example")


@dataclasses.dataclass(frozen=True)
class Outcome:
    queue_id: str
    status: str
    dsn: str
    relay: str
    text: str


class Follower:
    """Reads a growing log, each line once."""

    def __init__(self, path):
        self.path, self.at, self.rest = pathlib.Path(path), 0, ""

    def lines(self):
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.at)
            piece = file.read()
        self.at += len(piece)
        *lines, self.rest = (self.rest + piece.decode("utf-8", "replace")).split("\n")
        return lines


class System:
    """What both have in common; `endpoints[configuration]` are the ports of its servers."""

    def __init__(self, recorder, configurations, directory):
        self.directory = pathlib.Path(directory)
        self.recorder, self.configurations = recorder, configurations
        self.endpoints = {}
        self.held = []       # sockets of closed_port()
        self.outcomes = {}   # (configuration, message, recipient) -> list of Outcome
        self.refused = {}    # (configuration, message) -> what was said at the entry
        self.followed = None
        self.returns = None  # port of the server that gets reports

    def prepare(self, returns_server):
        for configuration in self.configurations:
            self.endpoints[configuration.key] = [self.recorder.listen(s) for s in configuration.servers]
            if configuration.refuses:
                self.endpoints[configuration.key].insert(0, self.closed_port())
            tables = self.directory / configuration.key
            tables.mkdir()
            for name, text in configuration.tables.items():
                (tables / name).write_text(text)
        self.returns = self.recorder.listen(returns_server)

    def closed_port(self):
        """A port that stays ours, and where nobody listens."""
        self.held.append(socket.socket())
        self.held[-1].bind(("127.0.0.1", 0))
        return self.held[-1].getsockname()[1]

    def nexthop(self, configuration):
        hops = [f"[127.0.0.1]:{port}" for port in self.endpoints[configuration.key]]
        if "smtp_fallback_relay" in configuration.options:
            del hops[1:]
        if configuration.lmtp:
            hops = [f"inet:{hop}" for hop in hops]
        return ", ".join(hops)

    def transports(self):
        lines = ["from.example returns", ".from.example returns", "inside.example returns",
                 "outside.example returns", "conform.example returns", "* returns"]
        lines = [f"{line}:[127.0.0.1]:{self.returns}" for line in lines]
        for c in self.configurations:
            lines += [f"{c.domain} {c.key}:{self.nexthop(c)}", f".{c.domain} {c.key}:{self.nexthop(c)}"]
        return "\n".join(lines) + "\n"

    def master_cf(self, own):
        text = "returns unix - - n - 20 smtp\n"
        for c in self.configurations:
            limit = 1 if c.serial else 20
            text += f"{c.key} unix - - n - {limit} {'lmtp' if c.lmtp else 'smtp'}\n"
            for name, value in {**c.options, **(c.ours if own else {})}.items():
                value = value.replace("{dir}", str(self.directory / c.key))
                if "{endpoint 2}" in value:
                    value = f"[127.0.0.1]:{self.endpoints[c.key][1]}"
                if c.lmtp:
                    name = name.replace("smtp_", "lmtp_", 1) if name.startswith("smtp_") else name
                text += f"  -o {{ {name} = {value} }}\n"
        return text

    def queue_settings(self):
        settings = {}
        for c in self.configurations:
            if c.serial:
                settings[f"{c.key}_destination_concurrency_limit"] = "1"
            for name, value in c.queue.items():
                settings[f"{c.key}_{name}"] = value
        return settings

    # --- feeding -------------------------------------------------------------------------------
    def feed(self, work, workers=4):
        """`work` is a list of (configuration, message)."""
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(self.feed_some, work[i::workers]) for i in range(workers)]:
                done.result()

    def feed_some(self, work):
        client = None
        for configuration, message in work:
            if client is None:
                client = RawClient(self.port)
                client.command("EHLO client.example")
            said = enter(client, *message.envelope(configuration.domain), message)
            if said is not None:
                self.refused[configuration.key, message.key] = said
                client.close()
                client = None
        if client is not None:
            client.command("QUIT")
            client.close()

    # --- what became of it -----------------------------------------------------------------------
    def look(self):
        """Reads the log on; returns how many recipients have an outcome."""
        for line in self.followed.lines():
            found = OUTCOME.search(line)
            names = found and RECIPIENT.search(found.group(2))
            if names:
                key = (f"c{names.group(3)}", f"m{names.group(2)}", int(names.group(1)))
                self.outcomes.setdefault(key, []).append(
                    Outcome(found.group(1), found.group(6), found.group(5), found.group(3), found.group(7)))
        return len(self.outcomes)


def enter(client, mail, recipients, message):
    """Hands one message in. Returns what was said when it was not taken."""
    client.write(f"{mail}\r\n" + "".join(f"{line}\r\n" for line in recipients))
    replies = [client.reply() for _ in range(1 + len(recipients))]
    bad = [f"{line}: {reply}" for line, reply in zip([mail, *recipients], replies) if reply[:1] != "2"]
    if bad:
        return "; ".join(bad)
    try:
        if message.bdat:
            client.write(b"BDAT %d LAST\r\n" % len(message.content) + message.content)
        else:
            started = client.command("DATA")
            if started[:3] != "354":
                return f"DATA: {started}"
            text = message.content.replace(b"\r\n.", b"\r\n..")
            client.write((b"." if text[:1] == b"." else b"") + text + b".\r\n")
        reply = client.reply()
    except OSError as error:
        return f"content: {error}"
    return None if reply[:3] == "250" else f"content: {reply}"


class PostfixSystem(System):
    name = "Postfix"

    def start(self):
        self.port = ports.free_port()
        table = self.directory / "transport"
        table.write_text(self.transports())
        self.postfix = postfix_peer.Postfix(
            self.directory / "postfix", f"127.0.0.1:{self.port}", None,
            {**COMMON, **POSTFIX, **self.queue_settings(), "transport_maps": f"texthash:{table}"})
        with (self.postfix.conf / "master.cf").open("a") as file:
            file.write(self.master_cf(own=False))
        self.postfix.start()
        self.followed = Follower(self.postfix.log)
        ports.wait_until(self.greets, 30, "Postfix's greeting")

    def greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    def log(self):
        return self.postfix.log

    def stop(self):
        self.postfix.stop()


class PostriderSystem(System):
    name = "Postrider"

    def start(self):
        table = self.directory / "transport"
        table.write_text(self.transports())
        self.suite = Suite(start=False, **COMMON, **self.queue_settings(),
                           transport_maps=f"texthash:{table}")
        with (self.suite.dir / "master.cf").open("a") as file:
            file.write(self.master_cf(own=True))
        self.suite.__enter__()
        self.suite.start()
        self.port = self.suite.port
        self.followed = Follower(self.suite.log)

    def log(self):
        return self.suite.log

    def stop(self):
        self.suite.__exit__(None)
