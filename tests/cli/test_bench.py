"""`atoll bench`: what it prints and writes, never how fast it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atoll", "bench", "--quick", *args],
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )


def test_rows_in_a_file(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    out = bench("--only", "call.noop", "--json", str(target))
    assert (out.returncode, out.stderr) == (0, "")
    data = json.loads(target.read_text())
    assert data["schema"] == 1
    assert {"atoll", "python", "platform", "processor", "cpus", "date"} <= set(data["machine"])
    assert {"threads", "processes"} <= set(data["rivals"])
    assert [row["id"] for row in data["rows"]] == ["call.noop", "call.noop.thread"]
    for row in data["rows"]:
        assert next(iter(row["values"])) == "atoll"
        assert row["unit"] == "s" and row["values"]["atoll"] > 0
        assert row["title"] in out.stdout
        for rival, value in row["values"].items():
            low, high = row["spread"][rival]
            assert low <= value <= high
            assert rival == "atoll" or abs(row["ratios"][rival] - value / row["values"]["atoll"]) < 1e-9


def test_json_alone_on_standard_output() -> None:
    out = bench("--only", "call.ints.10", "--json", "-")
    assert out.returncode == 0, out.stderr
    rows = json.loads(out.stdout)["rows"]
    assert (rows[0]["series"], rows[0]["x"]) == ("call.ints", 10)
    assert "call(len, list of 10 ints)" in out.stderr


def test_no_such_row() -> None:
    out = bench("--only", "no such row")
    assert out.returncode == 2
    assert "no row has 'no such row'" in out.stderr


def test_every_group_has_rows() -> None:
    """One cheap row of each, so that no group is broken."""
    for row in ("queue.putget.int", "life.import", "stop.deadline.cost", "pool.submit"):
        out = bench("--only", row)
        assert out.returncode == 0, out.stderr
        assert len(out.stdout.splitlines()) >= 3
