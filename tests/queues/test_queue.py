"""One queue, one interpreter: what each method does."""

from __future__ import annotations

import copy
import inspect
import pickle
import queue as stdlib_queue
import sys
import threading
import weakref

import pytest
from helpers import Thread, wait_for, wait_until, waiting

import atoll
from atoll import _core


class TestCreate:
    @pytest.mark.parametrize("maxsize", [0, 1, 3, 100, -1, -10, sys.maxsize, -sys.maxsize - 1, True])
    def test_maxsize(self, maxsize: int) -> None:
        made = atoll.create_queue(maxsize)
        assert made.maxsize == maxsize
        assert type(made.maxsize) is int
        assert made.qsize() == 0 and made.empty() and not made.full()

    def test_default(self, queue: atoll.Queue) -> None:
        assert queue.maxsize == 0
        assert queue.unbounditems is None

    @pytest.mark.parametrize("maxsize", ["1", 1.0, None, b"1", [1]])
    def test_maxsize_is_no_int(self, maxsize: object) -> None:
        with pytest.raises(TypeError):
            atoll.create_queue(maxsize)

    @pytest.mark.parametrize("maxsize", [2**63, 10**30, -(2**63) - 1])
    def test_maxsize_beyond_64_bits(self, maxsize: int) -> None:
        with pytest.raises(OverflowError, match="64 bits"):
            atoll.create_queue(maxsize)

    def test_index(self) -> None:
        class Number:
            def __index__(self) -> int:
                return 7

        assert atoll.create_queue(Number()).maxsize == 7

    @pytest.mark.parametrize("policy", [atoll.UNBOUND, atoll.UNBOUND_ERROR, atoll.UNBOUND_REMOVE, None])
    def test_unbounditems(self, policy: object) -> None:
        assert atoll.create_queue(unbounditems=policy).unbounditems is policy

    @pytest.mark.parametrize("policy", [1, "UNBOUND", object(), False])
    def test_unknown_unbounditems(self, policy: object, queue: atoll.Queue) -> None:
        with pytest.raises(NotImplementedError, match="unsupported unbound"):
            atoll.create_queue(unbounditems=policy)
        with pytest.raises(NotImplementedError, match="unsupported unbound"):
            queue.put(1, unbounditems=policy)
        assert queue.empty()

    def test_arguments(self) -> None:
        assert atoll.create_queue(maxsize=4).maxsize == 4
        for bad in ({"size": 1}, {"maxsize": 1, "x": 2}):
            with pytest.raises(TypeError, match="unexpected keyword"):
                atoll.create_queue(**bad)
        with pytest.raises(TypeError):
            atoll.create_queue(1, None)


class TestIdentity:
    def test_one_object_per_id(self, queue: atoll.Queue) -> None:
        assert atoll.Queue(queue.id) is queue
        assert isinstance(queue.id, int) and queue.id > 0

    def test_ids_are_never_used_again(self) -> None:
        seen = [atoll.create_queue().id for _ in range(50)]
        assert seen == sorted(set(seen))

    def test_hash_and_equality(self, queue: atoll.Queue) -> None:
        other = atoll.create_queue()
        assert hash(queue) == hash(queue.id)
        assert queue == queue and queue != other
        assert len({queue, other, atoll.Queue(other.id)}) == 2

    @pytest.mark.parametrize("number", [0, 10**9, 2**63 - 1])
    def test_no_such_queue(self, number: int) -> None:
        with pytest.raises(atoll.QueueNotFoundError, match=f"queue {number} not found"):
            atoll.Queue(number)

    def test_no_id(self) -> None:
        """As the standard module says it."""
        with pytest.raises(ValueError, match="negative"):
            atoll.Queue(-1)
        for number in (2**64, 10**30, -(10**30)):
            with pytest.raises(OverflowError):
                atoll.Queue(number)

    @pytest.mark.parametrize("bad", ["1", 1.0, None])
    def test_id_is_no_int(self, bad: object) -> None:
        with pytest.raises(TypeError, match="id must be an int"):
            atoll.Queue(bad)

    def test_constructor_takes_one_id(self) -> None:
        with pytest.raises(TypeError):
            atoll.Queue()
        with pytest.raises(TypeError):
            atoll.Queue(id=1)

    def test_gone_with_the_last_reference(self) -> None:
        made = atoll.create_queue()
        number = made.id
        del made
        with pytest.raises(atoll.QueueNotFoundError):
            atoll.Queue(number)

    def test_many_objects(self) -> None:
        made = [atoll.create_queue() for _ in range(1000)]
        assert all(atoll.Queue(one.id) is one for one in made)
        numbers = [one.id for one in made]
        del made[::2]
        assert all(atoll.Queue(one.id) is one for one in made)
        for number in numbers[::2]:
            with pytest.raises(atoll.QueueNotFoundError):
                atoll.Queue(number)

    def test_read_only(self, queue: atoll.Queue) -> None:
        for name in ("id", "maxsize", "unbounditems", "other"):
            with pytest.raises(AttributeError):
                setattr(queue, name, 1)
        with pytest.raises(TypeError):
            atoll.Queue.put = None

    def test_no_subclass(self) -> None:
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Mine", (atoll.Queue,), {})

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, queue: atoll.Queue, protocol: int) -> None:
        assert pickle.loads(pickle.dumps(queue, protocol)) is queue

    def test_unpickled_too_late(self) -> None:
        data = pickle.dumps(atoll.create_queue())
        with pytest.raises(atoll.QueueNotFoundError):
            pickle.loads(data)

    def test_copy(self, queue: atoll.Queue) -> None:
        assert copy.copy(queue) is queue
        assert copy.deepcopy([queue])[0] is queue

    def test_weakref(self) -> None:
        made = atoll.create_queue()
        number, seen = made.id, []

        def gone(ref: object) -> None:
            # The object is going: another one of the same queue may not be found.
            try:
                seen.append(atoll.Queue(number))
            except atoll.QueueNotFoundError as error:
                seen.append(error)

        ref = weakref.ref(made, gone)
        assert ref() is made
        del made
        assert ref() is None
        assert len(seen) == 1
        # While the old object goes, its queue is still there, under a new one.
        assert isinstance(seen[0], atoll.Queue) and seen[0].id == number
        seen[0].put(1)
        assert seen[0].get() == 1

    def test_generic(self) -> None:
        alias = atoll.Queue[int]
        assert alias.__origin__ is atoll.Queue and alias.__args__ == (int,)

    def test_repr(self) -> None:
        free, small = atoll.create_queue(), atoll.create_queue(10)
        assert repr(free) == f"Queue({free.id})"
        assert repr(small) == f"Queue({small.id}, maxsize=10)"
        small.shutdown()
        assert repr(small) == f"Queue({small.id}, maxsize=10, shut down)"

    def test_is_shareable(self, queue: atoll.Queue) -> None:
        assert atoll.is_shareable(queue)

    def test_docstrings(self) -> None:
        for name, member in inspect.getmembers(atoll.Queue):
            if not name.startswith("_"):
                assert member.__doc__, name
        assert str(inspect.signature(atoll.Queue.put)) == (
            "(self, /, obj, block=True, timeout=None, *, unbounditems=None)"
        )
        assert str(inspect.signature(atoll.create_queue)) == "(maxsize=0, *, unbounditems=None)"


class TestPutAndGet:
    VALUES = [None, True, 0, 2**100, 1.5, "spam", b"eggs", (1, "a"), [1, [2]], {"a": {1, 2}}, range(3), ...]

    def test_order(self, queue: atoll.Queue) -> None:
        for value in self.VALUES:
            queue.put(value)
        assert queue.qsize() == len(self.VALUES)
        assert [queue.get() for _ in self.VALUES] == self.VALUES
        assert queue.empty()

    def test_copies(self, queue: atoll.Queue) -> None:
        value = [1, [2]]
        queue.put(value)
        value[1].append(3)
        got = queue.get()
        assert got == [1, [2]] and got is not value

    def test_a_queue_through_itself(self, queue: atoll.Queue) -> None:
        queue.put(queue)
        queue.put([queue, {"me": queue}])
        assert queue.get() is queue
        assert queue.get() == [queue, {"me": queue}]

    def test_nowait(self) -> None:
        small = atoll.create_queue(2)
        small.put_nowait(1)
        small.put(2, False)
        assert small.full()
        for put in (
            lambda: small.put_nowait(3),
            lambda: small.put(3, False),
            lambda: small.put(3, block=False, timeout=3600),
            lambda: small.put(3, timeout=0),
            lambda: small.put(3, True, 0.0),
        ):
            with pytest.raises(atoll.QueueFull, match=f"queue {small.id} is full"):
                put()
        assert [small.get_nowait(), small.get(False)] == [1, 2]
        for get in (
            lambda: small.get_nowait(),
            lambda: small.get(False),
            lambda: small.get(block=False, timeout=3600),
            lambda: small.get(timeout=0),
        ):
            with pytest.raises(atoll.QueueEmpty, match=f"queue {small.id} is empty"):
                get()

    def test_exceptions_are_the_standard_ones_too(self, queue: atoll.Queue) -> None:
        with pytest.raises(stdlib_queue.Empty):
            queue.get_nowait()
        with pytest.raises(stdlib_queue.Full):
            atoll.create_queue(1).put_many([1, 2], timeout=0)
        for error in (atoll.QueueEmpty, atoll.QueueFull, atoll.QueueShutDown, atoll.QueueNotFoundError):
            assert issubclass(error, atoll.QueueError) and error.__module__ == "atoll"

    @pytest.mark.parametrize("timeout", [0.01, 0.0, 0, 1e-9])
    def test_timeout(self, queue: atoll.Queue, timeout: float) -> None:
        with pytest.raises(atoll.QueueEmpty):
            queue.get(timeout=timeout)
        full = atoll.create_queue(1)
        full.put(1)
        with pytest.raises(atoll.QueueFull):
            full.put(2, timeout=timeout)
        assert full.qsize() == 1

    @pytest.mark.parametrize(
        ("timeout", "error", "text"),
        [
            (-1, ValueError, "'timeout' must be a non-negative number"),
            (-0.001, ValueError, "'timeout' must be a non-negative number"),
            (float("-inf"), ValueError, "'timeout' must be a non-negative number"),
            (-(10**400), ValueError, "'timeout' must be a non-negative number"),
            (float("nan"), ValueError, "NaN"),
            ("1", TypeError, "real number"),
            ([], TypeError, "real number"),
        ],
    )
    def test_bad_timeout(self, queue: atoll.Queue, timeout: object, error: type, text: str) -> None:
        for call in (
            lambda: queue.get(timeout=timeout),
            lambda: queue.put(1, timeout=timeout),
            lambda: queue.put_many([1], timeout),
            lambda: queue.get_many(1, timeout),
        ):
            with pytest.raises(error, match=text):
                call()
        assert queue.empty()
        # Who does not wait needs no timeout.
        queue.put(1, False, timeout)
        assert queue.get(False, timeout) == 1

    @pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**400, sys.maxsize, threading.TIMEOUT_MAX])
    def test_huge_timeout(self, queue: atoll.Queue, timeout: float) -> None:
        thread = Thread(lambda: queue.get(timeout=timeout))
        wait_for(queue, get=1)
        queue.put("there")
        assert thread.result() == "there"

    def test_timeout_of_other_types(self, queue: atoll.Queue) -> None:
        from decimal import Decimal
        from fractions import Fraction

        for timeout in (Decimal("0.001"), Fraction(1, 1000), True):
            with pytest.raises(atoll.QueueEmpty):
                queue.get(timeout=timeout)

    def test_arguments(self, queue: atoll.Queue) -> None:
        queue.put(obj=1, block=True, timeout=None, unbounditems=None)
        assert queue.get(block=True, timeout=None) == 1
        queue.put_nowait(obj=2)
        assert queue.get() == 2
        for call, text in (
            (lambda: queue.put(), "missing required argument 'obj'"),
            (lambda: queue.put(1, True, None, None), "at most 3 positional"),
            (lambda: queue.put(1, obj=2), "multiple values for argument 'obj'"),
            (lambda: queue.put(1, wait=2), "unexpected keyword argument 'wait'"),
            (lambda: queue.get(True, None, 1), "at most 2 positional"),
            (lambda: queue.put_nowait(), "missing required argument 'obj'"),
            (lambda: queue.put_many(), "missing required argument 'iterable'"),
            (lambda: queue.get_many(), "missing required argument 'n'"),
        ):
            with pytest.raises(TypeError, match=text):
                call()
        assert queue.empty()

    def test_block_of_bad_truth(self, queue: atoll.Queue) -> None:
        class Bad:
            def __bool__(self) -> bool:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            queue.get(Bad())
        with pytest.raises(ZeroDivisionError):
            queue.put(1, Bad())
        assert queue.empty()

    def test_what_cannot_cross_changes_nothing(self, queue: atoll.Queue) -> None:
        queue.put(1)
        with pytest.raises(atoll.NotShareableError, match=r"obj\['jobs'\]\[1\]"):
            queue.put({"jobs": [1, threading.Lock()]})
        assert queue.qsize() == 1
        assert queue.get() == 1

    def test_full_at_each_size(self) -> None:
        for maxsize in (1, 3, 11):
            one = atoll.create_queue(maxsize)
            for count in range(maxsize):
                assert not one.full() and one.qsize() == count
                one.put(count)
            assert one.full()
            for _ in range(maxsize):
                assert not one.empty()
                one.get()
                assert not one.full()
            assert one.empty()


class TestWaiting:
    def test_get_waits(self, queue: atoll.Queue) -> None:
        thread = Thread(queue.get)
        wait_for(queue, get=1)
        queue.put("item")
        assert thread.result() == "item"
        assert queue.empty()

    def test_put_waits(self) -> None:
        one = atoll.create_queue(1)
        one.put(1)
        thread = Thread(one.put, 2)
        wait_for(one, put=1)
        assert one.qsize() == 1
        assert one.get() == 1
        thread.result()
        assert one.get() == 2

    def test_first_come_first_served(self, queue: atoll.Queue) -> None:
        threads = []
        for count in range(5):
            threads.append(Thread(queue.get))
            wait_for(queue, get=count + 1)
        for number in range(5):
            queue.put(number)
        assert [thread.result() for thread in threads] == [0, 1, 2, 3, 4]

    def test_putters_in_order(self) -> None:
        one = atoll.create_queue(1)
        one.put("first")
        threads = []
        for count in range(5):
            threads.append(Thread(one.put, count))
            wait_for(one, put=count + 1)
        assert [one.get() for _ in range(6)] == ["first", 0, 1, 2, 3, 4]
        for thread in threads:
            thread.result()

    def test_nobody_overtakes(self) -> None:
        """An item that goes to a waiter is never in the queue."""
        one = atoll.create_queue()
        thread = Thread(one.get)
        wait_for(one, get=1)
        one.put(1)
        with pytest.raises(atoll.QueueEmpty):
            one.get_nowait()
        assert thread.result() == 1

    def test_late_leaves_the_line(self, queue: atoll.Queue) -> None:
        with pytest.raises(atoll.QueueEmpty):
            queue.get(timeout=0.001)
        assert waiting(queue)["get"] == 0
        queue.put(1)
        assert queue.get() == 1

    def test_the_gil_is_free(self, queue: atoll.Queue) -> None:
        threads = [Thread(queue.get) for _ in range(8)]
        wait_for(queue, get=8)
        assert sum(range(100_000)) == 4999950000
        queue.put_many(range(8))
        assert sorted(thread.result() for thread in threads) == list(range(8))


class TestMany:
    def test_put_many(self, queue: atoll.Queue) -> None:
        assert queue.put_many([1, "two", [3]]) == 3
        assert queue.put_many(iter((4,))) == 1
        assert queue.put_many({5: 6}) == 1
        assert queue.put_many(x * 10 for x in range(3)) == 3
        assert queue.put_many([]) == 0
        assert queue.get_many(100) == [1, "two", [3], 4, 5, 0, 10, 20]

    def test_get_many(self, queue: atoll.Queue) -> None:
        queue.put_many(range(10))
        assert queue.get_many(3) == [0, 1, 2]
        assert queue.get_many(n=1, timeout=None) == [3]
        assert queue.get_many(sys.maxsize) == [4, 5, 6, 7, 8, 9]
        queue.put(1)
        assert queue.get_many(10**30) == [1]
        with pytest.raises(atoll.QueueEmpty):
            queue.get_many(1, 0)
        with pytest.raises(atoll.QueueEmpty):
            queue.get_many(1, timeout=0.001)

    @pytest.mark.parametrize("n", [0, -1, -(10**30)])
    def test_get_none(self, queue: atoll.Queue, n: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            queue.get_many(n)

    @pytest.mark.parametrize("n", ["1", 1.0, None])
    def test_get_no_number(self, queue: atoll.Queue, n: object) -> None:
        with pytest.raises(TypeError):
            queue.get_many(n)

    def test_get_many_waits_for_one(self, queue: atoll.Queue) -> None:
        thread = Thread(queue.get_many, 5)
        wait_for(queue, get=1)
        queue.put("one")
        assert thread.result() == ["one"]

    def test_get_many_is_given_many(self, queue: atoll.Queue) -> None:
        thread = Thread(queue.get_many, 3)
        wait_for(queue, get=1)
        queue.put_many(range(5))
        assert thread.result() == [0, 1, 2]
        assert queue.get_many(5) == [3, 4]

    def test_put_many_waits_for_room(self) -> None:
        small = atoll.create_queue(2)
        thread = Thread(small.put_many, range(7))
        wait_for(small, put=1)
        assert small.qsize() == 2
        got = []
        while len(got) < 7:
            got += small.get_many(3)
        assert got == list(range(7)) and thread.result() == 7

    def test_put_many_late(self) -> None:
        small = atoll.create_queue(3)
        with pytest.raises(atoll.QueueFull) as caught:
            small.put_many(range(5), timeout=0.001)
        assert caught.value.items_put == 3
        assert small.get_many(9) == [0, 1, 2]
        small.put("x")
        with pytest.raises(atoll.QueueFull) as caught:
            small.put_many(range(5), 0)
        assert caught.value.items_put == 2

    def test_put_many_shut_down(self) -> None:
        small = atoll.create_queue(2)
        thread = Thread(small.put_many, range(5))
        wait_for(small, put=1)
        small.shutdown()
        with pytest.raises(atoll.QueueShutDown) as caught:
            thread.result()
        assert caught.value.items_put == 2
        assert small.get_many(9) == [0, 1]
        with pytest.raises(atoll.QueueShutDown) as caught:
            small.put_many([1])
        assert caught.value.items_put == 0
        assert small.put_many([]) == 0

    def test_everything_is_encoded_first(self, queue: atoll.Queue) -> None:
        for at in (0, 1, 9, 10, 99, 100, 1234):
            values: list[object] = list(range(at + 3))
            values[at] = {"lock": threading.Lock()}
            with pytest.raises(atoll.NotShareableError, match=rf"items\[{at}\]\['lock'\]"):
                queue.put_many(values)
        assert queue.empty()

    def test_an_iterable_that_fails(self, queue: atoll.Queue) -> None:
        def items():
            yield 1
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            queue.put_many(items())
        with pytest.raises(TypeError):
            queue.put_many(5)
        assert queue.empty()

    def test_put_many_to_waiters(self, queue: atoll.Queue) -> None:
        threads = []
        for count in range(3):
            threads.append(Thread(queue.get))
            wait_for(queue, get=count + 1)
        assert queue.put_many("abcd") == 4
        assert [thread.result() for thread in threads] == ["a", "b", "c"]
        assert queue.get() == "d"


class TestShutdown:
    def test_what_is_in_comes_out(self, queue: atoll.Queue) -> None:
        queue.put_many([1, 2])
        queue.shutdown()
        queue.shutdown()
        with pytest.raises(atoll.QueueShutDown, match=f"queue {queue.id} is shut down"):
            queue.put(3)
        with pytest.raises(atoll.QueueShutDown):
            queue.put_nowait(3)
        assert [queue.get(), queue.get_nowait()] == [1, 2]
        for get in (queue.get, queue.get_nowait, lambda: queue.get(timeout=1), lambda: queue.get_many(3)):
            with pytest.raises(atoll.QueueShutDown):
                get()

    def test_immediate(self, queue: atoll.Queue) -> None:
        queue.put_many([1, 2])
        queue.shutdown(immediate=True)
        assert queue.qsize() == 0
        with pytest.raises(atoll.QueueShutDown):
            queue.get()
        queue.join()

    def test_immediate_afterwards(self, queue: atoll.Queue) -> None:
        queue.put(1)
        queue.shutdown()
        assert queue.qsize() == 1
        queue.shutdown(True)
        with pytest.raises(atoll.QueueShutDown):
            queue.get_nowait()

    def test_wakes_all(self) -> None:
        one = atoll.create_queue(1)
        getters = [Thread(one.get) for _ in range(3)]
        wait_for(one, get=3)
        watcher = Thread(atoll.wait, [one])
        wait_for(one, wait=1)
        one.shutdown()
        for thread in getters:
            with pytest.raises(atoll.QueueShutDown):
                thread.result()
        assert watcher.result() == [one]
        full = atoll.create_queue(1)
        full.put(1)
        putters = [Thread(full.put, 2) for _ in range(3)]
        wait_for(full, put=3)
        full.shutdown()
        for thread in putters:
            with pytest.raises(atoll.QueueShutDown):
                thread.result()
        assert full.get() == 1

    @pytest.mark.skipif(sys.version_info < (3, 13), reason="queue.ShutDown came with 3.13")
    def test_the_standard_exception(self, queue: atoll.Queue) -> None:
        queue.shutdown()
        with pytest.raises(stdlib_queue.ShutDown):
            queue.get()

    def test_iteration(self, queue: atoll.Queue) -> None:
        queue.put_many(range(3))
        queue.shutdown()
        assert list(queue) == [0, 1, 2]
        assert list(queue) == []

    def test_iteration_waits(self, queue: atoll.Queue) -> None:
        thread = Thread(list, queue)
        wait_for(queue, get=1)
        for number in range(5):
            queue.put(number)
        queue.shutdown()
        assert thread.result() == [0, 1, 2, 3, 4]

    def test_iterators_share(self, queue: atoll.Queue) -> None:
        queue.put_many(range(4))
        one, two = iter(queue), iter(queue)
        assert iter(one) is one
        assert [next(one), next(two), next(one), next(two)] == [0, 1, 2, 3]
        with pytest.raises(TypeError):
            next(queue)


class TestJoin:
    def test_join(self, queue: atoll.Queue) -> None:
        queue.join()
        queue.put_many([1, 2])
        thread = Thread(queue.join)
        wait_for(queue, join=1)
        queue.get()
        queue.task_done()
        queue.get()
        assert thread.is_alive()
        queue.task_done()
        thread.result()

    def test_too_many(self, queue: atoll.Queue) -> None:
        with pytest.raises(ValueError, match="called too many times"):
            queue.task_done()
        queue.put(1)
        queue.task_done()
        with pytest.raises(ValueError, match="called too many times"):
            queue.task_done()

    def test_shutdown_immediate_ends_it(self, queue: atoll.Queue) -> None:
        queue.put(1)
        thread = Thread(queue.join)
        wait_for(queue, join=1)
        queue.shutdown()
        assert thread.is_alive()
        queue.shutdown(immediate=True)
        thread.result()


class TestWait:
    def test_nothing(self) -> None:
        assert atoll.wait([]) == []
        assert atoll.wait((), timeout=None) == []

    def test_ready(self) -> None:
        one, two, three = (atoll.create_queue() for _ in range(3))
        assert atoll.wait([one, two, three], 0) == []
        two.put(1)
        assert atoll.wait([one, two, three]) == [two]
        three.shutdown()
        assert atoll.wait([three, one, two]) == [three, two]
        assert two.qsize() == 1

    def test_any_iterable(self, queue: atoll.Queue) -> None:
        queue.put(1)
        assert atoll.wait({queue}) == [queue]
        assert atoll.wait(iter([queue])) == [queue]
        assert atoll.wait(queues=[queue], timeout=1) == [queue]
        assert atoll.wait([queue, queue]) == [queue, queue]

    @pytest.mark.parametrize("timeout", [0, 0.001, -1, -5.5, float("-inf")])
    def test_late(self, queue: atoll.Queue, timeout: float) -> None:
        assert atoll.wait([queue], timeout) == []
        assert waiting(queue)["wait"] == 0

    @pytest.mark.parametrize(("timeout", "error"), [(float("nan"), ValueError), ("1", TypeError)])
    def test_bad_timeout(self, queue: atoll.Queue, timeout: object, error: type) -> None:
        with pytest.raises(error):
            atoll.wait([queue], timeout)

    def test_no_queues(self, queue: atoll.Queue) -> None:
        for bad in ([queue, 1], [None], ["q"]):
            with pytest.raises(TypeError, match="expected a Queue"):
                atoll.wait(bad)
        for bad in (queue.id, None):
            with pytest.raises(TypeError):
                atoll.wait(bad)

    def test_sleeps_until_there_is_something(self) -> None:
        queues = [atoll.create_queue() for _ in range(40)]
        thread = Thread(atoll.wait, queues, float("inf"))
        wait_for(queues[-1], wait=1)
        queues[17].put(1)
        assert thread.result() == [queues[17]]
        assert all(waiting(queue)["wait"] == 0 for queue in queues)

    def test_takers(self, queue: atoll.Queue) -> None:
        """Who is woken for an item that is gone by then sleeps on."""

        def take() -> object:
            while True:
                assert atoll.wait([queue]) == [queue]
                try:
                    return queue.get_nowait()
                except atoll.QueueEmpty:
                    pass

        threads = [Thread(take) for _ in range(4)]
        wait_for(queue, wait=4)
        for number in range(4):
            queue.put(number)
            wait_until(lambda number=number: sum(not thread.is_alive() for thread in threads) == number + 1)
            wait_for(queue, wait=3 - number)
        assert sorted(thread.result() for thread in threads) == [0, 1, 2, 3]

    def test_an_item_that_is_left_wakes_the_next(self, queue: atoll.Queue) -> None:
        threads = [Thread(atoll.wait, [queue]) for _ in range(3)]
        wait_for(queue, wait=3)
        queue.put(1)
        for thread in threads:
            assert thread.result() == [queue]
        assert queue.qsize() == 1

    def test_the_queue_is_the_callers_to_mutate(self, queue: atoll.Queue) -> None:
        queues = [queue, atoll.create_queue()]
        thread = Thread(atoll.wait, queues)
        wait_for(queue, wait=1)
        kept = queues[0]
        queues.clear()
        kept.put(1)
        assert thread.result() == [kept]


def test_live_queues_counts() -> None:
    before = _core._live_queues()
    made = [atoll.create_queue() for _ in range(5)]
    assert _core._live_queues() == before + 5
    del made
    assert _core._live_queues() == before
