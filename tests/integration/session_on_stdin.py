# SPDX-License-Identifier: MIT
"""smtpd -S serves one client without master: behind pipes (swaks), tcpserver, and what passes a socket
as inetd does (systemd-socket-activate). The mail goes into the queue of the running suite.
"""
import os
import shutil
import signal
import socket
import subprocess

import ports
import procs
import sinks
from suite import BUILD, RawClient, Suite, expect, expect_equal, expect_match

SMTPD = BUILD / "libexec/postrider/smtpd"

SESSION = ("EHLO me.example\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<u@far.example>\r\n",
           "DATA\r\n", "Subject: x\r\n\r\ntext\r\n.\r\n", "QUIT\r\n")


def talk(server, session=SESSION):
    """The session over the pipes of a process; the codes of the replies."""
    codes = []

    def reply():
        while True:
            line = server.stdout.readline().decode()
            if line[3:4] != "-":
                return line[:3]

    codes.append(reply())
    for command in session:
        server.stdin.write(command.encode())
        server.stdin.flush()
        codes.append(reply())
    server.stdin.close()
    expect_equal(server.stdout.read(), b"", "behind the last reply")
    return codes


def through(port):
    with RawClient(port) as client:
        codes = [client.greeting[:3]] + [client.command(command[:-2])[:3] for command in SESSION]
    return codes


GOOD = ["220", "250", "250", "250", "354", "250", "221"]

with sinks.Sink() as sink, Suite(relayhost=sink.place, smtpd_peername_lookup="no") as suite:
    command = [SMTPD, "-S", "-c", suite.config]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TCP")}

    # Pipes, with nobody who says who the client is: it is nobody of ours.
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=clean)
    expect_equal(talk(server, (*SESSION[:3], "QUIT\r\n")), ["220", "250", "250", "454", "221"], "a stranger")
    expect_equal(server.wait(20), 0, "status")
    expect_match(r"disconnect from unknown\[unknown\]", server.stderr.read().decode(), "log")

    # The same as a process of this host.
    server = subprocess.Popen([*command, "-o", "smtpd_local_submission=yes"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean)
    expect_equal(talk(server), GOOD, "local submission")
    expect_equal(server.wait(20), 0, "status")
    expect_match(r"client=localhost\[local\]", server.stderr.read().decode(), "log")
    sink.wait(1)

    # What a UCSPI server says.
    ucspi = {**clean, "PROTO": "TCP", "TCPREMOTEIP": "127.0.0.5", "TCPREMOTEPORT": "4711",
             "TCPREMOTEHOST": "five.example", "TCPLOCALIP": "127.0.0.1", "TCPLOCALHOST": "here.example"}
    server = subprocess.Popen([*command, "-o", "smtpd_client_port_logging=yes"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ucspi)
    expect_equal(talk(server), GOOD, "by environment")
    expect_match(r"client=five\.example\[127\.0\.0\.5\]:4711", server.stderr.read().decode(), "log")
    server.wait(20)
    expect("from me.example (five.example [127.0.0.5])" in sink.wait(2)[1].header, "Received")

    # What is no address or name is not taken for one.
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              env={**ucspi, "TCPREMOTEIP": "127.0.0.5 ", "TCPREMOTEHOST": "a\nb"})
    expect_equal(talk(server, (*SESSION[:3], "QUIT\r\n"))[3], "454", "no address")
    expect_equal(server.wait(20), 0, "status")

    # A script in a file, replies into a file.
    script = suite.write("script", "HELO me.example\r\nQUIT\r\n")
    out = suite.top / "replies"
    with script.open() as source, out.open("w") as replies:
        done = subprocess.run([*command, "-o", "smtpd_forbid_unauth_pipelining=no"], stdin=source,
                              stdout=replies, stderr=subprocess.PIPE, env=clean, check=False, timeout=60)
    expect_equal(done.returncode, 0, "status")
    expect_match(r"\A220 .*\n250 .*\n221 ", out.read_text(), "replies")

    # A peer that goes away.
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=clean)
    server.stdout.readline()
    server.stdin.close()
    expect_equal(server.wait(20), 0, "status")
    expect_match(r"lost connection after CONNECT", server.stderr.read().decode(), "log")

    if shutil.which("swaks"):
        done = subprocess.run(["swaks", "--pipe", " ".join(map(str, command)) + " -o smtpd_local_submission=yes",
                               "--from", "a@b.example", "--to", "u@far.example", "--helo", "me.example"],
                              capture_output=True, text=True, env=clean, check=False, timeout=60)
        expect(done.returncode == 0, f"swaks: {done.stdout}{done.stderr}")
        sink.wait(3)

    seen = len(sink.messages)
    if shutil.which("tcpserver"):
        port = ports.free_port()
        server = subprocess.Popen(["tcpserver", "-RHl0", "127.0.0.1", str(port), *command],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            def served():
                try:
                    return through(port)
                except (ConnectionRefusedError, ConnectionResetError):
                    return None
            expect_equal(ports.wait_until(served, 20, "tcpserver"), GOOD, "tcpserver")
        finally:
            procs.kill_tree(server.pid, signal.SIGTERM)
            server.wait()
        seen += 1
        expect("(unknown [127.0.0.1])" in sink.wait(seen)[-1].header, "Received")

    if shutil.which("systemd-socket-activate"):
        port = ports.free_port()
        server = subprocess.Popen(["systemd-socket-activate", "--inetd", "-a", "-l", f"127.0.0.1:{port}", *command],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean)
        try:
            def served():
                try:
                    return through(port)
                except (ConnectionRefusedError, ConnectionResetError):
                    return None
            expect_equal(ports.wait_until(served, 20, "systemd-socket-activate"), GOOD, "inetd")
        finally:
            procs.kill_tree(server.pid, signal.SIGTERM)
            server.wait()
        seen += 1
        expect("(unknown [127.0.0.1])" in sink.wait(seen)[-1].header, "Received")

    # As inetd: standard error is the client as well. It sees the dialogue and no log, which is where
    # main.cf says.
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname()) as client:
        inner, _ = listener.accept()
        server = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=clean)
        inner.close()
        file = client.makefile("rb")
        lines = [file.readline()]
        for command_line in ("HELO me.example\r\n", "QUIT\r\n"):
            client.sendall(command_line.encode())
            lines.append(file.readline())
        lines.append(file.read())
    listener.close()
    expect_equal([line[:3] for line in lines], [b"220", b"250", b"221", b""], "nothing but replies")
    expect_equal(server.wait(20), 0, "status")
    address = r"\[127\.0\.0\.1\]"
    suite.wait_log(rf"\[{server.pid}\]: disconnect from unknown{address}")

    # Who may not reach the queue is told why, and the client is put off.
    nobody = subprocess.Popen(["setpriv", "--reuid=1", "--regid=1", "--clear-groups", *command,
                               "-o", "smtpd_local_submission=yes"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean)
    said, log = nobody.communicate(b"QUIT\r\n", timeout=60)
    expect_match(r"cannot hand mail to qmgr.*mail_owner|Permission denied", log.decode(), "why not")
