"""InterpreterConfig: what an interpreter may do and shares."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, Literal

__all__ = ["InterpreterConfig"]


@dataclass(frozen=True)
class InterpreterConfig:
    """The fields of CPython's PyInterpreterConfig; the defaults are "isolated".

    gil: "own", or "shared" with the main interpreter.
    use_main_obmalloc: allocate objects where the main interpreter does;
    needs gil="shared".
    allow_exec, allow_threads, allow_daemon_threads: whether code in it may do
    that.
    allow_fork: accepted, but os.fork() is refused in any case, since CPython
    aborts the child that is forked outside the main interpreter.  Processes
    are started by subprocess, which needs none of these.
    check_multi_interp_extensions: refuse extension modules that do not say
    that they support several interpreters; must be on with gil="own" or
    without use_main_obmalloc.
    """

    gil: Literal["own", "shared"] = "own"
    use_main_obmalloc: bool = False
    allow_fork: bool = False
    allow_exec: bool = False
    allow_threads: bool = True
    allow_daemon_threads: bool = False
    check_multi_interp_extensions: bool = True


ISOLATED = InterpreterConfig()
LEGACY = InterpreterConfig(
    gil="shared",
    use_main_obmalloc=True,
    allow_fork=True,
    allow_exec=True,
    allow_threads=True,
    allow_daemon_threads=True,
    check_multi_interp_extensions=False,
)


def parse(config: Any) -> InterpreterConfig:
    """The InterpreterConfig for what create() was given."""
    if isinstance(config, InterpreterConfig):
        return config
    if config == "isolated":
        return ISOLATED
    if config == "legacy":
        return LEGACY
    if isinstance(config, str):
        raise ValueError(f"config must be 'isolated', 'legacy' or an InterpreterConfig, not {config!r}")
    raise TypeError(
        f"config must be 'isolated', 'legacy' or an InterpreterConfig, not {type(config).__name__}"
    )


def check(config: InterpreterConfig) -> None:
    """Raise ValueError for a combination that CPython refuses."""
    if config.gil not in ("own", "shared"):
        raise ValueError(f"gil must be 'own' or 'shared', not {config.gil!r}")
    if config.gil == "own":
        if config.use_main_obmalloc:
            raise ValueError(
                "gil='own' needs use_main_obmalloc=False: the main allocator is guarded by the main GIL"
            )
        if not config.check_multi_interp_extensions:
            raise ValueError(
                "gil='own' needs check_multi_interp_extensions=True: "
                "an extension module that relies on one GIL would crash"
            )
    elif not config.use_main_obmalloc and not config.check_multi_interp_extensions:
        raise ValueError(
            "use_main_obmalloc=False needs check_multi_interp_extensions=True: "
            "single-phase extension modules share objects with the main interpreter"
        )


def to_raw(config: Any) -> Any:
    """What the C code takes: the object of _interpreters on 3.13+, a namespace on 3.12."""
    parsed = parse(config)
    check(parsed)
    fields = asdict(parsed) | {"allow_fork": False}
    if sys.version_info < (3, 13):
        return SimpleNamespace(**fields)
    import _interpreters

    return _interpreters.new_config("isolated", **fields)
