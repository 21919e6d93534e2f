"""Out of memory at any allocation of atoll's own, in everything that it does.

The scenarios are in faults.py; each group of them runs in a child process, so
that a crash in one says which.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import faults
import pytest
from children import clean

HERE = Path(__file__).parent


@pytest.mark.parametrize("group", faults.GROUPS)
def test_every_allocation(group: str) -> None:
    out = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "faults.py"), group],
        capture_output=True,
        text=True,
        env=clean(),
        timeout=280,
    )
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}"
    assert out.stderr == ""
    # Each scenario has told how often it failed, and most did.
    told = out.stdout.splitlines()
    assert len(told) >= len(faults.GROUPS[group])
    assert sum(int(line.rpartition(": ")[2].split()[0]) for line in told) >= len(told)


def test_refused_without_being_asked_for() -> None:
    code = "from atoll import _core; _core._fail_allocation(1)"
    env = {name: value for name, value in clean().items() if name != "ATOLL_TESTING"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert out.returncode == 1
    assert "RuntimeError: _fail_allocation() is for tests" in out.stderr


def test_pythons_allocations() -> None:
    """MemoryError of Python's own, anywhere in an operation that needs one thread."""
    out = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "python_memory.py")],
        capture_output=True,
        text=True,
        env=clean(),
        timeout=280,
    )
    # What a callback could not do for lack of memory is told on stderr.
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}"
    told = out.stdout.splitlines()
    assert told[-1] == "all usable" and len(told) == 14
    assert sum("MemoryError" in line for line in told) >= 3, out.stdout


# Not every Python has it; an instrumented allocator aborts instead of failing;
# and a debug build of CPython asserts what it does not keep when memory is missing.
if (
    importlib.util.find_spec("_testcapi") is None
    or "asan" in os.environ.get("LD_PRELOAD", "")
    or hasattr(sys, "gettotalrefcount")
):
    del test_pythons_allocations
