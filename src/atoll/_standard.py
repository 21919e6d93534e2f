"""What `concurrent.interpreters` is where atoll stands in for it.

The names of CPython 3.14's module, and no others: a program written against
this one runs against that one.  It is loaded under the name
`concurrent.interpreters`, by atoll-names.pth on 3.12 and 3.13 and by
`atoll.install()` anywhere.
"""

from atoll import (
    ExecutionFailed,
    Interpreter,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
    Queue,
    QueueEmpty,
    QueueFull,
    create,
    create_queue,
    get_current,
    get_main,
    is_shareable,
    list_all,
)

__all__ = [
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "create",
    "create_queue",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
]
