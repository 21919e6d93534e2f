"""limits(): what calls into an interpreter may use; track_memory()."""

from __future__ import annotations

import operator

from . import _core
from ._errors import LimitExceeded
from ._threads import InterpreterThread, start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

__all__ = ["Limits", "track_memory"]


def _nanoseconds(name: str, value: float | None) -> int:
    if value is None:
        return -1
    seconds = float(value + 0.0)  # a number, and no text
    if not seconds >= 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return -1 if seconds > 9e9 else int(seconds * 1e9)


class Limits:
    """A view of an interpreter whose calls are limited: see Interpreter.limits.

    In a with block, all calls through the view together have one budget, which
    begins anew when the block is entered.
    """

    __slots__ = ("_cpu", "_interp", "_limits", "_memory", "_wall")

    def __init__(
        self,
        interp: _core.Interpreter,
        /,
        *,
        cpu_seconds: float | None = None,
        wall_seconds: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        cpu = _nanoseconds("cpu_seconds", cpu_seconds)
        wall = _nanoseconds("wall_seconds", wall_seconds)
        memory = -1 if memory_bytes is None else operator.index(memory_bytes)
        if memory_bytes is not None and not 0 <= memory < 1 << 62:
            raise ValueError(f"memory_bytes must be 0 or more, not {memory_bytes!r}")
        errors = (
            LimitExceeded("cpu_seconds", cpu_seconds or 0),
            LimitExceeded("wall_seconds", wall_seconds or 0),
            LimitExceeded("memory_bytes", memory_bytes or 0),
        )
        self._limits = _core._Limits(cpu, wall, memory, errors)
        self._interp = interp
        self._cpu = cpu_seconds
        self._wall = wall_seconds
        self._memory = memory_bytes

    def __repr__(self) -> str:
        values = (("cpu_seconds", self._cpu), ("wall_seconds", self._wall), ("memory_bytes", self._memory))
        given = ", ".join(f"{name}={value!r}" for name, value in values if value is not None)
        return f"{self._interp!r}.limits({given})"

    def __enter__(self) -> Limits:
        self._limits.share(True)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limits.share(False)

    def exec(self, code: Any, /, dedent: bool = True) -> None:
        """Like Interpreter.exec; raises ExecutionInterrupted, from LimitExceeded, if it goes over."""
        self._interp._exec_with(self._limits, code, dedent=dedent)

    def call(self, callable: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Like Interpreter.call; raises ExecutionInterrupted, from LimitExceeded, if it goes over."""
        return self._interp._call_with(self._limits, callable, *args, **kwargs)

    def call_in_thread(
        self, callable: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> InterpreterThread[Any]:
        """Like Interpreter.call_in_thread, within the limits."""
        return start_thread(self._interp, self._limits, callable, args, kwargs)


def track_memory() -> None:
    """From now on count the memory of each interpreter; once for the whole process.

    Must be called in the main interpreter before another one is made: CPython's
    allocators can be wrapped safely only then.  InterpreterError if it is too
    late, or if they are wrapped already (``-X dev``, PYTHONMALLOC, tracemalloc;
    tracemalloc may start later).

    Counted is what goes through CPython's allocators, to about 1 MiB; not what
    C libraries take from malloc themselves (arrays of numpy, say), nor memory
    maps, nor messages on their way.
    """
    _core._track_memory()
