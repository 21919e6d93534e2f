"""The future of a thread that was started inside another interpreter.

What waits for a lock of threading's there may miss Ctrl-C, and from 3.13 on an
interruption too; an Event of atoll's hears of both.
"""

from __future__ import annotations

from concurrent.futures import Future as _Future

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


class InnerFuture[T](_Future[T]):
    """A Future of concurrent.futures whose own waits end on Ctrl-C and interruptions."""

    def __init__(self) -> None:
        super().__init__()
        self._told = _core.Event()

    def set_result(self, result: T) -> None:
        super().set_result(result)
        self._told.set()

    def set_exception(self, exception: BaseException | None) -> None:
        super().set_exception(exception)
        self._told.set()

    def result(self, timeout: float | None = None) -> T:
        self._told.wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._told.wait(timeout)
        return super().exception(0)
