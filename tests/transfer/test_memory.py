"""Out of memory at any allocation of the core: MemoryError, and everything works again."""

from __future__ import annotations

from typing import Any

import pytest
import transfer_classes as classes

from atoll import _core


def build() -> Any:
    shared: list[Any] = [[i] for i in range(300)]
    deep: Any = None
    for i in range(100):
        deep = [deep, {"k": (i, [i])}]
    error = ValueError("x")
    error.__cause__ = KeyError(1)
    return [
        shared,
        shared[:],
        deep,
        "x" * 5000,
        b"y" * 5000,
        {f"k{i}": shared[i] for i in range(100)},
        [classes.Node(classes.Record(1, {2: shared})) for _ in range(20)],
        error,
        frozenset([(1, 2)]),
    ]


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("arguments", [False, True])
def test_every_allocation(sticky: bool, arguments: bool) -> None:
    value = build()
    run = _core._roundtrip_args if arguments else _core._roundtrip
    failures = 0
    for number in range(1, 1000):
        _core._fail_allocation(number, sticky)
        try:
            got = run(value)
            break
        except MemoryError:
            failures += 1
        finally:
            _core._fail_allocation(0)
        # The next one is not harmed.
        assert _core._roundtrip([1, [2]]) == [1, [2]]
    else:
        pytest.fail("it never succeeded")
    assert failures > 5
    got = got[0][0] if arguments else got
    assert got[0] == value[0] and got[0][5] is got[1][5] and got[3] == "x" * 5000
