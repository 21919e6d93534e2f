"""Interruption: what a deadline costs, and how soon code stops."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time

import atoll
from atoll.sync import AtomicInt
from harness import Row, Suite, in_turns

suite = Suite("interrupt")


def noop():
    pass


def spin(counter):
    while True:
        counter.add(1)


def nested(interp, counter):
    interp.call(spin, counter)


def deadline_cost():
    """What options(timeout=) adds to a call that ends in time."""
    interp = atoll.create()
    view = interp.options(timeout=60)
    taken = in_turns(
        {"with": lambda: view.call(noop), "without": lambda: interp.call(noop)},
        suite.rounds,
    )
    added = statistics.median(a - b for a, b in zip(taken["with"], taken["without"], strict=True))
    values = {"atoll": added, "the call without": statistics.median(taken["without"])}
    return Row("added by a deadline in time", "s", values, rounds=suite.rounds, at_most=2e-6)


suite.measure("added by a deadline in time", deadline_cost)


def stopping(name, interp, func, *args, interrupt):
    """From the interruption to the exception in the caller: the slowest of all rounds counts."""
    taken = []
    for _ in range(4 * suite.rounds):
        counter = AtomicInt(0)
        ended = []

        def work(counter=counter, ended=ended):
            try:
                interp.call(func, *args, counter)
            except atoll.ExecutionInterrupted:
                ended.append(time.perf_counter())

        thread = threading.Thread(target=work)
        thread.start()
        while counter.load() < 1000:
            time.sleep(0.0001)
        start = time.perf_counter()
        assert interrupt()
        thread.join()
        taken.append(ended[0] - start)
    values = {"slowest": max(taken), "median": statistics.median(taken)}
    return Row(name, "s", values, rounds=len(taken), at_most=0.1)


def stop_loop():
    interp = atoll.create()
    return stopping("interrupt() stops a loop", interp, spin, interrupt=interp.interrupt)


def stop_nested():
    outer, inner = atoll.create(), atoll.create()
    return stopping("interrupt() stops a call in a call", outer, nested, inner, interrupt=outer.interrupt)


suite.measure("interrupt() stops a loop", stop_loop)
suite.measure("interrupt() stops a call in a call", stop_nested)


def ctrl_c():
    """SIGINT while the main thread is inside: to KeyboardInterrupt in main."""
    interp = atoll.create()
    taken = []
    for _ in range(4 * suite.rounds):
        counter = AtomicInt(0)
        sent = []

        def send(counter=counter, sent=sent):
            while counter.load() < 1000:
                time.sleep(0.0001)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            interp.call(spin, counter)
        except KeyboardInterrupt:
            taken.append(time.perf_counter() - sent[0])
        thread.join()
    values = {"slowest": max(taken), "median": statistics.median(taken)}
    return Row("Ctrl-C stops a loop", "s", values, rounds=len(taken), at_most=0.1)


suite.measure("Ctrl-C stops a loop", ctrl_c)


def late():
    """How long after its deadline a loop has stopped."""
    interp = atoll.create()
    taken = []
    for _ in range(4 * suite.rounds):
        start = time.perf_counter()
        try:
            interp.options(timeout=0.02).call(spin, AtomicInt(0))
        except atoll.ExecutionTimeout:
            taken.append(time.perf_counter() - start - 0.02)
    values = {"slowest": max(taken), "median": statistics.median(taken)}
    return Row("a loop after its deadline", "s", values, rounds=len(taken), at_most=0.1)


suite.measure("a loop after its deadline", late)

if __name__ == "__main__":
    suite.main()
