"""What becomes of items: their sender ends, or they cannot be rebuilt."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from elsewhere import (
    add_to_path,
    drain,
    get_and_forward,
    get_and_put_back,
    get_fails,
    get_n,
    iterate,
    put_all,
    put_back_when_somebody_waits,
    put_new_queue,
    same_marker,
)
from helpers import Thread, wait_for

import atoll
from atoll import _core

POLICIES = [atoll.UNBOUND, atoll.UNBOUND_ERROR, atoll.UNBOUND_REMOVE]


class TestUnboundMarkers:
    def test_names(self) -> None:
        assert [repr(marker) for marker in POLICIES] == [
            "atoll.UNBOUND",
            "atoll.UNBOUND_ERROR",
            "atoll.UNBOUND_REMOVE",
        ]
        assert len(set(POLICIES)) == 3

    @pytest.mark.parametrize("marker", POLICIES, ids=repr)
    def test_one_each(self, marker: object, queue: atoll.Queue, interp: atoll.Interpreter) -> None:
        assert pickle.loads(pickle.dumps(marker)) is marker
        queue.put(marker)
        assert queue.get() is marker
        assert interp.call(same_marker, marker)
        with pytest.raises(TypeError):
            type(marker)()


class TestSenderEnds:
    def test_items_stay(self, queue: atoll.Queue) -> None:
        with atoll.create() as interp:
            interp.call(put_all, queue, [("spam", None), ([b"eggs", {"a": 1}], None)])
        assert queue.get_many(9) == ["spam", [b"eggs", {"a": 1}]]

    @pytest.mark.parametrize("by_queue", [True, False])
    def test_replaced(self, by_queue: bool) -> None:
        one = atoll.create_queue(unbounditems=atoll.UNBOUND if by_queue else None)
        with atoll.create() as interp:
            interp.call(put_all, one, [(1, None if by_queue else "UNBOUND"), (2, "UNBOUND")])
            one.put("mine")
        assert one.qsize() == 3
        assert one.get() is atoll.UNBOUND
        assert one.get_many(9) == [atoll.UNBOUND, "mine"]

    @pytest.mark.parametrize("by_queue", [True, False])
    def test_error(self, by_queue: bool) -> None:
        one = atoll.create_queue(unbounditems=atoll.UNBOUND_ERROR if by_queue else None)
        with atoll.create() as interp:
            interp.call(put_all, one, [(1, None if by_queue else "UNBOUND_ERROR")])
        one.put("mine")
        assert one.qsize() == 2
        with pytest.raises(atoll.ItemInterpreterDestroyed):
            one.get()
        assert one.get() == "mine"

    @pytest.mark.parametrize("by_queue", [True, False])
    def test_removed(self, by_queue: bool) -> None:
        one = atoll.create_queue(unbounditems=atoll.UNBOUND_REMOVE if by_queue else None)
        one.put("first", unbounditems=atoll.UNBOUND_REMOVE)
        with atoll.create() as interp:
            interp.call(put_all, one, [(1, None if by_queue else "UNBOUND_REMOVE")])
            one.put("last")
            assert one.qsize() == 3
        assert one.get_many(9) == ["first", "last"]
        for _ in range(2):
            one.task_done()
        one.join()

    def test_mixed(self, queue: atoll.Queue) -> None:
        first, second = atoll.create(), atoll.create()
        queue.put("a")
        first.call(put_all, queue, [(1, "UNBOUND"), (2, "UNBOUND_REMOVE"), (3, None)])
        second.call(put_all, queue, [(4, "UNBOUND_ERROR"), (5, "UNBOUND_REMOVE"), (6, "UNBOUND")])
        first.call(put_all, queue, [(7, "UNBOUND_REMOVE"), (8, "UNBOUND_ERROR")])
        first.close()
        assert queue.qsize() == 7
        assert queue.get_many(3) == ["a", atoll.UNBOUND, 3]
        assert queue.get() == 4
        second.close()
        assert queue.get() is atoll.UNBOUND
        with pytest.raises(atoll.ItemInterpreterDestroyed):
            queue.get()
        assert queue.empty()

    def test_removing_makes_room(self) -> None:
        small = atoll.create_queue(1)
        with atoll.create() as interp:
            interp.call(put_all, small, [(1, "UNBOUND_REMOVE")])
            thread = Thread(small.put, 2)
            wait_for(small, put=1)
        thread.result()
        assert small.get() == 2

    def test_many_stop_before_the_error(self, queue: atoll.Queue) -> None:
        queue.put("a")
        with atoll.create() as interp:
            interp.call(put_all, queue, [(1, "UNBOUND"), (2, "UNBOUND_ERROR")])
        queue.put("b")
        assert queue.get_many(9) == ["a", atoll.UNBOUND]
        assert queue.qsize() == 2
        with pytest.raises(atoll.ItemInterpreterDestroyed):
            queue.get_many(9)
        assert queue.get_many(9) == ["b"]

    def test_what_the_lost_content_held_is_freed(self, no_leak: None) -> None:
        outer = atoll.create_queue(unbounditems=atoll.UNBOUND)
        before = _core._live_queues()
        with atoll.create() as interp:
            interp.call(put_new_queue, outer)
            assert _core._live_queues() == before + 1
        assert _core._live_queues() == before
        assert outer.get() is atoll.UNBOUND


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """A class of a module that interpreters made before cannot import."""
    (tmp_path / "only_here.py").write_text("class Thing:\n    def __init__(self, n): self.n = n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    yield only_here.Thing
    del sys.modules["only_here"]


class TestCannotBeRebuilt:
    """Its module is missing in the interpreter that gets it."""

    def test_raises(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        queue.put(only_here(1))
        queue.put("good")
        text, cause, same = interp.call(get_fails, queue)
        assert text.startswith(f"queue {queue.id}: an item of interpreter 0 cannot be rebuilt here: ")
        assert "only_here" in text
        assert cause == "ModuleNotFoundError" and same
        # It does not come again.
        assert interp.call(queue.get) == "good"

    def test_put_back(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        queue.put_many([only_here(1), only_here(2)])
        assert interp.call(get_and_put_back, queue) == "the item was given away already"
        assert [queue.get().n, queue.get().n] == [1, 2]

    def test_put_back_to_a_waiter(
        self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type
    ) -> None:
        """Who waits by then gets it, as if it had just been put."""
        result = atoll.create_queue()

        queue.put(only_here(5))
        running = Thread(interp.call, put_back_when_somebody_waits, queue, result)
        assert result.get() == "have it"
        assert queue.get().n == 5
        running.result()

    def test_forward(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        dead = atoll.create_queue(1)
        queue.put_many([only_here(1), only_here(2)])
        interp.call(get_and_forward, queue, dead, None)
        with pytest.raises(atoll.ExecutionFailed, match="QueueFull"):
            interp.call(get_and_forward, queue, dead, 0)
        assert dead.get().n == 1
        dead.shutdown()
        with pytest.raises(atoll.ExecutionFailed, match="QueueShutDown"):
            interp.call(get_and_forward, queue, dead, None)
        assert queue.get().n == 2

    def test_many(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        queue.put_many([1, 2, only_here(3), 4, only_here(5), only_here(6), 7])
        assert interp.call(drain, queue) == [[1, 2], "QueueItemError", [4], *["QueueItemError"] * 2, [7]]

    def test_iteration_goes_on(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        queue.put_many([1, only_here(2), 3])
        queue.shutdown()
        assert interp.call(iterate, queue) == [1, "bad", 3]

    def test_later_there(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        queue.put(only_here(1))
        interp.call(get_and_put_back, queue)
        interp.call(add_to_path, str(Path(sys.modules["only_here"].__file__ or "").parent))
        assert interp.call(get_n, queue) == 1

    def test_what_is_not_put_back_is_freed(
        self, no_leak: None, interp: atoll.Interpreter, only_here: type
    ) -> None:
        outer, inner = atoll.create_queue(), atoll.create_queue()
        number = inner.id
        outer.put([inner, only_here(1)])
        del inner
        interp.call(get_fails, outer)
        interp.call(gc.collect)
        with pytest.raises(atoll.QueueNotFoundError):
            atoll.Queue(number)

    def test_the_exception_crosses_without_the_item(
        self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type
    ) -> None:
        queue.put(only_here(1))
        with pytest.raises(atoll.ExecutionFailed) as caught:
            interp.call(queue.get)
        error = caught.value.__cause__
        assert isinstance(error, atoll.QueueItemError) and "only_here" in str(error)
        assert error.queue is None
        with pytest.raises(atoll.QueueError, match="not here"):
            error.put_back()

    def test_forward_takes_a_queue(self, queue: atoll.Queue) -> None:
        queue.put(Fails("once"))
        with pytest.raises(atoll.QueueItemError) as caught:
            queue.get()
        with pytest.raises(TypeError, match="expected a Queue"):
            caught.value.forward(5)
        with pytest.raises(ValueError, match="non-negative"):
            caught.value.forward(queue, -1)
        caught.value.put_back()
        assert queue.qsize() == 1

    def test_tasks(self, interp: atoll.Interpreter, queue: atoll.Queue, only_here: type) -> None:
        """It counts as got; put back, it is still one task."""
        queue.put(only_here(1))
        interp.call(get_and_put_back, queue)
        queue.get()
        queue.task_done()
        queue.join()
        with pytest.raises(ValueError):
            queue.task_done()


#: What Fails raises when it is rebuilt, each once.
raising: list[BaseException] = []


def rebuild(name: str) -> Fails:
    if raising:
        raise raising.pop()
    if name == "always" or name == "once":
        raise ValueError(name)
    return Fails(name)


class Fails:
    """Rebuilt by a function that raises what the test wants."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (self.name,)


class Strange(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class TestRebuildingRaises:
    def test_an_exception(self, queue: atoll.Queue) -> None:
        queue.put(Fails("always"))
        with pytest.raises(atoll.QueueItemError, match="ValueError: always") as caught:
            queue.get()
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.queue is queue
        assert queue.empty()

    def test_one_without_text(self, queue: atoll.Queue) -> None:
        queue.put(Fails("good"))
        raising.append(Strange())
        with pytest.raises(atoll.QueueItemError, match=r"Strange: \(no message\)") as caught:
            queue.get()
        caught.value.put_back()
        assert queue.get().name == "good"

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, atoll.Interrupted, GeneratorExit])
    @pytest.mark.parametrize("get", [lambda queue: queue.get(), lambda queue: queue.get_many(9), next])
    def test_an_interruption_takes_nothing(self, queue: atoll.Queue, error: type, get: object) -> None:
        """It says nothing about the item, which is in front again."""
        queue.put_many([Fails("good"), "second"])
        raising.append(error())
        with pytest.raises(error):
            get(iter(queue) if get is next else queue)  # type: ignore[operator]
        assert queue.qsize() == 2
        assert queue.get().name == "good"
        assert queue.get() == "second"

    def test_an_interruption_in_the_middle_of_many(self, queue: atoll.Queue) -> None:
        queue.put_many([1, 2, Fails("good"), 4])
        raising.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            queue.get_many(9)
        assert queue.qsize() == 4
        assert [item for item in queue.get_many(9) if not isinstance(item, Fails)] == [1, 2, 4]

    def test_out_of_memory(self, queue: atoll.Queue) -> None:
        queue.put(Fails("good"))
        raising.append(MemoryError())
        with pytest.raises(atoll.QueueItemError) as caught:
            queue.get()
        assert isinstance(caught.value.__cause__, MemoryError)
        caught.value.put_back()
        assert queue.get().name == "good"

    def test_after_an_immediate_shutdown_nothing_comes_back(self, queue: atoll.Queue) -> None:
        queue.put(Fails("always"))
        with pytest.raises(atoll.QueueItemError) as caught:
            queue.get()
        queue.shutdown(immediate=True)
        caught.value.put_back()
        assert queue.empty()
        queue.join()
