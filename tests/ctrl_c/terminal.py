"""A process on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import textwrap
import time
import warnings
from collections.abc import Mapping, Sequence

import pytest
from children import LIMIT, clean


def start(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Starts Python on a new terminal: (its process, the terminal's other side)."""
    command, environment = [sys.executable, *arguments], clean(**(env or {}))
    with warnings.catch_warnings():
        # pytest's own watchdog is a thread; the child does nothing but exec.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid, fd = pty.fork()
    if pid == 0:
        # Else the kernel throws away what is still on its way to us when we type Ctrl-C.
        settings = termios.tcgetattr(0)
        settings[3] |= termios.NOFLSH
        termios.tcsetattr(0, termios.TCSANOW, settings)
        os.execve(sys.executable, command, environment)
    return pid, fd


def read_some(fd: int) -> str | None:
    """What comes within a second; None at the end."""
    if not select.select([fd], [], [], 1)[0]:
        return ""
    try:
        data = os.read(fd, 4096)
    except OSError:  # the child has closed its side
        return None
    return data.decode(errors="replace") if data else None


def run_at_terminal(code: str) -> tuple[str, int]:
    """Runs code on a terminal of its own; types Ctrl-C at each "READY"."""
    pid, fd = start(["-c", textwrap.dedent(code)])
    text, typed, end = "", 0, time.monotonic() + LIMIT
    try:
        while time.monotonic() < end:
            data = read_some(fd)
            if data is None:
                break
            text += data
            while text.count("READY") > typed:
                typed += 1
                os.write(fd, b"\x03")
        else:
            os.kill(pid, 9)
            pytest.fail(f"it hangs: {text}")
    finally:
        status = os.waitpid(pid, 0)[1]
        os.close(fd)
    return text.replace("^C", "").replace("\r\n", "\n"), os.waitstatus_to_exitcode(status)


def converse(steps: Sequence[tuple[str, str]], env: Mapping[str, str]) -> str:
    """At the prompt: for each (awaited, typed), types when what was awaited has come since the last step."""
    pid, fd = start(["-q"], env)
    text, seen, end = "", 0, time.monotonic() + LIMIT
    left = list(steps)
    try:
        while time.monotonic() < end:
            data = read_some(fd)
            if data is None:
                break
            text += data
            while left and (place := text.find(left[0][0], seen)) >= 0:
                seen = place + len(left[0][0])
                os.write(fd, left.pop(0)[1].encode())
        else:
            pytest.fail(f"it hangs before {left[:1]}: {text}")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)
    assert not left, f"it ended before {left[0]}: {text}"
    return text
