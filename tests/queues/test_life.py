"""How long a queue lives: as long as it can be reached, from wherever."""

from __future__ import annotations

import gc
import pickle
import threading

import elsewhere
import pytest
from helpers import Thread, wait_for

import atoll
from atoll import _core

pytestmark = pytest.mark.usefixtures("no_leak")


def is_gone(number: int) -> bool:
    gc.collect()
    return not elsewhere.is_known(number)


class TestByReference:
    def test_another_interpreter_keeps_it(self, interp: atoll.Interpreter) -> None:
        made = atoll.create_queue()
        number = made.id
        interp.call(elsewhere.keep, made)
        made.put("still there")
        del made
        assert not is_gone(number)
        again = interp.call(elsewhere.give_kept)
        assert again.id == number and again.get() == "still there"
        del again
        assert is_gone(number)

    def test_made_elsewhere(self, interp: atoll.Interpreter) -> None:
        made = interp.call(elsewhere.new_queue, 3)
        assert made.maxsize == 3
        assert interp.call(elsewhere.is_same, made, made.id)
        number = made.id
        del made
        interp.call(gc.collect)
        assert is_gone(number)

    def test_one_object_per_interpreter(self, interp: atoll.Interpreter) -> None:
        queue = atoll.create_queue()
        interp.call(elsewhere.keep, queue)
        assert interp.call(elsewhere.is_same, queue, queue.id)
        assert interp.call(elsewhere.give_kept) is queue

    def test_the_interpreter_that_keeps_it_ends(self) -> None:
        interp = atoll.create()
        made = atoll.create_queue()
        number = made.id
        interp.call(elsewhere.keep, made, [made])
        interp.prepare_main(queue=made)
        del made
        assert not is_gone(number)
        interp.close()
        assert is_gone(number)

    def test_the_interpreter_that_made_it_ends(self) -> None:
        with atoll.create() as interp:
            made = interp.call(elsewhere.new_queue)
            interp.call(elsewhere.put_range, made, 0, 3)
        assert made.get_many(5) == [0, 1, 2]

    def test_an_id_is_no_reference(self, interp: atoll.Interpreter) -> None:
        made = atoll.create_queue()
        data, number = pickle.dumps(made), made.id
        assert interp.call(elsewhere.is_known, number)
        del made
        assert not interp.call(elsewhere.is_known, number)
        with pytest.raises(atoll.QueueNotFoundError):
            pickle.loads(data)

    def test_dropped_while_others_wait(self, interp: atoll.Interpreter) -> None:
        """Who waits on a queue keeps it."""
        made = atoll.create_queue()
        number = made.id
        getter = Thread(interp.call, elsewhere.get_one, made)
        wait_for(made, get=1)
        del made
        gc.collect()
        atoll.Queue(number).put("found by its id")
        assert getter.result() == "found by its id"
        del getter
        interp.call(gc.collect)
        assert is_gone(number)


class TestInQueues:
    def test_as_an_item(self) -> None:
        outer, inner = atoll.create_queue(), atoll.create_queue()
        number = inner.id
        inner.put("inside")
        outer.put(inner)
        del inner
        assert not is_gone(number)
        assert outer.get().get() == "inside"
        assert is_gone(number)

    def test_goes_with_the_queue_it_is_in(self) -> None:
        outer, inner = atoll.create_queue(), atoll.create_queue()
        number = inner.id
        outer.put([inner, {"again": inner}])
        del inner
        assert not is_gone(number)
        del outer
        assert is_gone(number)

    def test_in_itself(self) -> None:
        made = atoll.create_queue()
        number = made.id
        made.put(made)
        made.put([made, (made, {"me": made})])
        del made
        assert is_gone(number)

    def test_in_itself_put_elsewhere(self, interp: atoll.Interpreter) -> None:
        made = atoll.create_queue()
        number = made.id
        interp.call(elsewhere.hold_itself, made)
        del made
        interp.call(gc.collect)
        assert is_gone(number)

    def test_a_ring(self) -> None:
        ring = [atoll.create_queue() for _ in range(20)]
        numbers = [queue.id for queue in ring]
        for queue, following in zip(ring, ring[1:] + ring[:1], strict=True):
            queue.put(following)
            queue.put("other")
        del queue, following
        last = ring.pop()
        ring.clear()
        assert not any(is_gone(number) for number in numbers)
        del last
        assert all(is_gone(number) for number in numbers)

    def test_a_long_chain(self) -> None:
        first = last = atoll.create_queue()
        for _ in range(20_000):
            following = atoll.create_queue()
            last.put(following)
            last = following
        del last, following
        before = _core._live_queues()
        del first
        assert _core._live_queues() == before - 20_001

    def test_in_itself_inside_a_function(self) -> None:
        """What is not found, as the docstring says; and how it is got rid of."""
        made = atoll.create_queue()
        number = made.id

        def holds() -> atoll.Queue:
            return made

        made.put(holds)
        del holds, made
        gc.collect()
        assert not is_gone(number)
        atoll.Queue(number).shutdown(immediate=True)
        assert is_gone(number)

    def test_dropped_by_shutdown(self) -> None:
        outer, inner = atoll.create_queue(), atoll.create_queue()
        number = inner.id
        outer.put(inner)
        del inner
        outer.shutdown(immediate=True)
        assert is_gone(number)

    def test_refused(self) -> None:
        """A queue in an item that was not put is not kept by it."""
        outer, inner = atoll.create_queue(1), atoll.create_queue()
        number = inner.id
        outer.put(1)
        with pytest.raises(atoll.QueueFull):
            outer.put(inner, timeout=0)
        with pytest.raises(atoll.QueueFull):
            outer.put_many([inner, inner], timeout=0.001)
        with pytest.raises(atoll.NotShareableError):
            outer.put([inner, threading.Lock()])
        del inner
        assert is_gone(number)


def test_many_come_and_go(interp: atoll.Interpreter) -> None:
    before = _core._live_queues()
    for _ in range(200):
        made = atoll.create_queue()
        made.put(made)
        made.put(interp.call(elsewhere.new_queue))
        interp.call(elsewhere.keep, made)
        interp.call(elsewhere.drop)
    del made
    interp.call(gc.collect)
    assert _core._live_queues() == before


def test_threads_that_are_the_first_to_fail() -> None:
    """Whoever needs an exception's class first: there is one of each."""
    code = """
import sys, threading
import atoll

sys.setswitchinterval(1e-6)
queue = atoll.create_queue()
barrier = threading.Barrier(8)
kinds = []

def fail(name):
    barrier.wait()
    try:
        queue.get_nowait()
    except Exception as error:
        kinds.append(type(error))
    kinds.append(atoll.QueueEmpty)
    try:
        atoll.create_queue().get(timeout=0)
    except atoll.QueueEmpty:
        kinds.append(atoll.QueueEmpty)

threads = [threading.Thread(target=fail, args=(name,)) for name in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(kinds) == 24 and len(set(kinds)) == 1, kinds
"""
    for _ in range(10):
        with atoll.create() as interp:
            interp.exec(code)
