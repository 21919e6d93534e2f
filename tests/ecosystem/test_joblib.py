"""The backend "atoll" of joblib, with the real joblib."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest
from ecosystem_tasks import adder, fail, nested, spin_unless_first, square, where
from joblib import Parallel, delayed, parallel_config

import atoll.joblib
from atoll import get_current, sync

LIMIT = 120.0


def test_results_in_order() -> None:
    with parallel_config(backend="atoll"):
        got = Parallel(n_jobs=2)(delayed(square)(n) for n in range(1000))
    assert got == [n * n for n in range(1000)]


def test_in_interpreters() -> None:
    got = Parallel(n_jobs=2, backend="atoll", batch_size=1)(delayed(where)(n) for n in range(100))
    assert get_current().id not in got
    assert 1 <= len(set(got)) <= 2


def test_by_value() -> None:
    add = adder(7)
    got = Parallel(n_jobs=2, backend="atoll")(delayed(add)(n) for n in range(10))
    assert got == list(range(7, 17))


def test_exceptions() -> None:
    with pytest.raises(LookupError) as caught:
        Parallel(n_jobs=2, backend="atoll")(delayed(fail)(n) for n in range(10))
    assert caught.value.args == (3, "no such number")


def test_what_runs_is_stopped_after_an_exception() -> None:
    counter = sync.AtomicInt(0)
    with pytest.raises(LookupError, match="the first"):
        Parallel(n_jobs=2, backend="atoll", batch_size=1)(
            delayed(spin_unless_first)(n, counter) for n in range(2)
        )
    before = counter.load()
    time.sleep(0.05)
    assert counter.load() == before


def test_block_keeps_the_interpreters() -> None:
    with Parallel(n_jobs=2, backend="atoll") as parallel:
        seen = [set(parallel(delayed(where)(n) for n in range(20))) for _ in range(3)]
    assert len(set.union(*seen)) <= 2


def test_generator() -> None:
    parallel = Parallel(n_jobs=2, backend="atoll", return_as="generator", pre_dispatch=4)
    got = parallel(delayed(square)(n) for n in range(500))
    assert next(got) == 0
    assert list(got) == [n * n for n in range(1, 500)]


def test_timeout() -> None:
    never = sync.Event()
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's own
        Parallel(n_jobs=2, backend="atoll", timeout=0.2)(delayed(never.wait)() for _ in range(2))


@pytest.mark.parametrize(
    ("n_jobs", "wanted"), [(None, 1), (1, 1), (3, 3), (-1, len(os.sched_getaffinity(0)))]
)
def test_effective_n_jobs(n_jobs: int | None, wanted: int) -> None:
    with parallel_config(backend="atoll"):
        assert joblib.effective_n_jobs(n_jobs) == wanted


def test_one_job_runs_here() -> None:
    assert set(Parallel(n_jobs=1, backend="atoll")(delayed(where)(n) for n in range(3))) == {get_current().id}


def test_initializer() -> None:
    with parallel_config(backend="atoll", initializer=os.putenv, initargs=("ATOLL_JOBLIB", "1")):
        assert Parallel(n_jobs=2)(delayed(square)(n) for n in range(3)) == [0, 1, 4]
    with pytest.raises(TypeError), parallel_config(backend="atoll", no_such_option=1):
        Parallel(n_jobs=2)(delayed(square)(n) for n in range(3))


def test_unsendable() -> None:
    with pytest.raises(atoll.NotShareableError):
        Parallel(n_jobs=2, backend="atoll")(delayed(print)(sys.stdout) for _ in range(2))


def test_script_without_a_guard(tmp_path: Path) -> None:
    """As it stands in a script; the main guard that processes need is not needed."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import atoll.joblib
from joblib import Parallel, delayed, parallel_config

class Point:
    def __init__(self, x): self.x = x

def double(point): return Point(2 * point.x)

with parallel_config(backend="atoll"):
    got = Parallel(n_jobs=2)(delayed(double)(Point(n)) for n in range(5))
print([p.x for p in got], all(type(p) is Point for p in got))
"""
    )
    out = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=LIMIT
    )
    assert (out.returncode, out.stdout, out.stderr) == (0, "[0, 2, 4, 6, 8] True\n", "")


def test_nested() -> None:
    """Where joblib can be imported in an interpreter; else the task says why."""
    parallel = Parallel(n_jobs=2, backend="atoll")
    try:
        got = parallel(delayed(nested)(n) for n in range(3))
    except ImportError as error:
        assert "does not support loading in subinterpreters" in str(error)
    else:
        assert got == [[], [0], [0, 1]]
