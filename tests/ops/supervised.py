"""Workers that test_supervisor.py has kept running."""

from __future__ import annotations

import os
import sys
from collections import deque
from functools import partial
from operator import call

import atoll
from atoll.sync import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def take(orders: Any, ran: Any) -> None:
    """Tells that it runs, and in which interpreter; then does as it is told."""
    ran.put(atoll.get_current().id)
    end(*orders.get())


def end(how: str, value: Any = None) -> None:
    if how == "fail":
        raise ValueError(value)
    if how == "exit":
        sys.exit(value)
    if how == "spin":  # no try block here: 3.13 and 3.14 leave a loop's jump back out of one that it ends
        while True:
            pass
    if how == "hoard":
        kept = []
        while True:
            kept.append(bytearray(1 << 20))


def listen(ran: Any, ended: Any) -> None:
    event = atoll.stop_event()
    ran.put(1)
    event.wait()
    ended.put("asked")


def heedless(ran: Any, ended: Any) -> None:
    """It asks, and does not heed."""
    atoll.stop_event()
    try:
        ran.put(1)
        end("spin")
    finally:
        ended.put("interrupted")


def tidy(ran: Any, gate: Any) -> None:
    """It takes its time to end."""
    try:
        ran.put(1)
        end("spin")
    finally:
        gate.wait()


def stuck(ran: Any, pipe: int) -> None:
    ran.put(1)
    os.read(pipe, 1)


def leave_thread(ran: Any, waits_for: Any) -> None:
    import threading

    threading.Thread(target=waits_for.get, name="left").start()
    ran.put(1)
    raise ValueError("with a thread left behind")


def leave_stuck_thread(ran: Any, pipe: int) -> None:
    import threading

    started = Event()
    # No Python runs between the call of set() and what follows.
    work = partial(deque, map(call, [started.set, partial(os.read, pipe, 1)]), 0)
    threading.Thread(target=work, name="left in C").start()
    started.wait()
    ran.put(1)
    raise ValueError("with a thread left behind")


def supervise_inside() -> list[str]:
    """A supervisor in an interpreter that is not the main one."""
    queue = atoll.create_queue()
    with atoll.Supervisor(backoff=0.0) as supervisor:
        supervisor.add("inner", take, (queue, queue_of_runs := atoll.create_queue()))
        queue.put(("fail", "once"))
        queue.put(("return",))
        supervisor.wait()
    assert queue_of_runs.qsize() == 2
    return [exit.kind for exit in supervisor.exits]


def supervise_on(ran: Any, ended: Any) -> None:
    """Leaves a supervisor running behind."""
    global supervisor
    supervisor = atoll.Supervisor()
    supervisor.start()
    supervisor.add("inner", listen, (ran, ended), restart="always")


supervisor: atoll.Supervisor
