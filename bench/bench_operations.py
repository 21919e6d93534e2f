"""Limits and looking: what they cost.

Of limits(): code that runs under limits and stays within them.  Counting memory
cannot be switched off again, so "counted" and "free" are processes of their
own, in turns; a process tells the least of several measurements of each piece
of work, for what disturbs it only ever adds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import atoll
from harness import Row, Suite, in_turns

suite = Suite("operations")
#: At most 5 % slower.
WANTED = {"free": 1 / 1.05}


def noop():
    pass


def arithmetic():
    total = 0
    for number in range(200_000):
        total += number * number % 7
    return total


def small_objects():
    for _ in range(10):
        kept = [(number, str(number)) for number in range(10_000)]
    return len(kept)


def growing_lists():
    for _ in range(200):
        kept = []
        for number in range(2_000):
            kept.append(number)
    return len(kept)


def blocks_of_1_kib():
    for _ in range(20_000):
        bytes(1024)


def blocks_of_64_kib():
    for _ in range(3_000):
        bytes(65536)


def json_round_trip():
    import json

    data = {str(number): [number, number / 3, "x" * 50] for number in range(1_000)}
    for _ in range(5):
        data = json.loads(json.dumps(data))
    return len(data)


#: Nothing but taking and giving back, of the size for which that is cheapest beside the counting: no program.
WORST = {"blocks_of_1_kib"}
WORK = [arithmetic, small_objects, growing_lists, blocks_of_1_kib, blocks_of_64_kib, json_round_trip]


def child(kind):
    """Tells the least time of each piece of work."""
    if kind == "counted":
        atoll.track_memory()
    with atoll.create() as interp:
        if kind == "counted":
            interp.limits(cpu_seconds=3600, wall_seconds=3600, memory_bytes=1 << 30)
        least = {}
        for work in WORK:
            interp.call(work)
            taken = []
            for _ in range(5):
                start = time.perf_counter()
                interp.call(work)
                taken.append(time.perf_counter() - start)
            least[work.__name__] = min(taken)
    print(json.dumps(least))


taken: dict[str, list[dict[str, float]]] = {"counted": [], "free": []}


def run_children():
    """Both kinds in turns, once for all rows."""
    for turn in range(0 if taken["free"] else suite.rounds):
        for kind in ("counted", "free") if turn % 2 else ("free", "counted"):
            out = subprocess.run(
                [sys.executable, __file__, "child", kind], check=True, capture_output=True, text=True
            )
            taken[kind].append(json.loads(out.stdout))


def row_of(name):
    run_children()
    each = {kind: [one[name] for one in found] for kind, found in taken.items()}
    values = {"under all limits": statistics.median(each["counted"]), "free": statistics.median(each["free"])}
    ratios = {"free": values["free"] / values["under all limits"]}
    return Row(name.replace("_", " "), "s", values, ratios, suite.rounds, {} if name in WORST else WANTED)


def added(name, **kw):
    """What limits add to a call that does nothing."""
    interp = atoll.create()
    limited = interp.limits(**kw)
    interp.limits()
    got = in_turns({"with": lambda: limited.call(noop), "without": lambda: interp.call(noop)}, suite.rounds)
    more = statistics.median(a - b for a, b in zip(got["with"], got["without"], strict=True))
    values = {"added": more, "the call without": statistics.median(got["without"])}
    return Row(name, "s", values, rounds=suite.rounds, at_most=5e-6)


def looks():
    interp = atoll.create()
    interp.call(noop)
    return {"atoll": interp.stats, "stacks()": interp.stacks, "a call": lambda: interp.call(noop)}


for work in WORK:
    suite.measure(work.__name__, lambda name=work.__name__: row_of(name))
suite.measure("added by cpu_seconds", lambda: added("added by cpu_seconds", cpu_seconds=3600))
suite.measure("added by wall_seconds", lambda: added("added by wall_seconds", wall_seconds=3600))
suite.measure("added by memory_bytes", lambda: added("added by memory_bytes", memory_bytes=1 << 30))
suite.compare("stats() of an idle one", looks, at_most=1e-3)

if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        suite.main()
