"""An interpreter, and functions for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ops_functions

import atoll
from atoll.sync import Event


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
    reader, writer = os.pipe()
    started = Event()
    thread = interp.call_in_thread(ops_functions.keep_gil, started, reader)
    assert started.wait(120)
    limit = time.monotonic() + 120
    while ops_functions.can_be_read(interp):  # it is still on its way there
        assert time.monotonic() < limit
    yield interp
    os.write(writer, b"x")
    thread.join()
    os.close(reader)
    os.close(writer)
