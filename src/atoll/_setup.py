"""What C asks of Python around the life of an interpreter.

A new interpreter gets, at its first visit, what its creator had at the moment
of creation: ``snapshot()`` is taken in the creator, ``apply()`` runs in the
new one.
"""

from __future__ import annotations

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

_WARNING_FILTER_LENGTH = 5

#: prewarm() puts a function here: config -> a ready interpreter, or None.
take_spare: Callable[[Any], _core.Interpreter | None] | None = None


def _filters() -> list[tuple[Any, ...]] | None:
    warnings = sys.modules.get("warnings") or sys.modules.get("_warnings")
    if warnings is None:
        import _warnings as warnings  # type: ignore[no-redef]
    found: list[tuple[Any, ...]] = list(warnings.filters)
    for item in found:
        category = item[2]
        if category.__module__ != "builtins":
            # One of a class of the program's own: it crosses if it can.
            return [f for f in found if f[2].__module__ in sys.modules]
    return found


def snapshot(stdio: str, warm: bool = False) -> tuple[list[str], dict[str, Any]]:
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


def apply(rest: dict[str, Any]) -> None:
    """Take over what snapshot() recorded."""
    import _warnings

    filters = rest.get("filters")
    if filters is not None and filters != _warnings.filters:
        _warnings.filters[:] = filters  # type: ignore[attr-defined]
        _filters_mutated()
    creator = rest.get("creator")
    if creator is not None:
        from . import _stdio

        _stdio.redirect(creator)
    if "argv" in rest:
        import os

        sys.argv[:] = rest["argv"]
        data = os.environ._data  # type: ignore[attr-defined]
        data.clear()
        data.update(rest["environ"])
    if rest.get("install"):
        from ._install import install

        install()


def _filters_mutated() -> None:
    import _warnings

    mutated = getattr(_warnings, "_filters_mutated", None)
    if mutated is not None:  # up to 3.13
        mutated()
        return
    _warnings._acquire_lock()  # type: ignore[attr-defined]
    try:
        _warnings._filters_mutated_lock_held()  # type: ignore[attr-defined]
    finally:
        _warnings._release_lock()  # type: ignore[attr-defined]


def create(config: Any, stdio: str) -> _core.Interpreter:
    """A new interpreter, or a spare one (see prewarm)."""
    if take_spare is not None:
        spare = take_spare(config)
        if spare is not None:
            _core._give_out(spare, snapshot(stdio, warm=True))
            return spare
    return _core._create(raw_config(config), snapshot(stdio), False)


def raw_config(config: Any) -> Any:
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


def script_code(code: Any) -> CodeType:
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


def describe_threads(idents: list[int], joined: bool) -> str:
    """Text about those of the threads that threading._shutdown will not join.

    joined: it has joined already, so all of them count.
    """
    threading = sys.modules.get("threading")
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
    return ", ".join(names) + (" still runs in it" if len(names) == 1 else " still run in it") if names else ""


def _is_starting(threading: Any) -> bool:
    return threading is not None and bool(threading._limbo)
