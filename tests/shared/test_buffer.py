"""SharedBuffer: memory of the process."""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import mmap
import pickle
import struct
import weakref

import pytest
import shared_helpers as helpers

import atoll
from atoll import SharedBuffer, _core


@pytest.fixture
def interp():
    interp = atoll.create()
    yield interp
    interp.close()


def address(buffer: SharedBuffer) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class TestMaking:
    @pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4096, 1 << 18, (1 << 18) + 1, 10_000_000])
    def test_size(self, size):
        buffer = SharedBuffer(size)
        assert buffer.nbytes == len(buffer) == memoryview(buffer).nbytes == size
        assert bytes(buffer) == bytes(size)

    @pytest.mark.parametrize("size", [1, 10, 1000, 1 << 20])
    def test_alignment(self, size):
        assert all(address(buffer) % 64 == 0 for buffer in [SharedBuffer(size) for _ in range(20)])

    def test_what_memoryview_says(self):
        view = memoryview(SharedBuffer(10))
        assert (view.format, view.itemsize, view.ndim, view.shape, view.strides) == ("B", 1, 1, (10,), (1,))
        assert not view.readonly
        assert view.contiguous

    @pytest.mark.parametrize(
        "source",
        [
            b"",
            b"spam",
            bytearray(b"spam" * 1000),
            array.array("d", [1.5, 2.5]),
            memoryview(b"abcdef")[1:4],
            b"x" * 3_000_000,
        ],
        ids=["empty", "bytes", "bytearray", "array", "slice", "large"],
    )
    def test_copy(self, source):
        buffer = SharedBuffer(source)
        assert bytes(buffer) == bytes(source)
        assert buffer.nbytes == memoryview(source).nbytes

    def test_copy_of_what_is_not_contiguous(self):
        grid = memoryview(bytes(range(24))).cast("B", [4, 6])
        for view in (memoryview(b"abcdefgh")[::2], memoryview(b"abcdefgh")[::-3], grid):
            assert bytes(SharedBuffer(view)) == view.tobytes()

    def test_it_is_a_copy(self):
        source = bytearray(b"spam")
        buffer = SharedBuffer(source)
        source[0] = 0
        source.append(1)  # no export is left
        memoryview(buffer)[1] = 1
        assert bytes(buffer) == b"s\x01am"
        assert source == b"\x00pam\x01"

    def test_copy_of_another(self):
        first = SharedBuffer(b"spam")
        second = SharedBuffer(first)
        memoryview(second)[0] = 0
        assert bytes(first) == b"spam"
        assert first != second

    def test_index_is_a_size(self):
        class Four:
            def __index__(self):
                return 4

        assert SharedBuffer(Four()).nbytes == 4
        assert SharedBuffer(True).nbytes == 1

    def test_an_index_that_fails_is_seen(self):
        class Bad:
            def __index__(self):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            SharedBuffer(Bad())

    @pytest.mark.parametrize("size", [-1, -(2**62), -(2**100)])
    def test_negative(self, size):
        with pytest.raises(ValueError, match="negative"):
            SharedBuffer(size)

    @pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64, 2**100])
    def test_too_large(self, size):
        with pytest.raises(MemoryError):
            SharedBuffer(size)

    @pytest.mark.parametrize("source", ["text", None, 1.5, [1, 2], {1: 2}, object()])
    def test_wrong_type(self, source):
        with pytest.raises(TypeError, match="SharedBuffer"):
            SharedBuffer(source)

    def test_wrong_arguments(self):
        for call in (lambda: SharedBuffer(), lambda: SharedBuffer(1, 2), lambda: SharedBuffer(size=1)):
            with pytest.raises(TypeError):
                call()

    def test_out_of_memory(self):
        fail = _core._fail_allocation
        for number in range(1, 3):
            fail(number)
            try:
                SharedBuffer(100)
            except MemoryError:
                continue
            finally:
                fail(0)
            break
        else:
            pytest.fail("it needs more allocations than that?")
        assert number == 2


class TestHandle:
    def test_type(self):
        assert SharedBuffer.__module__ == "atoll"
        assert SharedBuffer.__doc__
        with pytest.raises(TypeError):
            type("Sub", (SharedBuffer,), {})
        with pytest.raises(TypeError):
            SharedBuffer.x = 1
        with pytest.raises(AttributeError):
            SharedBuffer(1).x = 1

    def test_repr(self):
        buffer = SharedBuffer(100)
        assert "atoll.SharedBuffer of 100 bytes" in repr(buffer)
        buffer.release()
        assert "released atoll.SharedBuffer" in repr(buffer)

    def test_weakref(self):
        buffer = SharedBuffer(1)
        ref = weakref.ref(buffer)
        assert ref() is buffer
        del buffer
        assert ref() is None

    def test_equality(self):
        buffer, other = SharedBuffer(b"a"), SharedBuffer(b"a")
        assert buffer == buffer
        assert buffer != other
        assert buffer != b"a"
        assert len({buffer, other, buffer}) == 2
        with pytest.raises(TypeError):
            buffer < other

    def test_release(self):
        buffer = SharedBuffer(8)
        before = hash(buffer)
        buffer.release()
        buffer.release()
        for use in (memoryview, bytes, len, lambda b: b.nbytes, lambda b: b.__enter__(), SharedBuffer):
            with pytest.raises(ValueError, match="released"):
                use(buffer)
        assert hash(buffer) == before

    def test_release_while_exported(self):
        buffer = SharedBuffer(8)
        view = memoryview(buffer)
        other = memoryview(buffer)
        with pytest.raises(BufferError, match="2 exported buffers"):
            buffer.release()
        other.release()
        with pytest.raises(BufferError, match="1 exported buffer"):
            buffer.release()
        view[0] = 1
        view.release()
        buffer.release()

    def test_a_view_keeps_the_memory(self):
        view = memoryview(SharedBuffer(b"spam"))
        gc.collect()
        assert view.tobytes() == b"spam"

    def test_with(self):
        with SharedBuffer(4) as buffer:
            assert buffer.nbytes == 4
        with pytest.raises(ValueError, match="released"):
            len(buffer)
        with pytest.raises(BufferError), SharedBuffer(4) as buffer:
            view = memoryview(buffer)
        view.release()

    @pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, lambda b: b.__reduce_ex__(5)])
    def test_pickle_is_refused(self, way):
        with pytest.raises(TypeError, match="memory of this process"):
            way(SharedBuffer(1))

    def test_freed(self):
        before = _core._blocks_alive()
        buffers = [SharedBuffer(n) for n in (0, 10, 1 << 20)]
        assert _core._blocks_alive() == before + 3
        buffers.pop().release()
        assert _core._blocks_alive() == before + 2
        del buffers
        assert _core._blocks_alive() == before


class TestUsing:
    def test_everything_here(self):
        self.check(helpers.use_everything(SharedBuffer(256)))

    def test_everything_there(self, interp):
        buffer = SharedBuffer(256)
        self.check(interp.call(helpers.use_everything, buffer))
        assert struct.unpack_from("<qd", buffer) == (-7, 2.5)
        assert bytes(memoryview(buffer)[192:206]) == b"through a pipe"

    def check(self, result):
        assert result == {
            "struct": (-7, 2.5),
            "doubles": [0.5, 2.0, 3.0, 4.0],
            "grid": [[0, 0, 0], [0, 0, 99]],
            "read": 14,
            "text": b"through a pipe",
            "array": [0.5, 2.0, 3.0, 4.0],
        }

    def test_file(self, tmp_path, interp):
        path = tmp_path / "data"
        path.write_bytes(bytes(range(256)))
        buffer = SharedBuffer(256)
        with open(path, "rb") as file:
            assert file.readinto(buffer) == 256
        assert interp.call(helpers.read, buffer) == bytes(range(256))
        with open(path, "wb") as file:
            file.write(buffer)
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert SharedBuffer(mapped) != buffer
            assert bytes(SharedBuffer(mapped)) == bytes(buffer)

    def test_numpy(self, interp):
        numpy = pytest.importorskip("numpy")
        buffer = SharedBuffer(8 * 1000)
        view = numpy.frombuffer(buffer, dtype=numpy.int64)
        assert view.ctypes.data == address(buffer)
        view[:] = numpy.arange(1000)
        assert interp.call(helpers.read, buffer) == view.tobytes()
        interp.call(helpers.write, buffer, 0, (-5).to_bytes(8, "little", signed=True))
        assert view[0] == -5
        with pytest.raises(BufferError):
            buffer.release()
        assert bytes(SharedBuffer(view[::2])) == view[::2].tobytes()
        assert SharedBuffer(numpy.int64(5)).nbytes == 5


class TestCrossing:
    def test_the_same_memory(self, interp):
        buffer = SharedBuffer(b"....")
        interp.call(helpers.write, buffer, 1, b"ab")
        assert bytes(buffer) == b".ab."
        memoryview(buffer)[0] = ord("!")
        assert interp.call(helpers.read, buffer) == b"!ab."

    @pytest.mark.parametrize("size", [0, 1, 1 << 20])
    def test_sizes(self, interp, size):
        buffer = SharedBuffer(size)
        back = interp.call(helpers.same, buffer)
        assert back == buffer
        assert hash(back) == hash(buffer)
        assert back.nbytes == size

    def test_shareable(self):
        assert atoll.is_shareable(SharedBuffer(1))

    def test_inside_other_values(self, interp):
        buffer = SharedBuffer(3)
        back = interp.call(helpers.same, {"a": [buffer, (buffer,)], "b": 1})
        assert back["a"][0] is back["a"][1][0]
        assert back["a"][0] == buffer

    def test_release_there_does_not_touch_ours(self, interp):
        buffer = SharedBuffer(b"spam")
        interp.call(helpers.keep, "buffer", buffer)
        interp.exec("import shared_helpers; shared_helpers.kept['buffer'].release()")
        assert bytes(buffer) == b"spam"
        assert interp.call(helpers.read, buffer) == b"spam"

    def test_released_does_not_cross(self, interp):
        buffer = SharedBuffer(4)
        buffer.release()
        with pytest.raises(atoll.NotShareableError) as caught:
            interp.call(len, buffer)
        assert isinstance(caught.value.__cause__, ValueError)

    def test_outlives_its_creator(self):
        queue = atoll.create_queue()
        before = _core._blocks_alive()
        with atoll.create() as maker:
            maker.prepare_main(queue=queue)
            maker.exec("import atoll; queue.put(atoll.SharedBuffer(b'spam' * 100000))")
        buffer = queue.get()
        assert bytes(buffer) == b"spam" * 100000
        assert _core._blocks_alive() == before + 1
        del buffer
        assert _core._blocks_alive() == before

    def test_freed_with_the_last_reference_anywhere(self, interp):
        before = _core._blocks_alive()
        buffer = SharedBuffer(1 << 20)
        queue = atoll.create_queue()
        queue.put(buffer)
        interp.call(helpers.keep, "buffer", buffer)
        del buffer
        assert _core._blocks_alive() == before + 1
        assert queue.get().nbytes == 1 << 20
        assert _core._blocks_alive() == before + 1
        interp.call(helpers.drop, "buffer")
        assert _core._blocks_alive() == before

    def test_freed_with_its_queue_and_its_interpreter(self):
        before = _core._blocks_alive()
        interp = atoll.create()
        queue = atoll.create_queue()
        queue.put(SharedBuffer(1))
        interp.call(helpers.keep, "buffer", SharedBuffer(2))
        assert _core._blocks_alive() == before + 2
        del queue
        assert _core._blocks_alive() == before + 1
        interp.close()
        assert _core._blocks_alive() == before
