"""The exceptions of atoll.

On 3.13 and later those that CPython has built in are the built-in ones, so
that an ``except`` clause written for either module works.
"""

from __future__ import annotations

import queue as _queue

try:
    from _interpreters import (  # type: ignore[import-not-found]
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

    class _NotShareableError(TypeError, ValueError):  # type: ignore[no-redef]
        pass


__all__ = [
    "ExecutionFailed",
    "ExecutionInterrupted",
    "ExecutionTimeout",
    "Interrupted",
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
