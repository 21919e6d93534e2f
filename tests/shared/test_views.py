"""memoryview: the same memory in another interpreter, whoever ends first."""

from __future__ import annotations

import array
import ctypes
import gc
import subprocess
import sys
import threading

import pytest
import shared_helpers as helpers

import atoll
from atoll import _core, sync

try:
    import _interpreters as raw
except ImportError:
    import _xxsubinterpreters as raw


def raw_ids() -> set[int]:
    """The interpreters that CPython has, whatever atoll says."""
    return {int(item[0] if isinstance(item, tuple) else item) for item in raw.list_all()}


@pytest.fixture
def interp():
    interp = atoll.create()
    yield interp
    interp.close()


@pytest.fixture
def other():
    interp = atoll.create()
    yield interp
    interp.close()


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int32), ("y", ctypes.c_double)]


def grid(*shape, format="i"):
    count = 1
    for n in shape:
        count *= n
    return memoryview(array.array(format, range(count))).cast("B").cast(format, shape)


VIEWS = {
    "bytes": lambda: memoryview(b"spam"),
    "bytearray": lambda: memoryview(bytearray(b"spam")),
    "empty": lambda: memoryview(b""),
    "part": lambda: memoryview(bytearray(b"0123456789"))[3:7],
    "empty part": lambda: memoryview(bytearray(b"0123456789"))[3:3],
    "step": lambda: memoryview(bytearray(b"0123456789"))[1::3],
    "backwards": lambda: memoryview(bytearray(b"0123456789"))[::-1],
    "backwards by two": lambda: memoryview(bytearray(b"0123456789"))[8:1:-2],
    "doubles": lambda: memoryview(array.array("d", [1.5, -2.5, 3.0])),
    "doubles backwards": lambda: memoryview(array.array("d", [1.5, -2.5, 3.0]))[::-1],
    "bool": lambda: memoryview(b"\0\1\1").cast("?"),
    "char": lambda: memoryview(b"abc").cast("c"),
    "long long": lambda: memoryview(array.array("q", [-(2**63), 2**63 - 1])),
    "no dimension": lambda: memoryview(b"\x05\0\0\0").cast("i", []),
    "two dimensions": lambda: grid(2, 3),
    "three dimensions": lambda: grid(2, 3, 4),
    "a dimension of one": lambda: grid(1, 3, 1),
    "rows": lambda: grid(4, 3)[::2],
    "rows backwards": lambda: grid(4, 3)[::-1],
    "many dimensions": lambda: grid(*[1] * 60, 2, 2),
    "read-only": lambda: memoryview(bytearray(b"spam")).toreadonly(),
}


class TestLayout:
    @pytest.mark.parametrize("name", VIEWS)
    def test_there(self, interp, name):
        view = VIEWS[name]()
        assert interp.call(helpers.describe, view) == helpers.describe(view)

    @pytest.mark.parametrize("name", VIEWS)
    def test_back(self, interp, name):
        view = VIEWS[name]()
        back = interp.call(helpers.same, view)
        assert helpers.describe(back) == helpers.describe(view)
        assert back.obj is view.obj

    @pytest.mark.parametrize("name", VIEWS)
    def test_through_a_queue(self, name):
        queue = atoll.create_queue()
        view = VIEWS[name]()
        queue.put([view, view])
        first, second = queue.get()
        assert first is second
        assert helpers.describe(first) == helpers.describe(view)

    def test_structures(self, interp):
        view = memoryview((Point * 3)(Point(1, 2.0), Point(3, 4.0)))
        there = interp.call(helpers.layout_of, view)
        assert there == helpers.layout_of(view)
        assert there[0].startswith("T{")

    @pytest.mark.parametrize("flags", ["ND_WRITABLE", "ND_FORTRAN", "ND_PIL"])
    def test_of_any_exporter(self, interp, flags):
        testbuffer = pytest.importorskip("_testbuffer")
        exporter = testbuffer.ndarray(
            list(range(12)), shape=[3, 4], format="i", flags=getattr(testbuffer, flags)
        )
        view = memoryview(exporter)
        assert interp.call(helpers.describe, view) == helpers.describe(view)
        part = view[::2]
        assert interp.call(helpers.describe, part) == helpers.describe(part)
        if flags == "ND_PIL":
            assert view.suboffsets

    def test_what_the_exporter_over_there_grants(self, interp):
        assert interp.call(helpers.grants, memoryview(bytearray(8))) == {
            "SIMPLE": True,
            "WRITABLE": True,
            "STRIDES": True,
            "C": True,
            "F": True,
            "FULL": True,
        }
        assert interp.call(helpers.grants, memoryview(b"01234567")[::2]) == {
            "SIMPLE": False,
            "WRITABLE": False,
            "STRIDES": True,
            "C": False,
            "F": False,
            "FULL": False,
        }

    def test_numpy(self, interp):
        numpy = pytest.importorskip("numpy")
        table = numpy.arange(60, dtype=numpy.float32).reshape(3, 4, 5)
        for part in (table, table[::2, 1:, ::-1], table.T, table[0, 0]):
            view = memoryview(part)
            assert interp.call(helpers.describe, view) == helpers.describe(view)
        back = numpy.asarray(interp.call(helpers.same, memoryview(table[:, ::2])))
        back[0, 0, 0] = 77
        assert table[0, 0, 0] == 77


class TestMemory:
    def test_written_there(self, interp):
        data = bytearray(b"........")
        interp.call(helpers.write, memoryview(data), 2, b"ab")
        assert data == b"..ab...."
        interp.call(helpers.assign, memoryview(data)[::2], 3, 33)
        assert data == b"..ab..!."

    def test_written_here(self, interp):
        data = bytearray(4)
        interp.call(helpers.keep, "view", memoryview(data))
        data[:] = b"spam"
        assert interp.call(helpers.get, "view") == b"spam"
        interp.call(helpers.drop, "view")

    def test_read_only(self, interp):
        for view in (memoryview(b"spam"), memoryview(bytearray(b"spam")).toreadonly()):
            with pytest.raises(atoll.ExecutionFailed) as caught:
                interp.call(helpers.write, view, 0, b"x")
            assert caught.value.excinfo.type.__name__ == "TypeError"

    def test_no_copy_of_a_large_one(self, interp):
        data = bytearray(100_000_000)
        view = memoryview(data)
        assert interp.call(len, view) == 100_000_000
        interp.call(helpers.assign, view, 99_999_999, 7)
        assert data[-1] == 7

    def test_shareable(self):
        assert atoll.is_shareable(memoryview(b""))

    def test_released(self, interp):
        view = memoryview(bytearray(4))
        view.release()
        with pytest.raises(atoll.NotShareableError) as caught:
            interp.call(len, view)
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(atoll.NotShareableError):
            atoll.create_queue().put([1, view])

    def test_our_own_may_be_released(self, interp):
        data = bytearray(b"spam")
        with memoryview(data) as view:
            interp.call(helpers.keep, "view", view)
        assert interp.call(helpers.get, "view") == b"spam"
        interp.call(helpers.drop, "view")
        data.append(1)

    def test_an_exporter_of_python(self, interp):
        source = helpers.Source(4)
        if not hasattr(memoryview, "__buffer__"):
            pytest.fail("3.12 has it")
        view = memoryview(source)
        interp.call(helpers.keep, "view", view)
        interp.call(helpers.write, view, 0, b"spam")
        assert source.data == b"spam"
        view.release()
        assert source.released == 0
        interp.call(helpers.drop, "view")
        assert source.released == 1


class TestExports:
    """How long the exporter stays locked."""

    def test_not_longer_than_a_call(self, interp):
        data = bytearray(b"spam")
        view = memoryview(data)
        interp.call(helpers.read, view)
        view.release()
        data.append(1)
        assert data == b"spam\x01"

    def test_not_longer_than_a_call_that_failed(self, interp):
        data = bytearray(b"spam")
        with memoryview(data) as view, pytest.raises(atoll.NotShareableError):
            interp.call(helpers.read, view, threading.Lock())
        data.append(1)
        with memoryview(data) as view, pytest.raises(atoll.ExecutionFailed):
            interp.call(helpers.get, view)
        del view
        data.append(2)

    def test_as_long_as_it_is_kept(self, interp):
        data = bytearray(b"spam")
        with memoryview(data) as view:
            interp.call(helpers.keep_slice, "view", view, 1, 3)
        with pytest.raises(BufferError):
            data.append(1)
        assert interp.call(helpers.get, "view") == b"pa"
        interp.call(helpers.drop, "view")
        data.append(1)

    def test_as_long_as_it_is_in_a_queue(self):
        data = bytearray(b"spam")
        queue = atoll.create_queue()
        with memoryview(data) as view:
            queue.put(view)
        with pytest.raises(BufferError):
            data.append(1)
        got = queue.get()
        with pytest.raises(BufferError):
            data.append(1)
        del got
        data.append(1)

    def test_dropped_with_its_queue(self):
        data = bytearray(b"spam")
        queue = atoll.create_queue()
        with memoryview(data) as view:
            queue.put(view)
        del queue
        helpers.tick()
        data.append(1)

    def test_of_another_interpreter(self, interp, other):
        queue = atoll.create_queue()
        interp.call(helpers.make_array, queue, "data", 4)
        other.call(helpers.get_and_keep, queue, "view")
        assert interp.call(helpers.resize_kept, "data") == "BufferError"
        other.call(helpers.drop, "view")
        assert interp.call(helpers.resize_kept, "data") == "resized"

    def test_while_threads_wait(self, interp):
        """Main's other threads drop what was lent, too."""
        data = bytearray(b"spam")
        result = []

        def work():
            with memoryview(data) as view:
                interp.call(helpers.read, view)
            try:
                data.append(1)
                result.append("appended")
            except BufferError as error:
                result.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert result == ["appended"]


class TestFurther:
    def test_to_a_third(self, interp, other):
        data = bytearray(b"0123456789")
        queue = atoll.create_queue()
        with memoryview(data) as view:
            interp.call(helpers.keep_slice, "view", view, 2, 8)
        interp.call(helpers.put_kept, queue, "view")
        other.call(helpers.get_and_keep, queue, "view")
        interp.call(helpers.drop, "view")
        data[3] = ord("x")
        assert other.call(helpers.get, "view") == b"2x4567"
        with pytest.raises(BufferError):
            data.append(1)
        other.call(helpers.drop, "view")
        data.append(1)

    def test_home_again(self, interp):
        data = bytearray(b"spam")
        view = interp.call(helpers.same, memoryview(data))
        assert view.obj is data
        view[0] = 0
        assert data[0] == 0

    def test_a_part_comes_home(self, interp):
        data = bytearray(b"0123456789")
        interp.call(helpers.keep_slice, "part", memoryview(data), 1, 9, 2)
        part = interp.call(helpers.get, "part")
        interp.call(helpers.drop, "part")
        assert bytes(part) == b"1357"
        part[0] = ord("x")
        assert data == b"0x23456789"
        with pytest.raises(BufferError):
            data.append(1)
        assert interp.call(helpers.read, part[1:]) == b"357"
        del part
        data.append(1)

    def test_a_view_of_ones_own_does_not_hold_it(self):
        """What came home must not keep its interpreter from ending."""
        before = raw_ids()
        interp = atoll.create()
        queue = atoll.create_queue()
        interp.call(helpers.make_array, queue, "data", 4)
        view = queue.get()
        interp.call(helpers.keep, "home", view[1:])
        interp.call(helpers.keep, "whole", view)
        del view
        interp.close()
        assert raw_ids() == before

    def test_of_a_shared_buffer_holds_nobody(self):
        before = raw_ids()
        blocks = _core._blocks_alive()
        maker = atoll.create()
        queue = atoll.create_queue()
        maker.prepare_main(queue=queue)
        maker.exec(
            """
            import atoll
            view = memoryview(atoll.SharedBuffer(b"0123456789" * 100))
            queue.put(view[10:].cast("B", [99, 10])[::2])
            """
        )
        view = queue.get()
        maker.close()
        assert raw_ids() == before
        assert view.shape == (50, 10)
        assert bytes(view[1:2].tobytes()) == b"0123456789"
        with atoll.create() as interp:
            assert interp.call(helpers.describe, view) == helpers.describe(view)
        assert _core._blocks_alive() == blocks + 1
        del view
        assert _core._blocks_alive() == blocks

    def test_a_buffer_of_a_view_there(self, interp):
        """What exports the view over there lends it to anything else."""
        data = bytearray(b"spam")
        assert interp.call(helpers.copy_of_exporter, memoryview(data)) == b"spam"


class TestOwnerCloses:
    def lend(self, data=b"spam" * 1000):
        """(interpreter, a view of its memory, the queue that hears of its exporter's end)"""
        interp = atoll.create()
        queue, ends = atoll.create_queue(), atoll.create_queue()
        interp.call(helpers.lend_tracked, queue, ends, data)
        return interp, queue.get(), ends

    def test_the_memory_stays(self):
        before = raw_ids()
        interp, view, ends = self.lend()
        interp.close()
        assert interp not in atoll.list_all()
        assert interp.id in raw_ids()
        assert bytes(view) == b"spam" * 1000
        view[0] = ord("S")
        assert view[:4] == b"Spam"
        assert ends.empty()
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.call(len, ())
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.close()
        del view
        helpers.tick()
        assert ends.get_nowait() == "gone"
        assert raw_ids() == before

    def test_the_last_of_several(self):
        before = raw_ids()
        interp, view, ends = self.lend()
        parts = [view[n : n + 4] for n in range(0, 40, 4)]
        with atoll.create() as other:
            other.call(helpers.keep, "view", view)
            del view
            interp.close()
            while parts:
                assert parts.pop() == b"spam"
            assert ends.empty()
            assert other.call(helpers.read_kept, "view") == b"spam" * 1000
            other.call(helpers.drop, "view")
            helpers.tick()
            assert ends.get_nowait() == "gone"
        assert raw_ids() == before

    def test_by_its_last_handle(self):
        before = raw_ids()
        interp, view, ends = self.lend()
        number = interp.id
        del interp
        gc.collect()
        assert number not in [i.id for i in atoll.list_all()]
        assert bytes(view[:4]) == b"spam"
        del view
        helpers.tick()
        assert ends.get_nowait() == "gone"
        assert raw_ids() == before

    def test_while_it_is_in_a_queue(self):
        before = raw_ids()
        queue = atoll.create_queue()
        with atoll.create() as interp:
            interp.call(helpers.put_new_view, queue, b"spam")
        view = queue.get()
        assert bytes(view) == b"spam"
        del view
        helpers.tick()
        assert raw_ids() == before
        with atoll.create() as interp:
            interp.call(helpers.put_new_view, queue, b"spam")
        del queue
        helpers.tick()
        assert raw_ids() == before

    def test_its_receiver_closes_last(self):
        before = raw_ids()
        interp, view, ends = self.lend()
        other = atoll.create()
        other.call(helpers.keep, "view", view)
        del view
        interp.close()
        assert ends.empty()
        other.close()
        helpers.tick()
        assert ends.get_nowait() == "gone"
        assert raw_ids() == before

    def test_two_that_lend_to_each_other(self):
        before = raw_ids()
        queue = atoll.create_queue()
        one, two = atoll.create(), atoll.create()
        for lender, taker in ((one, two), (two, one)):
            lender.call(helpers.make_array, queue, "mine", 4)
            taker.call(helpers.get_and_keep, queue, "theirs")
        two.call(helpers.drop, "theirs")
        two.call(helpers.tick)
        one.close()
        two.close()
        helpers.tick()
        assert raw_ids() == before

    def test_a_view_lent_at_its_end(self):
        before = raw_ids()
        queue = atoll.create_queue()
        interp = atoll.create()
        interp.call(helpers.put_at_exit, queue)
        interp.close()
        got = queue.get_nowait()
        if not isinstance(got, str):
            assert bytes(got) == b"late"
            del got
            helpers.tick()
        assert raw_ids() == before

    def test_its_threads_are_joined(self):
        """Closed means closed: only the memory stays."""
        interp, view, ends = self.lend()
        go = sync.Event()
        interp.call(helpers.start_thread, go)
        go.set()
        interp.close()
        assert bytes(view[:4]) == b"done"
        del view
        helpers.tick()
        assert ends.get_nowait() == "gone"


CHILD = """
import sys
sys.path[:0] = {path!r}
import atoll
import shared_helpers as helpers
from test_views import raw, raw_ids
"""


def run(code: str) -> str:
    path = [p for p in sys.path if p.endswith("shared")]
    out = subprocess.run(
        [sys.executable, "-c", CHILD.format(path=path) + code], capture_output=True, text=True, timeout=120
    )
    assert (out.returncode, out.stderr) == (0, ""), out
    return out.stdout


class TestChild:
    """What might crash, or leaves something behind."""

    def test_ended_by_others(self):
        """The standard module ends it: the memory stays readable all the same."""
        out = run(
            """
queue = atoll.create_queue()
interp = atoll.create()
interp.call(helpers.put_new_view, queue, b"spam" * 1000)
view = queue.get()
raw.destroy(interp.id)
assert interp.id not in raw_ids()
assert bytes(view) == b"spam" * 1000
del view
print("fine")
"""
        )
        assert out == "fine\n"

    @pytest.mark.parametrize("close", [True, False])
    def test_exit_with_views(self, close):
        out = run(
            f"""
queue = atoll.create_queue()
interp, other = atoll.create(), atoll.create()
interp.call(helpers.put_new_view, queue, b"spam" * 1000)
view = queue.get()
other.call(helpers.keep, "view", view)
interp.call(helpers.keep, "view", memoryview(bytearray(10)))
queue.put(memoryview(bytearray(10)))
if {close}:
    interp.close()
print(bytes(view[:4]))
"""
        )
        assert out == "b'spam'\n"

    def test_memory_is_flat(self):
        """Owners closed before their views (200 with ATOLL_LONG): CPython's own leak is measured beside it."""
        out = run(
            """
import resource

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def plain():
    interp = atoll.create()
    interp.call(helpers.put_new_view, queue, b"x" * 1_000_000)
    assert len(queue.get()) == 1_000_000
    interp.close()

def deferred():
    interp = atoll.create()
    interp.call(helpers.put_new_view, queue, b"x" * 1_000_000)
    view = queue.get()
    interp.close()
    assert len(view) == 1_000_000
    del view
    helpers.tick()

def growth(function, times):
    for _ in range(10):
        function()
    before = rss()
    for _ in range(times):
        function()
    return (rss() - before) / times

queue = atoll.create_queue()
ids = raw_ids()
import os
long = bool(os.environ.get("ATOLL_LONG"))
base = growth(plain, 60 if long else 20)
print(base, growth(deferred, 200 if long else 20))
assert raw_ids() == ids
"""
        )
        plain, deferred = map(float, out.split())
        assert deferred - plain < 200_000, (plain, deferred)


class TestFaults:
    @pytest.mark.parametrize("way", ["call", "queue"])
    def test_every_allocation(self, interp, way):
        data = bytearray(b"spam")
        queue = atoll.create_queue()

        def send(view):
            if way == "call":
                return interp.call(helpers.read, view)
            queue.put(view)
            return bytes(queue.get())

        send(memoryview(b""))
        for number in range(1, 50):
            with memoryview(data) as view:
                _core._fail_allocation(number)
                try:
                    result = send(view)
                except (MemoryError, atoll.ExecutionFailed) as error:
                    result = error
                finally:
                    _core._fail_allocation(0)
            del view
            if isinstance(result, bytes):
                break
            while not queue.empty():
                queue.get()
            del result
            data.append(0)
            del data[-1]
        else:
            pytest.fail("it needs more allocations than that?")
        assert number > 1
        assert result == b"spam"
        data.append(1)
