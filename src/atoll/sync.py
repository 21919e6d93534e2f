"""Locks and their kin, between the threads of all interpreters.

The names and their behaviour are those of :mod:`threading`, and an object that
is sent to an interpreter is the same one there::

    import atoll
    from atoll.sync import AtomicInt, Lock

    lock, count = Lock(), AtomicInt()

    def work():
        with lock:
            print("mine:", count.add(1))

    threads = [atoll.create().call_in_thread(work) for _ in range(4)]

A lock whose holder's interpreter was closed raises OwnerDiedError at every
acquire, without acquiring, until its reset().  Every wait releases the GIL,
sleeps in the kernel, and ends on Ctrl-C and on Interpreter.interrupt().
Timeouts are in seconds, threading.TIMEOUT_MAX at most.
"""

from __future__ import annotations

from ._core import AtomicInt, Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

TYPE_CHECKING = False  # importing typing would cost more than all of this
if TYPE_CHECKING:
    from threading import BrokenBarrierError
    from typing import Any

    from ._errors import OwnerDiedError

__all__ = [
    "AtomicInt",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "Lock",
    "OwnerDiedError",
    "RLock",
    "Semaphore",
]


def __getattr__(name: str) -> Any:
    value: Any
    if name == "BrokenBarrierError":
        from threading import BrokenBarrierError as value
    elif name == "OwnerDiedError":
        from ._errors import OwnerDiedError as value
    else:
        raise AttributeError(f"module 'atoll.sync' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
