"""Interpreters: calls, what crosses, creation, memory, import."""

from __future__ import annotations

import pickle
import statistics
import sys
import threading
import time

import atoll
from harness import Row, Suite, c_extension, child, child_numbers, rss

try:
    from concurrent import interpreters as stdlib

    if stdlib.create is atoll.create:  # the alias on 3.12 and 3.13
        stdlib = None
except ImportError:
    stdlib = None

bare = c_extension("bare")
suite = Suite("interpreters")
LEAKS = sys.version_info < (3, 14)  # CPython's own create/end cycle does


def noop():
    pass


def pair():
    """name -> interpreter, warmed up by a first call."""
    both = {"atoll": atoll.create()}
    if stdlib is not None:
        both["stdlib"] = stdlib.create()
    for interp in both.values():
        interp.call(len, ())
    return both


def calls(*args):
    return lambda: {name: (lambda call=interp.call: call(*args)) for name, interp in pair().items()}


def call_noop():
    competitors = calls(noop)()
    bare.create()
    competitors["bare C"] = bare.call
    return competitors


suite.compare("call(noop), main thread", call_noop, wants={"stdlib": 150}, at_most=0.8e-6)
suite.compare(
    'exec("x=1"), main thread',
    lambda: {name: (lambda run=interp.exec: run("x=1")) for name, interp in pair().items()},
    wants={"stdlib": 80},
    at_most=2e-6,
)


def other_thread():
    """call(noop) from a thread that has called there before."""
    both = pair()
    loops, rounds = 2000, suite.rounds
    taken = {name: [] for name in both}

    def work():
        for interp in both.values():
            interp.call(noop)
        for _ in range(rounds):
            for name, interp in both.items():
                call = interp.call
                start = time.perf_counter()
                for _ in range(loops):
                    call(noop)
                taken[name].append((time.perf_counter() - start) / loops)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    values = {name: statistics.median(samples) for name, samples in taken.items()}
    ratios = {}
    if "stdlib" in taken:
        ratios["stdlib"] = statistics.median(
            b / a for a, b in zip(taken["atoll"], taken["stdlib"], strict=True)
        )
    return Row("call(noop), another thread", "s", values, ratios, rounds, {"stdlib": 15})


suite.measure("call(noop), another thread", other_thread)

SMALL = [[*range(100)] for _ in range(100)]
LARGE = [[*range(1000 * k, 1000 * k + 100)] for k in range(1, 101)]


def lists(value):
    def make():
        competitors = calls(len, value)()
        competitors["pickle"] = lambda: pickle.loads(pickle.dumps(value, 5))
        return competitors

    return make


suite.compare("call(len, 100 lists of ints to 99)", lists(SMALL), wants={"stdlib": 10, "pickle": 3.5})
suite.compare("call(len, 100 lists of ints over 256)", lists(LARGE), wants={"pickle": 1.7})


def ten_megabytes():
    data = bytes(10_000_000)
    competitors = calls(len, data)()
    competitors["bytes(memoryview)"] = lambda: bytes(memoryview(data))
    return competitors


# At most 1.2 times the copy's time: at least 1/1.2 times as fast.
suite.compare("call(len, 10 MB bytes)", ten_megabytes, wants={"bytes(memoryview)": 1 / 1.2})


def views():
    interp = atoll.create()
    large, small = memoryview(bytearray(100_000_000)), memoryview(bytearray(1_000))
    return {
        "atoll": lambda: interp.call(len, large),
        "of 1 KB": lambda: interp.call(len, small),
    }


suite.compare("call(len, memoryview of 100 MB)", views, wants={"of 1 KB": 1 / 1.5})


def creation():
    """create() beside Py_NewInterpreterFromConfig, in pairs, each ended at once."""
    ours, floor, theirs = [], [], []
    for _ in range(max(2 * suite.rounds, 10)):
        start = time.perf_counter()
        interp = atoll.create()
        ours.append(time.perf_counter() - start)
        interp.close()
        floor.append(bare.create())
        bare.end()
        if stdlib is not None:
            start = time.perf_counter()
            interp = stdlib.create()
            theirs.append(time.perf_counter() - start)
            interp.close()
    values = {"atoll": statistics.median(ours), "bare C": statistics.median(floor)}
    ratios = {"bare C": statistics.median(b / a for a, b in zip(ours, floor, strict=True))}
    if theirs:
        values["stdlib"] = statistics.median(theirs)
        ratios["stdlib"] = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return Row("create()", "s", values, ratios, len(ours), {"bare C": 1 / 1.05})


suite.measure("create()", creation)


def prewarmed():
    taken = []
    with atoll.prewarm(4):
        for _ in range(suite.rounds):
            time.sleep(0.3)  # the refill; not measured
            start = time.perf_counter()
            interp = atoll.create()
            taken.append(time.perf_counter() - start)
            interp.close()
    return Row("create() after prewarm(4)", "s", {"atoll": statistics.median(taken)}, at_most=100e-6)


suite.measure("create() after prewarm(4)", prewarmed)

MEMORY = """
import os
from harness import c_extension, rss
import atoll
bare = c_extension("bare")
{first}
before = rss()
for _ in range(16):
    {create}
print((rss() - before) / 16, flush=True)
os._exit(0)  # 3.12 aborts at an end with bare ones left
"""
KEEP = "keep = [atoll.create()]; keep[0].exec('pass')"


def memory():
    ours = child(MEMORY.format(first=KEEP, create="keep.append(atoll.create()); keep[-1].exec('pass')"))
    floor = child(
        MEMORY.format(first="bare.create(); bare.run('pass')", create="bare.create(); bare.run('pass')")
    )
    values = {"atoll": ours - floor, "all of it": ours, "bare C": floor}
    return Row("memory of an interpreter, over CPython's own", "bytes", values, at_most=100e3)


suite.measure("memory of an interpreter", memory)

CYCLES = """
from harness import c_extension, rss
import atoll
bare = c_extension("bare")
def ours():
    before = rss()
    i = atoll.create(); i.exec('x = 1'); i.close()
    return rss() - before
def floor():
    before = rss()
    bare.create(); bare.run('x = 1'); bare.end()
    return rss() - before
for _ in range({warm}):
    ours(), floor()
grown = [(ours(), floor()) for _ in range({cycles})]
print(*(sum(one) / {cycles} for one in zip(*grown)))
"""


def cycles():
    # One beside the other, in turns: before 3.14 CPython keeps 1.8 MB a cycle,
    # in pages of which another layout touches 20 KB more or less.
    count = {"warm": 20, "cycles": 150 if LEAKS else 2000 if suite.rounds > 3 else 200}
    ours, floor = child_numbers(CYCLES.format(**count))
    values = {"atoll": ours - floor, "all of it": ours, "bare C": floor}
    return Row("growth by a create/exec/close cycle", "bytes", values, at_most=10e3)


suite.measure("growth by a cycle", cycles)

IMPORT = "import time; start = time.perf_counter(); import atoll; print(time.perf_counter() - start)"
INNER = """
from harness import c_extension
bare = c_extension("bare")
import os, sys
bare.create()
bare.run('''
import time
start = time.perf_counter()
import atoll
print(time.perf_counter() - start, flush=True)
''')
os._exit(0)
"""


def import_in_main():
    taken = statistics.median(child(IMPORT) for _ in range(suite.rounds))
    return Row("import atoll, main interpreter", "s", {"atoll": taken}, at_most=10e-3)


def import_in_new():
    taken = statistics.median(child(INNER) for _ in range(suite.rounds))
    return Row("import atoll, new interpreter", "s", {"atoll": taken}, at_most=3e-3)


suite.measure("import atoll, main interpreter", import_in_main)
suite.measure("import atoll, new interpreter", import_in_new)

if __name__ == "__main__":
    assert rss() > 0
    suite.main()
