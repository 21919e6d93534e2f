"""What `atoll map` runs in each interpreter.

The function is named, not sent: each interpreter imports it once.  A result
becomes text where it was made, so that formatting runs in parallel, too.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_known: dict[str, Callable[[Any], Any]] = {}


def resolve(target: str) -> Callable[[Any], Any]:
    """The function that "module:name.name" stands for."""
    found = _known.get(target)
    if found is None:
        from importlib import import_module

        module, _, name = target.partition(":")
        found = import_module(module)  # type: ignore[assignment]
        for part in name.split("."):
            found = getattr(found, part)
        assert found is not None
        _known[target] = found
    return found


def run_many(target: str, jsonl: bool, items: list[str]) -> tuple[float, list[tuple[bool, str]]]:
    """(seconds, [(True, the result's line) or (False, the error's text)])."""
    start = time.perf_counter()
    function = resolve(target)
    if jsonl:
        import json
    done = []
    for item in items:
        try:
            if jsonl:
                done.append((True, json.dumps(function(json.loads(item)), ensure_ascii=False)))
            else:
                done.append((True, str(function(item))))
        except (Exception, SystemExit, GeneratorExit):
            done.append((False, describe(sys.exception())))
    return time.perf_counter() - start, done


def describe(error: BaseException | None) -> str:
    """The error with its traceback, without the lines of this package and of importlib."""
    import traceback

    assert error is not None
    following = error.__traceback__
    while following is not None and (
        following.tb_frame.f_globals.get("__package__") in ("atoll", "importlib")
        or "importlib" in following.tb_frame.f_code.co_filename
    ):
        following = following.tb_next
    return "".join(traceback.format_exception(type(error), error, following)).rstrip("\n")
