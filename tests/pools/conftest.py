from __future__ import annotations

from collections.abc import Iterator

import pytest

import atoll
from atoll import InterpreterPoolExecutor


@pytest.fixture
def pool() -> Iterator[InterpreterPoolExecutor]:
    with InterpreterPoolExecutor(2) as made:
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
