"""What queues need of Python: the unbound markers, and an exception."""

from __future__ import annotations

from ._errors import QueueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from ._core import Queue, _QueueItem

__all__ = ["UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE", "QueueItemError"]


class _Unbound:
    """What becomes of an item when the interpreter that put it ends.

    There are three, each one object per interpreter; where one is sent, the
    other interpreter's own arrives.
    """

    __slots__ = ("_name",)
    __module__ = "atoll"
    _name: str

    def __new__(cls) -> NoReturn:
        raise TypeError("use atoll.UNBOUND, UNBOUND_ERROR or UNBOUND_REMOVE")

    def __repr__(self) -> str:
        return f"atoll.{self._name}"

    def __reduce__(self) -> str:
        return self._name


def _unbound(name: str) -> Any:
    marker: Any = object.__new__(_Unbound)  # type: ignore[arg-type, unused-ignore]
    marker._name = name
    return marker


#: get() returns this marker in the place of the item.
UNBOUND = _unbound("UNBOUND")
#: get() raises ItemInterpreterDestroyed in the place of the item.
UNBOUND_ERROR = _unbound("UNBOUND_ERROR")
#: The item is removed.
UNBOUND_REMOVE = _unbound("UNBOUND_REMOVE")


class QueueItemError(QueueError):
    """An item was taken from a queue, but cannot be rebuilt in this interpreter.

    ``__cause__`` says why: a module that is missing here, for example.  The
    item is not lost: it is kept, as its sender sent it, until this exception
    goes.  It is not put back by itself, since every further get() would fail
    in the same way.

    queue: the Queue that it was taken from; None once the exception has
    crossed to another interpreter, which the item does not do.
    """

    __module__ = "atoll"

    queue: Queue[Any] | None
    _item: _QueueItem | None

    def __init__(self, message: str, queue: Queue[Any] | None = None, item: _QueueItem | None = None) -> None:
        super().__init__(message)
        self.queue = queue
        self._item = item

    def put_back(self) -> None:
        """Return the item to the front of its queue, as if it had not been taken.

        Raises QueueError if it was given away already.
        """
        self._kept().put_back()

    def forward(self, queue: Queue[Any], timeout: float | None = None) -> None:
        """Put the item, as it is, at the end of another queue.

        timeout: how many seconds to wait for room (None: for ever).  Raises
        QueueFull and QueueShutDown, and keeps the item then; QueueError if it
        was given away already.
        """
        self._kept().forward(queue, timeout)

    def _kept(self) -> _QueueItem:
        if self._item is None:
            raise QueueError("the item is not here")
        return self._item

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args
