"""examples/mandelbrot.py, small."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
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
    data = picture(tmp_path / "a.png", "2")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (60, 40, 8, 0, 0, 0, 0)
    rows = zlib.decompress(chunks[b"IDAT"])
    pixels = b"".join(rows[start + 1 : start + 61] for start in range(0, len(rows), 61))
    assert set(rows[::61]) == {0}
    assert pixels == picture(tmp_path / "a.pgm", "1").partition(b"\n")[2]


def test_arguments():
    assert "--jobs" in run("--help").stdout
    for wrong in (["--size", "12"], ["--jobs", "0"], ["--iterations", "x"], ["-o", "a.gif"]):
        out = run(*wrong)
        assert out.returncode == 2
        assert "Traceback" not in out.stderr
