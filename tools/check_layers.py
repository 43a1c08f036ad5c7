#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Refuses an #include that crosses the layers. The USES lists of the postrider_lib() and
postrider_program() calls are the only table: a file of a library may include that library and what
its USES reach; a program may also include its own folder, and never another program's. Headers of
third-party libraries may appear only where THIRD_PARTY says.

  check_layers.py [ROOT]        check the tree
  check_layers.py --self-test   prove that a wrong include is refused
"""
import pathlib
import re
import sys
import tempfile

# header pattern -> places that may include it (prefix of the path), and what it is
THIRD_PARTY = [
    (r"(event2/|event\.h$|evhttp\.h$)", ("lib/ev/", "lib/dns/"), "libevent"),
    (r"lmdb\.h$", ("lib/db/",), "LMDB"),
    (r"unbound(-event)?\.h$", ("lib/dns/",), "libunbound"),
    (r"boost/", ("lib/daemon/options.cpp", "ctl/"), "Boost"),
    (r"nlohmann/", ("ctl/json.cpp", "tokenmgr/json.cpp", "tlsrpt/json.cpp"), "nlohmann-json"),
    (r"idn2\.h$", ("lib/mail/domain.cpp",), "libidn2"),
    (r"seccomp\.h$", ("lib/sandbox/filter.cpp",), "libseccomp"),
    (r"gnutls/", ("lib/tls/",), "GnuTLS"),
    (r"sasl/", ("lib/sasl/",), "Cyrus SASL"),
    (r"curl/", ("lib/http/",), "libcurl"),
    (r"zlib\.h$", ("tlsrpt/gzip.cpp",), "zlib"),
    (r"pcre2\.h$", ("lib/maps/pcre.cpp",), "PCRE2"),
    (r"(gtest|gmock)/", ("tests/",), "GoogleTest"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def cmake_calls(text):
    text = re.sub(r"#[^\n]*", "", text)
    for match in re.finditer(r"(\w+)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        yield match.group(1).lower(), match.group(2).split()


def read_table(root):
    """({library: USES}, {program folder: USES}) in the order of declaration."""
    libs, programs, values, loops = {}, {}, {}, []

    def expand(words):
        out = []
        for word in words:
            match = re.fullmatch(r"\$\{(\w+)\}", word)
            out.extend(values.get(match.group(1), [word]) if match else [word])
        return out

    def keyword(words, name):
        known = ("USES", "LINKS", "FOLDER", "MAIN", "DESTINATION")
        if name not in words:
            return []
        rest = words[words.index(name) + 1:]
        for i, word in enumerate(rest):
            if word in known:
                return rest[:i]
        return rest

    files = [root / "CMakeLists.txt"] + sorted((root / "cmake").glob("*.cmake"))
    for path in files:
        for call, words in cmake_calls(path.read_text()):
            if call == "set" and len(words) > 1:
                values[words[0]] = expand(words[1:])
            elif call == "foreach":
                loops.append((words[0], expand(words[1:])))
            elif call == "endforeach":
                loops.pop()
            elif call in ("postrider_lib", "postrider_program") and "name" not in words[:1]:
                names = [words[0]]
                if loops and words[0] == "${%s}" % loops[-1][0]:
                    names = loops[-1][1]
                for name in names:
                    uses = expand(keyword(words, "USES"))
                    if call == "postrider_lib":
                        libs[name] = uses
                    else:
                        folder = (keyword(words, "FOLDER") or [name])[0]
                        programs.setdefault(folder, []).extend(uses)
    return libs, programs


def closure(names, libs):
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(libs.get(name, []))
    return found


def check(root):
    root = pathlib.Path(root)
    libs, programs = read_table(root)
    problems = []
    if not libs:
        return ["no postrider_lib() call found: nothing could be checked"]
    seen = set()
    for name, uses in libs.items():
        for use in uses:
            if use not in seen:
                problems.append(f"CMakeLists.txt: {name} USES {use}, which is not declared before it")
        seen.add(name)

    def check_file(path, own_lib, own_program, allowed):
        where = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            bracket, target = match.groups()
            line = text.count("\n", 0, match.start(2)) + 1
            place = f"{where}:{line}"
            if bracket == "<":
                for pattern, places, what in THIRD_PARTY:
                    if re.match(pattern, target) and not where.startswith(places):
                        problems.append(f"{place}: <{target}> is {what}, which belongs to "
                                        + ", ".join(places))
                continue
            if ".." in target.split("/"):
                problems.append(f'{place}: "{target}" leaves its folder')
                continue
            first = target.split("/")[0]
            if (root / "lib" / target).is_file():
                if first != own_lib and first not in allowed:
                    problems.append(f'{place}: "{target}": {own_lib or own_program} does not USE {first}')
            elif own_program and (root / own_program / target).is_file():
                pass
            elif own_lib and (path.parent / target).is_file():
                problems.append(f'{place}: "{target}" has to be named from lib/')
            elif "/" in target and first in programs:
                problems.append(f'{place}: "{target}" belongs to the program {first}')
            else:
                problems.append(f'{place}: "{target}" is not in lib/ nor in its own folder')

    sources = lambda folder: sorted([*folder.rglob("*.cpp"), *folder.rglob("*.hpp")])
    for folder in sorted(p for p in (root / "lib").iterdir() if p.is_dir()):
        if folder.name not in libs:
            if sources(folder):
                problems.append(f"lib/{folder.name}: no postrider_lib({folder.name}) call")
            continue
        allowed = closure(libs[folder.name], libs)
        for path in sources(folder):
            check_file(path, folder.name, None, allowed)
    for name, uses in programs.items():
        if (root / name).is_dir():
            for path in sources(root / name):
                check_file(path, None, name, closure(uses, libs))
    return problems


SELF_TEST = {
    "CMakeLists.txt": "postrider_lib(base)\npostrider_lib(ev USES base LINKS x)\n"
                      "postrider_lib(net USES base ev)\npostrider_lib(mail USES base)\n"
                      "include(cmake/programs.cmake)\n",
    "cmake/programs.cmake": "set(all base ev net)\nforeach(program smtpd qmgr)\n"
                            "  postrider_program(${program} USES ${all})\nendforeach()\n",
    "lib/base/fd.hpp": "#pragma once\n",
    "lib/ev/loop.hpp": '#include <event2/event.h>\n#include "base/fd.hpp"\n',
    "lib/net/stream.hpp": '#include "ev/loop.hpp"\n#include "base/fd.hpp"\n#include <vector>\n',
    "lib/mail/address.hpp": '#include "base/fd.hpp"\n',
    "smtpd/session.hpp": '#include "net/stream.hpp"\n',
    "qmgr/qmgr.cpp": '#include "ev/loop.hpp"\n',
}
BAD = [
    ("lib/base/up.cpp", '#include "ev/loop.hpp"\n', "base does not USE ev"),
    ("lib/mail/up.cpp", '\n#include "net/stream.hpp"\n', "up.cpp:2"),
    ("qmgr/other.cpp", '#include "smtpd/session.hpp"\n', "belongs to the program smtpd"),
    ("qmgr/dots.cpp", '#include "../smtpd/session.hpp"\n', "leaves its folder"),
    ("qmgr/mail.cpp", '#include "mail/address.hpp"\n', "qmgr does not USE mail"),
    ("lib/net/raw.cpp", "#include <event2/event.h>\n", "libevent"),
    ("smtpd/json.cpp", "#include <nlohmann/json.hpp>\n", "nlohmann"),
    ("smtpd/gone.cpp", '#include "gone.hpp"\n', "not in lib/"),
    ("lib/tls/x.cpp", "\n", "no postrider_lib(tls)"),
]


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)

        def write(name, text):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

        for name, text in SELF_TEST.items():
            write(name, text)
        found = check(root)
        if found:
            print("the clean tree was refused:", *found, sep="\n  ")
            failures += 1
        for name, text, expected in BAD:
            write(name, text)
            found = check(root)
            if len(found) != 1 or expected not in found[0]:
                print(f"{name}: expected one problem with '{expected}', got {found}")
                failures += 1
            (root / name).unlink()
            if not any((root / name).parent.iterdir()):
                (root / name).parent.rmdir()
    print(f"{len(BAD) + 1 - failures} of {len(BAD) + 1} cases as expected")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
