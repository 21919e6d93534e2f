"""The exceptions of queues that are the standard library's as well.

A module of their own, loaded at the first use: most interpreters never see a
queue, and the import system sees to it that there is one class of each,
however many threads are the first at once.
"""

from __future__ import annotations

import queue
import sys

from ._errors import QueueError

__all__ = ["QueueEmpty", "QueueFull", "QueueShutDown"]


class QueueEmpty(QueueError, queue.Empty):
    """There is no item in the queue (in time)."""

    __module__ = "atoll"


class QueueFull(QueueError, queue.Full):
    """There is no room in the queue (in time)."""

    __module__ = "atoll"


if sys.version_info >= (3, 13):

    class QueueShutDown(QueueError, queue.ShutDown):
        """The queue was shut down."""

        __module__ = "atoll"
else:

    class QueueShutDown(QueueError):
        """The queue was shut down."""

        __module__ = "atoll"
