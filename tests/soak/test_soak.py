"""The soak (soak.py) for a moment; `make soak` is the real one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from children import LONG, clean

SOAK = Path(__file__).parent / "soak.py"


def soak(*args: str) -> tuple[int, str, str]:
    command = [sys.executable, str(SOAK), "--threads", "3", *args]
    out = subprocess.run(command, capture_output=True, text=True, env=clean(), timeout=280)
    return out.returncode, out.stdout, out.stderr


def test_nothing_is_lost() -> None:
    status, out, err = soak("--seconds", "30" if LONG else "2")
    assert status == 0, f"{out}\n{err}"
    summary = re.search(r"^soak: (\d+) operations .* (\d+) items put, 0 items lost", out, re.MULTILINE)
    assert summary and int(summary[1]) > 0 and int(summary[2]) > 0, out


def test_a_loss_is_noticed() -> None:
    status, out, err = soak("--seconds", "0.3", "--seed", "7", "--lose")
    assert status == 1
    assert "1 items lost" in out and "WRONG (seed 7): items lost: [" in err
