"""What the tests of queues share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from atoll import _core

#: Seconds after which something that must happen counts as a hang.
LIMIT = 120.0


def wait_until(condition: Callable[[], object]) -> None:
    """Waits for a condition; how long it takes does not matter."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.0005)


def waiting(queue: Any) -> dict[str, int]:
    """How many wait on the queue now."""
    return dict(zip(("get", "put", "wait", "join"), _core._queue_waiting(queue), strict=True))


def wait_for(queue: Any, **lines: int) -> None:
    """Waits until so many wait on the queue: wait_for(queue, get=2)."""
    wait_until(lambda: all(waiting(queue)[line] == count for line, count in lines.items()))


class Thread(threading.Thread):
    """A thread whose result, or exception, join() hands on."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.value = self.function(*self.args)
        except BaseException as error:
            self.error = error

    def result(self) -> Any:
        self.join(LIMIT)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            raise self.error
        return self.value


def run_child(code: str, *args: str, status: int | None = 0, env: dict[str, str] | None = None) -> str:
    """Runs code in a fresh Python; what it printed."""
    out = subprocess.run(
        [sys.executable, "-c", code, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        env={**os.environ, **(env or {})},
    )
    if status is not None:
        assert out.returncode == status, f"exit status {out.returncode}\n{out.stdout}"
    return out.stdout
