"""Extension modules in interpreters that are not the main one.

Loaded where one refuses, and in the main interpreter where that has to load
one first: preload.c says when and why.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Modules whose types get ready only when they are executed: main imports them.
_EXECUTED = {"_asyncio", "_datetime"}
#: Modules that are loaded, or have failed.
_loaded: set[str] = set()


def load_first(name: str, path: str | None) -> None:
    """Load an extension module here, in the main interpreter; path: None if it is built in."""
    if name in _EXECUTED:
        __import__(name)
        return
    bootstrap: Any = sys.modules["_frozen_importlib"]
    loader: Any = bootstrap.BuiltinImporter
    if path is not None:
        external: Any = sys.modules["_frozen_importlib_external"]
        loader = external.ExtensionFileLoader(name, path)
    # The lock that an import of it takes here: who comes second waits until it is loaded.
    with bootstrap._ModuleLockManager(name):
        if name in sys.modules or name in _loaded:
            return
        try:
            # Its init function and no more: a module of the old kind is complete then, one of the new
            # kind is dropped.
            bootstrap.module_from_spec(bootstrap.ModuleSpec(name, loader, origin=path))
        finally:
            _loaded.add(name)


def add_note(error: ImportError, name: str) -> None:
    """Tell whoever sees that error what refused, and who knows more."""
    if "does not support loading in subinterpreters" not in str(error):
        return
    top = name.partition(".")[0]
    error.add_note(
        f"{name} does not work in an isolated interpreter; `atoll doctor {top}` tells what does.\n"
        'An interpreter made with atoll.create(config="legacy") shares the GIL and may load it.'
    )
