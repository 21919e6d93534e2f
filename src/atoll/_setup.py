"""What a new interpreter takes over from its creator (see _make.snapshot).

Loaded in every interpreter, so it holds nothing else.
"""

import sys

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
