# SPDX-License-Identifier: MIT
"""Credentials are nowhere but on the wire: not in the log, not in reports and notices, not in what
`postrider` prints, in no file of the queue or of the caches; and whoever holds them writes no core file.
The server quotes what it is told, whole and in part.

# shows: smtp_sasl_auth_soft_bounce notify_classes debug_peer_list oauth_token_sources
"""
import base64
import os
import re

import sinks
from suite import BUILD, Suite, expect, expect_equal

PASSWORD, TOKEN = "Tr0ub4dor&3-battery", "ya29.A0ARrdaM-secret-bearer-token"
EXTENSIONS = (*sinks.EXTENSIONS, "AUTH PLAIN LOGIN XOAUTH2")
# LeakSanitizer traces its own process, so such a build leaves it dumpable.
ASAN = b"__asan_init" in (BUILD / "libexec/postrider/smtp").read_bytes()
ACCEPTING, REFUSING = "127.0.0.1", "127.0.0.2"


def shapes(secret):
    """As it is, and however it may stand within base64."""
    yield secret.encode()
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + secret.encode())
        # Without the ends, which depend on what stands beside it.
        yield coded[4 if shift else 0:-4]


SHAPES = [shape for secret in (PASSWORD, TOKEN) for shape in shapes(secret)]


def find(data, where):
    data = data if isinstance(data, bytes) else data.encode()
    forms = [data]
    if len(data) < 2 ** 20:
        forms += [re.sub(rb"[\r\n]+ ?", b"", data), re.sub(rb"=\r?\n", b"", data),  # folded, quoted-printable
                  b"\n".join(base64.b64decode(part) for part in re.findall(rb"(?:[A-Za-z0-9+/]{4}){4,}", data))]
    for shape in SHAPES:
        for form in forms:
            expect(shape not in form, f"{shape} in {where}")


def is_found(text):
    try:
        find(text, "a trial")
    except AssertionError:
        return True
    return False


class Server(sinks.Sink):
    """Speaks PLAIN, LOGIN and XOAUTH2, and quotes what it hears when it refuses."""

    def __init__(self, host, welcome):
        self.welcome, self.heard = welcome, []
        script = {"AUTH": self.auth, "RCPT TO:<odd": "503 5.5.1 what?"}
        super().__init__(script, host=host, extensions=EXTENSIONS)
        self.script[""] = self.more

    def verdict(self, session, line):
        session.pending = None
        if self.welcome:
            return "235 2.7.0 welcome"
        return f"535-5.7.8 you said {line[:60]}\r\n535-5.7.8 that is {line}\r\n535 5.7.8 and ends in {line[-30:]}"

    def auth(self, session, line):
        self.heard.append(line)
        words = line.split(" ")
        if words[1].upper() == "LOGIN":
            session.pending = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"]
            return f"334 {session.pending.pop(0)}"
        return self.verdict(session, line)

    def more(self, session, line):
        if getattr(session, "pending", None) is None or line.split(" ")[0].upper() in ("EHLO", "MAIL", "QUIT"):
            return None
        self.heard.append(line)
        return f"334 {session.pending.pop(0)}" if session.pending else self.verdict(session, line)


def outputs(suite, *servers):
    find("\n".join(suite.lines()), "the log")
    for arguments in (["queue"], ["queue", "--json"], ["status"], ["status", "--json"], ["status", "sessions"],
                      ["conf"], ["check"], ["tls", "yes.example"], ["tls", "no.example"]):
        done = suite.cli(*arguments, check=False)
        find(done.stdout + done.stderr, f"postrider {' '.join(arguments)}")
    for message in suite.queue():
        for what in ("cat", "why"):
            done = suite.cli(what, message["queue_id"])
            find(done.stdout + done.stderr, f"postrider {what}")
    for server in servers:
        for message in server.messages:
            find(message.data, f"mail to {message.recipients}")
    for top in (suite.dir / "spool", suite.dir / "data"):
        for path in top.rglob("*"):
            if path.is_file():
                find(path.read_bytes(), path)


def expect_no_core_files(suite, name):
    pids = suite.pids(name)
    expect(pids, f"no {name}")
    for pid in pids:
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            expect(re.search(r"Max core file size\s+0\s+0\s", file.read()), f"{name} may write a core file")
        if not ASAN and os.geteuid() == 0:
            # /proc/PID/environ is root's where PR_GET_DUMPABLE is 0 (proc(5)).
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                uid = int(re.search(r"Uid:\s+(\d+)", file.read()).group(1))
            expect(uid != 0, f"user of {name}")
            expect_equal(os.stat(f"/proc/{pid}/environ").st_uid, 0, f"{name} can be dumped: owner of its files")


with Server(ACCEPTING, True) as yes, Server(REFUSING, False) as no, sinks.Sink() as home:
    with Suite(start=False, smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
               notify_classes="protocol, bounce, 2bounce, delay, data, resource, software, policy",
               debug_peer_list="127.0.0.0/8", debug_peer_level="3", soft_bounce="no",
               smtp_sasl_auth_cache_name="lmdb:$data_directory/refused", smtp_sasl_auth_cache_time="1h",
               error_notice_recipient="chief@home.example", bounce_notice_recipient="chief@home.example",
               **{"2bounce_notice_recipient": "chief@home.example"}) as suite:
        routes = {"yes.example": yes.place, "no.example": no.place}
        passwords = suite.write("passwords", f"{yes.place} joe:{PASSWORD}\n{no.place} joe:{PASSWORD}\n")
        token, tokens = suite.write("token", f"{TOKEN}\n"), suite.write(
            "tokens", f"{yes.place} joe:token:t\n{no.place} joe:token:t\n")
        os.chown(token, suite.owner("authentication_owner"), -1)
        token.chmod(0o600)
        suite.configure(oauth_token_sources=f"inline:{{{{t=file:{token}}}}}", relayhost=home.place,
                        transport_maps="inline:{" + ", ".join(f"{{{k}=smtp:{v}}}" for k, v in routes.items()) + "}")
        wanted, started = 0, False
        for mechanism, table in (("plain", passwords), ("login", passwords), ("xoauth2", tokens)):
            for soft in ("yes", "no"):
                suite.configure(smtp_sasl_mechanism_filter=mechanism, smtp_sasl_password_maps=f"texthash:{table}",
                                smtp_sasl_auth_soft_bounce=soft,
                                smtp_sasl_auth_cache_name="lmdb:$data_directory/refused" if soft == "yes" else "")
                suite.reload() if started else suite.start()
                started = True
                sent = suite.send("from@home.example", ["to@yes.example", "odd@yes.example", "to@no.example"])
                suite.wait_log(rf"{sent}: to=<to@yes\.example>.*status=sent")
                suite.wait_log(rf"{sent}: to=<odd@yes\.example>.*status=bounced")
                suite.wait_log(rf"{sent}: to=<to@no\.example>.*status={'deferred' if soft == 'yes' else 'bounced'} "
                               r"\(SASL (\[CACHED\] )?authentication failed; server .* said: 535")
                # The bounce, and the transcript.
                wanted += 2
                home.wait(wanted)
                outputs(suite, yes, no, home)
        for name in ("smtp", "tokenmgr"):
            expect_no_core_files(suite, name)
        # All that is looked for was there to be found.
        spoken = "\n".join([*yes.heard, *no.heard])
        for text in (base64.b64encode(f"\0joe\0{PASSWORD}".encode()), base64.b64encode(PASSWORD.encode()),
                     base64.b64encode(f"user=joe\1auth=Bearer {TOKEN}\1\1".encode())):
            expect(text.decode() in spoken, f"never said: {text}")
            expect(is_found(b"<< " + text + b"\n"), f"not noticed: {text}")
        notices = [m for m in home.messages if m.recipients == ["chief@home.example"]]
        expect(any(b"AUTH PLAIN [...]" in m.data for m in notices), "no transcript with a login")
        expect("AUTH LOGIN" in "\n".join(suite.lines()), "no conversation in the log")
        expect(any(b"[...]" in m.data and b"535" in m.data for m in home.messages), "no refusal in a report")
