# SPDX-License-Identifier: MIT
"""Every program of the suite reaches the whole level of its sandbox: started by root, with a uid per
trust domain, and started by an ordinary user."""
import json
import os
import pwd
import re
import smtplib
import socket
import subprocess
import sys
import traceback

import ports
import sinks
import suite as _suite
from suite import POSTRIDER, Suite, expect, expect_equal

# shows: network_in_owner network_out_owner keys_owner authentication_owner cache_owner bounce_owner
DOMAINS = {"smtpd": "network_in_owner", "anvil": "network_in_owner", "smtp": "network_out_owner",
           "lmtp": "network_out_owner", "tlsrpt": "network_out_owner", "tlsmgr": "keys_owner",
           "saslmgr": "authentication_owner", "tokenmgr": "authentication_owner",
           "scache": "cache_owner", "bounce": "bounce_owner", "qmgr": None}
ANYBODY = {"limits", "no_capabilities", "no_new_privs", "killing_calls", "listed_calls"}
OPEN_FILES = {"saslmgr"}
OPEN_PORTS = {"smtp", "lmtp", "tlsrpt", "saslmgr", "tokenmgr"}


def landlock():
    """The ABI of the kernel, from what master says of it."""
    found = re.search(r"sandbox of the processes: Landlock (\d+)", "\n".join(suite.lines()))
    return int(found.group(1)) if found else 0


def wanted(program, root):
    out = set(ANYBODY)
    if not _suite.ASAN:
        out.add("not_dumpable")
    if root:
        out |= {"user", "own_user"}
    abi = landlock()
    if abi >= 1 and program not in OPEN_FILES:
        out.add("files")
    if abi >= 4:
        out.add("bind")
        if program not in OPEN_PORTS:
            out.add("ports")
    if abi >= 6:
        out.add("scopes")
    return out


def processes():
    """Of each program: (pid, level), from the status that the suite gives."""
    out = {}
    for service in json.loads(suite.cli("status", "--json").stdout)["master"]["services"]:
        for process in service["processes"]:
            if process["state"] != "starting":
                out[service["command"]] = (process["pid"], set(process["jail"].split(", ")))
    return out


def facts(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(re.findall(r"^(\w+):\s*(.*)$", f.read(), re.M))


def check(root):
    for service in json.loads(suite.cli("status", "--json").stdout)["master"]["services"]:
        for place in service["listen"]:
            if "/" in place:
                knock = socket.socket(socket.AF_UNIX)
                knock.connect(str(suite.dir / "spool" / place))
                knock.close()
    ports.wait_until(lambda: set(processes()) == set(DOMAINS), what="a process of each program")
    for program, (pid, level) in processes().items():
        expect_equal(level, wanted(program, root), program)
        status = facts(pid)
        expect_equal(status["Seccomp"], "2", program)
        expect_equal(status["NoNewPrivs"], "1", program)
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            expect_equal(status[capabilities], "0" * 16, f"{program} {capabilities}")
        if root:
            expect_equal(status["CapBnd"], "0" * 16, program)
            parameter = DOMAINS[program]
            uid = _suite.OWNERS[parameter] if parameter else owner
            expect_equal(status["Uid"].split(), [str(uid)] * 4, program)
    shown = suite.cli("status", "sessions").stdout
    expect("listed_calls" in shown, shown)
    expect("Warning" not in shown, shown)


# Of each service, whose processes it answers, besides root's. (smtp and lmtp answer one client.)
ANSWERS = {"tlsmgr": {"in", "out", "mail"}, "tlsrpt": {"in", "out", "mail"}, "scache": {"in", "out"},
           "tokenmgr": {"in", "out"}, "saslmgr": {"in"}, "anvil": {"in"}, "bounce": {"mail"}}
OWN = {"tlsmgr": "keys", "tlsrpt": "out", "scache": "cache", "tokenmgr": "auth", "saslmgr": "auth",
       "anvil": "in", "bounce": "bounce"}


def as_user(uid, group, body):
    """What body() returns, run in a child process of that user: a short text."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(uid)
            answer = body()
        except OSError as error:
            answer = type(error).__name__
        os.write(theirs, answer.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer


def answers(service):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(suite.dir / "spool/private" / service))
        return "yes" if client.recv(1) else "no"


def check_answers():
    """The group lets every domain come to the sockets; what counts is who they are."""
    uids = {"in": 61001, "out": 61002, "keys": 61003, "auth": 61004, "cache": 61005, "bounce": 61006,
            "mail": owner, "other": 61099}
    group = os.stat(suite.dir / "spool/private").st_gid
    for name, uid in uids.items():
        for service, answer in ANSWERS.items():
            may = name in answer or OWN.get(service) == name
            expect_equal(as_user(uid, group, lambda s=service: answers(s)), "yes" if may else "no",
                         f"{service} asked by {name}")
    suite.wait_log(r"refused a client of uid 61099", len(ANSWERS))
    # And who is not of the suite does not even come to the door.
    expect_equal(as_user(61099, 61099, lambda: answers("anvil")), "PermissionError", "a stranger")


def run_as_root():
    global suite, owner
    with Suite() as suite:
        text = suite.main_cf.read_text()
        owner = pwd.getpwnam(re.search(r"(?m)^mail_owner = (\S+)", text).group(1)).pw_uid
        check(root=True)
        check_answers()
        # What one domain keeps is closed to the others, whatever their sandboxes would let them do.
        expect_equal(os.stat(suite.dir / "data").st_mode & 0o7777, 0o1770, "data_directory")
        for path in (suite.dir / "spool").rglob("*"):
            if path.is_file() and "pid" not in path.parts:
                expect_equal(path.stat().st_mode & 0o077, 0, str(path))
                expect_equal(path.stat().st_uid, owner, str(path))
    # A default user that does not exist is said, everywhere.
    without = dict(_suite.OWNERS)
    _suite.OWNERS.clear()
    try:
        pwd.getpwnam("postrider-in")
    except KeyError:
        with Suite() as suite:
            warning = r"no user postrider-in \(smtpd and anvil\).*share the uid of mail_owner"
            suite.wait_log(warning)
            for command in (["status"], ["status", "sessions"], ["check"]):
                done = suite.cli(*command, check=False)
                expect(re.search(warning, done.stdout + done.stderr), f"{command}: {done}")
            status = json.loads(suite.cli("status", "--json").stdout)
            expect(re.search(warning, status["master"]["sharing"]), status)
            expect("own_user" not in processes()["smtpd"][1], "own_user, though it is shared")
    finally:
        _suite.OWNERS.update(without)
    # One that was named and does not exist is refused.
    with Suite(start=False, cache_owner="no-such-user") as suite:
        done = suite.cli("start", check=False)
        expect(done.returncode != 0 and "cache_owner" in done.stderr, done)


def run_in_chroot():
    """The queue directory as root costs nothing of the rest."""
    global suite
    with Suite(start=False) as suite:
        master_cf = suite.dir / "master.cf"
        text, count = re.subn(r"(?m)^((?:scache|anvil|bounce)\s+unix\s+\S\s+\S\s+)n", r"\1y",
                              master_cf.read_text())
        expect_equal(count, 3, "services")
        master_cf.write_text(text)
        suite.start()
        for name in ("scache", "anvil", "bounce"):
            answers(name)
        ports.wait_until(lambda: {"scache", "anvil", "bounce"} <= set(processes()),
                         what="the processes")
        for name in ("scache", "anvil", "bounce"):
            pid, level = processes()[name]
            expect_equal(level, wanted(name, True) | {"chroot"}, name)
            expect_equal(os.readlink(f"/proc/{pid}/root"), str(suite.dir / "spool"), name)


def answer_to(recipient):
    """0 when the process that was asked makes room for its successor."""
    try:
        with suite.smtp() as client:
            client.ehlo()
            client.mail("from@example.org")
            return client.rcpt(recipient)[0]
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError):
        return 0


def run_as_anybody():
    global suite
    with Suite(start=False, mynetworks="192.0.2.0/24") as suite:
        table = suite.write("relays", "one.example x\n")
        suite.configure(relay_domains=f"texthash:{table}")
        suite.start()
        check(root=False)
        # The table is in a directory that holds the queue, so it is reached by itself. What takes its
        # place is read by a process that begins then.
        expect_equal((answer_to("a@one.example"), answer_to("a@two.example")), (250, 454), "the table")
        suite.write("fresh", "two.example x\n").rename(table)
        ports.wait_until(lambda: answer_to("a@two.example") == 250, what="the table that replaced it")
        expect_equal(answer_to("a@one.example"), 454, "what is no more in the table")
    # To find out what a list lacks: calls that are not on it happen and are told. There are none.
    os.environ["POSTRIDER_SANDBOX_REPORT"] = "1"
    with sinks.Sink() as sink, Suite(relayhost=sink.place) as suite:
        suite.send("", ["to@example.net"])
        sink.wait(1)
        for program in ("smtpd", "qmgr", "smtp"):
            expect_equal(processes()[program][1], wanted(program, False) - {"listed_calls"}, program)
        expect("would be refused" not in "\n".join(suite.lines()), "a call that is on no list")


if os.geteuid() != 0:
    run_as_anybody()
    sys.exit(0)
run_as_root()
options = os.environ["ASAN_OPTIONS"]
os.environ["ASAN_OPTIONS"] += ":detect_leaks=0"  # LeakSanitizer needs /proc, a chroot has none
run_in_chroot()
os.environ["ASAN_OPTIONS"] = options
try:
    subprocess.run([POSTRIDER, "--help"], capture_output=True, check=True, user=65534)
except PermissionError:
    _suite.skip("the build directory is closed to other users")
child = os.fork()
if child == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        run_as_anybody()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
expect_equal(os.waitpid(child, 0)[1], 0, "the suite of an ordinary user")
