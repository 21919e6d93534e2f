"""Nothing is left in memory by interpreters that come and go, beyond what CPython itself leaves.

The cycles are in leaks.py; each measurement is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from children import LONG, clean

HERE = Path(__file__).parent
#: An instrumented allocator counts nothing for mallinfo2.
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


def measure(what: str, cycles: int, **env: str) -> Any:
    out = subprocess.run(
        [sys.executable, str(HERE / "leaks.py"), what],
        capture_output=True,
        text=True,
        env=clean(ATOLL_LEAK_CYCLES=str(cycles), **env),
        timeout=280,
    )
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}"
    assert out.stderr == ""
    return json.loads(out.stdout)


def test_heap() -> None:
    """What a cycle leaves is hardly more than a bare interpreter leaves that loads the same modules.

    Each cycle uses everything ten times: what a use leaves would be ten times as much.
    """
    found = measure("heap", 40 if LONG else 10, PYTHONMALLOC="malloc")
    each = (found["atoll"] - found["bare"]) / found["cycles"]
    assert each < LIMIT, found


#: Bytes.  3.12 and 3.13 do not free interned strings, of atoll's modules as of others.
LIMIT = 48_000 if sys.version_info < (3, 14) else 16_000


def test_references() -> None:
    """On a debug build: at last a cycle leaves some five references, fewer than it uses anything (ten times).

    The first twenty leave more, ever fewer: caches of CPython's grow.
    """
    found = measure("references", 40)["counts"][-21:]
    assert found[-1][1] <= found[0][1], found
    assert found[-1][0] - found[0][0] < 20 * 10, found


# What cannot be measured on this build is neither passed nor skipped.
if not hasattr(sys, "gettotalrefcount"):
    del test_references
if SANITIZED:
    del test_heap
