from __future__ import annotations

from collections.abc import Iterator

import pool_tasks
import pytest

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
    import gc

    gc.collect()
    left = {interp.id for interp in atoll.list_all()} - before
    assert not left, "a pool left interpreters behind"
