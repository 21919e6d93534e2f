"""Ctrl-C typed at a real terminal while the main thread is inside an interpreter."""

from __future__ import annotations

import os
import time

from children import LIMIT
from terminal import converse, read_some, run_at_terminal, start

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


def test_event_loop_inside() -> None:
    """One that has nothing to do, in another interpreter."""
    text, status = run_at_terminal(f"""{BEGIN}
try:
    a.exec('''
import asyncio, os
async def main():
    try:
        asyncio.get_running_loop().call_later(0.1, os.write, 1, b"READY" + bytes([10]))
        await asyncio.sleep(3600)
    finally:
        os.write(1, b"cleaned" + bytes([10]))
asyncio.run(main())
''')
except KeyboardInterrupt:
    print("interrupted")
print(a.call(len, [1, 2]))
""")
    assert (text, status) == ("READY\ncleaned\ninterrupted\n2\n", 0)


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


def test_ignored() -> None:
    """It is as if nothing had been typed."""
    code = f"""{BEGIN}
signal.signal(signal.SIGINT, signal.SIG_IGN)
a.exec("import os; os.write(1, b'READY\\\\n'); os.read(0, 1); print('went on')")
"""
    pid, fd = start(["-c", code])
    text, typed, end = "", False, time.monotonic() + LIMIT
    try:
        while (data := read_some(fd)) is not None and time.monotonic() < end:
            text += data
            if not typed and "READY\r\n" in text:
                typed = True
                os.write(fd, b"\x03\n")
        if data is not None:
            os.kill(pid, 9)
    finally:
        status = os.waitpid(pid, 0)[1]
        os.close(fd)
    assert (text, os.waitstatus_to_exitcode(status)) == ("READY\r\n^C\r\nwent on\r\n", 0)


ASYNCIO = """
import asyncio, atoll.aio
def wait_until_idle():
    import time
    while a.is_running():  # whoever cancels does not wait for the end
        time.sleep(0.01)
def spin(counter, beside=False):
    import os
    main = f"/proc/self/task/{os.getpid()}/stat"
    # asyncio loses a signal that comes between its last look and its poll.
    while beside and os.path.exists(main) and ") S" not in open(main).read():
        pass
    os.write(1, b"READY\\n")
    while True:
        counter.add(1)
"""


def test_asyncio() -> None:
    """asyncio.run() cancels its task; that interrupts the call that it awaits."""
    text, status = run_at_terminal(f"""{BEGIN}{ASYNCIO}
async def main():
    try:
        await atoll.aio.call(a, spin, counter, beside=True)
    except asyncio.CancelledError:
        print("cancelled")
        raise
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
wait_until_idle()
{STOPPED}""")
    assert (text, status) == ("READY\ncancelled\ninterrupted\nstopped True\n", 0)


def test_asyncio_blocked() -> None:
    """asyncio's handler returns the first time, and the code goes on; the second time it raises."""
    text, status = run_at_terminal(f"""{BEGIN}{ASYNCIO}
handled = AtomicInt(0)
def spin_twice(counter, handled):
    import os
    os.write(1, b"READY\\n")
    while not handled.load():
        pass
    spin(counter)
async def main():
    asyncios = signal.getsignal(signal.SIGINT)
    def handler(*args):
        asyncios(*args)
        handled.add(1)
    signal.signal(signal.SIGINT, handler)
    a.call(spin_twice, counter, handled)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
wait_until_idle()
{STOPPED}""")
    assert (text, status) == ("READY\nREADY\ninterrupted\nstopped True\n", 0)


def test_asyncio_handler() -> None:
    """A handler of the program's own, in the loop."""
    text, status = run_at_terminal(f"""{BEGIN}{ASYNCIO}
async def main():
    typed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, typed.set)
    task = asyncio.create_task(atoll.aio.call(a, spin, counter, beside=True))
    await typed.wait()
    print("typed")
    task.cancel()
    print(type((await asyncio.gather(task, return_exceptions=True))[0]).__name__)
asyncio.run(main())
wait_until_idle()
{STOPPED}""")
    assert (text, status) == ("READY\ntyped\nCancelledError\nstopped True\n", 0)


def test_at_the_prompt() -> None:
    spin = r"import os; os.write(1, b'REA' + b'DY')\nwhile True: pass"
    text = converse(
        [
            (">>> ", "import atoll; a = atoll.create(); q = atoll.create_queue()\n"),
            (">>> ", f'a.exec("{spin}")\n'),
            ("READY", "\x03"),
            ("KeyboardInterrupt", ""),
            (">>> ", "print('WAI' + 'TS', flush=True); q.get()\n"),
            ("WAITS", "\x03"),
            ("KeyboardInterrupt", ""),
            (">>> ", "print('al' + 'ive', a.call(abs, -5))\n"),
            ("alive 5", ""),
            (">>> ", "\x04"),
        ],
        {"PYTHON_BASIC_REPL": "1", "TERM": "dumb"},
    )
    assert text.count("Traceback") == 2
