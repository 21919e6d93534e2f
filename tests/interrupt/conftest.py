"""An interpreter, a counter that its code moves, and threads that fail loudly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import stop_functions

import atoll
from atoll.sync import AtomicInt


@pytest.fixture
def interp() -> Iterator[atoll.Interpreter]:
    with atoll.create() as made:
        made.call(stop_functions.noop)  # what it imports is no part of a test
        yield made


@pytest.fixture
def make() -> Iterator[Callable[..., atoll.Interpreter]]:
    made: list[atoll.Interpreter] = []

    def create(**options: Any) -> atoll.Interpreter:
        made.append(atoll.create(**options))
        made[-1].call(stop_functions.noop)
        return made[-1]

    yield create
    for one in made:
        one.close(interrupt=True, timeout=60)


@pytest.fixture
def counter() -> AtomicInt:
    return AtomicInt(0)
