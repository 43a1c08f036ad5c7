#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the parameter sections of man/man5/postrider.cf.5 and the commented defaults of conf/main.cf
from lib/config/parameters.def.

  gen_params.py           writes both
  gen_params.py --check   fails when they differ from what would be written, when a parameter is
                          malformed, when no program reads a live one, or when a sample names what
                          parameters.def has not
  gen_params.py --unread | --self-test
"""
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEF = ROOT / "lib/config/parameters.def"
MAN = ROOT / "man/man5/postrider.cf.5"
SAMPLE = ROOT / "conf/main.cf"
BEGIN, END = "generated from parameters.def: begin", "generated from parameters.def: end"
LIVE = {"TEXT": 4, "WORDS": 4, "FLAG": 4, "TIME": 6, "NUMBER": 6, "SIZE": 6, "CHOICE": 5,
        "READ_ONLY": 3}
OTHER = {"ALIAS": 2, "OBSOLETE": 2, "MISSING": 1, "UNSAFE": 3}
KINDS = {"TEXT": "text", "WORDS": "list", "FLAG": "yes or no", "TIME": "time", "NUMBER": "number",
         "SIZE": "size", "CHOICE": "word", "READ_ONLY": "read only"}
COMPUTED = {"@config_directory": "where this file is", "@daemon_directory": "where it was installed",
            "@hostname": "the name of this host", "@mydomain": "the domain of this host",
            "@mynetworks": "the addresses of this host"}
# Read by values that the administrator writes; where the default of mynetworks is made.
READ_BY_SETTINGS = {"compatibility_level", "mynetworks_style"}
TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'(.)\'|([^,()"\']+))\s*(,|\))')


class Row:
    def __init__(self, macro, args, section):
        self.macro, self.args, self.section = macro, args, section
        self.name = args[0]
        self.initial = args[1] if macro in LIVE and macro != "READ_ONLY" else ""
        self.owners = args[-2] if macro in LIVE else ""
        self.about = args[-1]


def parse_arguments(text, at):
    args = []
    while True:
        found = TOKEN.match(text, at)
        if not found:
            raise ValueError("cannot read: " + text[at:at + 60])
        quoted, char, bare, end = found.groups()
        args.append(quoted if quoted is not None else char if char else bare.strip())
        at = found.end()
        if end == ")":
            return args


def read_rows(definitions=DEF):
    rows, section = [], ""
    for number, line in enumerate(definitions.read_text().splitlines(), 1):
        if line.startswith("// ---- "):
            section = line[8:]
        found = re.match(r"([A-Z_]+)\(", line)
        if not found:
            continue
        macro = found.group(1)
        try:
            args = parse_arguments(line, found.end())
        except ValueError as error:
            sys.exit(f"{definitions}:{number}: {error}")
        variants = [(macro, args)]
        if macro.startswith("CLIENT_"):
            macro = macro[7:]
            lmtp = [f"The LMTP form of smtp_{args[0]}."]
            variants = [(macro, ["smtp_" + args[0], *args[1:-1], "smtp", args[-1]]),
                        (macro, ["lmtp_" + args[0], *args[1:-1], "lmtp", *lmtp])]
            if macro == "MISSING":
                variants = [(macro, [p + args[0]]) for p in ("smtp_", "lmtp_")]
        for kind, values in variants:
            want = LIVE.get(kind, OTHER.get(kind))
            if want != len(values):
                sys.exit(f"{definitions}:{number}: {kind} takes {want} arguments, not {len(values)}")
            rows.append(Row(kind, values, section))
    return rows


def escape(text):
    text = text.replace("\\", "\\e").replace('"', "\\(dq").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def sentences(text):
    """One sentence a line, as mdoc wants it."""
    return [escape(part) for part in re.split(r"(?<=[.?!])\s+", text)]


def describe(row):
    kind = KINDS[row.macro]
    if row.macro == "READ_ONLY":
        head = kind
    else:
        value = COMPUTED.get(row.initial, row.initial or "empty")
        head = f"{kind}; default: {value}"
    lines = [f".It Va {row.name} Pq {escape(head)}", *sentences(row.about)]
    if row.macro == "CHOICE":
        words = [word or "(empty)" for word in row.args[2].split("|")]
        lines.append("One of: " + escape("; ".join(words)) + ".")
    if row.macro in ("NUMBER", "SIZE"):
        low, high = row.args[2], row.args[3]
        lines.append(f"At least {low}." if high == "kNoLimit" else f"From {low} to {high}.")
    if row.macro == "TIME" and row.args[2] != "s":
        unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[row.args[2]]
        lines.append(f"Without a unit: {unit}.")
    lines.append(f"Read by: {row.owners}.")
    return lines


def compact(rows):
    return [f".It Va {row.name}" for row in sorted(rows, key=lambda r: r.name)]


def man_section(rows):
    out = []
    sections = list(dict.fromkeys(row.section for row in rows if row.macro in LIVE))
    for section in sections:
        mine = sorted((r for r in rows if r.section == section and r.macro in LIVE),
                      key=lambda r: r.name)
        out += [f".Ss {escape(section)}", ".Bl \\-tag \\-width Ds".replace("\\-", "-")]
        for row in mine:
            out += describe(row)
        out.append(".El")
    groups = {
        "ALIAS": ("Replaced names", "The value goes to the parameter named; there is a warning."),
        "OBSOLETE": ("Names without effect", "Accepted with a warning, for the sake of files from "
                                             "Postfix."),
        "UNSAFE": ("Refused values", "This version cannot do what these ask for, and to ignore them "
                                     "would be unsafe: any value but those given is an error."),
        "MISSING": ("Not in this version", "Known from Postfix, accepted with a warning, no effect."),
    }
    for macro, (title, text) in groups.items():
        mine = sorted((r for r in rows if r.macro == macro), key=lambda r: r.name)
        out += [f".Ss {title}", text]
        if macro == "MISSING":
            out += [".Bl -item -compact"]
            for row in mine:
                out += [".It", f".Va {row.name}"]
        else:
            out += [".Bl -tag -width Ds"]
            for row in mine:
                out.append(f".It Va {row.name}")
                if macro == "ALIAS":
                    out += ["See", f".Va {row.args[1]} ."]
                elif macro == "UNSAFE":
                    values = " or ".join(row.args[1].split("|")) if row.args[1] else "only empty"
                    out += [escape(f"Accepted: {values}.")]
                    out += sentences(row.about[0].upper() + row.about[1:] + ".")
                else:
                    out += sentences(row.about[0].upper() + row.about[1:] + ".")
        out.append(".El")
    return out


def sample_section(rows):
    out = []
    section = None
    for row in rows:
        if row.macro not in LIVE or row.macro == "READ_ONLY" or row.name.startswith("lmtp_"):
            continue
        if row.section != section:
            section = row.section
            out += ["", f"# ---- {section}"]
        value = COMPUTED.get(row.initial)
        out.append(f"#{row.name} = " + (f"({value})" if value else row.initial))
    return [line.rstrip() for line in out]


def replaced(path, lines, comment):
    """The file's text with `lines` between its two marks."""
    text = path.read_text()
    first, last = f"{comment} {BEGIN}\n", f"{comment} {END}\n"
    if text.count(first) != 1 or text.count(last) != 1:
        sys.exit(f"{path}: needs the marks '{first.strip()}' and '{last.strip()}' once each")
    head, rest = text.split(first)
    tail = rest.split(last)[1]
    return head + first + "\n".join(lines) + "\n" + last + tail


def check_samples(rows):
    known = {row.name for row in rows}
    problems = []
    for path in (SAMPLE, ROOT / "conf/master.cf"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            names = re.findall(r"-o (\w+)\s*=", line) if path.name == "master.cf" else \
                re.findall(r"^#?(\w+) = ", line)
            problems += [f"{path}:{number}: {name}: not in parameters.def"
                         for name in names if name not in known]
    return problems


def unread(rows, root):
    """Live parameters that no source file names and no other default uses."""
    text = ""
    for suffix in ("cpp", "hpp"):
        for path in root.glob(f"**/*.{suffix}"):
            short = path.relative_to(root)
            # What reads the files knows every name and acts on none.
            if short.parts[0] != "tests" and not short.parts[0].startswith(("build", ".")) and \
                    short.parts[:2] != ("lib", "config"):
                text += path.read_text(errors="replace")
    live = [row for row in rows if row.macro in LIVE and row.macro != "READ_ONLY"]
    found = []
    for row in live:
        # Clients and transports are asked for by what follows the prefix, LMTP by the SMTP names.
        short = re.sub("^(smtp|lmtp|default)_", "", row.name)
        names = {row.name, short, short.replace("lhlo", "helo"), short.replace("lhlo", "ehlo")}
        used = re.compile(rf"\$[{{(]?{row.name}\b")
        if row.name not in READ_BY_SETTINGS and not any(f'"{name}"' in text for name in names) and \
                not any(used.search(other.initial) for other in live):
            found.append(row.name)
    return found


def self_test():
    def row(name, initial=""):
        return Row("TEXT", [name, initial, "smtp", "Text."], "A section")

    source = 'x.text("myhostname"); client.text("helo_name"); client.flag("quote");'
    cases = [
        ([row("myhostname")], []),
        ([row("yourhostname")], ["yourhostname"]),
        ([row("smtp_helo_name"), row("lmtp_lhlo_name")], []),
        ([row("smtp_quotes"), row("lmtp_quote")], ["smtp_quotes"]),
        ([row("load"), row("myhostname", "${load?{a}}")], []),
        ([row("load"), row("myhostname", "$loader")], ["load"]),
        ([row("compatibility_level")], []),
        ([Row("READ_ONLY", ["process_id", "all", "Text."], "A section")], []),
    ]
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in (("smtp/main.cpp", source), ("tests/a.cpp", '"yourhostname"'),
                           ("build-x/a.cpp", '"smtp_quotes"')):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text)
        for rows, expected in cases:
            if unread(rows, root) != expected:
                print(f"expected {expected}, got {unread(rows, root)}")
                failures += 1
    print(f"{len(cases) - failures} of {len(cases)} cases as expected")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    rows = read_rows()
    names = [row.name for row in rows]
    doubles = {name for name in names if names.count(name) > 1}
    if doubles:
        sys.exit(f"{DEF}: named twice: {', '.join(sorted(doubles))}")
    if sys.argv[1:] == ["--unread"]:
        print("\n".join(unread(rows, ROOT)))
        return
    files = [(MAN, replaced(MAN, man_section(rows), '.\\"')),
             (SAMPLE, replaced(SAMPLE, sample_section(rows), "#"))]
    if sys.argv[1:] == ["--check"]:
        problems = [f"{path}: differs from parameters.def; run tools/gen_params.py"
                    for path, text in files if path.read_text() != text] + check_samples(rows) + \
            [f"{DEF}: {name}: no program reads it; let one, or say MISSING or OBSOLETE"
             for name in unread(rows, ROOT)]
        if problems:
            sys.exit("\n".join(problems))
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    for path, text in files:
        path.write_text(text)


if __name__ == "__main__":
    main()
