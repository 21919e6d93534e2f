"""The examples of the integrations, run as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples/ecosystem"
RUNS = [
    ("dask_cluster.py", ["--points", "12"], ["12 points in", "interpreters,", "0 failed", "dashboard: http"]),
    ("joblib_backend.py", [], ["sequential", "atoll", "at most 278 steps"]),
    (
        "anyio_calls.py",
        ["asyncio"],
        ["168 primes below 1000", "1229 primes", "stopped at the deadline: True"],
    ),
    ("ray_actors.py", [], ["below  1000: 168 primes", "below  8000: 1007 primes"]),
    ("anyio_calls.py", ["trio"], ["168 primes below 1000", "1229 primes", "stopped at the deadline: True"]),
]


@pytest.mark.parametrize(
    ("name", "args", "shown"), RUNS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_example(name: str, args: list[str], shown: list[str], tmp_path: Path) -> None:
    got = subprocess.run(
        [sys.executable, str(FOLDER / name), *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=dict(os.environ, RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0"),
        stdin=subprocess.DEVNULL,
    )
    assert got.returncode == 0, got.stdout + got.stderr
    assert "Traceback" not in got.stderr
    for text in shown:
        assert text in got.stdout


def test_each_example_is_run() -> None:
    assert {name for name, _, _ in RUNS} == {path.name for path in FOLDER.glob("*.py")}
