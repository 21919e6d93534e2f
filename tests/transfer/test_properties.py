"""Whatever can be built of native values arrives equal, with its shape."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import same

from atoll import _core

LONG = 10 if os.environ.get("ATOLL_LONG") else 1


@pytest.fixture(autouse=True, scope="module")
def thawed() -> Iterator[None]:
    """Hypothesis asks the garbage collector who refers to its source of random numbers."""
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    if frozen:
        gc.freeze()


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.sampled_from([..., NotImplemented])
    | st.builds(range, st.integers(-100, 10**20), st.integers(), st.integers(1, 10))
)
hashables = st.recursive(
    atoms,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4) | st.lists(inner).map(tuple),
    max_leaves=8,
)
values = st.recursive(
    hashables | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(hashables, inner)
        | st.sets(hashables)
        | st.builds(slice, inner, inner, inner)
    ),
    max_leaves=30,
)


def key(value: Any) -> Any:
    """A set's order is nobody's business."""
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, sorted(repr(key(v)) for v in value)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [key(v) for v in value]
    if isinstance(value, dict):
        return "dict", [(key(k), key(v)) for k, v in value.items()]
    if isinstance(value, slice):
        return "slice", key([value.start, value.stop, value.step])
    return type(value).__name__, repr(value)


@settings(max_examples=100 * LONG, deadline=None)
@given(values)
def test_round_trip(value: Any) -> None:
    assert key(_core._roundtrip(value)) == key(value)
    args, kwargs = _core._roundtrip_args(value, 1, name=value)
    assert key(args[0]) == key(value) and key(kwargs["name"]) == key(value)
    assert key(_core._decode(_core._encode(value))) == key(value)


@settings(max_examples=100 * LONG, deadline=None)
@given(st.integers())
def test_ints(value: int) -> None:
    assert same(_core._roundtrip([value, {value}]), [value, {value}])


def shape(value: Any) -> Any:
    """Which places hold the same object: the graph, by first visit."""
    numbers: dict[int, int] = {}
    out: list[Any] = []
    todo = [value]
    keep = []
    while todo:
        item = todo.pop()
        if id(item) in numbers:
            out.append(("ref", numbers[id(item)]))
            continue
        if isinstance(item, (list, dict, tuple, slice)) and item != ():
            numbers[id(item)] = len(numbers)
            keep.append(item)
            out.append((type(item).__name__, 0 if isinstance(item, slice) else len(item)))
            if isinstance(item, dict):
                todo.extend(item.values())
                out.append(list(item))
            elif isinstance(item, slice):
                todo.extend([item.start, item.stop, item.step])
            else:
                todo.extend(item)
        else:
            out.append(item)
    return out


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Containers that refer to each other in any way, cycles included."""
    kinds = draw(st.lists(st.sampled_from(["list", "dict", "tuple", "slice"]), min_size=1, max_size=12))
    nodes: list[Any] = []
    for kind in kinds:
        if kind == "list":
            nodes.append([])
        elif kind == "dict":
            nodes.append({})
        else:
            # These refer backwards only, through their mutable items around.
            pick = draw(st.lists(st.integers(0, max(0, len(nodes) - 1)), min_size=3, max_size=3))
            parts = [nodes[i] if nodes else None for i in pick]
            nodes.append(tuple(parts) if kind == "tuple" else slice(*parts))
    for node in nodes:
        links = draw(st.lists(st.integers(0, len(nodes) - 1), max_size=4))
        if isinstance(node, list):
            node.extend([nodes[i] for i in links])
            node.append(draw(st.integers(0, 5000)))
        elif isinstance(node, dict):
            node.update({f"k{n}": nodes[i] for n, i in enumerate(links)})
    return nodes if draw(st.booleans()) else nodes[-1]


@settings(max_examples=100 * LONG, deadline=None)
@given(graphs())
def test_graphs_keep_their_shape(value: Any) -> None:
    assert shape(_core._roundtrip(value)) == shape(value)
    args, _ = _core._roundtrip_args(value, [value])
    assert shape(list(args)) == shape([value, [value]])
