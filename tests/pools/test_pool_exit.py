"""The end of the process, Ctrl-C and fork with pools, each in a child process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atoll import futures

HERE = Path(__file__).resolve().parent
LONG = 60

HEAD = """
import os, signal, sys, threading, time
import atoll, atoll.futures
from atoll import InterpreterPoolExecutor, sync
import pool_tasks as tasks
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + code],
        capture_output=True,
        text=True,
        timeout=LONG,
        cwd=HERE,
        stdin=subprocess.DEVNULL,
    )


def check(code: str, status: int = 0, out: str = "") -> None:
    got = run(code)
    assert (got.returncode, got.stdout, got.stderr) == (status, out, "")


class TestExit:
    def test_open_and_idle(self) -> None:
        check("pool = InterpreterPoolExecutor(2); print(pool.submit(pow, 2, 3).result())", out="8\n")

    def test_queued_work_is_done(self) -> None:
        check(
            "pool = InterpreterPoolExecutor(1)\nfor n in range(20): pool.submit(print, n)",
            out="".join(f"{n}\n" for n in range(20)),
        )

    def test_dropped_pool(self) -> None:
        check("InterpreterPoolExecutor(1).submit(print, 'dropped')", out="dropped\n")

    def test_status(self) -> None:
        check("pool = InterpreterPoolExecutor(1); pool.submit(tasks.noop); sys.exit(7)", status=7)

    def test_uncaught_exception(self) -> None:
        got = run("pool = InterpreterPoolExecutor(1); pool.submit(tasks.noop); raise KeyError(1)")
        assert got.returncode == 1
        assert got.stderr.endswith("KeyError: 1\n") and got.stderr.count("Traceback") == 1

    def test_a_task_that_never_returns(self) -> None:
        check(
            "atoll.futures.exit_grace = 0.2\n"
            "started = sync.Event()\n"
            "pool = InterpreterPoolExecutor(1); pool.submit(tasks.spin, started)\n"
            "started.wait(); sys.exit(5)",
            status=5,
        )

    @pytest.mark.parametrize(("progress", "joins"), [([5, 5], 2), ([5, 6, 6], 3)])
    def test_how_often_it_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, progress: list[int], joins: int
    ) -> None:
        """One grace in which no task was done is enough, however many are queued; then they are stopped."""

        class State:
            forked = stopped = False
            joined = 0

            def __init__(self) -> None:
                self.core = self

            def shutdown(self) -> None:
                pass

            def stats(self) -> dict[str, int]:
                return {"done": progress.pop(0), "queued": 3}

            def join(self, timeout: float | None) -> bool:
                self.joined += 1
                return self.stopped

            def stop(self) -> None:
                self.stopped = True

        state = State()
        monkeypatch.setattr(futures, "_states", {state})
        futures._at_exit()
        assert (state.joined, progress) == (joins, [])

    def test_a_task_that_will_not_stop(self) -> None:
        check(
            "atoll.futures.exit_grace = 0.2\n"
            "started, release = sync.Event(), sync.Event()\n"
            "pool = InterpreterPoolExecutor(1); pool.submit(tasks.stubborn, started, release)\n"
            "started.wait(); sys.exit(5)",
            status=5,
        )

    def test_stuck_in_c(self) -> None:
        check(
            "atoll.futures.exit_grace = 0.2\n"
            "started = sync.Event()\n"
            "pool = InterpreterPoolExecutor(1); pool.submit(tasks.sleep, 1000, started)\n"
            "started.wait(); sys.exit(5)",
            status=5,
        )

    def test_shutdown_without_wait(self) -> None:
        check(
            "pool = InterpreterPoolExecutor(1); pool.submit(print, 'done'); pool.shutdown(wait=False)",
            out="done\n",
        )

    def test_hard_exit(self) -> None:
        check("pool = InterpreterPoolExecutor(1); pool.submit(tasks.noop).result(); os._exit(3)", status=3)


CTRL_C = {
    "result": "pool.submit(tasks.spin, started).result()",
    "map": "list(pool.map(tasks.spin, [started]))",
    "with": "pool.submit(tasks.spin, started)",
    "shutdown": "pool.submit(tasks.spin, started); pool.shutdown()",
    "submit": "[pool.submit(tasks.spin, started) for _ in range(9)]",
}


@pytest.mark.parametrize("where", CTRL_C)
def test_ctrl_c(where: str) -> None:
    """SIGINT ends the wait; leaving the block stops what runs."""
    code = f"""
started = sync.Event()
def kill():
    started.wait()
    print("started", flush=True)
threading.Thread(target=kill, daemon=True).start()
try:
    with InterpreterPoolExecutor(1, queue_size=1) as pool:
        {CTRL_C[where]}
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", HEAD + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
        # A shell in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=LONG)
    finally:
        child.kill()
    assert (child.returncode, out, err) == (0, "stopped\n", "")


def test_fork() -> None:
    """The child cannot use the parent's pool, and makes its own; the parent's goes on."""
    got = run(
        """
import warnings
# CPython's own, of every fork beside threads: from 3.15 on -W error has it raised in the parent.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
pool = InterpreterPoolExecutor(2)
pool.submit(tasks.noop).result()
futures = [pool.submit(tasks.square, n) for n in range(50)]
pid = os.fork()
if pid == 0:
    try:
        pool.submit(tasks.noop)
    except RuntimeError as error:
        print("refused", flush=True)
    with InterpreterPoolExecutor(1) as other:
        print(other.submit(pow, 2, 5).result(), flush=True)
    pool.shutdown()
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
print([f.result() for f in futures] == [n * n for n in range(50)])
"""
    )
    assert (got.returncode, got.stdout, got.stderr) == (0, "refused\n32\n3\nTrue\n", "")


def test_many_tasks_leave_nothing() -> None:
    """Memory is flat: tasks, frames and futures go as they are done."""
    check(
        """
import gc
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
with InterpreterPoolExecutor(2) as pool:
    for turn in range(3):
        for _ in range(20):
            for future in [pool.submit(tasks.square, n) for n in range(500)]:
                future.result()
        sum(1 for _ in pool.map(tasks.square, range(50_000)))
        gc.collect()
        before = size() if turn == 0 else before
    print(size() - before < 8 << 20)
""",
        out="True\n",
    )


def test_foreign_threads_that_threading_knows_end_quietly(tmp_path: Path) -> None:
    """A record of logging asks for the current thread; 3.13.0 complained at the interpreter's end."""
    script = tmp_path / "quiet.py"
    script.write_text(
        """
import logging, logging.handlers
import atoll

def work(n):
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    root.error("item %d", n)
    return n

with atoll.InterpreterPoolExecutor(1) as pool:
    print(list(pool.map(work, [1, 2])))
"""
    )
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (out.returncode, out.stdout, out.stderr) == (0, "[1, 2]\n", "")
