from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pool_tasks
import pytest
from children import LIMIT

import atoll
from atoll import InterpreterPoolExecutor


@pytest.fixture
def pool() -> Iterator[InterpreterPoolExecutor]:
    # What the tasks import is there before one of them is cut off.
    with InterpreterPoolExecutor(2, initializer=pool_tasks.square, initargs=(1,)) as made:
        yield made
        made.terminate_workers()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = {interp.id for interp in atoll.list_all()}
    yield
    end = time.monotonic() + LIMIT
    gc.collect()
    while {interp.id for interp in atoll.list_all()} - before:
        # A pool's end does not wait long for those who close its interpreters.
        assert time.monotonic() < end, "a pool left interpreters behind"
        time.sleep(0.01)
        gc.collect()
