"""Queues: one interpreter, ping-pong, streams, large items, many at once, idle waiters."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import threading
import time

import atoll
from harness import ROOT, Row, Suite

try:
    from concurrent import interpreters as stdlib

    if stdlib.create is atoll.create:  # the alias on 3.12 and 3.13
        stdlib = None
except ImportError:
    stdlib = None

suite = Suite("queues")
SMALL_DICT = {"id": 1, "name": "spam", "tags": [1, 2, 3]}


def queues():
    both = {"atoll": atoll.create_queue()}
    if stdlib is not None:
        both["stdlib"] = stdlib.create_queue()
    return both


def put_get(value):
    def make():
        def pair(queue):
            put, get = queue.put, queue.get

            def once():
                put(value)
                get()

            return once

        return {name: pair(queue) for name, queue in queues().items()}

    return make


suite.compare("put+get in one interpreter, small int", put_get(7), wants={"stdlib": 5})
suite.compare("put+get in one interpreter, small dict", put_get(SMALL_DICT), wants={"stdlib": 5})


def megabyte():
    data = os.urandom(1_000_000)
    once = put_get(data)()["atoll"]
    return {"atoll": once, "bytes(memoryview)": lambda: bytes(memoryview(data))}


suite.compare("1 MB bytes, put+get", megabyte, wants={"bytes(memoryview)": 1 / 2.2})


def buffers():
    queue = atoll.create_queue()
    small, large = atoll.SharedBuffer(64), atoll.SharedBuffer(1 << 30)

    def once(buffer):
        queue.put(buffer)
        queue.get()

    return {"atoll": lambda: once(large), "one of 64 bytes": lambda: once(small)}


suite.compare("SharedBuffer of 1 GB, put+get", buffers, wants={"one of 64 bytes": 1 / 1.5})

SETUP = {
    "atoll": "import atoll\nfind = atoll.Queue\n",
    "stdlib": "from concurrent.interpreters import Queue as find\n",
}


def side_by_side(module, kind, codes):
    """Runs each piece of code in an interpreter of its own, all at once; seconds."""
    interps = [module.create() for _ in codes]
    for interp in interps:
        interp.exec(SETUP[kind])
    threads = [
        threading.Thread(target=interp.exec, args=(code,))
        for interp, code in zip(interps, codes, strict=True)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - start
    for interp in interps:
        interp.close()
    return spent


def ping_pong(module, kind, rounds):
    one, two = module.create_queue(), module.create_queue()
    find = f"one, two = find({one.id}), find({two.id})\n"
    return (
        side_by_side(
            module,
            kind,
            [
                f"{find}for i in range({rounds}):\n    one.put(i)\n    two.get()\n",
                f"{find}for _ in range({rounds}):\n    two.put(one.get())\n",
            ],
        )
        / rounds
    )


def bare_ping_pong(rounds):
    target = ROOT / "build/bench/pingpong"
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-pthread", str(ROOT / "bench/c/pingpong.c"), "-o", str(target)], check=True)
    return float(subprocess.run([str(target), str(rounds)], capture_output=True, check=True).stdout) / 1e9


def measured(name, ways, wants, at_most=None, rounds=None):
    """A row of whole runs, taken in turns."""
    rounds = rounds or min(suite.rounds, 5)
    samples = {rival: [] for rival in ways}
    for _ in range(rounds):
        for rival, run in ways.items():
            samples[rival].append(run())
    first, *rivals = ways
    ratios = {
        rival: statistics.median(b / a for a, b in zip(samples[first], samples[rival], strict=True))
        for rival in rivals
    }
    values = {rival: statistics.median(taken) for rival, taken in samples.items()}
    return Row(name, "s", values, ratios, rounds, wants, at_most)


def ping_pong_row():
    ways = {
        "atoll": lambda: ping_pong(atoll, "atoll", 20_000),
        "pthread condvar": lambda: bare_ping_pong(20_000),
    }
    if stdlib is not None:
        ways["stdlib"] = lambda: ping_pong(stdlib, "stdlib", 20)
    return measured("ping-pong, small int", ways, {"stdlib": 300, "pthread condvar": 1 / 1.3})


suite.measure("ping-pong, small int", ping_pong_row)


def stream(count, put, get, producers=1, consumers=1):
    """Seconds per item."""
    queue = atoll.create_queue(10_000)
    find = f"queue = find({queue.id})\n"
    share_in, share_out = count // producers, count // consumers
    codes = [find + put.format(n=share_in)] * producers + [find + get.format(n=share_out)] * consumers
    return side_by_side(atoll, "atoll", codes) / count


PUT = "for i in range({n}):\n    queue.put(i)\n"
GET = "for _ in range({n}):\n    queue.get()\n"
PUT_MANY = "some = list(range(1000))\nfor _ in range({n} // 1000):\n    queue.put_many(some)\n"
GET_MANY = "left = {n}\nwhile left:\n    left -= len(queue.get_many(min(left, 1000)))\n"


suite.measure(
    "stream, put/get, per item",
    lambda: measured(
        "stream, put/get, per item", {"atoll": lambda: stream(200_000, PUT, GET)}, {}, 1 / 400_000
    ),
)
suite.measure(
    "stream, put_many/get_many, per item",
    lambda: measured(
        "stream, put_many/get_many, per item",
        {"atoll": lambda: stream(1_000_000, PUT_MANY, GET_MANY)},
        {},
        1 / 2_000_000,
    ),
)
suite.measure(
    "8 producers and 8 consumers, per item",
    lambda: measured(
        "8 producers and 8 consumers, per item",
        {
            "atoll": lambda: stream(1_000_000, PUT, GET, 8, 8),
            "one and one": lambda: stream(200_000, PUT, GET),
        },
        {"one and one": 0.5},
        rounds=2,
    ),
)


def idle():
    """Processor time that eight waiters take in a second."""
    queue = atoll.create_queue()
    threads = [threading.Thread(target=queue.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(1)
    after = resource.getrusage(resource.RUSAGE_SELF)
    queue.put_many(range(8))
    for thread in threads:
        thread.join()
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row("8 idle waiters, processor time in 1 s", "s", {"atoll": spent}, at_most=0.005)


suite.measure("8 idle waiters, processor time in 1 s", idle)

if __name__ == "__main__":
    suite.main()
