# SPDX-License-Identifier: MIT
"""Debian's Exim as the next hop of a test: unpacked by tools/unpack_peers.sh, because it cannot be
installed beside Postfix. It takes everything and keeps it in its queue. Exim wants to be root and to
have a user of its own, so it runs in a mount namespace with an /etc/passwd of its own."""
import os
import pathlib
import subprocess

import ports
import suite

PROGRAM = pathlib.Path(suite.ROOT) / "build/peers/exim4-daemon-light/usr/sbin/exim4"
USER, NUMBER = "Debian-exim", 65000

CONF = """\
primary_hostname = {name}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
daemon_smtp_ports = {port}
local_interfaces = {address}
tls_advertise_hosts = {tls_hosts}
tls_certificate = {cert}
tls_privatekey = {key}
{more}
keep_environment =
host_lookup =
queue_only = true
acl_smtp_rcpt = everything
acl_smtp_data = everything
begin acl
everything:
  {accept}
begin routers
all:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
  user = {user}
begin authenticators
{authenticators}
"""


def available():
    return PROGRAM.exists() and os.geteuid() == 0 and \
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


class Exim:
    """`cert` and `key` are PEM files; without them there is no STARTTLS. `more`: lines of configuration.
    `accept`: the statement that takes recipients and messages. `authenticators`: that section."""

    def __init__(self, directory, address="127.0.0.1", port=None, name="exim.example", cert=None, key=None,
                 more="", accept="accept", authenticators=""):
        self.dir = pathlib.Path(directory)
        self.address, self.port = address, port or ports.free_port(address)
        for part in ("spool", "log"):
            (self.dir / part).mkdir(parents=True)
            os.chown(self.dir / part, NUMBER, NUMBER)
        for path in [self.dir, *self.dir.parents]:
            if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp") \
                    and path != pathlib.Path("/tmp"):
                path.chmod(0o755)
        if key:  # Exim reads it as its own user
            own = self.dir / "key.pem"
            own.write_bytes(pathlib.Path(key).read_bytes())
            os.chown(own, NUMBER, NUMBER)
            own.chmod(0o600)
            key = own
        (self.dir / "conf").write_text(CONF.format(
            name=name, dir=self.dir, port=self.port, address=self.address, tls_hosts="*" if cert else "",
            cert=cert or "", key=key or "", more=more, user=USER,
            accept=accept, authenticators=authenticators))
        for file, line in (("passwd", f"{USER}:x:{NUMBER}:{NUMBER}::/nonexistent:/usr/sbin/nologin\n"),
                           ("group", f"{USER}:x:{NUMBER}:\n")):
            (self.dir / file).write_text(pathlib.Path("/etc", file).read_text() + line)

    def __enter__(self):
        mounts = " && ".join(f"mount --bind {self.dir}/{file} /etc/{file}" for file in ("passwd", "group"))
        # -bdf: in the foreground.
        self.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"{mounts} && exec {PROGRAM} -C {self.dir}/conf -bdf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ports.wait_listening(self.address, self.port, 30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def lines(self):
        log = self.dir / "log/mainlog"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def taken(self):
        """Its log lines about mail that it has accepted: "<= sender H=... X=TLS1.3:..."."""
        return [line for line in self.lines() if " <= " in line]
