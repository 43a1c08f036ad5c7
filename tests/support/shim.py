# SPDX-License-Identifier: MIT
"""Programs of a suite whose clock, memory, descriptors and forks a test controls while they run (shim.c).

    suite = Suite(start=False)
    page = shim.install(suite, "smtpd", "qmgr")
    page.clock = 3600 * 10**6      # microseconds ahead
    page.looks                     # calls of epoll_wait so far, of all these programs together
    page.give(10, poke)            # each process may open ten more descriptors; None: as many as it likes
"""
import mmap
import pathlib
import struct
import subprocess

import ports
import suite as postrider

FIELDS = ("clock", "fail_after", "failed", "fork_error", "looks", "room", "order", "obeyed")
SOURCE = pathlib.Path(__file__).with_name("shim.c")


class Page:
    def __init__(self, path):
        path.write_bytes(bytes(4096))
        path.chmod(0o666)  # the programs have a user of their own when we are root
        with open(path, "r+b") as file:
            self.__dict__["memory"] = mmap.mmap(file.fileno(), 4096)

    def __getattr__(self, name):
        return struct.unpack_from("<q", self.memory, 8 * FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("<q", self.memory, 8 * FIELDS.index(name), value)


    def give(self, descriptors, poke, processes=1):
        """Returns when so many processes obey. poke(): something that wakes them."""
        self.room, self.obeyed = -1 if descriptors is None else descriptors, 0
        self.order += 1

        def obeyed():
            poke()
            return self.obeyed >= processes
        ports.wait_until(obeyed, 20, "processes that obey")


def install(suite, *programs, memory=False, descriptors=False):
    """Gives the suite a daemon_directory with these programs under the shim; all where none is named. A
    second call adds others, which have a page of their own. `descriptors`: Page.give() will leave them
    none."""
    if memory and postrider.ASAN:
        postrider.skip("a sanitizer brings an allocator of its own")
    directory = suite.top / "programs"
    directory.mkdir(exist_ok=True)
    name = "-".join(programs) or "all"
    page = Page(suite.top / f"{name}.page")
    library = suite.top / f"{name}.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", *(["-DSHIM_MALLOC"] if memory else []),
                    *(["-DSHIM_DESCRIPTORS"] if descriptors else []), "-o", library, SOURCE, "-ldl"], check=True)
    for program in (postrider.BUILD / "libexec/postrider").iterdir():
        wrapper = directory / program.name
        if programs and program.name not in programs:
            if not wrapper.exists():
                wrapper.symlink_to(program)
            continue
        wrapper.unlink(missing_ok=True)
        wrapper.write_text(f"#!/bin/sh\nexport ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0\n"
                           f"export LD_PRELOAD={library} SHIM_PAGE={suite.top}/{name}.page\n"
                           f'exec {program} "$@"\n')
        wrapper.chmod(0o755)
    suite.configure(daemon_directory=directory)
    return page
