"""Functions that the tests run in other interpreters, which import them by name."""

from __future__ import annotations

import random
import threading
from typing import Any

import atoll
from atoll.sync import AtomicInt, Condition, Lock

kept: dict[str, Any] = {}


def same(value: Any) -> Any:
    return value


def keep(name: str, value: Any) -> int:
    kept[name] = value
    return id(value)


def kept_is(name: str, value: Any) -> bool:
    return kept[name] is value


def drop(name: str) -> None:
    del kept[name]


def acquire(lock: Any, *args: Any, **kwargs: Any) -> Any:
    return lock.acquire(*args, **kwargs)


def release(lock: Any, *args: Any) -> Any:
    return lock.release(*args)


def method(obj: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(obj, name)(*args, **kwargs)


def catch(obj: Any, name: str, *args: Any, **kwargs: Any) -> str:
    """The result, or the name of what it raised."""
    try:
        return repr(getattr(obj, name)(*args, **kwargs))
    except Exception as error:
        return type(error).__name__


def set_and_call(event: Any, function: Any, *args: Any) -> Any:
    event.set()
    return function(*args)


def hold(lock: Any, held: Any, go: Any) -> None:
    with lock:
        held.set()
        go.wait()


def hold_in_thread(lock: Any) -> None:
    """Takes it in a thread that ends without releasing it."""
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()


def count_up(lock: Any, buffer: atoll.SharedBuffer, times: int) -> None:
    """Not atomic without the lock."""
    view = memoryview(buffer).cast("q")
    for _ in range(times):
        with lock:
            value = view[0]
            view[1] = value
            view[0] = view[1] + 1


def add_up(atomic: AtomicInt, times: int) -> list[int]:
    return [atomic.add() for _ in range(times)]


def spin_up(atomic: AtomicInt, times: int) -> None:
    for _ in range(times):
        while True:
            value = atomic.load()
            if atomic.compare_exchange(value, value + 3):
                break


def wait_event(event: Any, started: AtomicInt) -> bool:
    started.add()
    return event.wait()


def tell_and_wait(begun: atoll.Queue, event: Any) -> bool:
    begun.put(threading.get_native_id())
    return event.wait()


def ping_pong(condition: Condition, turn: AtomicInt, me: int, parties: int, rounds: int) -> int:
    for _ in range(rounds):
        with condition:
            condition.wait_for(lambda: turn.load() % parties == me)
            turn.add()
            condition.notify_all()
    return me


def barrier_rounds(barrier: Any, counter: AtomicInt, rounds: int) -> list[int]:
    """The index of each round; all have counted before anyone goes on."""
    indexes = []
    for number in range(1, rounds + 1):
        counter.add()
        indexes.append(barrier.wait())
        assert counter.load() >= number * barrier.parties
        barrier.wait()
    return indexes


def at_most(semaphore: Any, inside: AtomicInt, most: AtomicInt, times: int) -> None:
    for _ in range(times):
        with semaphore:
            now = inside.add() + 1
            seen = most.load()
            while now > seen and not most.compare_exchange(seen, now):
                seen = most.load()
            inside.add(-1)


def where() -> int:
    return atoll.get_current().id


ran_in: AtomicInt | None = None


def set_ran_in(atomic: AtomicInt) -> None:
    global ran_in
    ran_in = atomic


def action() -> None:
    assert ran_in is not None
    ran_in.store(where() + 1000)


def broken_action() -> None:
    raise ZeroDivisionError


def mixed(seed: int, locks: list[Any], atomics: list[AtomicInt], times: int) -> int:
    """Takes the locks in order, several at once, in many ways; what each guards stays consistent."""
    rng = random.Random(seed)
    done = 0
    for _ in range(times):
        chosen = sorted(rng.sample(range(len(locks)), rng.randint(1, 3)))
        got = []
        for index in chosen:
            way = rng.randrange(4)
            if way == 0:
                ok = locks[index].acquire(False)
            elif way == 1:
                ok = locks[index].acquire(timeout=rng.choice([0, 0.0001, 0.001]))
            else:
                ok = locks[index].acquire()
            if ok:
                got.append(index)
        for index in got:
            value = atomics[index].load()
            atomics[index].store(value + 1)
            done += 1
        for index in reversed(got):
            locks[index].release()
    return done


class LockLike:
    """Two locks of a kind in one."""

    def __init__(self) -> None:
        self.first, self.second = Lock(), Lock()
