"""Nothing is left in memory by interpreters that come and go, beyond what CPython itself leaves.

The cycles are in leaks.py; each measurement is a process of its own.
"""

from __future__ import annotations

import itertools
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


def measure(what: str, **env: str) -> Any:
    cycles = "40" if LONG else "10"
    out = subprocess.run(
        [sys.executable, str(HERE / "leaks.py"), what],
        capture_output=True,
        text=True,
        env=clean(ATOLL_LEAK_CYCLES=cycles, **env),
        timeout=280,
    )
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}"
    assert out.stderr == ""
    return json.loads(out.stdout)


def test_heap() -> None:
    """What a cycle leaves is hardly more than a bare interpreter leaves that loads the same modules.

    Each cycle uses everything ten times: what a use leaves would be ten times as much.
    """
    found = measure("heap", PYTHONMALLOC="malloc")
    each = (found["atoll"] - found["bare"]) / found["cycles"]
    assert each < LIMIT, found


#: Bytes.  3.12 and 3.13 do not free interned strings, of atoll's modules as of others.
LIMIT = 48_000 if sys.version_info < (3, 14) else 16_000


def test_references() -> None:
    """On a debug build: the last cycles leave some twenty references each, as a bare interpreter nearly does.

    What is left is left by each cycle; the two that leave most are those in
    which a cache of CPython's has grown.
    """
    found = measure("references")["counts"][-8:]
    assert found[-1][1] <= found[0][1], found
    grown = sorted(after - before for (before, _), (after, _) in itertools.pairwise(found))
    assert sum(grown[:-2]) <= 30 * len(grown[:-2]), (grown, found)


# What cannot be measured on this build is neither passed nor skipped.
if not hasattr(sys, "gettotalrefcount"):
    del test_references
if SANITIZED:
    del test_heap
