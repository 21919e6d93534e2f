"""What `atoll map` runs in each interpreter.

The function is named, not sent: each interpreter imports it once.  A result
becomes text where it was made, so that formatting runs in parallel, too, and
one that is no UTF-8 is the failure of its own input.
"""

from __future__ import annotations

import time

from ._errors import Interrupted

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
                value = function(json.loads(item))
                text = json.dumps(value, ensure_ascii=False)
                if not _is_printable(text):
                    text = json.dumps(value)
            else:
                text = "".join((str(function(item)),))  # a str, and no subclass
                text.encode("utf-8", "surrogateescape")
            done.append((True, text))
        except Interrupted:
            raise  # the whole task is stopped
        except BaseException as error:
            done.append((False, describe(error)))
    return time.perf_counter() - start, done


def _is_printable(text: str) -> bool:
    """Is it UTF-8, but for bytes that were none when they were read?"""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def describe(error: BaseException) -> str:
    """The error with its traceback, without the lines of this package and of importlib."""
    import traceback

    following = error.__traceback__
    while following is not None and (
        following.tb_frame.f_globals.get("__package__") in ("atoll", "importlib")
        or "importlib" in following.tb_frame.f_code.co_filename
    ):
        following = following.tb_next
    return "".join(traceback.format_exception(type(error), error, following)).rstrip("\n")
