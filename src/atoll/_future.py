"""The future of a thread that call_in_thread() started.

Who waits for a lock of threading's misses a Ctrl-C that comes in the instant
before it sleeps; inside another interpreter any Ctrl-C, and from 3.13 on an
interruption too.  A wait for an Event of atoll's hears of all of them.
"""

from __future__ import annotations

from concurrent.futures import Future as _Future
from concurrent.futures import InvalidStateError
from time import monotonic

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CallFuture[T](_Future[T]):
    """A Future of concurrent.futures whose own waits end on Ctrl-C and interruptions."""

    def __init__(self) -> None:
        super().__init__()
        self._told: _core.Event | None = None
        try:
            self._told = _core.Event()
        except MemoryError:  # the call runs already: nobody could stop it who does not get this
            pass
        self.set_running_or_notify_cancel()

    def settle(self, ok: bool, value: Any) -> None:
        """Whoever finds that it can be; the first one does it."""
        try:
            if ok:
                self.set_result(value)
            else:
                self.set_exception(value)
        except InvalidStateError:
            pass
        if self._told is not None:
            self._told.set()

    def _await(self, timeout: float | None) -> float | None:
        """What is left of timeout."""
        until = None if timeout is None else monotonic() + timeout
        try:
            if self._told is not None:
                self._told.wait(timeout)
                return 0
        except MemoryError:  # then for the lock
            pass
        return None if until is None else until - monotonic()

    def result(self, timeout: float | None = None) -> T:
        return super().result(self._await(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return super().exception(self._await(timeout))
