"""Ctrl-C typed at a real terminal while the main thread is inside an interpreter."""

from __future__ import annotations

import os
import pty
import select
import sys
import textwrap
import time
import warnings

import pytest
from children import LIMIT, clean


def run_at_terminal(code: str) -> tuple[str, int]:
    """Runs code on a terminal of its own; types Ctrl-C at each "READY"."""
    arguments, environment = [sys.executable, "-c", textwrap.dedent(code)], clean()
    with warnings.catch_warnings():
        # pytest's own watchdog is a thread; the child does nothing but exec.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid, fd = pty.fork()
    if pid == 0:
        os.execve(sys.executable, arguments, environment)
    text, typed, end = "", 0, time.monotonic() + LIMIT
    try:
        while time.monotonic() < end:
            if not select.select([fd], [], [], 1)[0]:
                continue
            try:
                data = os.read(fd, 4096)
            except OSError:  # the child has closed its side
                break
            if not data:
                break
            text += data.decode()
            while text.count("READY") > typed:
                typed += 1
                os.write(fd, b"\x03")
        else:
            os.kill(pid, 9)
            pytest.fail(f"it hangs: {text}")
    finally:
        status = os.waitpid(pid, 0)[1]
        os.close(fd)
    return text.replace("\r\n", "\n").replace("^C", ""), os.waitstatus_to_exitcode(status)


BEGIN = """
import atoll, signal
from atoll.sync import AtomicInt
counter = AtomicInt(0)
a = atoll.create()
a.prepare_main(counter=counter)
SPIN = "import os; os.write(1, b'READY\\\\n')\\nwhile True: counter.add(1)"
"""
STOPPED = """
before = counter.load()
import time; time.sleep(0.05)
print("stopped", counter.load() == before)
"""


def test_default_handler() -> None:
    text, status = run_at_terminal(f"""{BEGIN}
try:
    a.exec(SPIN)
except KeyboardInterrupt:
    print("interrupted")
{STOPPED}""")
    assert (text, status) == ("READY\ninterrupted\nstopped True\n", 0)


def test_nested() -> None:
    text, status = run_at_terminal(f"""{BEGIN}
b = atoll.create()
b.prepare_main(a=a, SPIN=SPIN)
try:
    b.exec("a.exec(SPIN)")
except KeyboardInterrupt:
    print("interrupted")
{STOPPED}""")
    assert (text, status) == ("READY\ninterrupted\nstopped True\n", 0)


def test_handler_that_returns() -> None:
    """The code goes on where it was."""
    text, status = run_at_terminal(f"""{BEGIN}
handled = AtomicInt(0)
signal.signal(signal.SIGINT, lambda number, frame: handled.add(1))
a.prepare_main(handled=handled)
a.exec("import os; os.write(1, b'READY\\\\n')\\nwhile not handled.load(): pass\\nprint('went on')")
""")
    assert (text, status) == ("READY\nwent on\n", 0)


def test_handler_that_raises() -> None:
    text, status = run_at_terminal(f"""{BEGIN}
def handler(number, frame):
    raise ValueError("mine")
signal.signal(signal.SIGINT, handler)
try:
    a.exec(SPIN)
except ValueError as error:
    print(error)
{STOPPED}""")
    assert (text, status) == ("READY\nmine\nstopped True\n", 0)


def test_waiting() -> None:
    text, status = run_at_terminal(f"""{BEGIN}
a.prepare_main(queue=atoll.create_queue())
try:
    a.exec("import os; os.write(1, b'READY\\\\n')\\nqueue.get()")
except KeyboardInterrupt:
    print("interrupted")
print(a.call(len, [1, 2]))
""")
    assert (text, status) == ("READY\ninterrupted\n2\n", 0)


def test_uncaught() -> None:
    """The process dies of the signal, as Python does."""
    text, status = run_at_terminal(f"{BEGIN}\na.exec(SPIN)\n")
    assert "KeyboardInterrupt" in text
    assert status == -2


def test_while_it_prints() -> None:
    """The signal comes while the main thread passes on what the interpreter prints."""
    for _ in range(5):
        text, status = run_at_terminal(f"""{BEGIN}
try:
    a.exec("print('READY', flush=True)\\nwhile True: counter.add(1)")
except KeyboardInterrupt:
    print("interrupted")
{STOPPED}""")
        assert (text, status) == ("READY\ninterrupted\nstopped True\n", 0)
