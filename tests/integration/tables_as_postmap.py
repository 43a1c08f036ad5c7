# SPDX-License-Identifier: MIT
"""Tables answer as Debian's postmap does from the same files: every table type that both have, and
what is wrong in them as well. Differences that are meant are listed with their reason."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from suite import POSTRIDER, expect, expect_equal, skip

if not shutil.which("postmap"):
    skip("no postmap")

TEXT = """\
# comment
User@Example.com  first value
user@example.com\tsecond
plain v1   v2\t
  continued
  # comment within
\tmore

novalue
"quoted key"@example.com  q1
"with \\" quote" q2
half"quoted word"x q3
"open quote
tabs\t\tbetween
@example.com   at domain
.example.com   sub domains
user+ext   extended
1234  5678
colon: y
* wild
key   # not a comment
cr value\r
[192.0.2.1] literal
utf\u00e9 \u00fc
braces {a b}
last line without end"""
TEXT_KEYS = ["user@example.com", "USER@EXAMPLE.COM", "User@example.com", "plain", "Plain", "plain ",
             "novalue", '"quoted key"@example.com', "quoted key", '"quoted', '"with \\" quote"',
             'with " quote', 'half"quoted word"x', 'half"quoted', '"open', "open", "tabs",
             "@example.com", ".example.com", "example.com", "user+ext", "user", "1234", "colon:",
             "colon", "*", "key", "cr", "cr\r", "[192.0.2.1]", "utf\u00e9", "braces", "last",
             "#", "x" * 3000, "", " ", "continued", "more"]

RULES = """\
# patterns
/^Exact$/ exact
/(bad/ x
/nothing/
/case/i sensitive
/^(.*)@(.*)\\.example$/  $2 and $1
!/[a-z]/  no letters
~a/b~ slashes
/with space/ blank
/dollar/ costs $$5 $$$$ $${1}
/forms(.)(.)/ ${1}-$(2)-$1
/(optional)?only/ <$1>
/unknown/Q flag
/noend x
/index/ $1
/zero(.)/ $0
/(letter)/ $1x
!/(neg)/ $1
if /^if/
/one/ if one
if !/two/
/three/ if three
endif
/two/ if two
endif
endif
IF /upper/
/upper/ uppercase
ENDIF
if /extra/ text
/extra text/ extra
endif  behind
rubbish
/contin/
  ued
/multi
  line/ pattern
/a\\/b/ escaped
/e{3}$/ braces
/(x|y)(z)?$/ [$1$2]
/^\\*$/ star
/end$/m multi
/[[:digit:]]{4}/ digits
if /unclosed/
/unclosed/ block
"""
RULE_KEYS = ["exact", "EXACT", "exactly", "nothing", "case", "CASE", "user@host.example",
             "User@Host.EXAMPLE", "a@b@c.example", "user@host.example.com", "12345-", "...", "",
             "has a/b inside", "with space", "with  space", "a dollar", "forms12", "FORMSab",
             "optionalonly", "only", "unknown", "noend x", "index", "zero1", "letter", "NEG",
             "if one", "if three", "if two", "if two three", "if four", "one", "three", "upper",
             "extra", "extra text", "rubbish", "contin", "multi  line", "multi\tline", "eee", "eeeee",
             "ee", "x", "yz", "xz!", "*", "the end", "1234", "x1234", "unclosed", "\u00e9",
             "a" * 5000, "k" * 2999 + "x", "@", "@.example"]
PCRE_RULES = """\
/^look(?!ahead)/ free
/(?<name>n+)amed/ $1
/space d/x extended
/anchored/A at front
/dollar\\n?$/E end
/(g+)reedy/U <$1>
/(g+?)reedy2/ <$1>
/obsolete/X x
/^\\d{2,4}$/ number
/\\bword\\b/ bounded
/(a)|(b)|(c)/ [$1$2$3]
"""
PCRE_KEYS = ["look", "lookahead", "lookat", "nnamed", "spaced", "space d", "anchored", "not anchored",
             "dollar", "ggreedy", "ggreedy2", "obsolete", "12", "12345", "a word here", "wordy", "b",
             "C", "zzz"]
NETWORKS = """\
10.0.0.1/8 host bits
10.0.0.0/33 mask
10.9.0.0/16
192.0.2.0/25 low
192.0.2.128/25 high
192.0.2.1 late
198.51.100.7 single
if 172.16.0.0/12
172.16.5.0/24 five
!172.17.0.0/16 not seventeen
172.17.1.1 one
endif
if !203.0.113.0/24
203.0.113.9 never
endif
2001:db8::/32 six
2001:db8:1::/48 never
[2001:db9::1] brackets
::1 loopback
fe80::/10 link
not an address
0.0.0.0/1 lower half
!2002::/16 not six to four
"""
NETWORK_KEYS = ["10.0.0.1", "10.9.1.1", "192.0.2.1", "192.0.2.127", "192.0.2.128", "192.0.2.255",
                "192.0.3.0", "198.51.100.7", "198.51.100.8", "172.16.5.9", "172.16.6.9", "172.17.1.1",
                "172.17.1.2", "172.32.0.1", "203.0.113.9", "203.0.113.1", "2001:db8::1",
                "2001:DB8:1::1", "2001:db9::1", "::1", "fe80::1", "fec0::1",
                "2002::1", "1.2.3.4", "200.1.1.1", "example.com", "", "1.2.3", "300.1.1.1", "2003::1"]

TABLES = [  # (specification with {dir}, keys)
    ("texthash:{dir}/text", TEXT_KEYS),
    # postmap gives up on keys that LMDB cannot hold; here they are not found
    ("lmdb:{dir}/text", [key for key in TEXT_KEYS if 0 < len(key) < 500]),
    ("lmdb:{dir}/theirs", [key for key in TEXT_KEYS if 0 < len(key) < 500]),
    ("regexp:{dir}/rules", RULE_KEYS),
    ("pcre:{dir}/rules", RULE_KEYS),
    ("pcre:{dir}/pcre", PCRE_KEYS),
    ("cidr:{dir}/networks", NETWORK_KEYS),
    ("regexp:{{ {{/^(in)line/ <$1>}}, {{/other/ x y}} }}", ["inline", "an other", "none"]),
    ("pcre:{{ {{/^a{{2}}/ two}}, {{if /b/}} {{/c/ b and c}} {{endif}} }}", ["aa", "a", "bc", "c"]),
    ("cidr:{{ {{10.0.0.0/8 ten}}, {{::/0 all}} }}", ["10.1.1.1", "11.1.1.1", "::5"]),
    ("static:one", ["any", "", "user@example.com"]),
    ("static:{{ some words }}", ["any"]),
    ("inline:{{a=1, b=2 c=3, {{ d = four words }}, A=5, e=f=g}}",
     ["a", "A", "b", "c", "d", "e", "f", "x", ""]),
    ("randmap:{{only}}", ["any"]),
    ("unionmap:{{static:a, inline:{{k=b}}, texthash:{dir}/text}}", ["k", "plain", "none"]),
    ("unionmap:{{inline:{{k=b}}, pcre:{dir}/pcre}}", ["k", "12", "look", "zzz"]),
    ("pipemap:{{texthash:{dir}/text, inline:{{5678=end}}}}", ["1234", "plain", "none"]),
    ("pipemap:{{pcre:{{{{/(.*)@/ $1}}}}, texthash:{dir}/text, static:x}}",
     ["1234@x", "PLAIN@y", "none@z", "1234"]),
    ("socketmap:unix:{dir}/socket:name",
     ["found", "Found", "missing", "spaces", "long"]),
    ("socketmap:inet:127.0.0.1:{port}:name", ["found", "missing"]),
]
# Both fail the lookup.
TROUBLE = ["temp", "timeout", "perm", "unknown", "garbage", "toolong", "nocomma", "cut"]
TROUBLE_TABLES = ["fail:x", "unionmap:{static:a, fail:x}", "pipemap:{static:a, fail:x}",
                  "texthash:/nonexistent/table", "pcre:/nonexistent/table"]
BAD_SPECS = ["nosuch:x", "texthash:", "inline:{}", "inline:{a}", "inline:a=b", "pipemap:{}",
             "unionmap:static:a", "randmap:{}", "pcre:{/x/ y}", "static:", "regexp:{{/x/ y}"]

DIFFERENT = [
    # ({files}, table, key, ours, postmap's, reason)
    ({"bom": "\ufeffkey value\n"}, "texthash:{dir}/bom", "key", "value", None,
     "a byte order mark is no part of the first key"),
    ({"crs": "key value\r\n more\r\n"}, "texthash:{dir}/crs", "key", "value more", "value\r more",
     "a CR before each line end is no part of a value"),
    ({"if": "if /(/\n/x/ within\nendif\n/x/ behind\n"}, "regexp:{dir}/if", "x", "behind", "within",
     "rules behind an if that cannot be understood are not for every key"),
    ({"ci": "if 10.0.0.0/33\n10.0.0.1 within\nendif\n10.0.0.0/8 behind\n"}, "cidr:{dir}/ci",
     "10.0.0.1", "behind", "within", "the same"),
    ({"two": "/x/!/y/ result\n"}, "regexp:{dir}/two", "x", None, "result",
     "two patterns in one rule are not in the manual page; write if !/y/"),
    ({"mapped": "192.0.2.0/24 net\n"}, "cidr:{dir}/mapped", "::ffff:192.0.2.1", "net", None,
     "an IPv4 address in the form of IPv6 is that IPv4 address"),
    ({}, "cidr:{dir}/networks", "[2001:db9::1]", "brackets", None,
     "an address in brackets is that address"),
    ({}, "randmap:{{ {{two words}} }}", "any", "two words", "{two words}",
     "braces hold words together here as in all other tables"),
    ({"fold": "\u00e9 value\n"}, "texthash:{dir}/fold", "\u00c9", None, "value",
     "only ASCII letters lose their case"),
    ({"endless": "/^(a+)+$/ x\n/./ behind\n"}, "pcre:{dir}/endless", "a" * 40 + "!", "ERROR", "behind",
     "a pattern that takes too long is trouble, not a match that failed"),
]


def netstring(payload):
    return str(len(payload)).encode() + b":" + payload + b","


ANSWERS = {
    "found": netstring(b"OK its value"),
    "Found": netstring(b"OK another value"),
    "missing": netstring(b"NOTFOUND "),
    "spaces": netstring(b"OK  two  spaces"),
    "long": netstring(b"OK " + b"x" * 99_000),
    "temp": netstring(b"TEMP later"),
    "timeout": netstring(b"TIMEOUT slow"),
    "perm": netstring(b"PERM never"),
    "unknown": netstring(b"WHAT is this"),
    "garbage": b"\xff\xfe garbage without any end" * 100,
    "toolong": b"200000:OK " + b"x" * 200_000,
    "nocomma": b"4:OK x;",
    "cut": b"9:OK",  # and the end
}


def serve(connection):
    with connection, contextlib.suppress(OSError):
        text = b""
        while piece := connection.recv(65536):
            text += piece
            while b":" in text:
                length, _, rest = text.partition(b":")
                if len(rest) <= int(length):
                    break
                table, _, key = rest[:int(length)].decode().partition(" ")
                text = rest[int(length) + 1:]
                assert table == "name", table
                connection.sendall(ANSWERS[key])
                if key == "cut":
                    return


def listen(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def run(command, keys):
    """({key: value}, failed)"""
    done = subprocess.run(command, input="".join(key + "\n" for key in keys).encode(), check=False,
                          capture_output=True, timeout=60)
    found = dict(line.split("\t", 1)
                 for line in done.stdout.decode("utf-8", "replace").split("\n") if "\t" in line)
    return found, done.returncode not in (0, 1) or b"fatal" in done.stderr, done.stderr.decode()


with tempfile.TemporaryDirectory(prefix="postrider-test-") as top:
    top = pathlib.Path(top)
    os.chmod(top, 0o755)
    (top / "main.cf").write_text("mydestination =\nsmtputf8_enable = yes\n")
    for name, text in {"text": TEXT, "rules": RULES, "pcre": PCRE_RULES, "networks": NETWORKS}.items():
        (top / name).write_text(text, newline="")
    types = subprocess.run(["postconf", "-c", top, "-m"], capture_output=True, text=True,
                           check=True).stdout.split()
    subprocess.run([POSTRIDER, "map", "build", top / "text"], check=True, capture_output=True)
    (top / "theirs").write_text(TEXT, newline="")
    subprocess.run(["postmap", "-c", top, f"lmdb:{top}/theirs"], check=True, capture_output=True)
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(top / "socket"))
    internet = socket.create_server(("127.0.0.1", 0))
    for listener in (local, internet):
        listener.listen()
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
    place = {"dir": top, "port": internet.getsockname()[1]}

    def postmap(spec, keys):
        return run(["postmap", "-c", top, "-q", "-", spec], keys)

    def ours(spec, keys):
        return run([POSTRIDER, "map", "-q", "-", spec], keys)

    lookups = 0
    for template, keys in TABLES:
        spec = template.format(**place)
        kind = spec.partition(":")[0]
        if kind not in types:
            skip(f"postmap has no {kind}: install postfix-{kind}")
        his, failed, said = postmap(spec, keys)
        expect(not failed, f"postmap answers: {spec}: {said}")
        mine, failed, said = ours(spec, keys)
        expect(not failed, f"postrider answers: {spec}: {said}")
        for key in keys:
            expect_equal(mine.get(key), his.get(key), f"{spec} {key[:60]!r}")
            lookups += 1
    for key in TROUBLE:
        spec = "socketmap:unix:{dir}/socket:name".format(**place)
        for ask in (postmap, ours):
            found, failed, said = ask(spec, [key])
            expect(failed and not found, f"{ask.__name__} {key}: {found} {said}")
        lookups += 1
    for spec in TROUBLE_TABLES + BAD_SPECS:
        for ask in (postmap, ours):
            found, failed, said = ask(spec, ["key"])
            expect(failed and not found, f"{ask.__name__} {spec}: {found} {said}")
        lookups += 1
    for files, template, key, mine, his, reason in DIFFERENT:
        for name, text in files.items():
            (top / name).write_text(text, newline="", encoding="utf-8")
        spec = template.format(**place)
        expect_equal(postmap(spec, [key])[0].get(key), his, f"postmap {spec}: {reason}")
        found, failed, _ = ours(spec, [key])
        expect_equal("ERROR" if failed else found.get(key), mine, f"{spec}: {reason}")
        lookups += 1
    expect(lookups >= 150, f"{lookups} lookups")
    print(f"{lookups} lookups")
