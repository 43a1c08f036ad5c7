# SPDX-License-Identifier: MIT
"""swaks, smtp-source, smtplib and s-nail send through each kind of listener (in the clear, STARTTLS,
TLS from the first byte, AUTH, submission, a UNIX socket, standard input) in each mode (queued, forwarded
with recipients asked at RCPT, forwarded after the content) to Debian's Postfix and to Dovecot's LMTP.
Each message arrives once. Of the senders, s-nail knows no socket, and smtp-source, smtplib and s-nail no
program to talk to; s-nail uses sendmail, and a plain dialogue is held with both."""
import os
import pathlib
import shlex
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import urllib.parse

import certs
import dovecot_peer
import ports
import postfix_peer
import sasl_accounts
import sinks
from suite import BUILD, SENDMAIL, Suite, expect_equal, skip

SWAKS, NAIL = shutil.which("swaks"), shutil.which("s-nail")
SOURCE = shutil.which("smtp-source", path="/usr/sbin:/usr/bin")
if not (SWAKS and NAIL and SOURCE and postfix_peer.available() and dovecot_peer.available()):
    skip("swaks, s-nail, Postfix, Dovecot and root are needed")
USER, PASSWORD = "joe", sasl_accounts.PASSWORD
MODES = {"queued": {}, "asked": {"smtpd_forward_check": "rcpt"}, "whole": {"smtpd_forward_check": "data"}}
ACCOUNT = {**sasl_accounts.SETTINGS, "mynetworks": "192.0.2.0/24"}


def kinds(certificate):
    tls = {"smtpd_tls_cert_file": certificate.cert, "smtpd_tls_key_file": certificate.key}
    return {"clear": {}, "starttls": {**tls, "smtpd_tls_security_level": "may"},
            "implicit": {**tls, "smtpd_tls_wrappermode": "yes"}, "auth": ACCOUNT,
            "submission": {**tls, **ACCOUNT, "smtpd_tls_security_level": "encrypt",
                           "smtpd_tls_auth_only": "yes"}}


def run(*command, text=None, env=None):
    done = subprocess.run([str(x) for x in command], input=text, text=True, capture_output=True,
                          timeout=60, check=False, env=env)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")


def by_swaks(port, kind, recipient, subject, _authority):
    options = {"clear": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"], "auth": [],
               "submission": ["--tls"]}[kind]
    if kind in ("auth", "submission"):
        options += ["--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD]
    run(SWAKS, "--silent", "2", "--server", f"127.0.0.1:{port}", "--from", "from@sender.example", "--to",
        recipient, "--header", f"Subject: {subject}", *options)


def by_smtplib(port, kind, recipient, subject, authority):
    context = ssl.create_default_context(cafile=authority.cert)
    if kind == "implicit":
        client = smtplib.SMTP_SSL("localhost", port, context=context, timeout=60)
    else:
        client = smtplib.SMTP("localhost", port, timeout=60)
    if kind in ("starttls", "submission"):
        client.starttls(context=context)
    if kind in ("auth", "submission"):
        client.login(USER, PASSWORD)
    client.sendmail("from@sender.example", [recipient], f"Subject: {subject}\n\ntext\n")
    client.quit()


def by_nail(port, kind, recipient, subject, authority):
    scheme = {"implicit": "smtps"}.get(kind, "smtp")
    options = ["-S", f"mta={scheme}://localhost:{port}", "-S", f"tls-ca-file={authority.cert}",
               "-S", "tls-ca-no-defaults", "-S", "tls-verify=strict", "-S", "v15-compat=yes",
               "-S", "smtp-auth=none"]
    if kind in ("starttls", "submission"):
        options += ["-S", "smtp-use-starttls"]
    if kind in ("auth", "submission"):
        login = ":".join(urllib.parse.quote(word, "") for word in (USER, PASSWORD))
        options[1] = f"mta={scheme}://{login}@localhost:{port}"
        options[options.index("smtp-auth=none")] = "smtp-auth=plain"
    run(NAIL, "-n", "-S", "sendwait", "-r", "from@sender.example", *options, "-s",
        subject, recipient, text="text\n", env={**os.environ, "MAILRC": "/dev/null", "HOME": "/nonexistent"})


def by_source(port, kind, recipient, subject, _authority):
    if kind != "clear":
        return False  # it speaks neither TLS nor AUTH
    run(SOURCE, "-f", "from@sender.example", "-t", recipient, "-S", subject, f"127.0.0.1:{port}")
    return True


SENDERS = {"swaks": by_swaks, "smtplib": by_smtplib, "s-nail": by_nail, "smtp-source": by_source}


def socket_by_swaks(path, recipient, subject):
    run(SWAKS, "--silent", "2", "--socket", path, "--from", "from@sender.example", "--to", recipient,
        "--header", f"Subject: {subject}")


class UnixSmtp(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(host)
        return connection


def socket_by_smtplib(path, recipient, subject):
    client = UnixSmtp(timeout=60)
    client.connect(path, -1)
    client.sendmail("from@sender.example", [recipient], f"Subject: {subject}\n\ntext\n")
    client.quit()


def socket_by_source(path, recipient, subject):
    run(SOURCE, "-f", "from@sender.example", "-t", recipient, "-S", subject, f"unix:{path}")


def socket_by_dialogue(path, recipient, subject):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        file = client.makefile("rb")
        dialogue(file.readline, client.sendall, recipient, subject)


SOCKET_SENDERS = {"swaks": socket_by_swaks, "smtplib": socket_by_smtplib, "smtp-source": socket_by_source,
                  "dialogue": socket_by_dialogue}
CLIENT = {**os.environ, "PROTO": "TCP", "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEHOST": "localhost",
          "TCPLOCALHOST": "mx.example"}


def stdin_by_swaks(command, recipient, subject):
    run(SWAKS, "--silent", "2", "--pipe", shlex.join(command), "--from", "from@sender.example", "--to", recipient,
        "--header", f"Subject: {subject}", env=CLIENT)


def stdin_by_dialogue(command, recipient, subject):
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=CLIENT) as smtpd:
        def write(data):
            smtpd.stdin.write(data)
            smtpd.stdin.flush()
        dialogue(smtpd.stdout.readline, write, recipient, subject)
    expect_equal(smtpd.returncode, 0, "the end of smtpd -S")


STDIN_SENDERS = {"swaks": stdin_by_swaks, "dialogue": stdin_by_dialogue}


def as_options(settings):
    return "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())


def listen(suite, number, port, settings):
    with (suite.dir / "master.cf").open("a") as file:
        file.write(f"127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=postrider/l{number}\n" +
                   as_options(settings))
    return port


def listen_at_socket(suite, name, settings):
    with (suite.dir / "master.cf").open("a") as file:
        file.write(f"{name} unix n - n - - smtpd\n" + as_options({"smtpd_local_submission": "yes", **settings}))
    return str(suite.dir / "spool/public" / name)


def on_stdin(suite, settings):
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return [str(BUILD / "libexec/postrider/smtpd"), "-S", "-c", str(suite.config), *options]


def main(directory):
    directory = pathlib.Path(directory)
    authority = certs.Authority(directory / "ca", "the roots")
    certificate = authority.issue("localhost")
    sent = {"postfix": [], "dovecot": []}
    with sinks.Sink() as behind, \
            dovecot_peer.Dovecot(directory / "dovecot", {"amy@dovecot.example": None}) as dovecot, \
            postfix_peer.Postfix(directory / "postfix", f"127.0.0.1:{ports.free_port()}",
                                 f"127.0.0.1:{behind.port}") as postfix, \
            Suite(start=False) as suite:
        sasl_accounts.make(suite, ("PLAIN", "LOGIN"))
        targets = {"postfix": f"smtp:[127.0.0.1]:{postfix.listen.rpartition(':')[2]}",
                   "dovecot": f"lmtp:unix:{dovecot.socket}"}
        suite.configure(transport_maps="inline:{" + ", ".join(
            "{%s.example = %s}" % pair for pair in targets.items()) + "}")
        ways, without_port = [], []
        free = ports.free_ports(len(targets) * len(MODES) * len(kinds(certificate)))
        for target, forward in targets.items():
            for mode, how in MODES.items():
                how = {**how, "smtpd_forward": forward} if mode != "queued" else how
                for kind, what in kinds(certificate).items():
                    ways.append((target, mode, kind, listen(suite, len(ways), free[len(ways)], {**what, **how})))
                without_port.append((target, mode, "socket", SOCKET_SENDERS,
                                     listen_at_socket(suite, f"{mode}-{target}", how)))
                without_port.append((target, mode, "stdin", STDIN_SENDERS, on_stdin(suite, how)))
        suite.start()
        for target, mode, kind, port in ways:
            for name, send in SENDERS.items():
                subject = f"{target}-{mode}-{kind}-{name}"
                try:
                    if send(port, kind, f"amy@{target}.example", subject, authority) is not False:
                        sent[target].append(subject)
                except Exception as error:
                    raise AssertionError(f"{subject}: {error}") from error
        for target, mode, kind, senders, place in without_port:
            for name, send in senders.items():
                subject = f"{target}-{mode}-{kind}-{name}"
                try:
                    send(place, f"amy@{target}.example", subject)
                except Exception as error:
                    raise AssertionError(f"{subject}: {error}") from error
                sent[target].append(subject)
        for target in targets:
            sent[target].append(f"{target}-sendmail-s-nail")
            run(NAIL, "-n", "-S", "sendwait", "-r", "from@sender.example", "-S", f"mta={SENDMAIL}",
                "-S", "v15-compat=yes", "-s", sent[target][-1], f"amy@{target}.example", text="text\n",
                env={**os.environ, "MAILRC": "/dev/null", "HOME": "/nonexistent", "MAIL_CONFIG": str(suite.config)})
        behind.wait(len(sent["postfix"]))
        suite.wait_empty()
        came = [line[9:] for m in behind.messages for line in m.header.splitlines()
                if line.startswith("Subject: ")]
        expect_equal(sorted(came), sorted(sent["postfix"]), "what Postfix passed on")
        ports.wait_until(lambda: len(dovecot.mails("amy@dovecot.example")) >= len(sent["dovecot"]), 20, "mail in Dovecot")
        came = [line[9:].decode() for m in dovecot.mails("amy@dovecot.example") for line in m.splitlines()
                if line.startswith(b"Subject: ")]
        expect_equal(sorted(came), sorted(sent["dovecot"]), "what Dovecot stored")


def dialogue(read, write, recipient, subject):
    """A whole session over anything that has lines."""
    def ask(line, wanted):
        if line is not None:
            write(line + b"\r\n")
        while True:
            reply = read()
            if reply[3:4] != b"-":
                break
        expect_equal(reply[:3], wanted, f"reply to {line}")
    ask(None, b"220")
    for line, wanted in ((b"EHLO here.example", b"250"), (b"MAIL FROM:<from@sender.example>", b"250"),
                         (b"RCPT TO:<" + recipient.encode() + b">", b"250"), (b"DATA", b"354"),
                         (b"Subject: " + subject.encode() + b"\r\n\r\ntext\r\n.", b"250"),
                         (b"QUIT", b"221")):
        ask(line, wanted)


with tempfile.TemporaryDirectory() as top:
    os.chmod(top, 0o755)
    main(top)
