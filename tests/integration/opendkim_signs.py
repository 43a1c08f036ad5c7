# SPDX-License-Identifier: MIT
"""Debian's opendkim, a filter made with libmilter, signs what comes in; a second one behind it in the
chain finds the signature good, and so does a third that reads the message after its delivery: what
was signed is what was stored and sent, byte for byte, also where lines need dot-stuffing, are folded,
or come in one piece of a megabyte."""
import pathlib
import re
import subprocess
import tempfile

import ports
import sinks
from suite import Suite, expect, expect_match, skip

OPENDKIM, GENKEY = pathlib.Path("/usr/sbin/opendkim"), pathlib.Path("/usr/sbin/opendkim-genkey")
if not OPENDKIM.exists() or not GENKEY.exists():
    skip("opendkim and opendkim-tools are needed")

COMMON = """Syslog no
RequireSafeKeys no
Canonicalization simple/simple
TestDNSData {top}/dns
"""
TEXTS = ["From: me@signed.example\nSubject: plain\n\nhello\n",
         "From: me@signed.example\nSubject: dots\nX-Folded: one\n\ttwo\n  three\nX-Spaces:   x  \n\n"
         ".\n..\n.dot\n\n\ntrailing\n\n",
         "From: me@signed.example\nSubject: large\n\n" + "".join(f"{i:060d}\n" for i in range(17000))]


class OpenDkim:
    def __init__(self, top, name, config):
        self.port = ports.free_port()
        self.place = f"inet:127.0.0.1:{self.port}"
        path = top / f"{name}.conf"
        path.write_text(COMMON.format(top=top) + config + f"Socket inet:{self.port}@127.0.0.1\n")
        self.process = subprocess.Popen([OPENDKIM, "-f", "-x", path], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)

    def __enter__(self):
        ports.wait_listening("127.0.0.1", self.port)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


with tempfile.TemporaryDirectory(prefix="postrider-test-") as directory, sinks.Sink() as sink:
    top = pathlib.Path(directory)
    subprocess.run([GENKEY, "-b", "2048", "-d", "signed.example", "-s", "sel", "-D", top], check=True)
    key = "".join(re.findall(r'"([^"]*)"', (top / "sel.txt").read_text()))
    (top / "dns").write_text(f"sel._domainkey.signed.example {key}\n")
    (top / "verify.conf").write_text(COMMON.format(top=top) + "Mode v\n")
    signer = OpenDkim(top, "signer", f"Mode s\nDomain signed.example\nSelector sel\nKeyFile {top}/sel.private\n"
                      "InternalHosts 127.0.0.1\n")
    checker = OpenDkim(top, "checker", "Mode v\nInternalHosts 192.0.2.1\nAuthservID checker.example\n"
                       "AlwaysAddARHeader yes\n")
    with signer, checker, Suite(relayhost=sink.place, smtpd_milters=f"{signer.place}, {checker.place}") as suite:
        for number, text in enumerate(TEXTS):
            suite.send("me@signed.example", ["to@example.net"], text)
            message = sink.wait(number + 1, seconds=60)[number]
            expect_match(r"(?m)^DKIM-Signature: v=1; a=rsa-sha256; .*d=signed\.example", message.header, "signature")
            expect_match(r"(?s)Authentication-Results: checker\.example;\s+dkim=pass", message.header, "the second filter")
            kept = top / f"message{number}"
            kept.write_bytes(message.data.replace(b"\r\n", b"\n"))
            done = subprocess.run([OPENDKIM, "-x", top / "verify.conf", "-vvv", "-t", kept], capture_output=True,
                                  text=True, check=False, timeout=60)
            expect("verification (s=sel, d=signed.example, 2048-bit key) succeeded" in done.stdout + done.stderr,
                   done.stdout + done.stderr)
        # A changed byte is noticed: the checks above can fail.
        kept.write_bytes(kept.read_bytes().replace(b"Subject: large", b"Subject: Large"))
        done = subprocess.run([OPENDKIM, "-x", top / "verify.conf", "-vvv", "-t", kept], capture_output=True,
                              text=True, check=False, timeout=60)
        expect("succeeded" not in done.stdout + done.stderr, "a changed message is no longer good")
