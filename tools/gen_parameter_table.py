#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes doc/parameters.md: each parameter of Postfix's smtp(8) page (tools/smtp8_parameters.txt) and
each further one of the clients and of the receiving side, with its default, whether it works, where it
is read, and which tests show that it acts; and what maddy, Haraka and mailfront call it
(tools/forwarding_items.txt).

A test says what it shows in a comment: `# shows: smtp_helo_timeout smtp_rcpt_timeout` (or //). One that
runs the programs must set the parameter, too, or what follows smtp_ or lmtp_.

  gen_parameter_table.py             writes the table
  gen_parameter_table.py --check     fails when a parameter is missing in it, when a row says what is not
                                     so, when a parameter that works has no test, or when a test
                                     claims to show what does not exist
  gen_parameter_table.py --gaps      the parameters that work and have no test
  gen_parameter_table.py --self-test
"""
import pathlib
import re
import sys
import tempfile

import gen_params

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = "tools/smtp8_parameters.txt"
TABLE = "doc/parameters.md"
SHOWS = re.compile(r"(?:#|//)\s*shows:\s*(.*)")
CLIENTS = {"smtp", "lmtp"}
ITEMS = "tools/forwarding_items.txt"
RECEIVING = {"smtpd", "saslmgr", "anvil", "tlsrpt"}
# What is right without a reader of its own.
READ_BY_NATURE = {"reject_tempfail_action": "lib/config/parameters.def",
                  "stress": "lib/config/parameters.def", "mynetworks_style": "lib/config/settings.cpp",
                  "process_id": "lib/config/settings.cpp", "process_name": "lib/config/settings.cpp",
                  "config_directory": "lib/config/settings.cpp"}
HEAD = """# Parameters of the clients and of the receiving side

Each parameter of Postfix's smtp(8) page, with the form for LMTP where there is one, and below them what
else the clients read, what the receiving side reads, and what other forwarders call it. Made by `tools/gen_parameter_table.py`; `ctest -R parameter_table` compares it
with the tree. Meanings are in postrider.cf(5).
"""


class Facts:
    """What the tree says about each name."""

    def __init__(self, root):
        self.root = root
        self.rows = {row.name: row for row in gen_params.read_rows(root / "lib/config/parameters.def")}
        self.sections = read_page(root)
        self.page = [name for _, names in self.sections for name in names]
        self.items = read_items(root)
        self.sources = texts(root, ("cpp", "hpp"), lambda top: top not in ("tests", "tools"))
        self.tests = texts(root / "tests", ("cpp", "py"), lambda top: top != "support")
        self.shown = {}
        self.problems = []
        for path, text in self.tests.items():
            claimed = " ".join(SHOWS.findall(text)).replace(",", " ").split()
            body = SHOWS.sub("", text)
            for name in claimed:
                if self.row(name) is None:
                    self.problems.append(f"{path}: shows {name}: no such parameter")
                elif path.suffix == ".py" and \
                        not any(re.search(rf"\b{word}\b", body) for word in spellings(name)):
                    self.problems.append(f"{path}: shows {name}, but does not name it")
                else:
                    self.shown.setdefault(name, []).append(f"{path}")

    def row(self, name):
        if name in self.rows:
            return self.rows[name]
        # smtp_destination_recipient_limit and the like are one form of default_...
        prefix, _, rest = name.partition("_")
        return self.rows.get("default_" + rest) if prefix in CLIENTS else None

    def mirror(self, name):
        """The LMTP form of a name of the page, or None."""
        if not name.startswith("smtp_"):
            return None
        for other in ("lmtp_" + name[5:], re.sub("ehlo|helo", "lhlo", "lmtp_" + name[5:])):
            if other in self.page:
                return None  # has a row of its own
            if self.row(other) is not None and not (name not in self.rows and other in self.rows):
                return other
        return None

    def names(self):
        """[(section, names)]: those of the page and their mirrors, then the clients' others."""
        found, seen = [], set()
        for section, names in self.sections:
            mine = []
            for name in names:
                mine += [n for n in (name, self.mirror(name)) if n]
            found.append((section, mine))
            seen.update(mine)
        others = [row.name for row in self.rows.values() if row.macro in gen_params.LIVE and
                  row.name not in seen and CLIENTS & set(row.owners.split(", "))]
        found.append(("Further parameters of the clients", others))
        seen.update(others)
        found.append(("The receiving side", [
            row.name for row in self.rows.values() if row.macro in gen_params.LIVE and
            row.name not in seen and RECEIVING & set(row.owners.split(", "))]))
        return found

    def status(self, name):
        row = self.row(name)
        if row is None:
            return "missing"
        if row.macro in gen_params.LIVE:
            return "works" if name in self.rows else f"works, as {row.name}"
        if row.macro == "ALIAS":
            return f"stands for {row.args[1]}"
        if row.macro == "OBSOLETE":
            return f"no effect: {row.about}"
        if row.macro == "UNSAFE":
            return f"not yet; refused unless {' or '.join(row.args[1].split('|')) or 'empty'}"
        return "not yet; a warning"

    def readers(self, name):
        row = self.row(name)
        if row.macro not in gen_params.LIVE:
            return []
        if name in READ_BY_NATURE:
            return [READ_BY_NATURE[name]]
        quoted = [f'"{word}"' for word in spellings(name)]
        owners = set(row.owners.split(", "))
        found = []
        for path, text in self.sources.items():
            if path.parts[:2] == ("lib", "config"):
                continue
            # A program's folder reads for itself alone.
            if path.parts[0] != "lib" and "all" not in owners and path.parts[0] not in owners and \
                    path.parts[0] != "ctl":
                continue
            if any(word in text for word in quoted):
                found.append(path)
        exact = [p for p in found if f'"{name}"' in self.sources[p]]
        return sorted(map(str, exact or found))


def texts(root, suffixes, wanted):
    found = {}
    for suffix in suffixes:
        for path in sorted(root.glob(f"**/*.{suffix}")):
            short = path.relative_to(root)
            if not short.parts[0].startswith(("build", ".")) and wanted(short.parts[0]):
                found[short] = path.read_text(errors="replace")
    return found


def read_page(root):
    sections = []
    for line in (root / PAGE).read_text().splitlines()[1:]:
        if line.startswith("# "):
            sections.append((line[2:], []))
        elif line:
            sections[-1][1].append(line)
    return sections


def read_items(root):
    """[(title, [(what it is called, [parameters of ours], what does it otherwise)])]"""
    found = []
    path = root / ITEMS
    for line in path.read_text().splitlines()[1:] if path.exists() else []:
        if line.startswith("# "):
            found.append((line[2:], []))
        elif line:
            name, _, ours = line.partition(" = ")
            plain = ours.startswith("(")
            found[-1][1].append((name, [] if plain else ours.split(", "), ours if plain else ""))
    return found


def item_lines(facts):
    lines = []
    for title, items in facts.items:
        lines += [f"## {title}", "", "| there | here |", "|---|---|"]
        lines += [f"| {name} | {', '.join(f'`{one}`' for one in ours) or other[1:-1]} |"
                  for name, ours, other in items]
        lines.append("")
    return lines


def spellings(name):
    """How code asks for a parameter: whole, or without the prefix of the client or transport."""
    short = re.sub("^(smtp|lmtp|default)_", "", name)
    return {name, short, short.replace("lhlo", "helo"), short.replace("lhlo", "ehlo")}


def default(facts, name):
    row = facts.row(name)
    if row.macro == "READ_ONLY":
        return "(read only)"
    if row.macro not in gen_params.LIVE:
        return ""
    value = gen_params.COMPUTED.get(row.initial)
    return f"({value})" if value else f"`{row.initial}`" if row.initial else "empty"


def cells(facts, name):
    return [f"`{name}`", default(facts, name), facts.status(name),
            ", ".join(facts.readers(name)), ", ".join(facts.shown.get(name, []))]


def write(facts):
    lines = [HEAD]
    for section, names in facts.names():
        lines += [f"## {section}", "", "| parameter | default | status | read in | shown by tests/ |",
                  "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(facts, name)) + " |"
                  for name in names]
        lines.append("")
    return "\n".join(lines + item_lines(facts))


def gaps(facts):
    return [name for _, names in facts.names() for name in names
            if facts.status(name).startswith("works") and name not in facts.shown]


def check(facts):
    problems = list(facts.problems)
    problems += [f"{PAGE}: {name}: not in parameters.def" for name in facts.page
                 if facts.row(name) is None]
    for title, items in facts.items:
        problems += [f"{ITEMS}: {title}: {name}: {one} does not work or is not shown by a test"
                     for name, ours, _ in items for one in ours
                     if facts.row(one) is None or not facts.status(one).startswith("works") or
                     one not in facts.shown]
    if problems:
        return problems
    path = facts.root / TABLE
    if path.exists() and not set(item_lines(facts)) <= set(path.read_text().splitlines()):
        problems.append(f"{TABLE}: differs from {ITEMS}; run tools/gen_parameter_table.py")
    table = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if row and row[0].startswith("`"):
            table[row[0].strip("`")] = [cell.replace("\\|", "|") for cell in row]
    for _, names in facts.names():
        for name in names:
            if name not in table:
                problems.append(f"{TABLE}: no row for {name}")
                continue
            row, truth = table[name], cells(facts, name)
            if row[:3] != truth[:3]:
                problems.append(f"{TABLE}: {name}: says {row[1:3]}, is {truth[1:3]}")
            # A row may name fewer places than there are today, but none that is wrong.
            for said, true in ((row[3], truth[3]), (row[4], truth[4])):
                wrong = set(said.split(", ")) - set(true.split(", "))
                if wrong or bool(said) != bool(true):
                    problems.append(f"{TABLE}: {name}: says '{said}', is '{true}'")
    problems += [f"{name}: no test shows it" for name in gaps(facts)]
    problems += [f"{name}: nothing reads it" for _, names in facts.names() for name in names
                 if facts.status(name).startswith("works") and not facts.readers(name)]
    return problems


def self_test():
    def tree(directory, table=True, **changes):
        files = {
            PAGE: "# head\n\n# First\nsmtp_a\nb_limit\nold\n",
            "lib/config/parameters.def":
                '// ---- X\nTEXT(smtp_a, "1", "smtp", "A.")\nTEXT(lmtp_a, "2", "lmtp", "A.")\n'
                'NUMBER(b_limit, "3", 0, 9, "smtp", "B.")\nOBSOLETE(old, "it is old")\n'
                'TEXT(c, "", "smtp", "C.")\nTEXT(other, "", "qmgr", "No client.")\n',
            "lib/x/options.cpp": 'client.text("a"); settings.number("b_limit"); text("c")',
            "tests/unit/x_test.cpp": "// shows: smtp_a lmtp_a\nset(\"a\");\n",
            "tests/integration/y.py": "# shows: b_limit, c\nSuite(b_limit=1, c=2)\n",
            ITEMS: "# head\n\n# Theirs\ntheir a = smtp_a\nother = (built in)\n",
        }
        files.update(changes)
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        facts = Facts(directory)
        if table:
            (directory / TABLE).parent.mkdir(exist_ok=True)
            known = all(facts.row(name) for name in facts.page)
            (directory / TABLE).write_text(write(facts) if known else "")
        return facts

    cases = [
        ("a good tree", {}, ""),
        ("a page with more", {PAGE: "# head\n\n# First\nsmtp_a\nunknown\n"}, "unknown: not in"),
        ("no test", {"tests/integration/y.py": "# shows: c\nSuite(c=2)\n"}, "b_limit: no test"),
        ("an item of others that nothing does", {ITEMS: "# head\n\n# Theirs\nx = old\n"},
         "x: old does not work"),
        ("no reader", {"lib/x/options.cpp": 'text("a"); text("c")'}, "b_limit: nothing reads"),
        ("a claim about nothing", {"tests/integration/y.py": "# shows: zzz\n"}, "zzz: no such"),
        ("an empty claim", {"tests/integration/y.py": "# shows: b_limit\npass\n"},
         "does not name it"),
    ]
    failures = 0
    for title, changes, expected in cases:
        with tempfile.TemporaryDirectory() as name:
            found = "\n".join(check(tree(pathlib.Path(name), **changes)))
            if (expected not in found) if expected else found:
                print(f"{title}: {found or 'no problem found'}")
                failures += 1
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        tree(directory)
        for old, new, expected in (("| `lmtp_a`", "| `gone`", "no row for lmtp_a"),
                                   ("| `1` |", "| `7` |", "smtp_a: says"),
                                   ("lib/x/options.cpp", "lib/x/other.cpp", "smtp_a: says"),
                                   ("unit/x_test.cpp", "unit/z_test.cpp", "smtp_a: says"),
                                   ("| their a |", "| their b |", "differs from")):
            whole = write(Facts(directory))
            (directory / TABLE).write_text(whole.replace(old, new))
            if expected not in "\n".join(check(Facts(directory))):
                print(f"'{new}' in the table was not noticed")
                failures += 1
        cases += [None] * 5
    print(f"{len(cases) - failures} of {len(cases)} cases as expected")
    return failures


def main():
    option = sys.argv[1] if len(sys.argv) == 2 else "" if len(sys.argv) == 1 else "?"
    if option == "--self-test":
        sys.exit(1 if self_test() else 0)
    facts = Facts(ROOT)
    if option == "--check":
        problems = check(facts)
        sys.exit("\n".join(problems) if problems else 0)
    if option == "--gaps":
        print("\n".join(gaps(facts)))
        return
    if option:
        sys.exit(__doc__)
    if facts.problems:
        print("\n".join(facts.problems), file=sys.stderr)
    (ROOT / TABLE).write_text(write(facts))


if __name__ == "__main__":
    main()
