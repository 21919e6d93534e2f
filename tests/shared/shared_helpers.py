"""Functions that the tests run in other interpreters, which import them by name."""

from __future__ import annotations

import array
import atexit
import gc
import os
import struct
from typing import Any

import atoll

#: What a test leaves in an interpreter until it says otherwise.
kept: dict[str, Any] = {}


def keep(name: str, value: Any) -> None:
    kept[name] = value


def get(name: str) -> Any:
    return kept[name]


def drop(name: str) -> None:
    del kept[name]
    gc.collect()


def tick() -> None:
    """Nothing: a visit."""


def same(value: Any) -> Any:
    return value


def describe(view: memoryview) -> dict[str, Any]:
    return {
        "nbytes": view.nbytes,
        "itemsize": view.itemsize,
        "format": view.format,
        "ndim": view.ndim,
        "shape": view.shape,
        "strides": view.strides,
        "suboffsets": view.suboffsets,
        "readonly": view.readonly,
        "c_contiguous": view.c_contiguous,
        "f_contiguous": view.f_contiguous,
        "contiguous": view.contiguous,
        "list": view.tolist(),
    }


def layout_of(view: memoryview) -> tuple[Any, ...]:
    return view.format, view.itemsize, view.shape, view.tobytes()


def write(buffer: Any, offset: int, data: bytes) -> None:
    memoryview(buffer)[offset : offset + len(data)] = data


def read(buffer: Any) -> bytes:
    return bytes(buffer)


def assign(view: memoryview, index: Any, value: Any) -> None:
    view[index] = value


def set_all(view: memoryview, value: int) -> int:
    for i in range(len(view)):
        view[i] = value
    return len(view)


def keep_slice(name: str, view: memoryview, start: int, stop: int, step: int = 1) -> None:
    kept[name] = view[start:stop:step]


def put_kept(queue: Any, name: str) -> None:
    queue.put(kept[name])


def put_new_view(queue: Any, data: bytes) -> None:
    """A view whose exporter nobody but the view refers to."""
    queue.put(memoryview(bytearray(data)))


def get_and_keep(queue: Any, name: str) -> None:
    kept[name] = queue.get()


def make_array(queue: Any, name: str, count: int) -> None:
    kept[name] = bytearray(count)
    queue.put(memoryview(kept[name]))


def resize_kept(name: str) -> str:
    try:
        kept[name].append(1)
    except BufferError:
        return "BufferError"
    return "resized"


def use_everything(buffer: atoll.SharedBuffer) -> dict[str, Any]:
    """struct, array, cast and readinto over one buffer, from offset 0, 64, 128 and 192."""
    view = memoryview(buffer)
    struct.pack_into("<qd", buffer, 0, -7, 2.5)
    view[64:96] = array.array("d", [1.0, 2.0, 3.0, 4.0]).tobytes()
    doubles = view[64:96].cast("d")
    doubles[0] = 0.5
    grid = view[128:152].cast("B").cast("i", [2, 3])
    grid[1, 2] = 99
    reader, writer = os.pipe()
    try:
        os.write(writer, b"through a pipe")
        with open(reader, "rb", buffering=0, closefd=False) as file:
            count = file.readinto(view[192:])
    finally:
        os.close(reader)
        os.close(writer)
    return {
        "struct": struct.unpack_from("<qd", buffer, 0),
        "doubles": doubles.tolist(),
        "grid": grid.tolist(),
        "read": count,
        "text": bytes(view[192 : 192 + count]),
        "array": array.array("d", bytes(view[64:96])).tolist(),
    }


def put_at_exit(queue: Any) -> None:
    """While the interpreter ends, lend a view of its memory."""

    def lend() -> None:
        try:
            queue.put(memoryview(bytearray(b"late")))
        except atoll.InterpreterError as error:
            queue.put(f"refused: {type(error).__name__}")

    atexit.register(lend)


class Tracked(bytearray):
    """A bytearray that tells a queue of its end."""

    def __init__(self, data: bytes, queue: Any) -> None:
        super().__init__(data)
        self.queue = queue

    def __del__(self) -> None:
        self.queue.put("gone")


def lend_tracked(queue: Any, ends: Any, data: bytes) -> None:
    queue.put(memoryview(Tracked(data, ends)))


class Source:
    """A buffer exporter with a life of its own (3.12's __buffer__)."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.released = 0

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.data)

    def __release_buffer__(self, view: memoryview) -> None:
        self.released += 1
        view.release()


def read_kept(name: str) -> bytes:
    return bytes(kept[name])


def copy_of_exporter(view: memoryview) -> bytes:
    exporter = view.obj
    view.release()
    gc.collect()
    assert "atoll view" in repr(exporter)
    with memoryview(exporter) as again:
        assert again.obj is exporter
    return b"".join([exporter])


def grants(view: memoryview) -> dict[str, bool]:
    """Which kinds of buffer the view's exporter gives."""
    from inspect import BufferFlags

    kinds = {
        "SIMPLE": BufferFlags.SIMPLE,
        "WRITABLE": BufferFlags.WRITABLE,
        "STRIDES": BufferFlags.STRIDES,
        "C": BufferFlags.C_CONTIGUOUS,
        "F": BufferFlags.F_CONTIGUOUS,
        "FULL": BufferFlags.FULL,
    }
    result = {}
    for name, flags in kinds.items():
        try:
            with view.obj.__buffer__(flags) as got:
                result[name] = got.nbytes == view.nbytes
        except BufferError:
            result[name] = False
    return result


def start_thread(go: Any) -> None:
    """A thread that, when told, writes into what was lent."""
    import threading

    def work() -> None:
        go.wait()
        for obj in gc.get_objects():
            if isinstance(obj, Tracked):
                obj[:4] = b"done"

    threading.Thread(target=work).start()
