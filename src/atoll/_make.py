"""What C asks of Python around the life of an interpreter.

A new interpreter gets, at its first visit, what its creator had at the moment
of creation: ``snapshot()`` is taken in the creator, setup.c applies it in the
new one.
"""

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

#: prewarm() puts a function here: config, stdio -> a ready interpreter, or None.
take_spare: "Callable[[Any, str], _core.Interpreter | None] | None" = None


def _filters() -> "list[tuple[Any, ...]]":
    """The warning filters, categories by name: a class would cost more to send."""
    import _warnings

    found = []
    for action, message, category, module, line in _warnings.filters:
        where = category.__module__, category.__qualname__
        if where[0] != "__main__":  # no import would find it there
            found.append((action, message, where, module, line))
    return found


def snapshot(
    stdio: str, warm: bool = False, config: "Any" = "isolated"
) -> "tuple[list[str], dict[str, Any]]":
    """(sys.path, what else a new interpreter takes over)."""
    rest: dict[str, Any] = {"filters": _filters()}
    if stdio == "creator":
        rest["creator"] = _core.get_current().id
    if warm:
        import os

        rest["argv"] = list(sys.argv)
        rest["environ"] = dict(os.environ._data)  # type: ignore[attr-defined]
    install = sys.modules.get("atoll._install")
    if install is not None and install.installed:
        rest["install"] = True
    return sys.path, rest


def create(config: "Any", stdio: str) -> _core.Interpreter:
    """A new interpreter, or a spare one (see prewarm)."""
    if take_spare is not None:
        spare = take_spare(config, stdio)
        if spare is not None:
            return spare
    return _core._create(raw_config(config), snapshot(stdio, config=config), False)


def raw_config(config: "Any") -> "Any":
    """What the C code takes for a public config."""
    if config == "isolated" and sys.version_info >= (3, 13):
        return "isolated"
    from ._config import to_raw

    return to_raw(config)


def dedent(text: str) -> str:
    """Remove the first non-blank line's margin from every line that has it."""
    lines = text.splitlines(keepends=True)
    margin = ""
    for line in lines:
        body = line.lstrip(" \t\f")
        if body.strip():
            margin = line[: len(line) - len(body)]
            break
    cut = len(margin)
    return "".join(line[cut:] if line.startswith(margin) else line for line in lines)


def script_code(code: "Any") -> "CodeType":
    """The code object that exec() runs; ValueError if it is no script."""
    import types

    if isinstance(code, types.FunctionType):
        if code.__defaults__ or code.__kwdefaults__:
            raise ValueError("exec() takes a function without arguments")
        code = code.__code__
    if code.co_argcount or code.co_kwonlyargcount or code.co_flags & 0x0C:
        raise ValueError("exec() takes code without arguments; use call()")
    if code.co_freevars:
        raise ValueError("exec() takes a function that is no closure; use call()")
    if code.co_flags & 0x2A0:
        raise ValueError("exec() takes no generator and no coroutine function")
    return code  # type: ignore[no-any-return]


def join_threads(seconds: float) -> None:
    """What threading._shutdown() does, up to a time, and so that Ctrl-C gets through.

    CPython calls the real one at the interpreter's end, when there is nothing
    left for it to wait for; calling it twice fails on 3.12.
    """
    threading = sys.modules.get("threading")
    if threading is None:
        return
    workers = sys.modules.get("concurrent.futures.thread")
    while threading._threading_atexits:
        function = threading._threading_atexits.pop()
        if workers is not None and _calls(function, workers._python_exit):
            _tell_workers(workers)
        else:
            function()
    _hush_watchers(threading)
    from time import monotonic

    deadline = monotonic() + seconds
    own = threading.get_ident()
    patience = None
    while True:
        waiting = [
            thread
            for thread in threading.enumerate()
            if not thread.daemon
            and thread.ident != own
            and thread is not threading._main_thread
            and not isinstance(thread, threading._DummyThread)
        ]
        begun = [thread for thread in waiting if thread._started.is_set()]
        if not waiting or monotonic() >= deadline:
            return
        if begun:
            patience = None
            begun[0].join(0.05)
        elif patience is not None and monotonic() >= patience:
            return  # an interruption has cut their start() off: they will never run
        else:
            patience = monotonic() + 1.0 if patience is None else patience
            waiting[0]._started.wait(0.05)
        _core._check()


def _calls(function: "Any", wanted: "Any") -> bool:
    """Is it what threading made of that function, a partial or a closure?"""
    cells = getattr(function, "__closure__", None) or ()
    return getattr(function, "func", None) is wanted or any(cell.cell_contents is wanted for cell in cells)


def _tell_workers(module: "Any") -> None:
    """What the function does that concurrent.futures.thread has called here; but it does not join them."""
    with module._global_shutdown_lock:
        module._shutdown = True
    for queue in list(module._threads_queues.values()):
        queue.put(None)


def cancel_tasks() -> list[int]:
    """Before threads are interrupted: cancel what ThreadPoolExecutors have not begun.

    Returns the idents of workers that have nothing to do.  They end when they
    are told to, by join_threads(); what is raised in them they would log.  One
    that has something to do takes what is raised for the outcome of that.
    """
    module = sys.modules.get("concurrent.futures.thread")
    if module is None:
        return []
    for queue in list(module._threads_queues.values()):
        try:
            while True:
                task = queue.get_nowait()
                if task is not None:
                    task.future.cancel()
        except module.queue.Empty:
            pass
    idle = []
    for ident, frame in sys._current_frames().items():
        if frame.f_code is module._worker.__code__:
            task = frame.f_locals.get("work_item")
            if task is not None:  # just taken, or done
                task.future.cancel()
            idle.append(ident)
    return idle


def _hush_watchers(threading: "Any") -> None:
    """What watches for the end of foreign threads does so while threading has its globals.

    3.13.0 finalizes those objects after the module was emptied, and they
    complain of it on stderr (python/cpython#130522).
    """
    watcher = getattr(threading, "_DeleteDummyThreadOnDel", None)
    forget = getattr(watcher, "__del__", None)
    if watcher is None or forget is None:
        return

    def forget_in_time(self: "Any") -> None:
        if threading._active_limbo_lock is not None:
            forget(self)

    watcher.__del__ = forget_in_time


def describe_threads(idents: list[int], joined: bool) -> str:
    """Text about those of the threads that threading._shutdown will not join.

    joined: it has joined already, so all of them count.
    """
    threading: Any = sys.modules.get("threading")
    names = []
    for ident in idents:
        thread = None if threading is None else threading._active.get(ident)
        if thread is None or isinstance(thread, threading._DummyThread):
            if joined or not _is_starting(threading):
                names.append(f"a thread that threading does not know ({ident:#x})")
        elif thread.daemon:
            names.append(f"daemon thread {thread.name!r}")
        elif joined:
            names.append(f"thread {thread.name!r}")
    return (
        ", ".join(names) + (" still runs in it" if len(names) == 1 else " still run in it") if names else ""
    )


def _is_starting(threading: "Any") -> bool:
    return threading is not None and bool(threading._limbo)


def describe_stack(frame: "FrameType") -> str:
    """The stack whose innermost frame this is, as in a traceback."""
    from traceback import format_stack

    return "".join(format_stack(frame)).rstrip("\n")
