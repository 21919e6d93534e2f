"""Many Python interpreters in one process, each with its own GIL.

The names follow PEP 734's ``concurrent.interpreters``::

    import atoll

    interp = atoll.create()
    interp.exec("print('spam!')")
    print(interp.call(sum, range(10)))

Importing atoll starts no thread.  Parts that not every program needs are
loaded when they are first used.
"""

import sys

# By its name, too: where it was loaded before the package, that has no such attribute.
from . import _core
from ._core import Interpreter, __version__, get_current, get_main, is_shareable, list_all

# This file, _setup and _stdio are loaded in many an interpreter: they do
# without `from __future__ import annotations`, which would load a module.
TYPE_CHECKING = False  # importing typing would cost more than all of atoll
if TYPE_CHECKING:
    from typing import Any

    from . import aio, futures, sync

    # `as` is how a type checker is told that they are public.
    from ._config import InterpreterConfig as InterpreterConfig
    from ._core import Queue as Queue
    from ._core import SharedBuffer as SharedBuffer
    from ._core import create_queue as create_queue
    from ._core import wait as wait
    from ._errors import ExecutionFailed as ExecutionFailed
    from ._errors import ExecutionInterrupted as ExecutionInterrupted
    from ._errors import ExecutionTimeout as ExecutionTimeout
    from ._errors import InterpreterError as InterpreterError
    from ._errors import InterpreterNotFoundError as InterpreterNotFoundError
    from ._errors import Interrupted as Interrupted
    from ._errors import ItemInterpreterDestroyed as ItemInterpreterDestroyed
    from ._errors import LimitExceeded as LimitExceeded
    from ._errors import NotShareableError as NotShareableError
    from ._errors import OwnerDiedError as OwnerDiedError
    from ._errors import QueueEmpty as QueueEmpty
    from ._errors import QueueError as QueueError
    from ._errors import QueueFull as QueueFull
    from ._errors import QueueNotFoundError as QueueNotFoundError
    from ._errors import QueueShutDown as QueueShutDown
    from ._expose import expose as expose
    from ._inspect import ThreadStack as ThreadStack
    from ._inspect import dump_stacks as dump_stacks
    from ._inspect import register_dump as register_dump
    from ._inspect import unregister_dump as unregister_dump
    from ._install import install as install
    from ._install import uninstall as uninstall
    from ._limits import track_memory as track_memory
    from ._pool import BrokenInterpreterPool as BrokenInterpreterPool
    from ._prewarm import prewarm as prewarm
    from ._queues import UNBOUND as UNBOUND
    from ._queues import UNBOUND_ERROR as UNBOUND_ERROR
    from ._queues import UNBOUND_REMOVE as UNBOUND_REMOVE
    from ._queues import QueueItemError as QueueItemError
    from ._supervised import stop_event as stop_event
    from ._supervisor import Supervisor as Supervisor
    from ._supervisor import SupervisorError as SupervisorError
    from ._supervisor import WorkerExit as WorkerExit
    from ._supervisor import WorkerInfo as WorkerInfo
    from .futures import InterpreterPoolExecutor as InterpreterPoolExecutor

#: Public names that are loaded at their first use: name -> module.
_LAZY = {
    "BrokenInterpreterPool": "_pool",
    "InterpreterConfig": "_config",
    "InterpreterPoolExecutor": "futures",
    "Supervisor": "_supervisor",
    "SupervisorError": "_supervisor",
    "ThreadStack": "_inspect",
    "WorkerExit": "_supervisor",
    "WorkerInfo": "_supervisor",
    "stop_event": "_supervised",
    "dump_stacks": "_inspect",
    "expose": "_expose",
    "install": "_install",
    "register_dump": "_inspect",
    "track_memory": "_limits",
    "unregister_dump": "_inspect",
    "prewarm": "_prewarm",
    "uninstall": "_install",
    "Queue": "_core",
    "SharedBuffer": "_core",
    "create_queue": "_core",
    "wait": "_core",
    "QueueItemError": "_queues",
    "UNBOUND": "_queues",
    "UNBOUND_ERROR": "_queues",
    "UNBOUND_REMOVE": "_queues",
    "ItemInterpreterDestroyed": "_errors",
    "QueueEmpty": "_errors",
    "QueueError": "_errors",
    "QueueFull": "_errors",
    "QueueNotFoundError": "_errors",
    "QueueShutDown": "_errors",
    "ExecutionFailed": "_errors",
    "ExecutionInterrupted": "_errors",
    "ExecutionTimeout": "_errors",
    "Interrupted": "_errors",
    "LimitExceeded": "_errors",
    "InterpreterError": "_errors",
    "InterpreterNotFoundError": "_errors",
    "NotShareableError": "_errors",
    "OwnerDiedError": "_errors",
}

#: Public modules, loaded when they are first named.
_MODULES = ("aio", "futures", "sync")

__all__ = [
    "Interpreter",
    "__version__",
    "create",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
    *_LAZY,
]


def create(
    *,
    name: str | None = None,
    config: "Any" = "isolated",
    stdio: str = "creator",
) -> Interpreter:
    """Return a new idle interpreter.

    name: text for its repr, its threads and its tracebacks.
    config: "isolated", "legacy" or an InterpreterConfig.
    stdio: "creator", so that what it prints appears where the prints of the
    calling interpreter appear, in order; or "process", to write to the
    process's own streams.

    The present ``sys.path`` and warning filters are copied.  Raises
    ValueError for a config that CPython refuses, InterpreterError if the
    interpreter cannot be made.
    """
    if stdio != "creator" and stdio != "process":
        raise ValueError(f"stdio must be 'creator' or 'process', not {stdio!r}")
    from . import _make

    interp = _make.create(config, stdio)
    if name is not None:
        interp.name = name
    return interp


def __getattr__(name: str) -> "Any":
    if name in _MODULES:
        __import__(f"atoll.{name}")
        return sys.modules[f"atoll.{name}"]
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'atoll' has no attribute {name!r}")
    __import__(f"atoll.{module}")
    value = getattr(sys.modules[f"atoll.{module}"], name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
