"""An interpreter, and functions for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ops_functions

import atoll


@pytest.fixture
def interp() -> Iterator[atoll.Interpreter]:
    made = atoll.create()
    made.call(ops_functions.noop)  # what it imports is no part of a test
    yield made
    try:
        made.close(interrupt=True, timeout=60)
    except atoll.InterpreterNotFoundError:
        pass  # closed in the test
