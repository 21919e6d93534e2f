"""Bytes that no encoder wrote: an exception or a value, never a crash."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from atoll import InterpreterError, _core


def _cyclic() -> Any:
    pair: tuple[Any, ...] = ([], {}, 1)
    pair[0].append(pair)
    pair[1]["pair"] = pair
    return pair


LONG = 20 if os.environ.get("ATOLL_LONG") else 1
SHARED = [1, 1000, 100_000]
VALUES = [
    None,
    5,
    1000,
    10**6,
    10**12,
    10**30,
    1.5,
    2j,
    "text",
    "x" * 40,
    "\u1234" * 3,
    "\U0001f600",
    b"bytes",
    bytearray(b"bytes"),
    (1, (2, "a")),
    [1, [2.5, "a" * 3], ()],
    [1000, 2000, 3000, 1, 2000, 3000],
    (1000, 2000, (3000, 4000)),
    {"a": 1, (1, 2): {3: 4}, 7: [8]},
    {1, "a", (2, 3)},
    frozenset([1, frozenset([2])]),
    slice(1, [2], None),
    range(1, 1000, 7),
    [SHARED, SHARED, (SHARED,), {"k": SHARED}],
    [frozenset([2000]), _cyclic()],
    _cyclic(),
]
ENCODED = [_core._encode(value) for value in VALUES] + [_core._encode(VALUES)]


def attempt(data: bytes) -> bool:
    """Decode; tell whether it gave a value, which must be usable then."""
    try:
        value = _core._decode(data)
    except (InterpreterError, TypeError, MemoryError, OverflowError):
        return False
    try:
        repr(value)
        hash(value)
    except (TypeError, ValueError, RecursionError):
        pass
    return True


@pytest.mark.parametrize("data", ENCODED, ids=lambda d: f"{len(d)}bytes")
def test_every_truncation_is_refused(data: bytes) -> None:
    for size in range(len(data)):
        assert not attempt(data[:size])
    assert attempt(data)
    assert not attempt(data + b"\x01")


@pytest.mark.parametrize("data", ENCODED, ids=lambda d: f"{len(d)}bytes")
def test_every_byte_changed(data: bytes) -> None:
    rng = random.Random(len(data))
    for at in range(len(data)):
        for _ in range(8):
            changed = bytearray(data)
            changed[at] = rng.randrange(256)
            attempt(bytes(changed))


def test_random_mixtures() -> None:
    rng = random.Random(2)
    for _ in range(10_000 * LONG):
        data = bytearray(rng.choice(ENCODED))
        for _ in range(rng.choice([1, 2, 5])):
            at = rng.randrange(len(data))
            what = rng.randrange(3)
            if what == 0:
                data[at] = rng.randrange(256)
            elif what == 1:
                data[at:at] = rng.choice(ENCODED)[: rng.randrange(1, 20)]
            else:
                del data[at : at + rng.randrange(1, 4)]
                data += b"\x01"
        attempt(bytes(data))


def test_random_bytes() -> None:
    rng = random.Random(3)
    for _ in range(10_000 * LONG):
        attempt(
            bytes(
                rng.choice([rng.randrange(64), rng.randrange(256), 5, 2, 1])
                for _ in range(rng.randrange(1, 40))
            )
        )


@pytest.mark.parametrize("tag", range(64))
def test_counts_that_cannot_be(tag: int) -> None:
    for memo in (0, 64):
        for count in (b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80" * 12, b"\xff\xff\x7f"):
            data = bytes([tag | memo]) + count
            assert not attempt(data) or tag < 6
            attempt(data + b"\x01" * 20)


def test_a_run_of_more_ints_than_the_list_has() -> None:
    for make in (list, tuple):
        data = bytearray(_core._encode(make([1000, 2000, 3000])))
        assert data[1] == data[3] == 3  # of the list; of the run
        with pytest.raises(InterpreterError, match="corrupt"):
            _core._decode(bytes([data[0], 2, *data[2:]]))
        for count in (0, 4, 255):
            with pytest.raises(InterpreterError, match="corrupt"):
                _core._decode(bytes([*data[:3], count, *data[4:]]))
        # Nowhere else.
        with pytest.raises(InterpreterError, match="corrupt"):
            _core._decode(bytes(data[2:]))
        with pytest.raises(InterpreterError, match="corrupt"):
            _core._decode(_core._encode({1, 2})[:2] + bytes(data[2:]))


def test_nesting_without_end() -> None:
    for tag in range(64):
        for memo in (0, 64):
            attempt(bytes([tag | memo, 1]) * 200_000)
            attempt(bytes([tag | memo]) * 200_000)


def test_nothing_is_called() -> None:
    # Only native values come from bytes of unknown origin.
    import os

    for tag in range(64):
        name = bytes([14, 2]) + b"os" + bytes([14, 6]) + b"getcwd"
        try:
            assert _core._decode(bytes([tag]) + name) is not os.getcwd
        except InterpreterError:
            pass


def test_duplicate_keys() -> None:
    # The replaced values were known to the decoder's own cache.
    big = _core._encode(1000)
    again = b"".join([big, big] * 300)
    dicts = bytes([next(t for t in range(64) if _core._encode({})[0] == t)])
    count = bytes([300 & 0x7F | 0x80, 300 >> 7])
    assert _core._decode(dicts + count + again) == {1000: 1000}
    for tag in (_core._encode(set())[0], _core._encode(frozenset([1]))[0] & 0x3F):
        inner = bytes([_core._encode([])[0], 2, tag, 3]) + big * 3 + big
        got = _core._decode(inner)
        assert got[1] == 1000


def test_tuple_that_holds_itself() -> None:
    # Only C code can make one.
    one = _core._encode((1,))
    items: list[Any] = []
    items.append(items)
    ref = _core._encode(items)[2:]
    got = _core._decode(bytes([one[0] | 0x40, 1]) + ref)
    assert type(got) is tuple and got[0] is got
    # So that it can be ended.
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
    slot = ctypes.c_void_p.from_address(id(got) + tuple.__basicsize__)
    slot.value = id(None)
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(got))
