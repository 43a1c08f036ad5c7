#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the documents with the tree:

- each program has a page in man/man8, each command of ctl/ one in man/man1, and each page belongs to
  a program, a command or a file format;
- mandoc has nothing to say about any page;
- the SYNOPSIS of a worker's page has the options that lib/daemon/options.cpp takes, that of
  master(8) those of its getopt(3);
- links in *.md lead somewhere;
- the tests that doc/faults.md names exist;
- the generated parameter page is what tools/gen_params.py would write today.

  check_docs.py [ROOT] | --self-test
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAMS = ["master", "smtpd", "qmgr", "smtp", "lmtp", "bounce", "scache", "tlsmgr", "tokenmgr",
            "saslmgr", "tlsrpt", "anvil"]
COMMANDS = {"postrider": "ctl/main.cpp", "sendmail": "ctl/sendmail.cpp"}


def pages(root):
    return sorted(p for p in (root / "man").glob("man*/*.[1-9]"))


def check_pages(root):
    problems = []
    for program in PROGRAMS:
        if (root / program / "main.cpp").exists() and \
                not any((root / "man/man8").glob(f"*{program}.8")):
            problems.append(f"{program}: no page in man/man8")
    for command, source in COMMANDS.items():
        if (root / source).exists() and not any((root / "man/man1").glob(f"*{command}.1")):
            problems.append(f"{command}: no page in man/man1")
    for page in pages(root):
        name = page.stem.removeprefix("postrider-")
        if page.suffix == ".8" and name not in PROGRAMS:
            problems.append(f"{page.relative_to(root)}: there is no such program")
    if pages(root):
        if shutil.which("mandoc") is None:
            return problems + ["mandoc is not installed: pages not checked"]
        run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning",
                              *(p.relative_to(root) for p in pages(root))],
                             cwd=root, capture_output=True, text=True, check=False)
        problems += [line.removeprefix("mandoc: ") for line in run.stdout.splitlines()]
        if run.returncode != 0 and not run.stdout:
            problems.append(f"mandoc failed: {run.stderr.strip()}")
    return problems


def accepted_options(root, program):
    """The options in the source: what getopt or Boost.ProgramOptions is told; None where neither."""
    own = root / program / "main.cpp"
    getopt = re.search(r'getopt\(argc, argv, "([\w:]+)"', own.read_text()) if own.exists() else None
    if getopt:
        return set(getopt.group(1).replace(":", ""))
    shared = root / "lib/daemon/options.cpp"
    if not own.exists() or not shared.exists():
        return None
    found = re.findall(r'^\s*\("(\w+)(?:,(\w))?"', shared.read_text(), re.M)
    return {short or name for name, short in found}


def described_options(page):
    synopsis = re.search(r"^\.Sh SYNOPSIS$(.*?)^\.Sh ", page.read_text(), re.M | re.S)
    options = set()
    for flags in re.findall(r"^\.Op Fl (.*)$", synopsis.group(1) if synopsis else "", re.M):
        for word in re.sub(r" Ar .*", "", flags).split(" | "):
            options |= {word[1:]} if word.startswith("-") else set(word)
    return options


def check_options(root):
    problems = []
    for program in PROGRAMS:
        page = root / "man/man8" / f"{program}.8"
        accepted = accepted_options(root, program)
        if accepted is None or not page.exists():
            continue
        shown = described_options(page)
        problems += [f"{page.relative_to(root)}: SYNOPSIS: no -{name}" for name in sorted(accepted - shown)]
        problems += [f"{page.relative_to(root)}: SYNOPSIS: -{name}: no such option"
                     for name in sorted(shown - accepted)]
    return problems


def anchor(heading):
    heading = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def check_links(root):
    problems = []
    files = [p for p in root.rglob("*.md")
             if not any(part.startswith((".", "build")) for part in p.relative_to(root).parts[:-1])]
    for path in sorted(files):
        text = re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"),
                      path.read_text(encoding="utf-8"), flags=re.S)
        for match in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", text):
            target = match.group(1)
            place = f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}"
            if re.match(r"[a-z]+:", target):
                continue
            name, _, part = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                problems.append(f"{place}: {target} does not exist")
            elif part and file.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
                if part not in [anchor(h) for h in headings]:
                    problems.append(f"{place}: {target}: no such heading")
    return problems


def check_fault_table(root):
    """The last column of each table names tests that CTest knows: Suite.Test, Suite.*, or a script."""
    page = root / "doc/faults.md"
    if not page.exists():
        return []
    known = set()
    for source in (root / "tests").rglob("*.cpp"):
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", source.read_text(), re.M):
            known |= {f"{suite}.{name}", f"{suite}.*"}
    problems = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("|") or line.startswith(("|---", "| fault |")):
            continue
        place = f"doc/faults.md:{number}"
        named = re.findall(r"`([^`]+)`", line.rstrip("| ").rpartition("|")[2])
        if not named:
            problems.append(f"{place}: no test")
        problems += [f"{place}: there is no test {name}" for name in named
                     if name not in known and not (name.startswith(("integration/", "fault/")) and
                                                   (root / "tests" / name).is_file())]
    return problems


def check_parameters(root):
    script = root / "tools/gen_params.py"
    if not script.exists():
        return []
    run = subprocess.run([sys.executable, script, "--check"], cwd=root, capture_output=True,
                         text=True, check=False)
    if run.returncode == 0:
        return []
    return [line for line in (run.stdout + run.stderr).splitlines() if line] or \
        ["tools/gen_params.py --check failed"]


def check(root):
    return check_pages(root) + check_options(root) + check_links(root) + check_fault_table(root) + \
        check_parameters(root)


PAGE = """.Dd November 21, 2026
.Dt QMGR 8
.Os
.Sh NAME
.Nm qmgr
.Nd queue manager
.Sh DESCRIPTION
It schedules.
"""


SYNOPSIS = PAGE.replace(".Sh DESC", """.Sh SYNOPSIS
.Nm qmgr
.Op Fl v
.Op Fl c Ar directory
.Op Fl -stdio
.Sh DESC""")
OPTIONS = '  ("verbose,v", "")\n  ("config,c", "")\n  ("stdio", "")\n'


def self_test():
    cases = [
        ({}, None),
        ({"qmgr/main.cpp": ""}, "qmgr: no page"),
        ({"ctl/main.cpp": ""}, "postrider: no page"),
        ({"qmgr/main.cpp": "", "man/man8/qmgr.8": PAGE}, None),
        ({"man/man8/ghost.8": PAGE.replace("QMGR", "GHOST").replace("qmgr", "ghost")}, "no such program"),
        ({"qmgr/main.cpp": "", "man/man8/qmgr.8": PAGE + ".Xx what\n"}, "skipping unknown macro"),
        ({"qmgr/main.cpp": "", "man/man8/qmgr.8": SYNOPSIS, "lib/daemon/options.cpp": OPTIONS}, None),
        ({"qmgr/main.cpp": "", "man/man8/qmgr.8": SYNOPSIS,
          "lib/daemon/options.cpp": OPTIONS + '("new,N", ""'}, "qmgr.8: SYNOPSIS: no -N"),
        ({"qmgr/main.cpp": 'getopt(argc, argv, "vc:")', "man/man8/qmgr.8": SYNOPSIS},
         "SYNOPSIS: -stdio: no such option"),
        ({"a.md": "see [b](b.md#two-words)", "b.md": "# One\n## Two `words`\n"}, None),
        ({"a.md": "see [b](c.md)", "b.md": ""}, "c.md does not exist"),
        ({"a.md": "\n[b](b.md#three)", "b.md": "# One\n"}, "a.md:2: b.md#three: no such heading"),
        ({"doc/faults.md": "| fault | test |\n|---|---|\n| a `x` | `A.B`, `C.*`, `fault/d.py` |\n",
          "tests/unit/a.cpp": "TEST(A, B) {}\nTEST_P(C, D) {}\n", "tests/fault/d.py": ""}, None),
        ({"doc/faults.md": "| a | `A.B`, `A.C` |\n", "tests/a.cpp": "TEST_F(A, B) {\n"},
         "doc/faults.md:1: there is no test A.C"),
        ({"doc/faults.md": "| a | somehow |\n"}, "doc/faults.md:1: no test"),
        ({"tools/gen_params.py": "import sys\nprint('page is old')\nsys.exit(1)\n"}, "page is old"),
    ]
    failures = 0
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            found = check(root)
            if (found != []) if expected is None else (len(found) != 1 or expected not in found[0]):
                print(f"expected {expected}, got {found}")
                failures += 1
    print(f"{len(cases) - failures} of {len(cases)} cases as expected")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    problems = check(root if root.is_dir() else root.parent.parent)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
