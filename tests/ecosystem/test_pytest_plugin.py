"""pytest --atoll-isolated, run as its user would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 120.0

BASE = """
import os
import pytest

import atoll

@pytest.fixture(scope="module")
def where():
    return atoll.get_current().id

def test_inside(where):
    assert where == atoll.get_current().id
    assert where != 0

@pytest.mark.parametrize("n", range(3))
def test_square(n):
    print("some output")
    assert n * n == n ** 2

@pytest.mark.skip(reason="not now")
def test_skipped():
    assert False

@pytest.mark.xfail(strict=True)
def test_expected():
    assert False
"""


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "atoll.pytest_plugin", "-p", "no:cacheprovider", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_passing(tmp_path: Path) -> None:
    write(tmp_path, "test_base.py", BASE)
    got = run(tmp_path, "--atoll-isolated", "-v")
    assert got.returncode == 0, got.stdout + got.stderr
    assert "4 passed, 1 skipped, 1 xfailed" in got.stdout
    assert "each test runs in 2 isolated interpreters" in got.stdout
    assert got.stderr == ""


def test_without_the_option(tmp_path: Path) -> None:
    write(tmp_path, "test_plain.py", "import atoll\ndef test_main(): assert atoll.get_current().id == 0\n")
    assert run(tmp_path, "-q").returncode == 0
    assert run(tmp_path, "-q", "--atoll-isolated").returncode == 1


def test_at_once(tmp_path: Path) -> None:
    """Both are in the test at the same time: they meet."""
    write(
        tmp_path,
        "test_meet.py",
        """
import os, pathlib, time, atoll

def test_meet(request):
    folder = pathlib.Path(request.config.rootpath) / "met"
    folder.mkdir(exist_ok=True)
    (folder / str(atoll.get_current().id)).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 3:
        assert time.monotonic() < end
""",
    )
    got = run(tmp_path, "--atoll-isolated", "--atoll-interpreters", "3", "-q")
    assert got.returncode == 0, got.stdout + got.stderr
    assert "1 passed" in got.stdout


def test_fails_in_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test_one.py",
        """
import atoll
def test_first_only():
    ids = sorted(i.id for i in atoll.list_all())
    assert atoll.get_current().id == ids[1], "not the first"
""",
    )
    got = run(tmp_path, "--atoll-isolated")
    assert got.returncode == 1
    assert "not the first" in got.stdout
    assert "failed in interpreter 2 of 2" in got.stdout
    assert "1 failed" in got.stdout


def test_module_that_refuses(tmp_path: Path) -> None:
    write(tmp_path, "test_refused.py", "import psutil\ndef test_psutil(): assert psutil.cpu_count()\n")
    write(tmp_path, "test_other.py", "def test_other(): pass\n")
    assert run(tmp_path, "-q").returncode == 0
    got = run(tmp_path, "--atoll-isolated", "-q")
    assert got.returncode == 1
    assert "does not support loading in subinterpreters" in got.stdout
    assert "1 passed, 1 error" in got.stdout


def test_stop_at_the_first_failure(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test_stop.py",
        "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_n(n): assert n != 2\n",
    )
    got = run(tmp_path, "--atoll-isolated", "-x", "-q")
    assert got.returncode == 1
    assert "1 failed, 2 passed" in got.stdout


def test_fixtures_are_torn_down(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test_fixture.py",
        """
import pytest, atoll

@pytest.fixture(scope="module")
def thing(request):
    yield 1
    with open(request.config.rootpath / "torn", "a") as file:
        file.write(f"{atoll.get_current().id}\\n")

def test_one(thing): pass
def test_two(thing): pass
""",
    )
    assert run(tmp_path, "--atoll-isolated", "-q").returncode == 0
    torn = (tmp_path / "torn").read_text().split()
    assert len(torn) == len(set(torn)) == 2


def test_bad_number(tmp_path: Path) -> None:
    write(tmp_path, "test_base.py", BASE)
    got = run(tmp_path, "--atoll-isolated", "--atoll-interpreters", "0")
    assert got.returncode == 4
    assert "must be at least 1" in got.stderr
