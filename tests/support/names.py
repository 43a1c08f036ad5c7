# SPDX-License-Identifier: MIT
"""A real name server (nsd) with zones that a test writes, signed when the test wants it.

    with NameServer(tmp, {"test": "a MX 10 mx.a\\nmx.a A 127.0.0.1"}, signed=["test"]) as dns:
        dns.resolver      # 127.0.0.1@port
        dns.anchor_file   # trust anchors of the signed zones

A zone whose text is None is configured without data: the server answers SERVFAIL for it. `tamper` names
what is changed in the signed zones behind the signatures' back: [("127.0.0.1", "127.0.0.2"), ...]. Signatures
of the zones in `expired` were good in 2020.
"""
import os
import pathlib
import shutil
import subprocess

import ports

HEAD = """$ORIGIN {zone}.
$TTL 60
@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 900 604800 60
@ NS ns
ns A 127.0.0.1
"""


def available():
    return shutil.which("nsd", path="/usr/sbin:/usr/bin") is not None


class NameServer:
    def __init__(self, directory, zones, signed=(), host="127.0.0.1", port=None, tamper=(), expired=()):
        self.host, self.fixed_port, self.tamper, self.expired = host, port, tamper, expired
        self.tampered = set()
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        if self.dir.parent.stat().st_uid == os.geteuid():
            self.dir.parent.chmod(0o755)  # the suite's user reads the trust anchor
        self.anchor_file = self.dir / "anchors"
        self.anchor_file.write_text("")
        self.process = None
        for zone, text in zones.items():
            if text is None:
                continue
            lines = "\n".join(line.strip() for line in text.strip().splitlines())
            (self.dir / f"{zone}.zone").write_text(HEAD.format(zone=zone) + lines + "\n")
            if zone in signed:
                self.sign(zone)
        for old, _ in tamper:
            if old not in self.tampered:
                raise RuntimeError(f"{old!r} is in no signed zone")
        self.zones = {zone: f"{zone}.zone.signed" if zone in signed else f"{zone}.zone"
                      for zone in zones}

    def run(self, *command):
        done = subprocess.run(command, cwd=self.dir, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stderr}")
        return done.stdout.strip()

    def sign(self, zone):
        key = self.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone)
        dates = ["-i", "20200101", "-e", "20200201"] if zone in self.expired else []
        self.run("ldns-signzone", *dates, f"{zone}.zone", key)
        file = self.dir / f"{zone}.zone.signed"
        text = file.read_text()
        for old, new in self.tamper:
            if old in text:
                self.tampered.add(old)
            text = text.replace(old, new)
        file.write_text(text)
        with self.anchor_file.open("a") as f:
            f.write((self.dir / f"{key}.key").read_text())

    def start(self):
        for attempt in range(5):
            self.port = self.fixed_port or ports.free_port()
            config = f"""server:
  ip-address: {self.host}@{self.port}
  username: ""
  zonesdir: "{self.dir}"
  database: ""
  logfile: "{self.dir}/nsd.log"
  pidfile: "{self.dir}/nsd.pid"
  xfrdfile: "{self.dir}/xfrd.state"
  xfrdir: "{self.dir}"
  zonelistfile: "{self.dir}/zone.list"
  server-count: 1
  verbosity: 1
remote-control:
  control-enable: no
"""
            for zone, file in self.zones.items():
                config += f'zone:\n  name: "{zone}."\n  zonefile: "{file}"\n'
            (self.dir / "nsd.conf").write_text(config)
            # Without a process group of its own nsd would be told of the test's signals.
            self.process = subprocess.Popen(
                ["/usr/sbin/nsd", "-d", "-c", self.dir / "nsd.conf"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                ports.wait_until(self.answers, 10)
                return self
            except TimeoutError:
                self.stop()
        log = self.dir / "nsd.log"
        raise RuntimeError("nsd did not start: " + (log.read_text() if log.exists() else ""))

    def answers(self):
        if self.process.poll() is not None:
            raise TimeoutError
        zone = next(iter(self.zones))
        return ask(self.port, f"{zone}.", host=self.host) is not None

    @property
    def resolver(self):
        return f"{self.host}@{self.port}"

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    __enter__ = lambda self: self.start()
    __exit__ = lambda self, *_: self.stop()


def ask(port, name, kind=6, host="127.0.0.1"):
    """The response code of one query over UDP, or None without an answer."""
    import socket
    import struct
    query = struct.pack(">6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0)
    for label in name.rstrip(".").split("."):
        query += bytes([len(label)]) + label.encode()
    query += b"\0" + struct.pack(">2H", kind, 1)
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        try:
            s.connect((host, port))
            s.send(query)
            return s.recv(4096)[3] & 15
        except OSError:
            return None
