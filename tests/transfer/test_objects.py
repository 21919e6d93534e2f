"""Everything that is not native: the protocol of pickle, spoken natively."""

from __future__ import annotations

import _thread
import array
import collections
import datetime
import decimal
import fractions
import functools
import operator
import os
import pathlib
import pickle
import random
import re
import sys
import types
import uuid
from typing import Any

import pytest
import transfer_classes as classes

from atoll import NotShareableError, _core

roundtrip = _core._roundtrip

VALUES = [
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6, datetime.timezone.utc),
    datetime.date(2020, 1, 2),
    datetime.timedelta(1, 2, 3),
    decimal.Decimal("1.50"),
    fractions.Fraction(3, 4),
    uuid.UUID(int=5),
    pathlib.PurePosixPath("a/b"),
    collections.OrderedDict([("a", 1), ("b", [2])]),
    collections.defaultdict(list, {"a": [1]}),
    collections.deque([1, [2], 3], 5),
    collections.Counter("abca"),
    collections.ChainMap({"a": 1}, {"b": 2}),
    classes.Point(1, [2]),
    classes.Record(1, [2]),
    classes.Frozen(1, "x"),
    classes.Slots(1, [2]),
    classes.SlotsAndDict(1, 2),
    classes.Color.RED,
    classes.Mode.READ | classes.Mode.WRITE,
    classes.Size.SMALL,
    classes.Whole(5),
    classes.Text("abc"),
    classes.Items([1, [2]]),
    classes.Mapping(a=1, b=[2]),
    classes.Pair((1, 2)),
    classes.Group([1, 2]),
    classes.NewArgs(1, b=[2]),
    classes.THE_ONE,
    array.array("d", [1.5, 2]),
    types.SimpleNamespace(a=1, b=[2]),
    types.MappingProxyType,
    re.compile("a+", re.I),
    operator.itemgetter(1, 2),
    os.stat(os.devnull),
    len,
    int,
    object,
    collections.abc.Mapping,
    classes.function,
    classes.Record,
    os.path.join,
    "abc".upper,
    [].append,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}:{v!r:.24}")
def test_value(value: Any) -> None:
    got = roundtrip(value)
    assert type(got) is type(value)
    if not isinstance(value, types.BuiltinMethodType | operator.itemgetter):
        assert got == value
    both = roundtrip([value, (value,), {"x": value}])
    assert both[0] is both[1][0] is both[2]["x"]


def test_as_pickle_does_it() -> None:
    for value in [random.Random(3), collections.deque([1], 3), functools.partial(classes.function, 1, x=[2])]:
        mine = roundtrip(value)
        theirs = pickle.loads(pickle.dumps(value, 5))
        assert mine.__reduce_ex__(5)[1:3] == theirs.__reduce_ex__(5)[1:3]


def test_identity_over_the_whole_graph() -> None:
    items = [1]
    got = roundtrip([items, items, classes.Node(items), {"k": classes.Record(items, (items,))}])
    assert got[0] is got[1] is got[2].x is got[3]["k"].a is got[3]["k"].b[0]
    partial = functools.partial(classes.function, items)
    got = roundtrip([items, partial])
    assert got[1].args[0] is got[0]
    node = classes.Node()
    got = roundtrip([node, node.method])
    assert got[1].__self__ is got[0]


def test_attribute_names_are_interned() -> None:
    name = "attribute_number_%d" % 77
    node = classes.Node()
    setattr(node, name, 1)
    got = roundtrip(node)
    assert any(key is sys.intern(name) for key in vars(got))


def test_parts() -> None:
    appended = classes.Appended()
    appended.items = [1, [2], 3]
    assert roundtrip(appended).items == [1, [2], 3]
    setter = classes.Setter()
    assert roundtrip(setter).value is None
    setter.value = [1]
    assert roundtrip(setter).value == ("set", [1])


def test_cycles_through_objects() -> None:
    node = classes.Node()
    node.x = node
    got = roundtrip(node)
    assert got.x is got

    node = classes.Node()
    pair = (node, 1)
    node.x = [pair]
    got = roundtrip(pair)
    assert got[0].x[0] is got
    got = roundtrip(node)
    assert got.x[0][0] is got

    node = classes.Node()
    group = frozenset([node, 1])
    node.x = group
    got = roundtrip(group)
    (inner,) = got - {1}
    assert inner.x is got
    got = roundtrip(node)
    (inner,) = got.x - {1}
    assert inner is got

    items = classes.Items([1])
    items.append(items)
    got = roundtrip(items)
    assert got[1] is got

    mapping = classes.Mapping()
    mapping["m"] = mapping
    mapping.attribute = mapping
    got = roundtrip(mapping)
    assert got["m"] is got and got.attribute is got


def test_tuple_known_by_all_its_items() -> None:
    nodes = tuple([classes.Node() for _ in range(2000)])
    for node in nodes:
        node.x = nodes
    got = roundtrip(nodes)
    assert len(got) == 2000 and all([node.x is got for node in got])


def test_tuple_as_key_inside_itself() -> None:
    node = classes.Node()
    pair = (node, 1)
    node.x = {"first": 0, pair: "value", "last": 2}
    node.y = {pair, 3}
    node.z = classes.Mapping({pair: 4})
    got = roundtrip(pair)
    assert list(got[0].x) == ["first", got, "last"]
    assert got[0].x[got] == "value"
    assert got in got[0].y and 3 in got[0].y and len(got[0].y) == 2
    assert got[0].z[got] == 4


def test_state_waits_for_the_tuple_it_knows() -> None:
    watcher = classes.Watcher()
    pair = (watcher, "last")
    watcher.t = pair
    got = roundtrip(pair)
    assert got[0].t is got and got[0].seen == "last"


def test_tuple_in_a_frozenset_inside_itself() -> None:
    node = classes.Node()
    pair = (node, 1)
    node.x = frozenset([pair])
    got = roundtrip(pair)
    (inner,) = got[0].x
    assert inner == got and inner[0] is got[0]
    assert got in got[0].x


def test_frozensets_of_frozensets_around() -> None:
    a, b = classes.Node("a"), classes.Node("b")
    one = frozenset([a])
    two = frozenset([one, b])
    a.y, b.y = two, [one, two]
    got = roundtrip([one, two])
    (na,) = got[0]
    assert na.y is got[1] and got[0] in got[1]
    (nb,) = [item for item in got[1] if isinstance(item, classes.Node)]
    assert nb.y[0] is got[0] and nb.y[1] is got[1]


def test_hash_by_state() -> None:
    nodes = {classes.ByHash("a"): 1, classes.ByHash("b"): 2}
    got = roundtrip([nodes, set(nodes), frozenset(nodes)])
    assert got[0] == nodes and got[1] == set(nodes) and got[2] == frozenset(nodes)


def test_long_chain() -> None:
    node = None
    for _ in range(100_000):
        node = classes.Node(node)
    got = roundtrip(node)
    count = 0
    while got is not None:
        got = got.x
        count += 1
    assert count == 100_000


def test_pickle_buffers() -> None:
    assert roundtrip(pickle.PickleBuffer(b"abc")) == b"abc"
    got = roundtrip(pickle.PickleBuffer(bytearray(b"abc")))
    assert got == bytearray(b"abc") and type(got) is bytearray
    big = bytes(range(256)) * 1000
    buffer = pickle.PickleBuffer(big)
    got = roundtrip([buffer, buffer])
    assert got[0] == big and got[0] is got[1]
    view = memoryview(bytearray(100))[::2]
    with pytest.raises(NotShareableError) as info:
        roundtrip(pickle.PickleBuffer(view))
    assert isinstance(info.value.__cause__, ValueError)
    released = pickle.PickleBuffer(b"x")
    released.release()
    with pytest.raises(NotShareableError):
        roundtrip(released)


class _Picture:
    """As numpy's arrays do it: the buffer out of band."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: int) -> Any:
        assert protocol == 5
        return _Picture, (pickle.PickleBuffer(self.data),)


def test_out_of_band() -> None:
    sys.modules["transfer_classes"]._Picture = _Picture  # type: ignore[attr-defined]
    _Picture.__module__ = "transfer_classes"
    got = roundtrip(_Picture(bytearray(b"pixels")))
    assert got.data == bytearray(b"pixels") and type(got.data) is bytearray


def test_copyreg() -> None:
    import copyreg

    copyreg.pickle(classes.Node, lambda node: (classes.function, (node.x, 7)))  # type: ignore[arg-type]
    try:
        assert roundtrip(classes.Node(5)) == ((5, 7), {})
    finally:
        del copyreg.dispatch_table[classes.Node]


def _place(value: Any) -> str:
    with pytest.raises(NotShareableError) as info:
        roundtrip(value)
    assert isinstance(info.value, TypeError)
    assert info.value.__cause__ is not None
    return str(info.value)


def test_messages_name_the_place() -> None:
    bad = sys.stdout
    if type(bad).__module__ != "_io":
        bad = open(os.devnull)  # noqa: SIM115
    shown = ": <class '_io.TextIOWrapper'>"
    cases: list[tuple[Any, str]] = [
        (bad, "obj"),
        ({"jobs": [1, 2, bad]}, "obj['jobs'][2]"),
        ({1: {None: (bad,)}}, "obj[1][None][0]"),
        ({"x" * 100: bad}, "obj['" + "x" * 76 + "...]"),
        ({(1, 2): bad}, "obj[...]"),
        ({1, (2, classes.Node(bad))}, "obj[element "),
        (slice(1, bad), "obj.stop"),
        (classes.Node(bad), "obj.x"),
        ([classes.Slots(1, {"k": bad})], "obj[0].b['k']"),
        (classes.Record(classes.Node([bad])), "obj.a.x[0]"),
        (classes.Items([1, bad]), "obj[1]"),
        (classes.Mapping(a=bad), "obj['a']"),
        (ValueError(1, bad), "obj.args[1]"),
        (classes.Pair((1, bad)), "obj.__reduce__()[1][0][1]"),
    ]
    error = ValueError()
    error.__cause__ = KeyError(bad)
    cases.append((error, "obj.__cause__.args[0]"))
    cases.append((ExceptionGroup("m", [KeyError(1), KeyError(bad)]), "obj.exceptions[1].args[0]"))
    lock = _thread.allocate_lock()

    def closure() -> Any:
        return lock

    cases.append(([closure], "obj[0].closure['lock']"))
    deep: Any = bad
    for _ in range(1000):
        deep = [deep]
    cases.append((deep, "obj" + "[0]" * 24 + "..." + "[0]" * 24))
    try:
        for value, place in cases:
            message = _place(value)
            ending = ": <class '_thread.lock'>" if "lock" in place else shown
            assert message.startswith(place) and message.endswith(ending), message
        with pytest.raises(NotShareableError, match=r"^args\[0\]\['a'\]: <class '_io.TextIOWrapper'>$"):
            _core._roundtrip_args(len, {"a": bad})
        with pytest.raises(NotShareableError, match=r"^callable\[0\]: <class '_io.TextIOWrapper'>$"):
            _core._roundtrip_args([bad])
        with pytest.raises(NotShareableError, match=r"^kwargs\['named'\]\[0\]: "):
            _core._roundtrip_args(1, other=2, named=[bad])
    finally:
        if bad is not sys.stdout:
            bad.close()


def test_rebuilding_fails_with_a_note() -> None:
    with pytest.raises(ZeroDivisionError) as info:
        roundtrip([classes.Reduced(lambda: (classes.fail, ("x",)))])
    assert info.value.args == ("x",)
    assert any("transfer_classes.fail" in note for note in info.value.__notes__)
    with pytest.raises(TypeError) as other:
        roundtrip(classes.Reduced(lambda: (classes.Node, (1, 2, 3))))
    assert any("transfer_classes.Node" in note for note in other.value.__notes__)


class Changing:
    """Its class is changed between one use and the next."""

    def __init__(self, x: Any) -> None:
        self.x = x


def test_a_class_that_changes() -> None:
    sys.modules["transfer_classes"].Changing = Changing  # type: ignore[attr-defined]
    Changing.__module__ = "transfer_classes"
    for _ in range(3):
        assert vars(roundtrip(Changing([1]))) == {"x": [1]}
    Changing.__getstate__ = lambda self: {"y": self.x}  # type: ignore[method-assign, assignment]
    assert vars(roundtrip(Changing([1]))) == {"y": [1]}
    del Changing.__getstate__
    assert vars(roundtrip(Changing([1]))) == {"x": [1]}
    Changing.__reduce__ = lambda self: (Changing, ("reduced",))  # type: ignore[method-assign, assignment]
    assert vars(roundtrip(Changing([1]))) == {"x": "reduced"}
    del Changing.__reduce__
    Changing.__setstate__ = lambda self, state: self.__dict__.update(z=state)  # type: ignore[attr-defined]
    assert vars(roundtrip(Changing([1]))) == {"z": {"x": [1]}}
    del Changing.__setstate__  # type: ignore[attr-defined]
    Changing.__new__ = lambda cls, *args: object.__new__(cls)  # type: ignore[method-assign, assignment]
    assert vars(roundtrip(Changing([1]))) == {"x": [1]}


def test_plain_instances_by_the_thousand() -> None:
    value = [classes.Record(i, classes.Node([i])) for i in range(3000)]
    got = roundtrip(value)
    assert [(r.a, r.b.x) for r in got] == [(i, [i]) for i in range(3000)]
    empty = roundtrip([classes.Node.__new__(classes.Node) for _ in range(3)])
    assert [vars(node) for node in empty] == [{}, {}, {}]
    first = classes.Node()
    first.x = {first: (first, [first])}
    got = roundtrip((first, 5))[0]
    assert got.x[got][1][0] is got


def test_local_classes() -> None:
    import dataclasses

    @dataclasses.dataclass
    class Local:
        a: Any
        b: Any = None

    got = roundtrip([Local(1), Local([2], Local), Local])
    assert got[2] is Local and type(got[0]) is Local and got[1] == Local([2], Local)
