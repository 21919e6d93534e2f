"""Interpreter.add_close_callback(): the callbacks of this interpreter, by number."""

from __future__ import annotations

import itertools

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count(1)
_callbacks: dict[int, Callable[[_core.Interpreter], object]] = {}

#: For the C code (ext/close_callback.c): whoever takes it calls it.
take = _callbacks.pop


def add_close_callback(interp: _core.Interpreter, fn: Callable[[_core.Interpreter], object], /) -> None:
    if not callable(fn):
        raise TypeError(f"expected a callable, got {fn!r}")
    number = next(_numbers)
    _callbacks[number] = fn
    try:
        _core._watch_close(interp, number)
    except BaseException:
        _callbacks.pop(number, None)
        raise
