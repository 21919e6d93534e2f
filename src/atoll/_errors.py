"""The exceptions of atoll.

On 3.13 and later those that CPython has built in are the built-in ones, so
that an ``except`` clause written for either module works.
"""

from __future__ import annotations

from . import _core

try:
    from _interpreters import (
        InterpreterError,
        InterpreterNotFoundError,
    )
    from _interpreters import NotShareableError as _NotShareableError
except ImportError:  # 3.12

    class InterpreterError(Exception):  # type: ignore[no-redef]
        """A cross-interpreter operation failed."""

        __module__ = "atoll"

    class InterpreterNotFoundError(InterpreterError):  # type: ignore[no-redef]
        """There is no such interpreter (any more)."""

        __module__ = "atoll"

    class _NotShareableError(ValueError):  # type: ignore[no-redef]
        pass


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._queue_errors import QueueEmpty, QueueFull, QueueShutDown


def _make_error(name: str, args: tuple[Any, ...]) -> BaseException:
    return globals()[name](*args)  # type: ignore[no-any-return]


def _reduce_error(error: BaseException) -> tuple[Any, ...]:
    return _make_error, (type(error).__name__, error.args), error.__dict__ or None


if InterpreterError.__module__ == "interpreters":  # 3.13: no import finds them there
    import copyreg

    for _kind in InterpreterError, InterpreterNotFoundError:
        copyreg.pickle(_kind, _reduce_error)

__all__ = [
    "ExecutionFailed",
    "ExecutionInterrupted",
    "ExecutionTimeout",
    "Interrupted",
    "LimitExceeded",
    "InterpreterError",
    "InterpreterNotFoundError",
    "ItemInterpreterDestroyed",
    "NotShareableError",
    "OwnerDiedError",
    "QueueEmpty",
    "QueueError",
    "QueueFull",
    "QueueNotFoundError",
    "QueueShutDown",
]


if issubclass(_NotShareableError, TypeError):
    NotShareableError = _NotShareableError
else:

    class NotShareableError(_NotShareableError, TypeError):  # type: ignore[no-redef]
        """A value cannot cross to another interpreter; the message says where it was found."""

        __module__ = "atoll"


class ExcInfo:
    """What is known of an exception that was raised in another interpreter.

    type: a namespace with ``__name__``, ``__qualname__`` and ``__module__``.
    msg: str(exception).  formatted: "Name: message".  errdisplay: the whole
    traceback as text.
    """

    __slots__ = ("errdisplay", "formatted", "msg", "type")

    def __init__(self, type: Any, msg: str | None, formatted: str | None, errdisplay: str | None) -> None:
        self.type = type
        self.msg = msg
        self.formatted = formatted
        self.errdisplay = errdisplay

    def __repr__(self) -> str:
        return f"<excinfo {self.formatted!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExcInfo):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        kind = self.type
        names = None if kind is None else (kind.__name__, kind.__qualname__, kind.__module__)
        return _make_excinfo, (names, self.msg, self.formatted, self.errdisplay)


def _make_excinfo(
    names: tuple[str, str, str] | None, msg: str | None, formatted: str | None, errdisplay: str | None
) -> ExcInfo:
    kind = None
    if names is not None:
        from types import SimpleNamespace

        kind = SimpleNamespace(__name__=names[0], __qualname__=names[1], __module__=names[2])
    return ExcInfo(kind, msg, formatted, errdisplay)


class ExecutionFailed(InterpreterError):
    """Code in another interpreter raised an exception.

    ``excinfo`` describes it (type, msg, formatted, errdisplay);
    ``__cause__`` is the exception itself where it could cross.
    """

    __module__ = "atoll"

    #: The interpreter's name when it happened.
    _where: str | None = None

    def __init__(self, excinfo: Any) -> None:
        text = excinfo.formatted
        if not text:
            if excinfo.type and excinfo.msg:
                text = f"{excinfo.type.__name__}: {excinfo.msg}"
            else:
                text = excinfo.type.__name__ if excinfo.type else excinfo.msg
        super().__init__(text)
        self.args = (text,)  # OSError's constructor, of ExecutionTimeout, does not
        self.excinfo: ExcInfo = excinfo  # or what the standard module has in its place

    def __str__(self) -> str:
        text = super().__str__()
        display = getattr(self.excinfo, "errdisplay", None)
        if not display:
            return text
        # The standard module's words up to the colon: people look for them in logs.
        where = "" if self._where is None else f" {self._where!r}"
        return f"{text}\n\nUncaught in the interpreter:{where}\n\n{display}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.excinfo,), {k: v for k, v in self.__dict__.items() if k != "excinfo"} or None


class ExecutionTimeout(ExecutionFailed, TimeoutError):
    """Code in another interpreter was stopped at its deadline."""

    __module__ = "atoll"

    # TimeoutError is an OSError, whose own constructor must not see excinfo.
    def __new__(cls, excinfo: Any) -> ExecutionTimeout:
        return super().__new__(cls)


class ExecutionInterrupted(ExecutionFailed):
    """Code in another interpreter was stopped by interrupt()."""

    __module__ = "atoll"


if TYPE_CHECKING:

    class Interrupted(BaseException):
        """Raised in code that interrupt() or a deadline stops."""
else:
    Interrupted = _core._interrupted()


class LimitExceeded(Interrupted):
    """Raised in code that goes over one of its limits.

    limit: "cpu_seconds", "wall_seconds" or "memory_bytes"; allowed: its value.
    In threads that the code has started, "" and 0.
    No Exception, as Interrupted is none.
    """

    __module__ = "atoll"

    def __init__(self, limit: str = "", allowed: float = 0) -> None:
        super().__init__(limit, allowed)
        self.limit = limit
        self.allowed = allowed

    def __str__(self) -> str:
        if not self.limit:
            return "started by a call that went over a limit"
        return f"over the limit {self.limit}={self.allowed}"


def _type_names(kind: type) -> tuple[str, str, str]:
    return kind.__name__, kind.__qualname__, kind.__module__


def _name_for_people(kind: type) -> str:
    """Return what a traceback calls it; a script's own classes without the module, wherever they run."""
    module: Any = kind.__module__  # a class may have anything there
    if type(module) is not str or module in ("builtins", "__main__", "<fake __main__>"):
        return kind.__qualname__
    return f"{module}.{kind.__qualname__}"


#: Characters of text that travel with one failure.  Without a bound, failures
#: of calls within calls would double their text at each level.
_MAX_TEXT = 16384


def _bounded(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def snapshot(error: BaseException) -> tuple[Any, ...]:
    """What crosses of an exception in any case: plain text."""
    kind = type(error)
    # What failed further in is told by its own text, once.
    nested = isinstance(error, ExecutionFailed)
    try:
        msg = _bounded(str(error.args[0]) if nested else str(error))
    except Exception:
        msg = "<exception str() failed>"
    formatted = f"{_name_for_people(kind)}: {msg}"
    try:
        from traceback import TracebackException

        # The text ends without a newline, as the standard module's does.
        lines = TracebackException.from_exception(error).format(chain=not nested)
        display = _bounded("".join(lines).rstrip("\n"))
    except Exception:
        display = formatted
    return _type_names(kind), msg, formatted, _core.get_current().name, display


def stems_from(error: BaseException, told: BaseException) -> bool:
    """Is told among the causes, contexts and group members of error?"""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is told:
            return True
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += one.__cause__, one.__context__
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return False


def was_dropped(told: BaseException) -> bool:
    """Did told leave the code where it was raised without having met a handler?

    A finalizer's or a callback's exceptions are dropped by CPython: the
    outermost frame that told went through has no handler at that place.
    """
    trace = told.__traceback__
    if trace is None:
        return True
    from dis import Bytecode

    at = trace.tb_lasti
    handlers = Bytecode(trace.tb_frame.f_code).exception_entries  # type: ignore[attr-defined]
    return not any(entry.start <= at < entry.end for entry in handlers)


def rebuild(kind: type[ExecutionFailed], parts: Any, cause: BaseException | None) -> ExecutionFailed:
    """The exception for the caller, from snapshot()'s tuple.

    Where that did not cross, for lack of memory or of a sys.path that leads to
    the standard library, there is the type's name at most.
    """
    if parts is None or isinstance(parts, str):
        text = f"{parts or 'an exception'} (no more could be told: out of memory, or an import failed)"
        parts = (None, text, text, None, None)
    names, msg, formatted, where, display = parts
    error = kind(_make_excinfo(names, msg, formatted, display))
    if where is not None:
        error._where = where
    if cause is not None:
        error.__cause__ = cause
    return error


class OwnerDiedError(RuntimeError):
    """The interpreter that held the lock was closed; see reset()."""

    __module__ = "atoll"


class QueueError(RuntimeError):
    """A queue could not be used."""

    __module__ = "atoll"


class QueueNotFoundError(QueueError):
    """There is no such queue (any more)."""

    __module__ = "atoll"


class ItemInterpreterDestroyed(QueueError):
    """The interpreter that put the item was destroyed, and the item asked to go with it."""

    __module__ = "atoll"


def __getattr__(name: str) -> Any:
    if name in ("QueueEmpty", "QueueFull", "QueueShutDown"):
        from . import _queue_errors

        return getattr(_queue_errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
