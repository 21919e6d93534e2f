"""What a new interpreter takes over from its creator (see _make.snapshot).

Loaded in every interpreter, so it holds nothing else.
"""

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _rebuild_filters(found: "list[tuple[Any, ...]]") -> "list[tuple[Any, ...]]":
    import builtins

    filters = []
    for action, message, (module_name, name), module, line in found:
        if module_name == "builtins":
            category = getattr(builtins, name)
        else:
            try:
                from importlib import import_module
                from operator import attrgetter

                category = attrgetter(name)(import_module(module_name))
            except Exception:
                continue  # as for a -W option that names an unknown category
        filters.append((action, message, category, module, line))
    return filters


def apply(rest: "dict[str, Any]") -> None:
    """Take over what snapshot() recorded."""
    import _warnings

    filters = _rebuild_filters(rest["filters"])
    if filters != _warnings.filters:
        _warnings.filters[:] = filters
        _filters_mutated()
    creator = rest.get("creator")
    if creator is not None:
        from . import _stdio

        _stdio.redirect(creator)
    elif "argv" in rest:  # a spare, which was made for the other kind
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    if "argv" in rest:
        import os

        sys.argv[:] = rest["argv"]
        data = os.environ._data  # type: ignore[attr-defined]
        data.clear()
        data.update(rest["environ"])
    if not _watching:
        watch_extensions()
    if rest.get("install"):
        from ._install import install

        install()


#: Built-in modules that main must load first, if they are built in (preload.c).
_BUILT_IN = {"_asyncio", "_datetime", "_decimal", "_elementtree", "_zoneinfo", "pyexpat"}
_watching = False


def watch_extensions() -> None:
    """Step between import and the extension modules that this interpreter loads.

    A refusal gets a note that says who knows more.  Up to 3.13, what another
    interpreter must not load first is loaded by main before; 3.13 itself lets
    main load all but the modules of the new kind.
    """
    global _watching
    _watching = True
    bootstrap: Any = sys.modules["_frozen_importlib"]
    loader: Any = sys.modules["_frozen_importlib_external"].ExtensionFileLoader
    original, builtin = loader.create_module, bootstrap.BuiltinImporter.create_module
    version = sys.version_info[:2]

    def create_module(self: "Any", spec: "Any") -> "Any":
        name = spec.name
        if version == (3, 12) or (version == (3, 13) and name == "_datetime"):
            _core._load_in_main(name, None if name in ("_asyncio", "_datetime") else spec.origin)
        try:
            module = original(self, spec)
            if name == "_asyncio":
                _watch_event_loops(module)
            return module
        except ImportError as error:
            from ._imports import add_note

            add_note(error, name)
            raise

    def create_builtin(spec: "Any") -> "Any":
        name = spec.name
        if version < (3, 14) and name in _BUILT_IN:
            _core._load_in_main(name, None)
        try:
            module = builtin(spec)
            if name == "_asyncio":
                _watch_event_loops(module)
            return module
        except ImportError as error:
            from ._imports import add_note

            add_note(error, name)
            raise

    for function in (create_module, create_builtin):
        # A part of the machinery: tracebacks leave it out as they leave out the rest.
        function.__code__ = function.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")
    loader.create_module = create_module
    bootstrap.BuiltinImporter.create_module = staticmethod(create_builtin)


def _watch_event_loops(module: "Any") -> None:
    """Have every event loop that begins to run here wake when its code is interrupted.

    One that has nothing to do sleeps in C: before 3.15 nothing else ends that.
    Asked of the function by which a loop of any kind tells that it runs.
    """
    original = getattr(module, "_set_running_loop", None)
    if original is None:
        return

    def _set_running_loop(loop: "Any", /) -> None:
        original(loop)
        if loop is not None:
            from ._queues_aio import wake_when_interrupted

            wake_when_interrupted(loop)

    module._set_running_loop = _set_running_loop


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
