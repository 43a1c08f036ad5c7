# SPDX-License-Identifier: MIT
"""Free ports on loopback and waiting for events with a deadline."""
import socket
import time


def free_port(host="127.0.0.1"):
    """A port that was free for TCP and UDP a moment ago."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port


def free_ports(count, host="127.0.0.1"):
    """As many different ones."""
    found = set()
    while len(found) < count:
        found.add(free_port(host))
    return list(found)


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
