"""The built-in functions that look at the namespace of who called them, as __main__ calls them.

3.14 and later ask the thread for its namespace; before, C code that calls
these has none to show.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def call_in_main(function: "Callable[..., Any]", /, *args: "Any", **kwargs: "Any") -> "Any":
    """Call one of eval, exec, globals, locals, vars and dir as if __main__ did (3.12 and 3.13)."""
    if function is eval or function is exec:
        return _evaluate(function, *args, **kwargs)
    if args or kwargs:
        return function(*args, **kwargs)
    namespace = vars(sys.modules["__main__"])
    return sorted(namespace) if function is dir else namespace


def _evaluate(
    function: "Callable[..., Any]",
    source: "Any",
    /,
    globals: "dict[str, Any] | None" = None,
    locals: "Any" = None,
    **rest: "Any",
) -> "Any":
    return function(source, vars(sys.modules["__main__"]) if globals is None else globals, locals, **rest)
