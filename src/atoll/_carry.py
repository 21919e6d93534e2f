"""carried: the text that options(carry=...) sends along with a call.

Apart from atoll.aio, so that an interpreter that only reads it does not load
asyncio.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["carried"]

#: What the running call was given to carry; an empty dict if nothing.
carried: ContextVar[dict[str, str]] = ContextVar("atoll.aio.carried", default={})  # noqa: B039


def call_with(carry: dict[str, str], func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call func with `carried` set."""
    token = carried.set(carry)
    try:
        return func(*args, **kwargs)
    finally:
        carried.reset(token)


def check(carry: Any) -> dict[str, str] | None:
    """A copy of carry; TypeError if it is no dict of text."""
    if carry is None:
        return None
    if not isinstance(carry, dict) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in carry.items()
    ):
        raise TypeError("carry must be a dict of str to str")
    return dict(carry)
