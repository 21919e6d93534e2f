"""An interpreter, and functions for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ops_functions

import atoll
from atoll import _core
from atoll.sync import Event


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """On a slow machine the GIL of an interpreter may be late, without being kept."""
    before = _core._probe_patience(60)
    yield
    _core._probe_patience(before)


@pytest.fixture
def interp() -> Iterator[atoll.Interpreter]:
    made = atoll.create()
    made.call(ops_functions.noop)  # what it imports is no part of a test
    yield made
    try:
        made.close(interrupt=True, timeout=60)
    except atoll.InterpreterNotFoundError:
        pass  # closed in the test


@pytest.fixture
def stuck(interp: atoll.Interpreter) -> Iterator[atoll.Interpreter]:
    """An interpreter in which C code keeps the GIL."""
    started, release = Event(), Event()
    thread = interp.call_in_thread(ops_functions.keep_gil, started, release)
    assert started.wait(120)
    _core._probe_patience(0.3)
    yield interp
    release.set()
    thread.join()
