"""Scenarios in processes of their own: crashes, exits, signals.

A child gets `-X faulthandler`, so that a crash or a hang says where; its time
limit is there to detect a hang, and measures nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Seconds after which something that must happen counts as a hang.
LIMIT = 120.0
#: ATOLL_LONG=1: the full counts of races, leaks and stress.
LONG = os.environ.get("ATOLL_LONG", "") not in ("", "0")


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    def check(self, out: str = "", status: int = 0) -> None:
        """Exactly this output and exit status, and nothing on stderr."""
        assert self == Outcome(status, out, ""), f"status {self.status}\nout: {self.out}\nerr: {self.err}"


def clean(**extra: str) -> dict[str, str]:
    """An environment without what the caller's Python was told."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") or k == "PYTHONMALLOC"}
    return {**env, **extra}


def run_child(
    code: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    limit: float = LIMIT,
    stdin: str | None = None,
) -> Outcome:
    """Runs code in a fresh Python; fails the test if it hangs."""
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(code), *args],
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean(**(env or {})),
    )
    try:
        out, err = child.communicate(stdin, timeout=limit)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
        try:
            out, err = child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
        raise AssertionError(f"it hangs\nout: {out}\nerr: {err}") from None
    return Outcome(child.returncode, out, err)
