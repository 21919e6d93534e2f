"""What editors, help() and type checkers see of the public names."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import atoll
import atoll.aio
import atoll.futures
import atoll.sync

MODULES = [atoll, atoll.aio, atoll.futures, atoll.sync]


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, class, method and property, by its dotted name."""
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            if not isinstance(value, type) or not value.__module__.startswith("atoll"):
                continue
            if issubclass(value, BaseException):
                continue
            for member, found in vars(value).items():
                if not member.startswith("_"):
                    found = found.__func__ if isinstance(found, classmethod | staticmethod) else found
                    yield f"{module.__name__}.{name}.{member}", found


NAMES = dict(public())


def test_there_is_something_to_check() -> None:
    assert len(NAMES) > 120
    assert {"atoll.Interpreter.call", "atoll.sync.Lock.acquire", "atoll.create"} <= set(NAMES)


def test_docstrings() -> None:
    needs = (type, property, types.GetSetDescriptorType, types.MemberDescriptorType)
    without = [
        name
        for name, value in NAMES.items()
        if (callable(value) or isinstance(value, needs)) and not (inspect.getdoc(value) or "").strip()
    ]
    assert not without


def test_signatures() -> None:
    # A data descriptor is no function; an exception's constructor is its base's.
    without = []
    for name, value in NAMES.items():
        if not callable(value) or isinstance(value, types.MemberDescriptorType):
            continue
        if isinstance(value, type) and issubclass(value, BaseException):
            continue
        try:
            inspect.signature(value)
        except ValueError:
            without.append(name)
    assert not without


def test_help_reads_well() -> None:
    text = pydoc.plain(pydoc.render_doc(atoll))
    for word in ("create(", "class Interpreter", "interp.call(", "InterpreterPoolExecutor"):
        assert word in text, word
    assert "_core.pyi" not in text
    text = pydoc.plain(pydoc.render_doc(atoll.Interpreter))
    for word in ("call(", "timeout", "interrupt(", "close("):
        assert word in text, word


def test_dir_has_the_public_names() -> None:
    """What a completion at the prompt goes by, before and after their first use."""
    import rlcompleter

    code = "import atoll; print(*dir(atoll))"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert set(atoll.__all__) <= set(listed)
    completer = rlcompleter.Completer({"atoll": atoll, "interp": atoll.get_main()})
    assert completer.complete("atoll.cre", 0).startswith("atoll.create")  # type: ignore[union-attr]
    assert completer.complete("interp.call_", 0).startswith("interp.call_in_thread")  # type: ignore[union-attr]
