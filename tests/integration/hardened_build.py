# SPDX-License-Identifier: MIT
"""Every program of a release is built with what makes memory errors harder to use: position independent,
relocations read-only and bound at start, no executable stack, stack protector, checked C functions, and
on x86-64 control-flow enforcement."""
import platform
import re
import subprocess

from suite import BUILD, expect, skip

CACHE = (BUILD / "CMakeCache.txt").read_text()
if not re.search(r"(?m)^CMAKE_BUILD_TYPE:\w+=(Release|RelWithDebInfo)$", CACHE) or \
        re.search(r"(?m)^POSTRIDER_SANITIZE:\w+=\S", CACHE):
    skip("only releases are built so")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True, check=True).stdout


programs = sorted([*(BUILD / "bin").iterdir(), *(BUILD / "libexec/postrider").iterdir()])
expect(len(programs) >= 13, programs)
checked = 0
for program in programs:
    header, segments = readelf("-h", program), readelf("-l", program)
    dynamic, symbols = readelf("-d", program), readelf("--dyn-syms", program)
    expect(re.search(r"Type:\s+DYN \(Position-Independent", header), f"{program}: PIE")
    expect("GNU_RELRO" in segments, f"{program}: RELRO")
    expect(re.search(r"FLAGS.*\b(BIND_)?NOW\b", dynamic), f"{program}: bound at start")
    expect(re.search(r"GNU_STACK\s.*\sRW\s", segments), f"{program}: no executable stack")
    expect("__stack_chk_fail" in symbols, f"{program}: stack protector")
    checked += "_chk@" in symbols.replace("__stack_chk_fail@", "")
    if platform.machine() == "x86_64":  # Debian 12's start files are not marked, so no program is: look at code
        start = subprocess.run(["objdump", "-d", "--disassemble=main", program], capture_output=True, text=True,
                               check=True).stdout
        expect(re.search(r"<main>:\n[^\n]*endbr64", start), f"{program}: control-flow enforcement")
expect(checked >= len(programs) // 2, "_FORTIFY_SOURCE shows in most")
