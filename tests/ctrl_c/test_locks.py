"""Where atoll's Python code takes a lock of threading's while Ctrl-C may come."""

from __future__ import annotations

import threading

import pytest

from atoll import _core


def test_call_locked() -> None:
    """It is held meanwhile, and let go whatever happens."""
    lock = threading.Lock()
    assert _core._call_locked(lock, lambda *args: (args, lock.locked()), 1, 2) == ((1, 2), True)
    assert not lock.locked()
    with pytest.raises(ZeroDivisionError):
        _core._call_locked(lock, divmod, 1, 0)
    assert not lock.locked()


def test_call_locked_again() -> None:
    lock = threading.RLock()
    assert _core._call_locked(lock, _core._call_locked, lock, abs, -1) == 1
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()


def test_call_locked_and_released() -> None:
    lock = threading.Lock()
    with pytest.raises(RuntimeError, match="unlocked"):
        _core._call_locked(lock, lock.release)


def test_call_locked_wrongly() -> None:
    with pytest.raises(TypeError, match="a lock and a callable"):
        _core._call_locked(threading.Lock())  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        _core._call_locked(None, abs, -1)
