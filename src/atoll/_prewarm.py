"""prewarm(): interpreters kept ready, so that create() takes microseconds."""

from __future__ import annotations

import _thread as _thread_module
import _warnings
import os
import sys
import threading
from collections import deque
from copy import copy
from types import TracebackType
from typing import Any

from . import _core, _make
from ._config import InterpreterConfig, parse

__all__ = ["Prewarmed", "prewarm"]

_lock = threading.Lock()
#: Notified when spares have been added, and when the thread has ended.
_wanted = threading.Condition(_lock)
#: What the background thread sleeps on.  No Condition, since create() is to be
#: fast: to wake its waiter takes three times as long (two threads meet at its
#: lock).
_bell = _core.Event()
#: A spare, and what it took over from this interpreter (see _state).
_Spare = tuple[_core.Interpreter, tuple[Any, ...]]
#: Guarded by _lock, all of them; but the spares of one config are a deque,
#: which _take() finds under what create() was given, and takes from, without it.
_handles: dict[int, tuple[InterpreterConfig, int]] = {}
_spares: dict[InterpreterConfig, deque[_Spare]] = {}
_by_name: dict[Any, deque[_Spare]] = {}
_thread: threading.Thread | None = None
_ending = False


def _state() -> tuple[Any, ...]:
    """What a new interpreter takes over: the objects themselves, to be compared with copies."""
    install = sys.modules.get("atoll._install")
    return (
        sys.path,
        sys.argv,
        _warnings.filters,
        os.environ._data,  # type: ignore[attr-defined]
        install is not None and install.installed,
    )


def _lacks(config: InterpreterConfig) -> bool:
    """Locks: _lock.  Is a spare of this config missing?"""
    wanted = sum(count for other, count in _handles.values() if other == config)
    return len(_spares[config]) < wanted


def _missing() -> InterpreterConfig | None:
    """Locks: _lock.  A config of which a spare is missing."""
    for config, _ in _handles.values():
        if _lacks(config):
            return config
    return None


def _ring() -> None:
    """Wake the background thread: something may be missing, or the end has come."""
    _bell.set()


def _make_one(config: InterpreterConfig) -> None:
    """One more spare, unless its handle has been closed by the time that it is ready."""
    taken = tuple(map(copy, _state()))
    setup = _make.snapshot("creator", warm=True, config=config)
    spare = _core._create(_make.raw_config(config), setup, True)
    _core._warm(spare)
    with _wanted:
        kept = _lacks(config)
        if kept:
            _spares[config].append((spare, taken))
            _wanted.notify_all()
    if not kept:
        spare.close()


def _refill() -> None:
    """The background thread: makes what is missing, sleeps while nothing is."""
    global _thread
    while True:
        with _wanted:
            config = _missing()
            if _ending or (config is None and not _handles):
                _thread = None
                _wanted.notify_all()
                return
        try:
            if config is None:
                _bell.wait()
                _bell.clear()
                continue
            _make_one(config)
        except BaseException:
            with _wanted:
                _thread = None  # create() goes on without spares, and asks for them again
                _wanted.notify_all()
            raise


def _take(config: Any, stdio: str) -> _core.Interpreter | None:
    """A spare, if there is one, as create() gives it out."""
    try:
        spare, taken = _by_name[config].popleft()
    except (LookupError, TypeError):  # also of a config that is none
        spare = None
    if _thread is None:
        with _lock:
            _start_thread()
    _ring()
    if spare is not None:
        unchanged = stdio == "creator" and taken == _state()
        _core._give_out(spare, None if unchanged else _make.snapshot(stdio, warm=True))
    return spare


def _stop() -> None:
    """Before the interpreter ends: no creation may be under way then."""
    global _ending
    with _wanted:
        _ending = True
        thread = _thread
    _ring()
    if thread is not None:
        thread.join()


class Prewarmed:
    """What prewarm() returns; close() gives the spares up."""

    def __init__(self, count: int, config: InterpreterConfig) -> None:
        self._count = count
        self._config = config
        with _wanted:
            _handles[id(self)] = config, count
            spares = _spares.setdefault(config, deque())
            _by_name[config] = spares
            for name in ("isolated", "legacy"):
                if parse(name) == config:
                    _by_name[name] = spares
            _make.take_spare = _take
            _start_thread()
        _ring()

    def __repr__(self) -> str:
        return f"<atoll.prewarm({self._count}), {self.ready()} ready>"

    def ready(self) -> int:
        """How many spares of this configuration are ready just now."""
        with _lock:
            return len(_spares.get(self._config, ()))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all spares are ready; False if timeout seconds passed first."""
        with _wanted:
            return (
                _wanted.wait_for(lambda: _missing() is None or _thread is None, timeout)
                and _missing() is None
            )

    def close(self) -> None:
        """Keep no more spares for this handle, and end those that are too many."""
        surplus = []
        with _wanted:
            if _handles.pop(id(self), None) is None:
                return
            wanted = sum(n for config, n in _handles.values() if config == self._config)
            spares = _spares[self._config]
            try:
                while len(spares) > wanted:
                    surplus.append(spares.pop()[0])
            except IndexError:  # create() has just taken the last one
                pass
            if not _handles:
                _make.take_spare = None
        _ring()
        for spare in surplus:
            spare.close()

    def __enter__(self) -> Prewarmed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def _start_thread() -> None:
    """Locks: _lock."""
    global _thread
    if _thread is None and not _ending:
        # A daemon where that is allowed; _stop() ends it in any case.
        daemon = _thread_module.daemon_threads_allowed()
        _thread = threading.Thread(target=_refill, name="atoll-prewarm", daemon=daemon)
        _thread.start()


def prewarm(n: int, *, config: Any = "isolated") -> Prewarmed:
    """Keep n ready interpreters, so that create() takes one in microseconds.

    They are made, and refilled, by one background thread (the only thing
    that this call starts).  Returns a handle with close() and wait(), a
    context manager; several handles add up.  Spares are not in list_all().
    """
    if not isinstance(n, int):
        raise TypeError(f"n must be an int, not {type(n).__name__}")
    if n < 0:
        raise ValueError("n must not be negative")
    from ._config import check

    parsed = parse(config)
    check(parsed)
    return Prewarmed(n, parsed)


threading._register_atexit(_stop)  # type: ignore[attr-defined]
