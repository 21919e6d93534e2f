"""The rarer parts of what a new interpreter takes over; the others are in setup.c."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def set_filters(found: "list[tuple[Any, ...]]") -> None:
    """Make the creator's warning filters (_make.snapshot) those of this interpreter."""
    import _warnings

    filters = []
    for action, message, (module_name, name), module, line in found:
        try:
            from importlib import import_module
            from operator import attrgetter

            category = attrgetter(name)(import_module(module_name))
        except Exception:
            continue  # as for a -W option that names an unknown category
        filters.append((action, message, category, module, line))
    _warnings.filters[:] = filters
    mutated = getattr(_warnings, "_filters_mutated", None)
    if mutated is not None:  # up to 3.13
        mutated()
        return
    _warnings._acquire_lock()  # type: ignore[attr-defined]
    try:
        _warnings._filters_mutated_lock_held()  # type: ignore[attr-defined]
    finally:
        _warnings._release_lock()  # type: ignore[attr-defined]


def take_process(argv: list[str], environ: "dict[Any, Any]") -> None:
    """The creator's arguments and environment, for a spare that was made before them."""
    import os

    sys.argv[:] = argv
    data = os.environ._data  # type: ignore[attr-defined]
    data.clear()
    data.update(environ)


def watch_event_loops(module: "Any") -> None:
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
