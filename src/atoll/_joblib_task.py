"""What an interpreter runs for atoll.joblib; joblib itself may not be importable there."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def run_batch(items: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
    """The results of the calls of one batch."""
    parallel = sys.modules.get("joblib.parallel")
    if parallel is None:
        return [func(*args, **kwargs) for func, args, kwargs in items]
    # A task that uses joblib: no processes and no threads from in here.
    with parallel.parallel_config(backend="sequential"):
        return [func(*args, **kwargs) for func, args, kwargs in items]
