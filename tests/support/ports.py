# SPDX-License-Identifier: MIT
"""Free ports on loopback and waiting for events with a deadline."""
import random
import socket
import time

# Ports are handed out from below the range that the kernel takes for outgoing connections (32768 and
# up), in blocks. Who holds the first port of a block owns the others, so that tests that run side by
# side never get the same one, however long a test waits before it listens.
FIRST, LAST, BLOCK = 10000, 32000, 25
_guards = []
_owned = []


def _take_block():
    for start in random.sample(range(FIRST, LAST, BLOCK), (LAST - FIRST) // BLOCK):
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", start))
        except OSError:
            guard.close()
            continue
        _guards.append(guard)
        _owned.extend(range(start + 1, start + BLOCK))
        return
    raise OSError("every block of ports is taken")


def free_port(host="127.0.0.1"):
    """A port that nothing listens at, TCP and UDP, and that no other call gets, here or in other tests."""
    while True:
        if not _owned:
            _take_block()
        port = _owned.pop(0)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
            return port


def free_ports(count, host="127.0.0.1"):
    """As many different ones."""
    return [free_port(host) for _ in range(count)]


def wait_until(condition, seconds=20.0, what="the event"):
    """Returns condition()'s first true value. Looks at it every few milliseconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.005)


def wait_listening(host, port, seconds=20.0):
    def connects():
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    wait_until(connects, seconds, f"a listener on {host}:{port}")
