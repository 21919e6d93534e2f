"""install() and uninstall(): the standard names resolve to atoll.

Two names are taken over, both lazily: the module `concurrent.interpreters`,
and `InterpreterPoolExecutor` of `concurrent.futures`.  One finder at the head
of `sys.meta_path` answers for `concurrent.interpreters` and
`concurrent.futures.interpreter`; what `sys.modules` had under these names is
put aside, and comes back with uninstall().

`concurrent.futures` itself stays the standard library's.  Its attribute
`InterpreterPoolExecutor` is found by the module's `__getattr__`, which is
wrapped: at once if the module is loaded, else when it comes to be loaded.

Code that imported a name before install() keeps what it has, as with any
other replacement of a module.

`installed` is read by the code that makes interpreters: what atoll creates
afterwards begins with an install() of its own.

On 3.12 and 3.13, which have no `concurrent.interpreters`, the file
atoll-names.pth appends a finder of one line to `sys.meta_path` at every start
of an interpreter: it answers to that one name, after all others have said no,
and asks spec() here.  atoll is imported only then.
"""

from __future__ import annotations

import sys

# importlib.machinery and typing are not imported before they are needed: every
# new interpreter imports this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["install", "installed", "uninstall"]

#: Whether the standard names resolve to atoll in this interpreter.
installed: bool = False

_HERE = __file__.rpartition("_install")[0]
_FILES = {
    "concurrent.interpreters": _HERE + "_standard.py",
    "concurrent.futures.interpreter": _HERE + "_standard_pool.py",
}
_POOL = "InterpreterPoolExecutor"
_MISSING: Any = object()

# What was there before: modules by name, and concurrent.futures' attributes.
_saved_modules: dict[str, ModuleType] = {}
_saved_attributes: dict[str, Any] = {}


def install() -> None:
    """Make the standard names resolve to atoll, here and in interpreters made from now on.

    From now on ``concurrent.interpreters`` and
    ``concurrent.futures.InterpreterPoolExecutor`` are atoll's, in this
    interpreter and in every interpreter that atoll creates afterwards.
    Modules that imported the standard library's objects before keep them.
    Calling it again does nothing.

    For applications; a library should import ``atoll``.
    """
    global installed
    if installed:
        return
    sys.meta_path.insert(0, _finder)
    for name in _FILES:
        module = sys.modules.pop(name, None)
        if module is not None:
            _saved_modules[name] = module
        _forget(name)
    futures = sys.modules.get("concurrent.futures")
    if futures is not None:
        _patch_futures(futures)
    installed = True


def uninstall() -> None:
    """Undo :func:`install`: the standard names are the standard library's again.

    On 3.12 and 3.13, which have no ``concurrent.interpreters``, that name
    still finds atoll where the lazy alias of the installed package is active.
    Interpreters that were made meanwhile keep atoll's names.  Does nothing if
    install() was not called.
    """
    global installed
    if not installed:
        return
    installed = False
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name in _FILES:
        sys.modules.pop(name, None)
        _forget(name)
        module = _saved_modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module
            package, _, attribute = name.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], attribute, module)
    futures = sys.modules.get("concurrent.futures")
    if futures is not None:
        _restore_futures(futures)


def _forget(name: str) -> None:
    """Takes a submodule off its package, so that the next import looks for it."""
    package, _, attribute = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(attribute, None)


def _patch_futures(futures: ModuleType) -> None:
    """Lets ``concurrent.futures.InterpreterPoolExecutor`` find atoll's, lazily."""
    namespace = vars(futures)
    for name in (_POOL, "__getattr__", "__all__"):
        # Read from the dict: a lazy import (3.15) must stay one.
        _saved_attributes[name] = namespace.pop(name, _MISSING)
    original = _saved_attributes["__getattr__"]
    exported = _saved_attributes["__all__"]

    def __getattr__(name: str) -> Any:
        if name == _POOL:
            from concurrent.futures.interpreter import (  # type: ignore[import-not-found, unused-ignore]
                InterpreterPoolExecutor,
            )

            return InterpreterPoolExecutor
        if original is not _MISSING:
            return original(name)
        raise AttributeError(f"module {futures.__name__!r} has no attribute {name!r}")

    namespace["__getattr__"] = __getattr__
    if exported is not _MISSING:
        more = () if _POOL in exported else (_POOL,)
        namespace["__all__"] = type(exported)([*exported, *more])


def _restore_futures(futures: ModuleType) -> None:
    namespace = vars(futures)
    for name, value in _saved_attributes.items():
        namespace.pop(name, None)
        if value is not _MISSING:
            namespace[name] = value
    _saved_attributes.clear()


def spec(name: str) -> ModuleSpec:
    """Where the module that stands in for a standard one is; used by atoll-names.pth."""
    from importlib.machinery import ModuleSpec, SourceFileLoader

    found = ModuleSpec(name, SourceFileLoader(name, _FILES[name]), origin=_FILES[name])
    found.has_location = True
    return found


class _Finder:
    """Answers for the standard names; first in ``sys.meta_path``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _FILES:
            return spec(fullname)
        if fullname == "concurrent.futures":
            return _spec_of_futures(self, path, target)
        return None


def _spec_of_futures(
    finder: object, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """The standard library's spec, whose loader patches what it has loaded."""
    for other in sys.meta_path:
        find = getattr(other, "find_spec", None)
        if other is finder or find is None:
            continue
        found: ModuleSpec | None = find("concurrent.futures", path, target)
        if found is not None:
            if found.loader is not None:
                found.loader = _Loader(found.loader)  # type: ignore[assignment]
            return found
    return None


class _Loader:
    """A loader that patches ``concurrent.futures`` once it is loaded."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # From here on nobody need know.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if installed:
            _patch_futures(module)


_finder = _Finder()
