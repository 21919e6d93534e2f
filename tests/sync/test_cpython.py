"""CPython's own tests of threading's locks, with atoll.sync in their place."""

from __future__ import annotations

import re

import pytest
from children import LIMIT

from atoll import sync

lock_tests = pytest.importorskip("test.lock_tests", reason="this Python has no test package")


class Names:
    """The reprs say atoll.sync where the tests expect one word; a timeout may be late."""

    def assertRegex(self, text: str, pattern: str, *args: object) -> None:
        super().assertRegex(re.sub(r"^<atoll\.sync\.", "<sync.", text), pattern, *args)

    def assertTimeout(self, actual: float, expected: float) -> None:
        self.assertGreaterEqual(actual, expected * 0.6)


class TestLock(Names, lock_tests.LockTests):
    locktype = staticmethod(sync.Lock)
    test_at_fork_reinit = None  # fork is atoll's own business: tests/isolated


class TestRLock(Names, lock_tests.RLockTests):
    locktype = staticmethod(sync.RLock)


class TestEvent(Names, lock_tests.EventTests):
    eventtype = staticmethod(sync.Event)
    test_at_fork_reinit = None
    test_set_and_clear = None  # gives its threads 50 ms; TestEvent of test_sync_between.py waits for them


class TestConditionAsRLock(Names, lock_tests.RLockTests):
    locktype = staticmethod(sync.Condition)


class TestCondition(Names, lock_tests.ConditionTests):
    condtype = staticmethod(sync.Condition)
    locktype = staticmethod(sync.Lock)
    test_acquire = None  # gives it a threading.Lock
    test_nan_timeout = None  # looks at a private list of waiters


class TestSemaphore(Names, lock_tests.SemaphoreTests):
    semtype = staticmethod(sync.Semaphore)


class TestBoundedSemaphore(Names, lock_tests.BoundedSemaphoreTests):
    semtype = staticmethod(sync.BoundedSemaphore)


class TestBarrier(Names, lock_tests.BarrierTests):
    barriertype = staticmethod(sync.Barrier)

    def setUp(self) -> None:
        # Its default of 2 s is for threads that are slow to come, too.
        self.barrier = self.barriertype(self.N, timeout=LIMIT)
