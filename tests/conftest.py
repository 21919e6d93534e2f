"""What all tests share: the marker `python`, for tests of certain versions.

    @pytest.mark.python("<3.14")

A test that is not for this version is deselected: it says nothing about it,
so it counts neither as passed nor as skipped.
"""

from __future__ import annotations

import gc
import operator
import os
import re
import signal
import sys

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Inherited from a shell that started this in the background; children inherit it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Allows _core._fail_allocation, here and in child processes.
os.environ["ATOLL_TESTING"] = "1"

_COMPARE = {"<": operator.lt, "<=": operator.le, ">=": operator.ge, ">": operator.gt, "==": operator.eq}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", 'python(spec): only on these versions of Python, such as "<3.14"')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, others = [], []
    for item in items:
        (kept if all(fits(mark.args[0]) for mark in item.iter_markers("python")) else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept


def pytest_collection_finish() -> None:
    """What pytest holds until its end need not be walked by every gc.collect() of a test."""
    gc.collect()
    gc.freeze()


def fits(spec: str) -> bool:
    match = re.fullmatch(r"([<>=]=?)(\d+)\.(\d+)", spec)
    if match is None:
        raise pytest.UsageError(f"python marker: {spec!r} is not like '<3.14'")
    return _COMPARE[match[1]](sys.version_info[:2], (int(match[2]), int(match[3])))
