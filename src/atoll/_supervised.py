"""What runs in the interpreter of a supervised worker: as little as there can be."""

from __future__ import annotations

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_stop: tuple[_core.Event, _core.AtomicInt] | None = None


def work(
    event: _core.Event,
    listens: _core.AtomicInt,
    func: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """One run of a worker; what it returns is not wanted, so it need not cross."""
    global _stop
    _stop = event, listens
    func(*args, **kwargs)


def stop_event() -> _core.Event:
    """In a worker of a Supervisor: the Event that is set when the worker is to stop.

    A worker that has asked for it has the supervisor's `grace` to return; one
    that has not is interrupted at once.

    Raises RuntimeError outside of a worker.
    """
    if _stop is None:
        raise RuntimeError("stop_event() is for workers of an atoll.Supervisor, in their own interpreter")
    event, listens = _stop
    listens.store(1)
    return event
