"""limits(): what calls into an interpreter may use; track_memory()."""

from __future__ import annotations

import operator

from . import _core
from ._errors import LimitExceeded
from ._threads import InterpreterThread, start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

__all__ = ["Limits", "track_memory"]

#: From here on a limit is none: some 290 years, 4 EiB.
_FOREVER = 9e9
_ALL_MEMORY = 1 << 62


def _nanoseconds(name: str, value: float | None) -> int:
    if value is None:
        return -1
    kind = type(value)
    if kind is bool or not (hasattr(kind, "__float__") or hasattr(kind, "__index__")):
        raise TypeError(f"{name} must be a number of seconds or None, not {kind.__name__}")
    try:
        seconds = float(value)
    except OverflowError:  # an enormous int
        seconds = float("inf") if value > 0 else -1.0
    if not seconds >= 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return -1 if seconds > _FOREVER else int(seconds * 1e9)


def _bytes(name: str, value: int | None) -> int:
    if value is None:
        return -1
    if type(value) is bool or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} must be an int or None, not {type(value).__name__}")
    number = operator.index(value)
    if number < 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return -1 if number >= _ALL_MEMORY else number


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of Interpreter.limits: a copy, if they are right."""
    for name, value in given.items():
        if name == "memory_bytes":
            _bytes(name, value)
        elif name in ("cpu_seconds", "wall_seconds"):
            _nanoseconds(name, value)
        else:
            raise TypeError(f"there is no limit {name!r}: only cpu_seconds, wall_seconds and memory_bytes")
    if given.get("memory_bytes") is not None:
        track_memory()
    return dict(given)


class Limits:
    """The limits that Interpreter.limits has set.

    In a with block all calls into the interpreter together have one budget,
    which begins when the block is entered; at its end the interpreter has
    the limits from before them again, if it has these still.

    Its exec, call and call_in_thread are those of the interpreter, always
    under these limits.
    """

    __slots__ = ("_before", "_cpu", "_interp", "_limits", "_memory", "_wall")

    def __init__(
        self,
        interp: _core.Interpreter,
        cpu_seconds: float | None,
        wall_seconds: float | None,
        memory_bytes: int | None,
    ) -> None:
        cpu = _nanoseconds("cpu_seconds", cpu_seconds)
        wall = _nanoseconds("wall_seconds", wall_seconds)
        memory = _bytes("memory_bytes", memory_bytes)
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
        self._before = _core._set_limits(interp, self._limits)

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
        _core._end_limits(self._interp, self._limits, self._before)

    def exec(self, code: Any, /, dedent: bool = True) -> None:
        """Like Interpreter.exec; raises ExecutionInterrupted, from LimitExceeded, if it goes over."""
        self._interp._exec_with(self._limits, code, dedent=dedent)

    def call[**P, R](self, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Like Interpreter.call; raises ExecutionInterrupted, from LimitExceeded, if it goes over."""
        return self._interp._call_with(self._limits, callable, *args, **kwargs)  # type: ignore[no-any-return]

    def call_in_thread[**P, R](
        self, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> InterpreterThread[R]:
        """Like Interpreter.call_in_thread, within the limits."""
        return start_thread(self._interp, self._limits, callable, args, kwargs)


def limits(
    interp: _core.Interpreter,
    /,
    *,
    cpu_seconds: float | None = None,
    wall_seconds: float | None = None,
    memory_bytes: int | None = None,
) -> Limits:
    """See Interpreter.limits."""
    return Limits(interp, cpu_seconds, wall_seconds, memory_bytes)


def track_memory() -> None:
    """From now on count the memory of each interpreter; once for the whole process.

    ``limits(memory_bytes=...)`` does so, too, but what is held before is not
    counted: call it early, before interpreters are made.

    Counted is what goes through CPython's allocators, to about 1 MiB; not what
    C libraries take from malloc themselves (arrays of numpy, say), nor memory
    maps, nor messages on their way.

    Raises InterpreterError if the allocators are not the usual ones (``-X dev``,
    a PYTHONMALLOC other than ``malloc``, tracemalloc; tracemalloc may start later).
    """
    _core._track_memory()
