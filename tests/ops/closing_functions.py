"""What test_closing.py has called in interpreters."""

from __future__ import annotations

import threading
from typing import Any

import atoll


def watch(target: atoll.Interpreter, queue: Any) -> None:
    """Tells the queue where, and in which thread, it hears of target's end."""
    me = atoll.get_current()

    def heard(closed: atoll.Interpreter) -> None:
        here = atoll.get_current()
        queue.put((closed.id, here.id, here == me, threading.get_ident()))

    target.add_close_callback(heard)


def close(target: atoll.Interpreter) -> int:
    target.close()
    return threading.get_ident()


def refused(target: atoll.Interpreter | None) -> str:
    try:
        (target or atoll.get_current()).add_close_callback(print)
    except atoll.InterpreterError as error:
        return str(error)
    return "no error"


def hold(started: Any, release: Any) -> None:
    started.set()
    release.wait()
