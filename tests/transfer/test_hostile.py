"""Values that fight back: their code raises, re-enters, or changes what is being sent."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
import transfer_classes as classes

from atoll import InterpreterError, NotShareableError, _core

roundtrip = _core._roundtrip


def reduced(how: Any) -> classes.Reduced:
    return classes.Reduced(how)


def fine() -> Any:
    return int, ()


def test_containers_that_change() -> None:
    def run(change: Any) -> Any:
        def how() -> Any:
            change()
            return fine()

        return reduced(how)

    items: list[Any] = [0, None, 2]
    items[1] = run(lambda: items.append(3))
    with pytest.raises(RuntimeError, match="^list changed size while it was being sent$"):
        roundtrip([items])
    items = [0, None, 2]
    items[1] = run(lambda: items.clear())
    with pytest.raises(RuntimeError, match="^list changed size"):
        roundtrip((items, 1))
    items = [[1], None, [2]]
    items[1] = run(lambda: items.__setitem__(slice(None), [5, 6, 7]))
    assert roundtrip(items) == [[1], 0, 7]

    mapping: dict[Any, Any] = {"a": 1, "b": None, "c": 3}
    mapping["b"] = run(lambda: mapping.__setitem__("d", 4))
    with pytest.raises(RuntimeError, match="^dict changed size"):
        roundtrip(mapping)
    mapping = {"a": 1, "b": None, "c": [3]}
    mapping["b"] = run(lambda: mapping.clear())
    with pytest.raises(RuntimeError, match="^dict changed size"):
        roundtrip(mapping)
    mapping = {"a": 1, "b": None, "c": [3]}
    mapping["b"] = run(lambda: (mapping.pop("c"), mapping.__setitem__("d", [4])))
    roundtrip(mapping)  # the same size: whatever, but no crash
    key = run(lambda: mapping.clear())
    mapping = {key: [1], "x": 2}
    with pytest.raises(RuntimeError, match="^dict changed size"):
        roundtrip(mapping)

    group: set[Any] = {1}
    group.add(run(lambda: group.add(5)))
    with pytest.raises(RuntimeError, match="^set changed size"):
        roundtrip(group)


def test_what_is_dropped_meanwhile_is_not_mistaken() -> None:
    # An object that dies during the encoding, and one that takes its address.
    items: list[Any] = []

    def drop() -> Any:
        items[0] = None
        items[2] = [["another"]]
        return fine()

    for _ in range(50):
        first = [["one"]]
        items[:] = [first, reduced(drop), None, first]
        del first
        items[3] = None
        got = roundtrip(items)
        assert got == [[["one"]], 0, [["another"]], None]


def test_temporaries_are_not_mistaken() -> None:
    class Maker:
        def __init__(self, number: int) -> None:
            self.number = number

        def __reduce__(self) -> Any:
            fresh = [self.number]
            return classes.function, (fresh, fresh, (self.number,) * 3), None

    got = roundtrip([Maker(i) for i in range(1000)])
    for i, (args, _) in enumerate(got):
        assert args == ([i], [i], (i,) * 3) and args[0] is args[1]


def test_raising() -> None:
    def raise_it(error: BaseException) -> Any:
        def how() -> Any:
            raise error

        return reduced(how)

    cause = ValueError("why")
    with pytest.raises(NotShareableError) as info:
        roundtrip([1, raise_it(cause)])
    assert info.value.__cause__ is cause
    assert str(info.value) == "obj[1]: <class 'transfer_classes.Reduced'>"
    for passing in (KeyboardInterrupt(), SystemExit(), MemoryError(), RecursionError()):
        with pytest.raises(type(passing)) as other:
            roundtrip([1, raise_it(passing)])
        assert other.value is passing


@pytest.mark.parametrize(
    "value",
    [
        5,
        None,
        (),
        (int,),
        (int, (), None, None, None, None, None),
        (5, ()),
        (int, []),
        (int, None),
        (classes.Items, (), None, [1]),
        (classes.Mapping, (), None, None, 5),
        (classes.Mapping, (), None, None, iter([1])),
        (classes.Mapping, (), None, None, iter([(1, 2, 3)])),
        (int, (), None, None, None, 5),
        "no_such_name",
        "sys.no_such_name",
        "function",
        [1],
    ],
    ids=repr,
)
def test_wrong_reduce_values(value: Any) -> None:
    with pytest.raises(NotShareableError) as info:
        roundtrip([reduced(lambda: value)])
    assert info.value.__cause__ is not None


def test_a_name_in_a_module_that_only_the_sender_has() -> None:
    # What a script's own sentinel says of itself: nobody else could look it up.
    class Sentinel:
        def __reduce__(self) -> str:
            return "SENTINEL"

    Sentinel.__module__ = "__main__"
    main = sys.modules["__main__"]
    main.SENTINEL = Sentinel()  # type: ignore[attr-defined]
    try:
        with pytest.raises(NotShareableError) as info:
            roundtrip([main.SENTINEL])
    finally:
        del main.SENTINEL  # type: ignore[attr-defined]
    assert str(info.value).startswith("obj[0]: <class '__main__.")
    assert str(info.value.__cause__) == (
        "__reduce__ returned the name 'SENTINEL', and no other interpreter can import the module '__main__'"
    )


def test_iterators_that_raise() -> None:
    def broken() -> Any:
        yield 1
        raise ValueError("in the middle")

    with pytest.raises(NotShareableError) as info:
        roundtrip(reduced(lambda: (classes.Items, (), None, broken())))
    assert isinstance(info.value.__cause__, ValueError)
    with pytest.raises(NotShareableError):
        roundtrip(reduced(lambda: (classes.Mapping, (), None, None, broken())))


def test_states_that_do_not_fit() -> None:
    for state in (5, [1], (1, 2), (None, 5)):
        with pytest.raises((TypeError, AttributeError)):
            roundtrip(reduced(lambda state=state: (classes.Node, (), state)))
    with pytest.raises(AttributeError):
        roundtrip(reduced(lambda: (object, (), {"a": 1})))


def test_recursion_without_end() -> None:
    class Endless:
        def __reduce__(self) -> Any:
            return classes.Node, (Endless(),)

    with pytest.raises(RecursionError):
        roundtrip(Endless())
    itself = reduced(lambda: (classes.Node, (itself,)))
    with pytest.raises(RecursionError):
        roundtrip(itself)


def test_recursion_that_ends_through_a_list() -> None:
    items: list[Any] = []
    node = reduced(lambda: (classes.Node, (items,)))
    items.append(node)
    got = roundtrip(node)
    assert got.x[0] is got
    got = roundtrip(items)
    assert got[0].x is got


def test_reentry() -> None:
    def how() -> Any:
        inner = roundtrip([1, {"a": (2, [3])}, classes.Node([4])])
        assert inner[:2] == [1, {"a": (2, [3])}] and inner[2].x == [4]
        return classes.function, (inner,)

    shared = [9]
    got = roundtrip([shared, reduced(how), shared, reduced(how)])
    assert got[0] is got[2] and got[1][0][0][0] == 1


class Explosive:
    """Raises in whatever is asked of it."""

    def __init__(self) -> None:
        self.x = 1

    def _raise(self, *args: Any) -> Any:
        raise ValueError("explosive")

    __hash__ = _raise  # type: ignore[assignment]
    __eq__ = _raise  # type: ignore[assignment]
    __repr__ = _raise
    __bool__ = _raise
    __len__ = _raise


sys.modules["transfer_classes"].Explosive = Explosive  # type: ignore[attr-defined]
Explosive.__module__ = "transfer_classes"


def test_explosive_objects() -> None:
    value = Explosive()
    assert roundtrip([value, value])[0].x == 1
    # A dict whose key hashes here, but not there.
    state = {"loud": False}

    def rehash(self: Any) -> int:
        if state["loud"]:
            raise ValueError("hash")
        return 5

    type_ = type(
        "Loud",
        (classes.Node,),
        {"__hash__": rehash, "__module__": "transfer_classes", "__qualname__": "Loud"},
    )
    classes.Loud = type_  # type: ignore[attr-defined]
    mapping = {type_(1): 1}
    group = frozenset([type_(1)])
    assert len(roundtrip([mapping, group])[0]) == 1
    state["loud"] = True
    for bad in (mapping, group):
        with pytest.raises(ValueError, match="hash"):
            roundtrip(bad)


def test_destructors_that_run_python() -> None:
    log: list[Any] = []

    class Dying:
        def __reduce__(self) -> Any:
            return classes.Node, ([self.__class__.__name__],)

        def __del__(self) -> None:
            log.append(roundtrip([1, [2], "x" * 50]))

    def how() -> Any:
        return classes.function, (Dying(), [Dying()], {"k": Dying()})

    got = roundtrip([reduced(how), [1]])
    assert len(log) == 3 and log[0] == [1, [2], "x" * 50]
    assert got[1] == [1]


def test_nothing_is_leaked() -> None:
    class Tracked:
        def __reduce__(self) -> Any:
            return classes.Node, (1,)

    def attempt(bad: bool) -> None:
        objects = [Tracked() for _ in range(10)]
        refs.extend([weakref.ref(o) for o in objects])
        value: list[Any] = [objects, {"k": (objects[0], {1: objects[1]})}, slice(objects[2], [objects])]
        if bad:
            value.append({"x": [sys._getframe()]})
            with pytest.raises(NotShareableError):
                roundtrip(value)
        else:
            roundtrip(value)

    for bad in (False, True):
        refs: list[Any] = []
        attempt(bad)
        gc.collect()
        assert [r() for r in refs] == [None] * 10

    payload = b"p" * 5000
    before = sys.getrefcount(payload)
    _core._roundtrip_args(payload, [payload, {"k": payload}])
    with pytest.raises(NotShareableError):
        _core._roundtrip_args(payload, sys._getframe())
    assert sys.getrefcount(payload) == before


def test_no_reference_is_lost_or_gained() -> None:
    def build() -> list[Any]:
        leaf = [1.5]
        return [
            leaf,
            (leaf, "shared text %d" % 1),
            {"k": leaf, (1, 2): {leaf[0]}},
            frozenset([(1, 2)]),
            classes.Node(leaf),
        ]

    value = build()
    singletons = (None, True, (), 5, "k", classes.Node, leaf := value[0], value[4], value[1][1])
    del leaf
    for _ in range(3):
        roundtrip(value)
    before = [sys.getrefcount(o) for o in singletons]
    for _ in range(100):
        got = roundtrip(value)
        del got
    gc.collect()
    after = [sys.getrefcount(o) for o in singletons]
    assert [a - b for a, b in zip(after, before, strict=True) if abs(a - b) > 5] == []


def test_not_found_in_the_receiver() -> None:
    # What can be imported when it is sent, and cannot when it arrives.
    import types

    module = types.ModuleType("transfer_vanishing")
    sys.modules["transfer_vanishing"] = module

    def how() -> Any:
        return classes.refuse_in_receiver, (1,)

    try:
        with pytest.raises(LookupError, match="not here"):
            roundtrip([reduced(how)])
    finally:
        del sys.modules["transfer_vanishing"]


def test_corrupt_is_an_interpreter_error() -> None:
    with pytest.raises(InterpreterError):
        _core._decode(b"")
    with pytest.raises(InterpreterError):
        _core._decode(b"\x00")
