# SPDX-License-Identifier: MIT
"""What a tree of processes costs: CPU time including that of children that are gone, memory, open
descriptors. Reads /proc only."""
import contextlib
import os
import signal
import time

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """(ppid, own CPU ticks, CPU ticks of reaped children), or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            text = f.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def tree(root):
    """The pids of root and everything below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(int(name))
            if stat is not None:
                parents.setdefault(stat[0], []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(parents.get(pid, []))
    return found


def cpu_seconds(root):
    """CPU of the tree so far. A child's time moves to its parent when it is waited for, so the sum
    over the living, each with its reaped children, misses nothing."""
    total = 0
    for pid in tree(root):
        stat = _stat(pid)
        if stat is not None:
            total += stat[1] + stat[2]
    return total / TICK


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return ""


def cpu_by_name(root):
    """Own CPU seconds of the living processes of the tree, by program name."""
    out = {}
    for pid in tree(root):
        stat = _stat(pid)
        if stat is not None:
            out[name_of(pid)] = out.get(name_of(pid), 0) + stat[1] / TICK
    return out


def pss_kb(root):
    """Proportional memory of the tree in kB: shared pages are counted once."""
    total = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except OSError:
            pass
    return total


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            text = f.read()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def kill_tree(root, sig=signal.SIGKILL):
    """Ends root and all below it, and only these. Before SIGKILL all of them are stopped, the root first:
    it starts nothing new meanwhile, and none of them sees another one die."""
    def send(pids, what):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)

    if sig == signal.SIGKILL:
        send([root], signal.SIGSTOP)
        send(tree(root), signal.SIGSTOP)
    pids = tree(root)
    send(pids, sig)
    return pids


def wait_gone(pids, seconds=10.0):
    deadline = time.monotonic() + seconds
    while any(alive(p) for p in pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running: {[(p, name_of(p)) for p in pids if alive(p)]}")
        time.sleep(0.01)
