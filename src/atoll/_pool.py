"""What the C part of the pool asks of Python: the exceptions of failed tasks."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures.thread import BrokenThreadPool

from . import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How long an interrupted task may take to stop before its worker is replaced, in seconds.
STUCK_AFTER = 1.0


class BrokenInterpreterPool(BrokenThreadPool):
    """The pool can run nothing any more: its initializer failed, or no worker could be started."""

    __module__ = "atoll"


def _attach(error: BaseException, parts: Any) -> None:
    """Put an ExecutionFailed with the remote traceback where the chain of error ends."""
    seen = set()
    last: BaseException = error
    while id(last) not in seen:
        seen.add(id(last))
        following = last.__cause__ if last.__suppress_context__ else last.__cause__ or last.__context__
        if following is None:
            break
        last = following
    else:
        return  # a circle has no end
    suppressed = last.__suppress_context__
    last.__cause__ = _errors.rebuild(_errors.ExecutionFailed, parts, None)
    if suppressed:
        last.__suppress_context__ = True


def failure(kind: str, parts: Any, error: BaseException | None, broken: str | None) -> BaseException:
    """The exception for a task's future.

    parts: what _errors.snapshot() said there; error: the exception itself,
    where it could cross.
    """
    if kind == "broken":
        return BrokenInterpreterPool(broken or "the worker that ran this task is gone")
    if kind == "cancelled":
        return CancelledError()
    if kind in ("late", "stuck"):
        cause = "its deadline" if kind == "late" else "an interruption"
        text = f"it did not stop within {STUCK_AFTER} s after {cause}; its worker was replaced"
        parts = ("Interrupted", "Interrupted", "atoll"), text, f"atoll.Interrupted: {text}", None, None
        return _errors.rebuild(
            _errors.ExecutionTimeout if kind == "late" else _errors.ExecutionInterrupted, parts, None
        )
    if kind == "timed out":
        return _errors.rebuild(_errors.ExecutionTimeout, parts, error)
    if kind == "interrupted":
        return _errors.rebuild(_errors.ExecutionInterrupted, parts, error)
    if error is None:
        return _errors.rebuild(_errors.ExecutionFailed, parts, None)
    if parts is not None and kind == "failed":
        _attach(error, parts)
    return error


def log_broken(parts: Any) -> None:
    """Log that the initializer failed; parts: what _errors.snapshot() said there, or None."""
    from concurrent.futures._base import LOGGER

    error = _errors.rebuild(_errors.ExecutionFailed, parts, None)
    LOGGER.critical("Exception in initializer:", exc_info=error)
