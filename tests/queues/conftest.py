"""A queue that nobody else has, and an interpreter."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import atoll
from atoll import _core


@pytest.fixture
def queue() -> atoll.Queue:
    return atoll.create_queue()


@pytest.fixture
def interp() -> Iterator[atoll.Interpreter]:
    with atoll.create() as made:
        yield made


@pytest.fixture
def no_leak() -> Iterator[None]:
    """There are no more queues in the process after the test than before."""
    gc.collect()
    before = _core._live_queues()
    yield
    gc.collect()
    assert _core._live_queues() <= before
