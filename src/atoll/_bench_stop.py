"""`atoll bench`: what a deadline costs, and how soon code stops."""

from __future__ import annotations

import threading
import time

import atoll

from ._bench_calls import noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._bench import Bench


def spin() -> None:
    while True:
        pass


def spin_and_say(started: Any) -> None:
    started.put(None)
    while True:
        pass


def run(bench: Bench) -> None:
    """Measure the rows."""
    if bench.wants("stop.deadline.cost"):
        with atoll.create() as interp:
            timed = interp.options(timeout=60)
            rows: dict[str, Any] = {
                "atoll": lambda: timed.call(noop),
                "without a deadline": lambda: interp.call(noop),
            }
            bench.compare("stop.deadline.cost", "call(noop) under a deadline", rows)
    if bench.wants("stop.deadline.late"):
        late = []
        with atoll.create() as interp:
            interp.call(noop)
            for _ in range(bench.rounds):
                start = time.perf_counter()
                try:
                    interp.options(timeout=0.05).call(spin)
                except atoll.ExecutionTimeout:
                    late.append(time.perf_counter() - start - 0.05)
        bench.add("stop.deadline.late", "`while True: pass` stops after its deadline", {"atoll": late})
    if bench.wants("stop.interrupt"):
        taken = []
        started = atoll.create_queue()
        with atoll.create() as interp:
            for _ in range(bench.rounds):
                thread = interp.call_in_thread(spin_and_say, started)
                thread.future  # its error goes there
                started.get()
                time.sleep(0.01)
                start = time.perf_counter()
                thread.interrupt()
                thread.join()
                taken.append(time.perf_counter() - start)
        bench.add("stop.interrupt", "interrupt() until the thread has ended", {"atoll": taken})
    if bench.wants("stop.ctrl_c"):
        _ctrl_c(bench)


def _ctrl_c(bench: Bench) -> None:
    """SIGINT while the main thread is inside another interpreter."""
    import os
    import signal

    if threading.current_thread() is not threading.main_thread():
        return
    taken = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with atoll.create() as interp:
            for _ in range(bench.rounds):
                sent: list[float] = []

                def press(sent: list[float] = sent) -> None:
                    sent.append(time.perf_counter())
                    os.kill(os.getpid(), signal.SIGINT)

                timer = threading.Timer(0.05, press)
                timer.start()
                try:
                    interp.call(spin)
                except KeyboardInterrupt:
                    taken.append(time.perf_counter() - sent[0])
                timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    bench.add("stop.ctrl_c", "Ctrl-C until KeyboardInterrupt", {"atoll": taken})
