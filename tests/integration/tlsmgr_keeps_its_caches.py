# SPDX-License-Identifier: MIT
"""tlsmgr: what is put by one process is there for another, survives kill -9, reload and restart, and
a damaged cache file costs the cache only.

# shows: data_directory tls_memory_time tls_session_cache_limit smtp_tls_session_cache_timeout
"""
import os
import signal

import ports
import procs
from service_client import ServiceClient
from suite import Suite, expect, expect_equal

TAKE, PUT, RECALL, REMEMBER = 96, 98, 99, 101
SMTP, LMTP = 0, 1


def client():
    return ServiceClient(suite.dir / "spool/private/tlsmgr")


def put(key, session, cache=SMTP):
    with client() as one:
        one.tell(PUT, cache=cache, key=key, session=session)
        one.ask(RECALL, host="x")  # done in order: the session is there


def take(key, cache=SMTP):
    with client() as one:
        return one.ask(TAKE, cache=cache, key=key).get("session", b"")


def kill_tlsmgr():
    for pid in suite.pids("tlsmgr"):
        os.kill(pid, signal.SIGKILL)
        procs.wait_gone([pid], 10)


with Suite(lmtp_tls_session_cache_database="btree:$data_directory/lmtp_scache",
           tls_session_cache_limit=1048576) as suite:
    suite.expected_trouble = True
    with client() as one:
        expect_equal(one.hello, {"protocol": b"tlsmgr", "version": 1}, "hello")

    # Shared by processes, each session for one of them only; two caches.
    put("host", b"first")
    put("host", b"second")
    expect_equal([take("host"), take("host"), take("host")], [b"second", b"first", b""], "sessions")
    put("host", b"lmtp", LMTP)
    expect_equal([take("host"), take("host", LMTP)], [b"", b"lmtp"], "caches")

    # kill -9, reload, stop and start.
    put("a", b"kept")
    kill_tlsmgr()
    expect_equal(take("a"), b"kept", "after kill -9")
    put("a", b"kept")
    before = suite.pids("tlsmgr")
    idle = client()
    suite.reload()
    procs.wait_gone(before, 10)  # though a client was connected
    idle.close()
    expect_equal(take("a"), b"kept", "after a reload")
    put("a", b"kept")
    with client() as one:
        one.tell(REMEMBER, host="mx.example", level=3)
        one.tell(REMEMBER, host="mx.example", level=0)
        memory = one.ask(RECALL, host="mx.example")
    expect(memory["level"] == 3 and memory["missing_since"] >= memory["last_good"] > 0, memory)
    suite.stop()
    suite.start()
    expect_equal(take("a"), b"kept", "after a restart")
    with client() as one:
        expect_equal({**one.ask(RECALL, host="mx.example"), "number": 0}, {**memory, "number": 0},
                     "memory after a restart")

    # The bound of 1 MiB: the oldest have gone, the newest are there.
    for n in range(300):
        put(f"n{n}", b"x" * 8000)
    expect_equal([take("n0"), take("n299")], [b"", b"x" * 8000], "bound")

    # Damage: the cache is lost, the service is not.
    file = suite.dir / "data/smtp_tls_sessions.lmdb"
    expect(file.exists(), "the file is where the parameter says")
    expect((suite.dir / "data/lmtp_scache.lmdb").exists(), "btree is kept as lmdb")
    for damage in (lambda data: data[:5000], lambda data: b"", lambda data: b"\xff" * 20000,
                   lambda data: data[:8192] + b"\xff" * (len(data) - 8192)):
        put("b", b"lost")
        kill_tlsmgr()
        file.write_bytes(damage(file.read_bytes()))
        expect_equal(take("b"), b"", "after damage")
        put("b", b"new")
        expect_equal(take("b"), b"new", "after damage")
    suite.wait_log(r"tlsmgr\[\d+\]: warning: .*smtp_tls_sessions\.lmdb: .*; what was in it is lost", 3)
    expect_equal(ports.wait_until(lambda: suite.pids("tlsmgr"), 5, "one process") and
                 len(suite.pids("tlsmgr")), 1, "processes")

    # Who may be served: mail does not notice a client that sends rubbish.
    with client() as bad, client() as good:
        bad.socket.sendall(b"\xff" * 4096)
        try:
            bad.read()
            raise AssertionError("rubbish was answered")
        except (EOFError, ConnectionError):
            pass
        good.tell(PUT, cache=SMTP, key="c", session=b"there")
        expect_equal(good.ask(TAKE, cache=SMTP, key="c")["session"], b"there", "other clients")

# A time-out of 0 turns the cache off, a memory time of 0 the memory.
with Suite(smtp_tls_session_cache_timeout=0, tls_memory_time=0) as suite:
    put("a", b"gone")
    expect_equal(take("a"), b"", "no cache")
    with client() as one:
        one.tell(REMEMBER, host="mx.example", level=3)
        expect_equal(one.ask(RECALL, host="mx.example")["level"], 0, "no memory")
