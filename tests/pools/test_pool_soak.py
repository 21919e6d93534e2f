"""The soak of pool_soak.py; ATOLL_LONG=1: of a million tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from children import LONG

COUNT = 1_000_000 if LONG else 5_000


def test_soak() -> None:
    script = Path(__file__).with_name("pool_soak.py")
    out = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), "--tasks", str(COUNT)],
        capture_output=True,
        text=True,
        timeout=3600 if LONG else 300,
        stdin=subprocess.DEVNULL,
    )
    assert (out.returncode, out.stderr) == (0, ""), out.stdout + out.stderr
    assert out.stdout.endswith("nothing was lost\n")
