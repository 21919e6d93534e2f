"""Native values: every type, at every size that has a form of its own."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from atoll import _core

roundtrip = _core._roundtrip

INTS = sorted(
    {
        sign * (2**bits + off)
        for sign in (1, -1)
        for bits in (0, 1, 3, 7, 8, 15, 16, 30, 31, 32, 60, 62, 63, 64, 65, 120, 128, 4096)
        for off in (-1, 0, 1)
    }
    | {-6, -5, -4, 121, 122, 123, 124, 127, 128, 255, 256, 257, 1023, 1024, 1025}
)
TEXTS = [
    "",
    "a",
    "\x00",
    "\x7f",
    "\x80",
    "\xff",
    "\u0100",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "\ud800",
    "\udc80x",
    "ascii",
    "x" * 31,
    "x" * 32,
    "x" * 33,
    "not an identifier",
    "x" * 127,
    "x" * 128,
    "x" * 255,
    "x" * 256,
    "x" * 100_000,
    "é" * 255,
    "é" * 256,
    "aé" * 50_000,
    "ж" * 1000,
    "😀" * 1000,
    "a" * 500 + "😀",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    ...,
    NotImplemented,
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    5e-324,
    1j,
    complex(-0.0, math.inf),
    b"",
    b"a",
    b"\x00" * 1023,
    b"\xff" * 1024,
    b"x" * 1_000_000,
    bytearray(),
    bytearray(b"abc"),
    bytearray(5000),
    (),
    (1,),
    (1, "a", None),
    ((), ((),)),
    tuple(range(1000)),
    [],
    [[]],
    [1, [2, [3, "x"], ()]],
    list(range(-300, 300)),
    [10**i for i in range(40)],
    [1.5, 2, "x", None] * 50,
    {},
    {"a": 1},
    {i: str(i) for i in range(1000)},
    {f"key {i}": i for i in range(5000)},
    {None: 1, 2: 3, 2.5: 4, b"x": 5, (1, (2,)): 6, frozenset([1, 2]): 7, "é": 8, "y" * 40: 9},
    {"a": {"b": {"c": [{}]}}},
    set(),
    {1, "a", None, (1, 2), frozenset([3])},
    set(range(1000)),
    frozenset(),
    frozenset([1, "a", (2, frozenset([3]))]),
    slice(None),
    slice(1, 2, 3),
    slice("a", [1], (2,)),
    range(0),
    range(10),
    range(5, -100, -7),
    range(-(10**30), 10**30, 10**10),
]


def same(a: object, b: object) -> bool:
    """Equal, of the same types and in the same order, however deep."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, slice) and isinstance(b, slice):
        return same([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    return a == b


@pytest.mark.parametrize("value", INTS, ids=lambda v: f"{v.bit_length()}bits")
def test_int(value: int) -> None:
    assert same(roundtrip(value), value)
    assert same(roundtrip([value, (value,), {value: value}]), [value, (value,), {value: value}])
    assert same(roundtrip(range(value, value + 3)), range(value, value + 3))


@pytest.mark.parametrize("value", TEXTS, ids=lambda v: f"{len(v)}:{v[:1]!a}")
def test_str(value: str) -> None:
    for text in (value, value[:-1] + value[-1:]):
        got = roundtrip([text, {text: text}, (text, [text])])
        assert same(got, [text, {text: text}, (text, [text])])
        assert same(roundtrip(text), text)
        # Of the right kind inside, too: a wrong one would not be found.
        assert got[0] in {value: 1} and value in {got[0]: 1}
        assert sys.getsizeof(got[0]) <= sys.getsizeof(value + "") + 64


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}:{v!r:.20}")
def test_value(value: Any) -> None:
    assert same(roundtrip(value), value)
    assert same(roundtrip([value, value]), [value, value])


def test_nan() -> None:
    assert math.isnan(roundtrip(math.nan))
    got = roundtrip({math.nan: 1, math.inf: 2})
    assert len(got) == 2


def test_all_at_once() -> None:
    value = [*INTS, *TEXTS, *VALUES]
    assert same(roundtrip(value), value)


def test_results_are_new_objects() -> None:
    for value in ([1], {"a": 1}, {1}, bytearray(b"x"), [[]]):
        got = roundtrip(value)
        assert got is not value and got == value
        got.clear()
        assert value


def test_no_digit_limit() -> None:
    sys.set_int_max_str_digits(640)
    try:
        assert roundtrip([10**5000]) == [10**5000]
    finally:
        sys.set_int_max_str_digits(0)


def test_interned_strings_stay_interned() -> None:
    name = sys.intern("a_name_of_an_attribute")
    got = roundtrip([name, {name: 1}, "".join(["a_name_of_an", "_attribute"])])
    assert got[0] is name
    assert next(iter(got[1])) is name


def test_many_different_keys() -> None:
    # More than the receiver's cache of keys holds, again and again.
    for start in range(0, 40_000, 8000):
        value = {f"{i:x}": i for i in range(start, start + 10_000)}
        assert same(roundtrip(value), value)
    for size in range(33):
        for char in "ab":
            value = {char * size: 1, (char * size)[:-1] + "c": 2}
            assert same(roundtrip(value), value)
            assert same(roundtrip(value), value)


def test_ints_that_come_again() -> None:
    value = [
        [i % 777 - 300 for i in range(5000)],
        {i * 1000: i * 1000 for i in range(300)},
        {2000, 3000, 256 + 2000},
    ]
    got = roundtrip([value, value[0]])
    assert same(got, [value, value[0]])


@pytest.mark.parametrize("size", [2, 3, 254, 255, 256, 257, 509, 510, 511, 2000])
def test_runs_of_ints(size: int) -> None:
    least, most = -(2**30), 2**30
    for wide in (
        list(range(1000, 1000 + size)),
        [1000] * size,
        [[least + 1, most - 1, 123, -6, 2**15][i % 5] for i in range(size)],
    ):
        for values in (
            wide,
            [*wide, 1],
            [1, *wide, 2, *wide],
            [v for i in wide for v in (i, 0)],
            [v for i in wide for v in (i, i, 0)],
            [*wide, most, *wide, least, 2**31, -(2**63), 2**64, *wide],
            [*wide, "text", *wide, None, wide, *wide],
        ):
            value = [values, tuple(values), {1000: tuple(wide), 5: wide}]
            assert same(roundtrip(value), value)


def test_neighbours_of_one_value_are_one_object() -> None:
    for make in (list, tuple):
        got = roundtrip(make([100_000] * 1000))
        assert len({id(item) for item in got}) < 20  # one a run


def test_arguments() -> None:
    both = _core._roundtrip_args
    assert both() == ((), {})
    assert both(1) == ((1,), {})
    assert both(1, "a", x=3, y=[4]) == ((1, "a"), {"x": 3, "y": [4]})
    many = list(range(300))
    names = {f"name{i}": i for i in range(300)}
    assert both(*many, **names) == (tuple(many), names)
    big = b"b" * 5000
    text = "é" * 5000
    got = both(big, [text, big], k={"x": big})
    assert got == ((big, [text, big]), {"k": {"x": big}})
    assert got[0][0] is not big
    assert got[0][0] is got[0][1][1] is got[1]["k"]["x"]
    # More pins than fit without an allocation.
    payloads = [bytes([i]) * 2000 for i in range(50)]
    assert both(payloads) == ((payloads,), {})


def test_one_object_as_several_arguments() -> None:
    shared = [1]
    (a, b), named = _core._roundtrip_args(shared, shared, c=shared)
    assert a is b is named["c"]
    (a, b), _ = _core._roundtrip_args([], [])
    assert a is not b


def test_shared_references() -> None:
    leaf = [1]
    text = "some text that is not interned %d" % len(leaf)
    data = bytes(range(200))
    array = bytearray(b"x")
    pair = (leaf, text)
    group = frozenset([text])
    number = 10**100
    part = slice(leaf, None)
    span = range(1000)
    shared = [leaf, text, data, array, pair, group, number, part, span, complex(len(leaf), 2)]
    got = roundtrip([shared[:], shared[:], {"k": shared[:]}])
    for a, b, c in zip(got[0], got[1], got[2]["k"], strict=True):
        assert a is b is c
    assert got[0][4][0] is got[0][0]
    assert got[0][7].start is got[0][0]


def test_equal_but_distinct_stay_distinct() -> None:
    got = roundtrip([[1], [1]])
    assert got[0] is not got[1]


def test_cycles() -> None:
    items: list[Any] = []
    items.append(items)
    got = roundtrip(items)
    assert got[0] is got and len(got) == 1

    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    got = roundtrip(mapping)
    assert got["self"] is got

    pair: tuple[Any, ...] = ([], {}, 1)
    pair[0].append(pair)
    pair[1]["pair"] = pair
    got = roundtrip(pair)
    assert got[0][0] is got and got[1]["pair"] is got and got[2] == 1
    got = roundtrip(pair[0])
    assert got[0][0] is got

    part = slice([], 2)
    part.start.append(part)
    got = roundtrip(part)
    assert got.start[0] is got and got.stop == 2

    a: list[Any] = [1]
    b = {"a": a, "t": (a, [a])}
    a.append(b)
    got = roundtrip([a, b])
    assert got[0][1] is got[1] and got[1]["a"] is got[0] and got[1]["t"][1][0] is got[0]


#: Forty bytes of an ordinary stack for each level: whatever recurses in C does not get through.
DEPTH = 200_000


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "mixed"])
def test_depth(kind: str) -> None:
    value: Any = "end"
    for i in range(DEPTH):
        if kind == "list" or (kind == "mixed" and i % 3 == 0):
            value = [value]
        elif kind == "tuple" or (kind == "mixed" and i % 3 == 1):
            value = (value,)
        else:
            value = {"k": value}
    got = roundtrip(value)
    depth = 0
    while got != "end":
        got = got["k"] if type(got) is dict else got[0]
        depth += 1
    assert depth == DEPTH


def test_deep_sets() -> None:
    value = frozenset([0])
    for _ in range(10_000):
        value = frozenset([value])
    got = roundtrip(value)
    for _ in range(10_000):
        (got,) = got
    assert got == frozenset([0])


def test_subclasses_are_not_native() -> None:
    class Local(list):  # type: ignore[type-arg]
        pass

    with pytest.raises(TypeError):
        _core._encode(Local())


def test_is_shareable() -> None:
    import atoll

    for value in (None, True, 1, 10**50, 1.5, "a", "\ud800", b"x", (), (1, []), memoryview(b"x")):
        assert atoll.is_shareable(value) is True
    for value in (
        1j,
        bytearray(),
        [],
        {},
        set(),
        frozenset(),
        slice(1),
        range(3),
        ...,
        NotImplemented,
        len,
        object(),
    ):
        assert atoll.is_shareable(value) is False
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        for value in [*VALUES, len, int, sys, object(), Exception(), pytest]:
            assert atoll.is_shareable(value) == interpreters.is_shareable(value), value
