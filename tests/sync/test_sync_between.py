"""atoll.sync between interpreters."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import sync_helpers as helpers
from children import LIMIT

import atoll
from atoll import _core, sync

KINDS = {
    "Lock": sync.Lock,
    "RLock": sync.RLock,
    "Condition": sync.Condition,
    "Semaphore": sync.Semaphore,
    "BoundedSemaphore": lambda: sync.BoundedSemaphore(2),
    "Event": sync.Event,
    "Barrier": lambda: sync.Barrier(2),
    "AtomicInt": lambda: sync.AtomicInt(7),
}
LOCKS = {name: KINDS[name] for name in ("Lock", "RLock", "Condition")}


@pytest.fixture
def interp():
    interp = atoll.create()
    yield interp
    interp.close()


@pytest.fixture
def interps():
    interps = [atoll.create() for _ in range(4)]
    yield interps
    for interp in interps:
        interp.close()


def results(threads):
    return [thread.future.result(timeout=120) for thread in threads]


def taken_elsewhere(lock, interp):
    """(thread, go): a thread in interp holds the lock until go is set."""
    held, go = sync.Event(), sync.Event()
    thread = interp.call_in_thread(helpers.hold, lock, held, go)
    assert held.wait(60)
    return thread, go


@pytest.mark.parametrize("kind", KINDS)
class TestEachKind:
    def test_type(self, kind):
        obj = KINDS[kind]()
        assert type(obj) is getattr(sync, kind)
        assert type(obj).__module__ == "atoll.sync"
        assert type(obj).__qualname__ == kind
        assert type(obj).__doc__
        with pytest.raises(TypeError):
            type("Sub", (type(obj),), {})
        with pytest.raises(AttributeError):
            obj.x = 1

    def test_docs(self, kind):
        cls = getattr(sync, kind)
        for name in dir(cls):
            if not name.startswith("_"):
                assert getattr(cls, name).__doc__, name

    def test_identity(self, kind, interp):
        obj = KINDS[kind]()
        number = interp.call(helpers.keep, "obj", obj)
        assert interp.call(helpers.kept_is, "obj", obj)
        assert number == interp.call(helpers.keep, "obj", obj)
        assert interp.call(helpers.same, obj) is obj
        assert interp.call(helpers.same, [obj, {"x": obj}]) == [obj, {"x": obj}]
        assert hash(obj) is not None

    def test_repr_is_the_same_everywhere(self, kind, interp):
        obj = KINDS[kind]()
        assert f"atoll.sync.{kind}" in repr(obj)
        assert interp.call(repr, obj) == repr(obj)

    def test_weakref(self, kind):
        obj = KINDS[kind]()
        ref = weakref.ref(obj)
        assert ref() is obj
        del obj
        assert ref() is None

    @pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, lambda o: o.__reduce_ex__(5)])
    def test_pickle_is_refused(self, kind, way):
        with pytest.raises(TypeError, match=f"cannot pickle 'atoll.sync.{kind}' object"):
            way(KINDS[kind]())

    def test_crosses_inside_what_is_pickled(self, kind, interp):
        value = helpers.LockLike()
        value.first = KINDS[kind]()
        back = interp.call(helpers.same, value)
        assert back.first is value.first
        assert back.second is value.second

    def test_shareable(self, kind):
        assert atoll.is_shareable(KINDS[kind]())

    def test_freed(self, kind, interp):
        before = _core._sync_alive()
        obj = KINDS[kind]()
        queue = atoll.create_queue()
        queue.put(obj)
        interp.call(helpers.keep, "obj", obj)
        del obj
        assert _core._sync_alive() > before
        del queue
        assert _core._sync_alive() > before
        interp.call(helpers.drop, "obj")
        assert _core._sync_alive() == before

    def test_outlives_its_creator(self, kind):
        queue = atoll.create_queue()
        obj = KINDS[kind]()
        with atoll.create() as interp:
            interp.call(helpers.keep, "obj", obj)
            interp.prepare_main(queue=queue)
            arguments = {"BoundedSemaphore": "2", "Barrier": "2", "AtomicInt": "7"}.get(kind, "")
            interp.exec(f"from atoll import sync; queue.put(sync.{kind}({arguments}))")
        got = queue.get()
        assert type(got) is type(obj)

    def test_many(self, kind, interp):
        """The table of those that have crossed grows, and shrinks to nothing."""
        before = _core._sync_alive()
        objs = [KINDS[kind]() for _ in range(500)]
        back = interp.call(helpers.same, objs)
        assert all(a is b for a, b in zip(objs, back, strict=True))
        del objs[::2], back
        assert all(a is b for a, b in zip(objs, interp.call(helpers.same, objs), strict=True))
        objs.clear()
        interp.call(helpers.same, 0)
        assert _core._sync_alive() == before

    def test_out_of_memory(self, kind):
        before = _core._sync_alive()
        for number in range(1, 10):
            _core._fail_allocation(number)
            try:
                obj = KINDS[kind]()
            except MemoryError:
                continue
            finally:
                _core._fail_allocation(0)
            break
        else:
            pytest.fail("it needs more allocations than that?")
        assert number > 1
        del obj
        assert _core._sync_alive() == before


@pytest.mark.parametrize("kind", LOCKS)
class TestLocks:
    def test_excludes(self, kind, interp):
        lock = LOCKS[kind]()
        thread, go = taken_elsewhere(lock, interp)
        assert lock.locked()
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0) is False
        assert lock.acquire(timeout=0.01) is False
        go.set()
        thread.join()
        assert not lock.locked()
        assert lock.acquire(False) is True
        lock.release()

    def test_wakes(self, kind, interp):
        lock = LOCKS[kind]()
        thread, go = taken_elsewhere(lock, interp)
        go.set()
        with lock:
            assert lock.locked()
        thread.join()

    def test_the_same_thread_elsewhere_is_somebody_else(self, kind, interp):
        lock = LOCKS[kind]()
        with lock:
            assert interp.call(helpers.acquire, lock, False) is False
            assert interp.call(helpers.acquire, lock, timeout=0.01) is False

    def test_counts(self, kind, interps):
        lock, buffer = LOCKS[kind](), atoll.SharedBuffer(16)
        results([interp.call_in_thread(helpers.count_up, lock, buffer, 3000) for interp in interps])
        assert memoryview(buffer).cast("q")[0] == 4 * 3000

    def test_not_owned(self, kind, interp):
        lock = LOCKS[kind]()
        assert interp.call(helpers.catch, lock, "release") == "RuntimeError"
        thread, go = taken_elsewhere(lock, interp)
        if kind == "Lock":
            lock.release()  # by anybody, as in threading
            lock.acquire()
            go.set()
            thread.join()
        else:
            with pytest.raises(RuntimeError):
                lock.release()
            go.set()
            thread.join()

    def test_reset_leaves_others_alone(self, kind):
        lock = LOCKS[kind]()
        lock.reset()
        lock.acquire()
        lock.reset()
        assert lock.locked()
        lock.release()


class TestRLock:
    def test_depth(self, interp):
        lock = sync.RLock()
        for _ in range(3):
            assert lock.acquire()
        assert lock._recursion_count() == 3
        lock.release()
        lock.release()
        assert interp.call(helpers.acquire, lock, False) is False
        lock.release()
        assert interp.call(helpers.acquire, lock, False) is True
        assert lock.acquire(False) is False
        interp.call(helpers.release, lock)
        assert lock.acquire(False) is True
        lock.release()

    def test_in_a_condition_of_threading(self):
        lock = sync.RLock()
        condition = threading.Condition(lock)
        with condition, condition:
            assert condition.wait(0.001) is False
            assert lock._recursion_count() == 2
        assert not lock.locked()


@pytest.mark.parametrize("kind", LOCKS)
class TestOwnerDied:
    def leave_held(self, kind):
        lock = LOCKS[kind]()
        with atoll.create() as interp:
            interp.call(helpers.acquire, lock)
        return lock

    def test_raises_until_reset(self, kind):
        lock = self.leave_held(kind)
        assert lock.locked()
        assert "owner-died" in repr(lock)
        for call in (
            lambda: lock.acquire(),
            lambda: lock.acquire(False),
            lambda: lock.acquire(timeout=1),
            lambda: lock.__enter__(),
            lambda: lock.release(),
        ):
            with pytest.raises(atoll.OwnerDiedError, match="reset"):
                call()
        lock.reset()
        assert not lock.locked()
        with lock:
            pass

    def test_everywhere(self, kind, interp):
        lock = self.leave_held(kind)
        assert interp.call(helpers.catch, lock, "acquire") == "OwnerDiedError"
        interp.call(helpers.method, lock, "reset")
        assert lock.acquire()
        lock.release()

    def test_is_a_runtime_error(self, kind):
        assert issubclass(sync.OwnerDiedError, RuntimeError)
        assert sync.OwnerDiedError is atoll.OwnerDiedError
        with pytest.raises(RuntimeError), self.leave_held(kind):
            pass

    def test_wakes_who_waits(self, kind, interps):
        lock = LOCKS[kind]()
        owner = interps[0]
        owner.call(helpers.acquire, lock)
        started = [sync.Event() for _ in interps[1:]]
        threads = [
            interp.call_in_thread(catch_after, event, lock)
            for interp, event in zip(interps[1:], started, strict=True)
        ]
        for event in started:
            assert event.wait(60)
        owner.close()
        interps[0] = atoll.create()
        assert results(threads) == ["OwnerDiedError"] * 3

    def test_held_by_a_thread_that_has_ended(self, kind):
        lock = LOCKS[kind]()
        with atoll.create() as interp:
            interp.call(helpers.hold_in_thread, lock)
            assert lock.acquire(False) is False
        with pytest.raises(atoll.OwnerDiedError):
            lock.acquire()

    def test_while_others_see_its_memory(self, kind):
        """Closed is closed, though the interpreter itself must stay for a while."""
        lock, queue = LOCKS[kind](), atoll.create_queue()
        with atoll.create() as interp:
            interp.call(helpers.acquire, lock)
            interp.prepare_main(queue=queue)
            interp.exec("queue.put(memoryview(bytearray(b'spam')))")
        view = queue.get()
        with pytest.raises(atoll.OwnerDiedError):
            lock.acquire(timeout=60)
        assert bytes(view) == b"spam"

    def test_released_in_time(self, kind):
        lock = LOCKS[kind]()
        with atoll.create() as interp:
            interp.call(helpers.acquire, lock)
            interp.call(helpers.release, lock)
        with lock:
            pass


def catch_after(event, lock):
    """By value: defined here."""
    event.set()
    try:
        lock.acquire()
    except Exception as error:
        return type(error).__name__


class TestCondition:
    def test_of_a_lock(self, interp):
        lock = sync.Lock()
        condition = sync.Condition(lock)
        with condition:
            assert lock.locked()
            assert interp.call(helpers.acquire, lock, False) is False
        with interp.call(helpers.same, condition):
            assert lock.locked()

    @pytest.mark.parametrize("lock", [threading.Lock(), threading.RLock(), 1, "lock"], ids=type)
    def test_of_anything_else(self, lock):
        with pytest.raises(TypeError, match=r"atoll\.sync\.Lock or RLock"):
            sync.Condition(lock)

    def test_turns(self, interps):
        condition, turn = sync.Condition(), sync.AtomicInt()
        threads = [
            interp.call_in_thread(helpers.ping_pong, condition, turn, me, 4, 200)
            for me, interp in enumerate(interps)
        ]
        assert results(threads) == [0, 1, 2, 3]
        assert turn.load() == 800

    def test_must_be_held(self, interp):
        condition = sync.Condition()
        for name in ("wait", "notify", "notify_all"):
            with pytest.raises(RuntimeError, match="un-acquired"):
                getattr(condition, name)()
        thread, go = taken_elsewhere(condition, interp)
        with pytest.raises(RuntimeError, match="un-acquired"):
            condition.notify()
        go.set()
        thread.join()

    def test_wait_releases_it_wholly(self, interp):
        condition = sync.Condition()
        with condition, condition:
            thread = interp.call_in_thread(notify_when_free, condition)
            assert condition.wait(60) is True
            assert condition._recursion_count() == 2
        thread.join()

    def test_timeouts(self):
        condition = sync.Condition()
        with condition:
            for timeout in (0, -1, 0.001, -(10**9)):
                assert condition.wait(timeout) is False
                assert condition.wait_for(lambda: 0, timeout) == 0
            assert condition.wait_for(lambda: "yes", -1) == "yes"
            assert condition.wait_for(lambda: [], timeout=0) == []

    def test_predicate_that_raises(self):
        condition = sync.Condition()
        with pytest.raises(ZeroDivisionError), condition:
            condition.wait_for(lambda: 1 / 0)
        assert not condition.locked()

    def test_owner_died_while_it_waits(self):
        """Who waits in a condition whose lock is lost wakes with the error, not holding it."""
        condition, started = sync.Condition(), sync.Event()
        caught = []

        def work():
            try:
                with condition:
                    started.set()
                    condition.wait()
            except RuntimeError as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert started.wait(60)
        with atoll.create() as interp:
            interp.call(helpers.acquire, condition)
        thread.join(60)
        assert [type(error) for error in caught] == [atoll.OwnerDiedError]
        condition.reset()
        with condition:
            condition.notify_all()


def notify_when_free(condition):
    with condition:
        condition.notify()


class TestSemaphore:
    def test_limits(self, interps):
        for semaphore in (sync.Semaphore(2), sync.BoundedSemaphore(2)):
            inside, most = sync.AtomicInt(), sync.AtomicInt()
            results([i.call_in_thread(helpers.at_most, semaphore, inside, most, 1000) for i in interps])
            assert inside.load() == 0
            assert 1 <= most.load() <= 2
            assert "value=2" in repr(semaphore)

    def test_release_several(self, interps):
        semaphore = sync.Semaphore(0)
        threads = [interp.call_in_thread(helpers.acquire, semaphore) for interp in interps]
        semaphore.release(3)
        semaphore.release()
        assert results(threads) == [True] * 4
        assert semaphore.acquire(False) is False

    def test_bounded(self, interp):
        semaphore = sync.BoundedSemaphore(1)
        assert interp.call(helpers.catch, semaphore, "release") == "ValueError"
        interp.call(helpers.acquire, semaphore)
        semaphore.release()
        with pytest.raises(ValueError):
            semaphore.release()

    def test_bad(self):
        for cls in (sync.Semaphore, sync.BoundedSemaphore):
            with pytest.raises(ValueError):
                cls(-1)
            for value in ("1", 1.5, None):
                with pytest.raises(TypeError):
                    cls(value)
            for n in (0, -1):
                with pytest.raises(ValueError):
                    cls().release(n)
            with pytest.raises(OverflowError):
                cls(2**64)
        semaphore = sync.Semaphore(2**63 - 1)
        semaphore.release(2**63 - 1)
        semaphore.release()
        with pytest.raises(ValueError):
            semaphore.release(2**63 - 1)


class TestEvent:
    def test_wakes_all(self, interps):
        event, started = sync.Event(), sync.AtomicInt()
        threads = [interp.call_in_thread(helpers.wait_event, event, started) for interp in interps]
        while started.load() < 4:
            assert event.wait(0.001) is False
        event.set()
        assert results(threads) == [True] * 4
        assert event.is_set()
        event.clear()
        assert not event.is_set()
        assert event.wait(0) is False

    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    def test_wakes_all_though_cleared_at_once(self, interps):
        event, begun = sync.Event(), atoll.create_queue()
        threads = [interp.call_in_thread(helpers.tell_and_wait, begun, event) for interp in interps]
        numbers = [begun.get(timeout=LIMIT) for _ in threads]

        def all_sleep():
            stats = [Path(f"/proc/self/task/{number}/stat").read_text() for number in numbers]
            return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)

        end = time.monotonic() + LIMIT
        while not all_sleep():  # each has its GIL for itself
            assert time.monotonic() < end
            time.sleep(0.001)
        event.set()
        event.clear()
        assert results(threads) == [True] * 4


class TestBarrier:
    def test_rounds(self, interps):
        barrier, counter = sync.Barrier(4), sync.AtomicInt()
        threads = [interp.call_in_thread(helpers.barrier_rounds, barrier, counter, 50) for interp in interps]
        for indexes in zip(*results(threads), strict=True):
            assert sorted(indexes) == [0, 1, 2, 3]
        assert counter.load() == 200
        assert barrier.n_waiting == 0
        assert not barrier.broken

    def test_action(self, interps):
        """Once a round, by one of the parties, in its own interpreter."""
        barrier, ran = sync.Barrier(4, helpers.action), sync.AtomicInt(-1)
        for interp in interps:
            interp.call(helpers.set_ran_in, ran)
        for _ in range(20):
            results([interp.call_in_thread(helpers.method, barrier, "wait") for interp in interps])
            assert ran.exchange(-1) - 1000 in {interp.id for interp in interps}

    def test_action_here(self):
        ran = []
        barrier = sync.Barrier(1, lambda: ran.append(1))
        assert barrier.wait() == 0
        assert ran == [1]

    def test_action_that_fails(self, interp):
        barrier = sync.Barrier(2, action=helpers.broken_action)
        thread = interp.call_in_thread(helpers.catch, barrier, "wait")
        try:
            barrier.wait(60)
        except (ZeroDivisionError, threading.BrokenBarrierError) as error:
            ours = type(error).__name__
        assert sorted([ours, thread.future.result()]) == ["BrokenBarrierError", "ZeroDivisionError"]
        assert barrier.broken
        barrier.reset()
        assert not barrier.broken

    def test_action_that_cannot_cross(self, interp):
        lock = threading.Lock()
        barrier = sync.Barrier(1, lock.locked)
        assert barrier.wait() == 0
        with pytest.raises(atoll.NotShareableError):
            interp.call(helpers.same, barrier)

    def test_action_that_refers_to_its_barrier(self, interp):
        barrier = sync.Barrier(1, lambda: None)
        cell = [barrier]
        again = sync.Barrier(1, lambda: cell[0].parties)
        cell[0] = again
        assert interp.call(helpers.method, again, "wait") == 0

    def test_default_timeout_travels(self, interp):
        barrier = sync.Barrier(2, timeout=0.01)
        assert interp.call(helpers.catch, barrier, "wait") == "BrokenBarrierError"
        assert barrier.broken
        with pytest.raises(sync.BrokenBarrierError):
            barrier.wait()

    def test_abort_and_reset(self, interp):
        for name in ("abort", "reset"):
            barrier = sync.Barrier(2)
            thread = interp.call_in_thread(helpers.catch, barrier, "wait")
            while barrier.n_waiting == 0:
                sync.Event().wait(0.001)
            getattr(barrier, name)()
            assert thread.future.result(60) == "BrokenBarrierError"
            assert barrier.broken == (name == "abort")

    def test_the_error_is_threadings(self):
        assert sync.BrokenBarrierError is threading.BrokenBarrierError

    def test_bad(self):
        for parties in (0, -1):
            with pytest.raises(ValueError):
                sync.Barrier(parties)
        with pytest.raises(TypeError):
            sync.Barrier(2, 5)
        with pytest.raises(TypeError):
            sync.Barrier("2")
        with pytest.raises(ValueError):
            sync.Barrier(2, None, float("nan"))


class TestAtomicInt:
    def test_operations(self):
        atomic = sync.AtomicInt(5)
        assert atomic.load() == int(atomic) == 5
        assert atomic.add(3) == 5
        assert atomic.add() == 8
        assert atomic.add(-10) == 9
        assert atomic.exchange(100) == -1
        assert atomic.compare_exchange(99, 1) is False
        assert atomic.load() == 100
        assert atomic.compare_exchange(100, 1) is True
        assert [10, 20, 30][atomic] == 20
        assert atomic.store(0) is None
        assert not atomic
        assert sync.AtomicInt().load() == 0
        assert sync.AtomicInt(value=2).load() == 2

    def test_limits(self):
        low, high = -(2**63), 2**63 - 1
        atomic = sync.AtomicInt(high)
        assert atomic.add(1) == high
        assert atomic.load() == low
        assert atomic.add(-1) == low
        assert atomic.load() == high
        assert atomic.exchange(low) == high
        for call in (
            lambda: sync.AtomicInt(high + 1),
            lambda: atomic.store(low - 1),
            lambda: atomic.add(2**64),
            lambda: atomic.exchange(2**63),
            lambda: atomic.compare_exchange(2**63, 0),
            lambda: atomic.compare_exchange(0, 2**63),
        ):
            with pytest.raises(OverflowError):
                call()
        assert atomic.load() == low

    def test_bad(self):
        atomic = sync.AtomicInt()
        for call in (
            lambda: sync.AtomicInt("1"),
            lambda: sync.AtomicInt(1.5),
            lambda: sync.AtomicInt(1, 2),
            lambda: atomic.add("1"),
            lambda: atomic.add(1, 2),
            lambda: atomic.store(None),
            lambda: atomic.store(),
            lambda: atomic.compare_exchange(1),
        ):
            with pytest.raises(TypeError):
                call()

    def test_between(self, interps):
        atomic = sync.AtomicInt()
        taken = results([interp.call_in_thread(helpers.add_up, atomic, 5000) for interp in interps])
        assert sorted(sum(taken, [])) == list(range(20000))
        results([interp.call_in_thread(helpers.spin_up, atomic, 1000) for interp in interps])
        assert atomic.load() == 20000 + 4 * 1000 * 3


class TestTimeouts:
    @pytest.mark.parametrize("bad", [float("nan")])
    def test_nan(self, bad):
        held = sync.Lock()
        held.acquire()
        condition = sync.Condition()
        condition.acquire()
        for call in (
            lambda: held.acquire(timeout=bad),
            lambda: sync.RLock().acquire(True, bad),
            lambda: sync.Semaphore(0).acquire(timeout=bad),
            lambda: sync.Event().wait(bad),
            lambda: condition.wait(bad),
            lambda: condition.wait_for(lambda: False, bad),
            lambda: sync.Barrier(2).wait(bad),
        ):
            with pytest.raises(ValueError, match="NaN"):
                call()

    @pytest.mark.parametrize("huge", [1e100, float("inf"), 2**70, 10**400, threading.TIMEOUT_MAX * 2])
    def test_beyond_the_clock(self, huge):
        """As threading has it."""
        condition = sync.Condition()
        condition.acquire()
        for call in (
            lambda: sync.Lock().acquire(timeout=huge),
            lambda: sync.Semaphore(0).acquire(timeout=huge),
            lambda: sync.Event().wait(huge),
            lambda: condition.wait(huge),
            lambda: sync.Barrier(2).wait(huge),
        ):
            with pytest.raises(OverflowError):
                call()

    def test_the_longest(self):
        event = sync.Event()
        setter = threading.Thread(target=event.set)
        setter.start()
        assert event.wait(threading.TIMEOUT_MAX) is True
        setter.join()
        assert sync.Lock().acquire(timeout=threading.TIMEOUT_MAX) is True

    def test_negative(self):
        held = sync.Lock()
        held.acquire()
        for value in (-2, -0.5, -(10**9)):
            with pytest.raises(ValueError):
                held.acquire(timeout=value)
            assert sync.Semaphore(0).acquire(timeout=value) is False
            assert sync.Semaphore(1).acquire(timeout=value) is True
            assert sync.Event().wait(value) is False
            with pytest.raises(threading.BrokenBarrierError):
                sync.Barrier(2).wait(value)
        with pytest.raises(ValueError):
            held.acquire(False, 1)
        assert held.acquire(False, -1) is False
        with pytest.raises(ValueError):
            sync.Semaphore().acquire(False, 1)

    @pytest.mark.parametrize("bad", ["1", [], object(), 1j])
    def test_wrong_type(self, bad):
        for call in (
            lambda: sync.Lock().acquire(timeout=bad),
            lambda: sync.Semaphore(0).acquire(timeout=bad),
            lambda: sync.Event().wait(bad),
            lambda: sync.Barrier(2).wait(bad),
        ):
            with pytest.raises(TypeError):
                call()

    def test_arguments(self):
        lock, event = sync.Lock(), sync.Event()
        for call in (
            lambda: lock.acquire(True, 1, 2),
            lambda: lock.acquire(block=True),
            lambda: lock.acquire(True, blocking=True),
            lambda: event.wait(1, 2),
            lambda: event.wait(time=1),
            lambda: sync.Lock(1),
            lambda: sync.Event(x=1),
            lambda: lock.release(1),
        ):
            with pytest.raises(TypeError):
                call()


class TestStress:
    @pytest.mark.parametrize("seed", range(3))
    def test_many_locks(self, interps, seed):
        locks = [sync.Lock() if n % 2 else sync.RLock() for n in range(6)]
        atomics = [sync.AtomicInt() for _ in locks]
        threads = [
            interp.call_in_thread(helpers.mixed, seed * 100 + n, locks, atomics, 2000)
            for n, interp in enumerate(interps)
        ]
        assert sum(results(threads)) == sum(atomic.load() for atomic in atomics)
        assert not any(lock.locked() for lock in locks)

    def test_owners_that_die(self):
        """Interpreters take locks and are closed; everybody else gets a lock or the error."""
        lock, total = sync.Lock(), sync.AtomicInt()
        before = _core._sync_alive()
        done = sync.Event()
        outcomes = []

        def survive():
            while not done.is_set():
                try:
                    with lock:
                        total.add()
                except atoll.OwnerDiedError:
                    outcomes.append("died")
                    lock.reset()

        threads = [threading.Thread(target=survive) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            with atoll.create() as interp:
                while interp.call(helpers.catch, lock, "acquire") != "True":
                    pass
        done.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert len(outcomes) >= 14
        del done, threads, survive
        gc.collect()
        assert _core._sync_alive() == before


class TestChild:
    def run(self, code, **kwargs):
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, **kwargs
        )

    def test_import_is_light(self):
        out = self.run(
            "import sys; before = set(sys.modules); import atoll.sync; atoll.sync.Lock()\n"
            "print(*sorted(set(sys.modules) - before))"
        )
        assert out.returncode == 0
        assert {name.partition(".")[0] for name in out.stdout.split()} <= {"atoll", "atexit", "__future__"}

    def test_exit_with_what_is_held(self):
        code = """
import atoll
from atoll import sync

lock, event = sync.Lock(), sync.Event()
a, b = atoll.create(), atoll.create()
a.prepare_main(lock=lock, event=event)
a.exec("lock.acquire()")
b.prepare_main(lock=lock)
print("out", flush=True)
"""
        out = self.run(code)
        assert (out.returncode, out.stdout, out.stderr) == (0, "out\n", "")

    def test_exit_with_waiters(self):
        """A daemon thread waits for ever in an interpreter: the process ends with its status."""
        code = """
import atoll, sys, threading
from atoll import sync

lock, started = sync.Lock(), sync.Event()
lock.acquire()
interp = atoll.create()
interp.prepare_main(lock=lock, started=started)
thread = threading.Thread(target=interp.exec, args=("started.set(); lock.acquire()",), daemon=True)
thread.start()
started.wait()
print("out", flush=True)
sys.exit(3)
"""
        out = self.run(code)
        assert (out.returncode, out.stdout) == (3, "out\n"), out

    def test_ctrl_c(self):
        """SIGINT ends every wait of the main thread, here and inside an interpreter."""
        code = """
import atoll, os, signal, sys, threading
from atoll import sync

def interrupt(ready):
    ready.wait()
    os.kill(os.getpid(), signal.SIGINT)

def waits(ready):
    lock, semaphore, event = sync.Lock(), sync.Semaphore(0), sync.Event()
    condition, barrier = sync.Condition(), sync.Barrier(2)
    lock.acquire()
    def in_condition():
        with condition:
            condition.wait()
    def inside(wait):
        ready.set()
        wait()
    for wait in (lock.acquire, lambda: lock.acquire(timeout=1000), semaphore.acquire, event.wait, in_condition):
        yield inside, wait
    yield inside, barrier.wait
    yield interp.call, helpers.set_and_call, ready, lock.acquire
    yield interp.call, helpers.set_and_call, ready, event.wait, 1000

import sync_helpers as helpers
interp = atoll.create()
ready = sync.Event()
interp.call(helpers.set_and_call, ready, len, ())
for function, *args in waits(ready):
    ready.clear()
    thread = threading.Thread(target=interrupt, args=(ready,))
    thread.start()
    try:
        function(*args)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    thread.join()
"""
        out = self.run(code, env=dict(os.environ, PYTHONPATH=os.path.dirname(__file__)))
        assert (out.returncode, out.stdout, out.stderr) == (0, "interrupted\n" * 8, "")

    def test_fork(self):
        """The child: what another interpreter held is OWNER DIED; what main held is held."""
        code = """
import atoll, os, warnings
from atoll import sync

warnings.simplefilter("ignore")
theirs, ours, free = sync.Lock(), sync.Lock(), sync.RLock()
interp = atoll.create()
interp.call(theirs.acquire)
ours.acquire()
pid = os.fork()
if pid == 0:
    try:
        theirs.acquire()
    except atoll.OwnerDiedError:
        theirs.reset()
    else:
        os._exit(1)
    os._exit(0 if ours.locked() and free.acquire() and theirs.acquire() else 2)
status = os.waitpid(pid, 0)[1]
print(status)
assert theirs.locked()
interp.call(theirs.release)
"""
        out = self.run(code)
        assert (out.returncode, out.stdout, out.stderr) == (0, "0\n", "")


class TestInterrupt:
    """Interpreter.interrupt() ends a wait."""

    @pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Event", "Condition", "Barrier"])
    def test_ends_a_wait(self, interp, kind):
        obj = {
            "Lock": sync.Lock,
            "Semaphore": lambda: sync.Semaphore(0),
            "Event": sync.Event,
            "Condition": sync.Condition,
            "Barrier": lambda: sync.Barrier(2),
        }[kind]()
        if kind == "Lock":
            obj.acquire()
        started = sync.Event()
        thread = interp.call_in_thread(wait_for_interrupt, kind, obj, started)
        assert started.wait(60)
        while not interp.interrupt():
            assert thread.is_alive()
        with pytest.raises(atoll.ExecutionInterrupted):
            thread.future.result(60)
        if kind == "Condition":
            assert obj.acquire(False)
            obj.notify()
            obj.release()
        if kind == "Barrier":
            assert obj.n_waiting == 0
            assert not obj.broken

    def test_deadline(self, interp):
        interp.call(helpers.method, sync.Event(), "is_set")  # its imports are not cut off half-way
        with pytest.raises(atoll.ExecutionTimeout):
            interp.options(timeout=0.05).call(helpers.method, sync.Event(), "wait")
        assert interp.call(helpers.method, sync.Event(), "wait", 0) is False


def wait_for_interrupt(kind, obj, started):
    started.set()
    if kind in ("Lock", "Semaphore"):
        obj.acquire()
    elif kind == "Condition":
        with obj:
            obj.wait()
    else:
        obj.wait()
