"""prewarm(): interpreters kept ready, so that create() takes microseconds.

Locks: `_lock` is taken by @_locked alone, never by `with`: Ctrl-C just before
the block begins would leave it taken.  It is not held while an interpreter is
made or ended.
"""

from __future__ import annotations

import _thread as _thread_module
import _warnings
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from copy import copy
from time import monotonic
from types import TracebackType
from typing import Any

from . import _core, _make
from ._config import InterpreterConfig, parse

__all__ = ["Prewarmed", "prewarm"]

_lock = threading.RLock()
#: Set when spares have been added, and when the thread has ended.  Whoever
#: clears it looks after that whether it is to be set.
_changed = _core.Event()
#: What the background thread sleeps on.
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


def _locked[**P, R](func: Callable[P, R]) -> Callable[P, R]:
    """The function runs with _lock held."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        assert not kwargs
        return _core._call_locked(_lock, func, *args)

    return call


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


@_locked
def _keep(config: InterpreterConfig, spare: _Spare) -> bool:
    """Add a spare, unless its handle has been closed by the time that it is ready."""
    kept = _lacks(config)
    if kept:
        _spares[config].append(spare)
        _changed.set()
    return kept


def _make_one(config: InterpreterConfig) -> None:
    taken = tuple(map(copy, _state()))
    setup = _make.snapshot("creator", warm=True, config=config)
    spare = _core._create(_make.raw_config(config), setup, True)
    _core._warm(spare)
    if not _keep(config, (spare, taken)):
        spare.close()


@_locked
def _next() -> InterpreterConfig | bool:
    """What the background thread is to make; True: nothing just now, False: nothing any more."""
    config = _missing()
    if _ending or (config is None and not _handles):
        _leave()
        return False
    return True if config is None else config


@_locked
def _leave() -> None:
    global _thread
    _thread = None
    _changed.set()


def _refill(promise: list[None]) -> None:
    """The background thread: makes what is missing, sleeps while nothing is."""
    try:
        promise.pop()
    except IndexError:
        return  # _start_thread() was interrupted, and there is to be no thread
    while True:
        try:
            config = _next()
            if config is False:
                return
            if config is True:
                _bell.wait()
                _bell.clear()
            else:
                _make_one(config)
        except BaseException:
            _leave()  # create() goes on without spares, and asks for them again
            raise


def _take(config: Any, stdio: str) -> _core.Interpreter | None:
    """A spare, if there is one, as create() gives it out."""
    try:
        spare, taken = _by_name[config].popleft()
    except (LookupError, TypeError):  # also of a config that is none
        spare = None
    if _thread is None:
        _start_thread()
    _ring()
    if spare is not None:
        unchanged = stdio == "creator" and taken == _state()
        _core._give_out(spare, None if unchanged else _make.snapshot(stdio, warm=True))
    return spare


def _stop() -> None:
    """Before the interpreter ends: no creation may be under way then."""
    global _ending
    _ending = True
    thread = _core._call_locked(_lock, lambda: _thread)  # no other is started from now on
    _ring()
    if thread is not None:
        thread.join()


def _after_fork() -> None:
    """In the child there are neither the spares nor the thread; the next create() has them made."""
    global _lock, _changed, _bell, _thread
    _lock, _changed, _bell, _thread = threading.RLock(), _core.Event(), _core.Event(), None
    for spares in _spares.values():
        spares.clear()


class Prewarmed:
    """What prewarm() returns; close() gives the spares up."""

    def __init__(self, count: int, config: InterpreterConfig) -> None:
        self._count = count
        self._config = config
        _open(self)
        _ring()

    def __repr__(self) -> str:
        return f"<atoll.prewarm({self._count}), {self.ready()} ready>"

    def ready(self) -> int:
        """How many spares of this configuration are ready just now."""
        return len(_spares.get(self._config, ()))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all spares are ready; False if timeout seconds passed first."""
        until = None if timeout is None else monotonic() + timeout
        while True:
            try:
                _changed.clear()
                ready, going_on = _look()
            except BaseException:  # Ctrl-C, no memory
                _changed.set()  # it may have been set, for others
                raise
            if ready or not going_on:
                _changed.set()  # others that wait are told, too
                return ready
            if not _changed.wait(None if until is None else max(0.0, until - monotonic())):
                return False

    def close(self) -> None:
        """Keep no more spares for this handle, and end those that are too many."""
        surplus: list[_Spare] = []
        try:
            _close(self, surplus)
        finally:
            _ring()
            for spare, _ in surplus:
                spare.close()

    def __enter__(self) -> Prewarmed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


@_locked
def _open(handle: Prewarmed) -> None:
    config = handle._config
    spares = _spares.setdefault(config, deque())
    _by_name[config] = spares
    for name in ("isolated", "legacy"):
        if parse(name) == config:
            _by_name[name] = spares
    _make.take_spare = _take
    _handles[id(handle)] = config, handle._count
    try:
        _start_thread()
    except BaseException:
        _handles.pop(id(handle), None)
        raise


@_locked
def _look() -> tuple[bool, bool]:
    """Is nothing missing?  Is there a thread to make it?"""
    return _missing() is None, _thread is not None


@_locked
def _close(handle: Prewarmed, surplus: list[_Spare]) -> None:
    if _handles.pop(id(handle), None) is None:
        return
    config = handle._config
    wanted = sum(n for other, n in _handles.values() if other == config)
    try:
        while len(_spares[config]) > wanted:
            surplus.append(_spares[config].pop())
    except IndexError:  # create() has just taken the last one
        pass
    if not _handles:
        _make.take_spare = None


@_locked
def _start_thread() -> None:
    global _thread
    if _thread is not None or _ending:
        return
    promise: list[None] = [None]  # who takes it out: the thread, as it begins, or this, to have no thread
    # A daemon where that is allowed; _stop() ends it in any case.
    daemon = _thread_module.daemon_threads_allowed()
    thread = threading.Thread(target=_refill, args=(promise,), name="atoll-prewarm", daemon=daemon)
    try:
        _thread = thread
        thread.start()
    except BaseException:
        with contextlib.suppress(IndexError):
            promise.pop()
            _thread = None
        raise


def prewarm(n: int, *, config: Any = "isolated") -> Prewarmed:
    """Keep n ready interpreters, so that create() takes one in microseconds.

    They are made, and refilled, by one background thread (the only thing
    that this call starts).  Returns a handle with close() and wait(), a
    context manager; several handles add up.  Spares are not in list_all().
    The child of a fork has none until it calls create().
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
os.register_at_fork(after_in_child=_after_fork)
