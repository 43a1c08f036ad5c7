# SPDX-License-Identifier: MIT
"""The unit of conf/ leaves the suite what it needs, and little else: systemd-analyze's score is below
2.0, and mail goes through a suite that runs with the unit's user, capabilities, read-only file system,
address families and system calls. systemd itself need not run: the test takes the same things away."""
import ctypes
import os
import pathlib
import re
import socket
import subprocess
import sys

import sinks
import suite as _suite
from suite import POSTRIDER, Suite, expect, expect_equal, skip

UNIT = pathlib.Path(__file__).resolve().parents[2] / "conf/postrider.service.in"
NOBODY, ADDRESS = 65534, "127.88.0.1"
EPERM, ENOSYS, EQ, MASKED = 1, 38, 4, 7
WRITE_EXECUTE, EXECUTE, NAMESPACES = 6, 4, 0x7E020080


def directives():
    out = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()):
        out.setdefault(name, []).append(value)
    return out


def sets():
    """The sets of system calls as systemd knows them."""
    text = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    out, name = {}, None
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            out[name] = []
        elif line.startswith(" ") and name and word and not word.startswith("#"):
            out[name].append(word)
    return out


def expand(words, known):
    found = set()
    for word in words:
        found |= expand(known[word], known) if word.startswith("@") else {word}
    return found


def allowed_calls():
    known = sets()
    calls = expand(["@default"], known)
    for value in directives()["SystemCallFilter"]:
        names = expand(value.lstrip("~").split(), known)
        calls = calls - names if value.startswith("~") else calls | names
    return calls


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def confine():
    """SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute and RestrictNamespaces."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(0x00050000 | EPERM))

    def allow(call, *comparisons, action=0x7FFF0000):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return  # of another machine
        rules = (Comparison * len(comparisons))(*comparisons)
        if library.seccomp_rule_add_array(context, action, number, len(comparisons), rules) != 0:
            sys.exit(f"the rule for {call} was refused")

    calls = allowed_calls()
    special = {"socket", "mmap", "mprotect", "clone", "clone3", "unshare", "setns"}
    for call in sorted(calls - special):
        allow(call)
    for family in directives()["RestrictAddressFamilies"][0].split():
        allow("socket", Comparison(0, EQ, getattr(socket, family), 0))
    for protection in (0, 2, EXECUTE):
        allow("mmap", Comparison(2, MASKED, WRITE_EXECUTE, protection))
    allow("mprotect", Comparison(2, MASKED, EXECUTE, 0))
    allow("clone", Comparison(0, MASKED, NAMESPACES, 0))
    allow("clone3", action=0x00050000 | ENOSYS)
    if library.seccomp_load(context) != 0:
        sys.exit("the filter was refused")


def read_only_but(directory):
    """ProtectSystem=strict, for this process and its children."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x20000) != 0:
        skip("no mount namespace can be made here")
    for arguments in (["--make-rprivate", "/"], ["--bind", directory, directory]):
        if subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode != 0:
            skip("mounts are not possible here")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4].encode().decode("unicode_escape")
        if not place.startswith(("/proc", "/sys", "/dev", str(directory))):
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False, capture_output=True)


if sys.argv[1:2] == ["confined"]:
    confine()
    os.execv(sys.argv[2], sys.argv[2:])

if os.geteuid() != 0:
    skip("root is needed")
if _suite.ASAN:
    skip("a sanitizer maps memory as no unit lets it")
try:
    subprocess.run(["systemd-analyze", "--version"], check=True, capture_output=True)
except FileNotFoundError:
    skip("systemd-analyze is not installed")

with Suite(start=False) as suite, sinks.Sink() as sink:
    unit = suite.write("postrider.service", UNIT.read_text().replace("@BIN@", str(POSTRIDER.parent)))
    judged = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=19", unit],
                            capture_output=True, text=True, check=False)
    print(judged.stdout.strip().splitlines()[-1])
    expect_equal(judged.returncode, 0, f"exposure of 1.9 at most\n{judged.stdout}{judged.stderr}")

    suite.configure(relayhost=sink.place)
    text = suite.main_cf.read_text()
    for name in _suite.OWNERS:
        text = re.sub(rf"(?m)^{name}[ \t]*=.*\n", "", text)
    suite.main_cf.write_text(text)
    master_cf = suite.dir / "master.cf"
    master_cf.write_text(master_cf.read_text() + f"{ADDRESS}:25 inet n - n - - smtpd\n")
    for path in [suite.top, *suite.top.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    read_only_but(suite.top)
    bounding = " ".join(directives()["CapabilityBoundingSet"])
    expect_equal(bounding, "CAP_NET_BIND_SERVICE", "capabilities")
    cap = "+" + bounding.removeprefix("CAP_").lower()
    running = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                                f"--bounding-set=-all,{cap}", f"--inh-caps=-all,{cap}", f"--ambient-caps=-all,{cap}",
                                "--no-new-privs", sys.executable, __file__, "confined", POSTRIDER, "-c", suite.config,
                                "start-fg"])
    suite.wait_ready()
    with socket.create_connection((ADDRESS, 25), timeout=30) as client:  # a low port
        expect(client.recv(3) == b"220", "the greeting of port 25")
    suite.send("from@example.org", ["to@example.org"])
    expect_equal(sink.wait(1)[0].recipients, ["to@example.org"], "delivered")
    suite.sendmail("-f", "from@example.org", "local@example.org", text="Subject: local\n\ntext\n")
    expect_equal(sink.wait(2)[1].recipients, ["local@example.org"], "delivered")
    state = pathlib.Path(f"/proc/{suite.master_pid}/status").read_text()
    expect(re.search(r"(?m)^Uid:\s+65534\b", state) and re.search(r"(?m)^Seccomp:\s+2", state), state)
    expect(re.search(r"(?m)^CapEff:\s+0{13}400$", state), f"nothing but low ports: {state}")
    try:
        (suite.top.parent / "x").write_text("")
        raise AssertionError("the file system was not read-only")
    except OSError:
        pass
running.wait()
