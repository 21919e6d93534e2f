"""examples/mandelbrot.py, small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mandelbrot.py"


def run(*args):
    return subprocess.run([sys.executable, str(EXAMPLE), *args], capture_output=True, text=True, timeout=120)


def picture(path, jobs):
    out = run("--size", "60x40", "--iterations", "20", "--jobs", jobs, "-o", str(path))
    assert (out.returncode, out.stderr) == (0, "")
    assert "60x40" in out.stdout
    return path.read_bytes()


def test_picture(tmp_path):
    data = picture(tmp_path / "a.pgm", "3")
    head, _, pixels = data.partition(b"\n")
    assert head == b"P5 60 40 255"
    assert len(pixels) == 60 * 40
    assert pixels[20 * 60 + 30] == 0  # inside
    assert pixels[0] > 200  # far outside
    assert len(set(pixels)) > 5
    assert picture(tmp_path / "b.pgm", "1") == data


def test_png(tmp_path):
    path = tmp_path / "a.png"
    out = run("--size", "60x40", "--iterations", "20", "--jobs", "2", "-o", str(path))
    if out.returncode:
        assert "Pillow" in out.stderr
        assert not path.exists()
    else:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_arguments():
    assert "--jobs" in run("--help").stdout
    for wrong in (["--size", "12"], ["--jobs", "0"], ["--iterations", "x"]):
        out = run(*wrong)
        assert out.returncode == 2
        assert "Traceback" not in out.stderr
