# SPDX-License-Identifier: MIT
"""Debian's Postfix in a private directory: the next hop of a test, or the other side of a
measurement. The installed /etc/postfix is not touched. Postfix's master wants to be root."""
import os
import pathlib
import pwd
import shutil
import subprocess
import time

import procs

DAEMONS = pathlib.Path("/usr/lib/postfix/sbin")

MASTER_CF = """\
{listen} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def available():
    return (DAEMONS / "master").exists() and os.geteuid() == 0


class Postfix:
    """`relay` is host:port of the next hop; without it mail goes by `settings`."""

    def __init__(self, directory, listen, relay=None, settings=None):
        self.dir = pathlib.Path(directory)
        self.listen = listen
        self.conf, self.queue = self.dir / "conf", self.dir / "queue"
        self.data, self.log = self.dir / "data", self.dir / "mail.log"
        for path in (self.conf, self.queue, self.data):
            path.mkdir(parents=True)
        for path in [self.dir, *self.dir.parents]:
            if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp") \
                    and path != pathlib.Path("/tmp"):
                path.chmod(0o755)  # Postfix's own user has to get in
        user = pwd.getpwnam("postfix")
        os.chown(self.data, user.pw_uid, user.pw_gid)
        values = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue,
            "data_directory": self.data,
            "command_directory": "/usr/sbin",
            "daemon_directory": DAEMONS,
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": "postfix.example",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtp_dns_support_level": "disabled",
            "maillog_file": self.log,
            "maillog_file_prefixes": str(self.dir),
            "smtpd_peername_lookup": "no",
        }
        if relay is not None:
            host, port = relay.rsplit(":", 1)
            values["relayhost"] = f"[{host}]:{port}"
        values.update(settings or {})
        (self.conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in values.items()))
        (self.conf / "master.cf").write_text(MASTER_CF.format(listen=listen))
        for name in ("postfix-files", "dynamicmaps.cf"):
            if pathlib.Path("/etc/postfix", name).exists():
                shutil.copy(f"/etc/postfix/{name}", self.conf / name)
        self.process = None

    def use_name_server(self, address, also=()):
        """Lets smtp, and further programs, run in the queue directory, with a resolv.conf of its own:
        port 53 of address."""
        etc = self.queue / "etc"
        etc.mkdir()
        (etc / "resolv.conf").write_text(f"nameserver {address}\n")
        (etc / "nsswitch.conf").write_text("hosts: files dns\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        shutil.copy("/etc/services", etc / "services")
        master_cf = self.conf / "master.cf"
        lines = master_cf.read_text().splitlines()
        for i, line in enumerate(lines):
            words = line.split()
            if words[0] == "smtp" or words[-1] in also:
                words[4] = "y"
            lines[i] = " ".join(words)
        master_cf.write_text("\n".join(lines) + "\n")

    def postfix(self, *args):
        return subprocess.run(["/usr/sbin/postfix", "-c", self.conf, *args], capture_output=True,
                              text=True, check=False)

    def start(self):
        output = (self.dir / "start.out").open("wb")
        self.process = subprocess.Popen(["/usr/sbin/postfix", "-c", self.conf, "start-fg"],
                                        stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        output.close()
        deadline = time.monotonic() + 30
        while not (self.log.exists() and "daemon started" in self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Postfix did not start: " + (self.dir / "start.out").read_text() +
                                   (self.log.read_text() if self.log.exists() else ""))
            time.sleep(0.05)
        return self

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is None:
            return
        self.postfix("stop")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            procs.wait_gone(procs.kill_tree(self.process.pid))
            self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
