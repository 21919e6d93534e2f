"""What the interpreters are doing: stats(), stacks(), dump_stacks() and by a signal."""

from __future__ import annotations

import operator
import os
import signal
import sys
from traceback import StackSummary
from typing import Any, NamedTuple

from . import _core

__all__ = ["ThreadStack", "dump_stacks", "register_dump", "unregister_dump"]

#: Signals that tell of a fault in the code at hand, or that cannot be caught.
_UNFIT = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
}


class ThreadStack(NamedTuple):
    """What one thread in an interpreter is doing.

    ident, native_id: as of threading.Thread.  name: threading's, None if it
    does not know the thread.  in_call: it runs the interpreter's call, from
    outside.  frames: a traceback.StackSummary, the innermost frame last.
    """

    ident: int
    native_id: int
    name: str | None
    daemon: bool
    in_call: bool
    frames: StackSummary

    def __str__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        what = " (runs a call)" if self.in_call else ""
        return f"Thread {self.ident:#x}{name}{what}:\n" + (
            "".join(self.frames.format()).rstrip("\n") or "  (no Python code)"
        )


def stats(interp: _core.Interpreter, /) -> dict[str, Any]:
    return _core._stats(interp)


def stacks(interp: _core.Interpreter, /) -> list[ThreadStack]:
    found = []
    for ident, native_id, name, daemon, in_call, _, frames in _core._stacks(interp):
        # Lines of source are looked up here, where they are shown.
        summary = StackSummary.from_list([(file, line, name, None) for file, line, name in frames])
        found.append(ThreadStack(ident, native_id, name or None, bool(daemon), bool(in_call), summary))
    return found


def dump_stacks(file: Any = None) -> None:
    """Write what every thread of every interpreter is doing now.

    file: an object with write() for text (sys.stderr if None), or a file
    descriptor.  The most recent call comes first, as in faulthandler's dumps.
    An interpreter whose GIL C code keeps is waited for 0.3 seconds, all of
    them together; the dump then says that it cannot be read.
    """
    _core.list_all()  # hears of those that others have made
    data: bytes = _core._dump_stacks()
    if isinstance(file, int):
        while data:
            data = data[os.write(file, data) :]
        return
    if file is None:
        file = sys.stderr
        if file is None:
            raise RuntimeError("there is no sys.stderr: name a file")
    file.write(data.decode("utf-8", "surrogateescape"))
    flush = getattr(file, "flush", None)
    if flush is not None:
        flush()


def register_dump(signum: int, file: Any = None) -> None:
    """Have a signal write the stacks of all interpreters.

    signum: such as signal.SIGUSR1.  file: an object with fileno(), or a file
    descriptor (sys.stderr if None); it is duplicated, so closing it later is
    harmless.  Registering again replaces the file.

    Works whatever the program is doing: a C thread that exists only meanwhile
    reads the stacks and writes, and says of an interpreter whose GIL C code
    keeps that it cannot be read.  Takes the signal's place from a handler that
    is there; ``signal.signal`` for the same number takes it back.  A child
    after fork has no registrations.

    Raises ValueError for a signal that tells of a fault, or that cannot be
    caught; OSError for a bad descriptor.
    """
    signum = operator.index(signum)
    if signum in _UNFIT:
        raise ValueError(f"signal {signum} cannot be registered")
    if file is None:
        file = sys.stderr
        if file is None:
            raise RuntimeError("there is no sys.stderr: name a file")
    if not isinstance(file, int):
        flush = getattr(file, "flush", None)
        if flush is not None:
            flush()
    _core._register_dump(signum, file if isinstance(file, int) else file.fileno())


def unregister_dump(signum: int) -> bool:
    """Undo register_dump; the handler that was there before is back.  False: there was nothing to undo."""
    return _core._unregister_dump(operator.index(signum))
