"""CPython's own tests of queue.Queue, with atoll's queues in its place."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import atoll

test_queue = pytest.importorskip("test.test_queue", reason="this Python has no test package")


class Names:
    """What the tests find in the module queue."""

    queue = SimpleNamespace(Empty=atoll.QueueEmpty, Full=atoll.QueueFull, ShutDown=atoll.QueueShutDown)
    type2test = staticmethod(atoll.create_queue)


class TestQueue(Names, test_queue.BaseQueueTestMixin, test_queue.unittest.TestCase):
    test_shrinking_queue = None  # sets maxsize, which is read-only here


class TestSimpleQueue(Names, test_queue.BaseSimpleQueueTest, test_queue.unittest.TestCase):
    """The same for SimpleQueue: many threads that feed and consume."""

    def setUp(self) -> None:
        self.q = atoll.create_queue()

    # These ask for gigabytes, which threads do not need; the same without.

    def test_many_threads(self) -> None:
        self.run_many(10_000, self.consume)

    def test_many_threads_nonblock(self) -> None:
        self.run_many(10_000, self.consume_nonblock)

    def test_many_threads_timeout(self) -> None:
        self.run_many(1000, self.consume_timeout)

    def run_many(self, count: int, consume: object) -> None:
        inputs = list(range(count))
        assert sorted(self.run_threads(50, self.q, inputs, self.feed, consume)) == inputs
