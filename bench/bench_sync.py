"""atoll.sync beside threading, and shared memory of any size."""

from __future__ import annotations

import threading

import atoll
from atoll import sync
from harness import Suite

suite = Suite("sync")


def both(name, use):
    """name -> a function that uses a fresh object of atoll.sync, and of threading."""
    return lambda: {"atoll": use(getattr(sync, name)()), "threading": use(getattr(threading, name)())}


def pair(lock):
    acquire, release = lock.acquire, lock.release

    def use():
        acquire()
        release()

    return use


def block(lock):
    def use():
        with lock:
            pass

    return use


for kind in ("Lock", "RLock", "Semaphore", "Condition"):
    wants = {"threading": 1 / 3} if kind == "Lock" else None
    suite.compare(f"{kind}: acquire and release", both(kind, pair), wants=wants)
    suite.compare(f"with {kind}", both(kind, block), wants=wants)
suite.compare("Event: is_set", both("Event", lambda event: event.is_set))


def add():
    adder, items = sync.AtomicInt().add, []
    return {"atoll": lambda: adder(1), "a method call ([].count)": lambda: items.count(1)}


suite.compare("AtomicInt.add(1)", add, wants={"a method call ([].count)": 0.5})


def sizes(make):
    """A call with a large one is no slower than with a small one."""

    def competitors():
        interp = atoll.create()
        large, small = make(100_000_000), make(10)
        interp.call(len, small)
        return {"100 MB": lambda: interp.call(len, large), "10 bytes": lambda: interp.call(len, small)}

    return competitors


suite.compare("call(len, memoryview)", sizes(lambda n: memoryview(bytearray(n))), wants={"10 bytes": 0.7})
suite.compare("call(len, SharedBuffer)", sizes(atoll.SharedBuffer), wants={"10 bytes": 0.7})

if __name__ == "__main__":
    suite.main()
