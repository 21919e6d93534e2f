"""Which functions, classes and modules another interpreter can import.

What can be imported crosses as "module:qualified name".  Three things must
hold: the module would be found by an ordinary import, in an interpreter that
knows no more than ``sys.path``; it is the module that such an import would
give, not another of the same name; and the name leads to this very object.

Nothing of the user's is imported here: a ``__main__`` without a guard, above
all, is never executed a second time.

Kept small: it is loaded at the first call of anything, long before something
has to cross by value.
"""

from __future__ import annotations

import sys
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = ["find", "find_module", "importable"]

_MISSING: Any = object()
_HEAPTYPE = 1 << 9
_IMMUTABLETYPE = 1 << 8
_ORDINARY = ("_frozen_importlib", "_frozen_importlib_external")

# name -> (the module, what was found out about it)
_known: dict[str, tuple[Any, bool]] = {}


def find(obj: Any) -> str | None:
    """Return "module:qualified name" if an import there gives what `obj` is here."""
    try:
        name = obj.__qualname__
    except AttributeError:
        name = getattr(obj, "__name__", None)
    if type(name) is not str or "<locals>" in name:
        return None
    module = getattr(obj, "__module__", None)
    if module is None:
        # A built-in function: its module is what it is bound to.
        module = getattr(getattr(obj, "__self__", None), "__name__", None)
    if type(module) is not str:
        return None
    if module not in sys.modules:
        _load(obj, module)
    if _reach(module, name) is obj:
        return f"{module}:{name}" if importable(module) else None
    if _reach("_interpreters", name) is obj:
        # CPython's own errors: they bear a module's name that need not be
        # loaded, or that atoll.install() has given to another.
        return f"_interpreters:{name}"
    if module == "builtins" and isinstance(obj, type):
        return _find_type(obj)
    return None


def _load(obj: Any, module: str) -> None:
    """Import the module of a built-in type that exists before its module (typing.TypeVar)."""
    if isinstance(obj, type) and (not obj.__flags__ & _HEAPTYPE or obj.__flags__ & _IMMUTABLETYPE):
        if module in sys.stdlib_module_names:
            __import__(module)


def _find_type(obj: type) -> str | None:
    """Look for a built-in type that has no name in its own module (function, generator)."""
    import _collections_abc
    import types

    for where, module in (("types", types), ("_collections_abc", _collections_abc)):
        for name, value in vars(module).items():
            if value is obj:
                return f"{where}:{name}"
    return None


def _reach(module: str, name: str) -> Any:
    here: Any = sys.modules.get(module)
    if here is None:
        return _MISSING
    for part in name.split("."):
        try:
            here = getattr(here, part)
        except Exception:  # a module's or a class's own __getattr__ may raise anything
            return _MISSING
    return here


def find_module(module: ModuleType) -> str | None:
    """Return the name by which an import gives this module there."""
    name = module.__name__
    if sys.modules.get(name) is not module:
        for name, value in list(sys.modules.items()):
            if value is module:
                break
        else:
            return None
    if importable(name):
        return name
    # A package may put modules into sys.modules itself (six.moves): they are
    # there once the package is imported.
    parent = name.rpartition(".")[0]
    return name if parent and importable(parent) else None


def importable(name: str) -> bool:
    """Tell whether ``import name`` elsewhere gives what it gave here."""
    module = sys.modules.get(name)
    if module is None:
        return False
    known = _known.get(name)
    if known is not None and known[0]() is module:
        return known[1]
    result = _probe(name, module)
    try:
        _known[name] = (ref(module), result)
    except TypeError:  # somebody's own object in sys.modules
        pass
    return result


def _probe(name: str, module: Any) -> bool:
    if name == "__main__":
        return False
    top, _, rest = name.partition(".")
    spec = getattr(module, "__spec__", None)
    if spec is not None and not rest and top in sys.builtin_module_names:
        return True
    found = _find_spec(name)
    if found is None:
        return False
    if spec is None or not (found.has_location and getattr(spec, "has_location", False)):
        return True
    return _same_file(found.origin, spec.origin)


def _find_spec(name: str) -> Any:
    path = None
    parent = name.rpartition(".")[0]
    if parent:
        if not importable(parent):
            return None
        path = getattr(sys.modules[parent], "__path__", None)
        if path is None:
            return None
    for finder in list(sys.meta_path):
        ordinary = getattr(finder, "__module__", None) in _ORDINARY
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # somebody else's finder
            continue
        # Who puts a finder of his own first (an editable install does it by
        # a .pth file) is believed if there is a file behind it.
        if spec is not None and (ordinary or (spec.has_location and _same_file(spec.origin, spec.origin))):
            return spec
    return None


def _same_file(one: Any, other: Any) -> bool:
    import os

    try:
        if one == other:
            return os.path.exists(one)
        return os.path.samefile(one, other)
    except (OSError, TypeError, ValueError):
        return False
