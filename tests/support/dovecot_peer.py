# SPDX-License-Identifier: MIT
"""Debian's Dovecot as a mailbox store behind LMTP, in a private directory: /etc/dovecot is neither
read nor touched. Dovecot's master wants to be root."""
import os
import pathlib
import pwd
import shutil
import subprocess

import ports

PROGRAM = shutil.which("dovecot", path="/usr/sbin:/usr/bin")

CONF = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols = lmtp
ssl = no
mail_location = maildir:{dir}/mail/%u
first_valid_uid = 1
mail_plugins = quota
plugin {{
  quota = maildir:User quota
}}
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
service lmtp {{
  unix_listener {dir}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
{extra}
"""


def available():
    return PROGRAM is not None and pathlib.Path("/usr/lib/dovecot/lmtp").exists() and os.geteuid() == 0


class Dovecot:
    """`users`: name to quota in bytes, or None. `extra` goes to the end of dovecot.conf."""

    def __init__(self, directory, users, extra=""):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        self.socket, self.port = self.dir / "lmtp", ports.free_port()
        self.log = self.dir / "dovecot.log"
        owner = pwd.getpwnam("nobody")
        (self.dir / "mail").mkdir()
        os.chown(self.dir / "mail", owner.pw_uid, owner.pw_gid)
        (self.dir / "users").write_text("".join(
            f"{name}:{{plain}}x:{owner.pw_uid}:{owner.pw_gid}::{self.dir}/mail/{name}::"
            f"{f'userdb_quota_rule=*:storage={quota}B' if quota else ''}\n"
            for name, quota in users.items()))
        conf = self.dir / "dovecot.conf"
        conf.write_text(CONF.format(dir=self.dir, port=self.port, extra=extra))
        self.process = subprocess.Popen([PROGRAM, "-F", "-c", conf], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            ports.wait_listening("127.0.0.1", self.port)
        except TimeoutError:
            self.close()
            raise RuntimeError(f"dovecot did not start: {self.process.stderr.read()}") from None

    def mails(self, user):
        """The messages of one mailbox, as they lie there."""
        return [p.read_bytes() for folder in ("new", "cur")
                for p in sorted((self.dir / "mail" / user / folder).glob("*"))]

    def close(self):
        self.process.terminate()
        self.process.wait(20)

    __enter__ = lambda self: self
    __exit__ = lambda self, *_: self.close()
