"""Tests of CPython's that are not run on atoll, each with its reason.

Only what is about CPython's private modules, or about a deviation that
docs/deviations.md states, may stand here.  The key is a regular expression
for the whole name; the versions are those on which it is left out (none: all).

Of a test that is only partly about a deviation, the subtests are left out: they
run, and may fail.  An entry that is not needed is an error.
"""

from __future__ import annotations

EXCLUDED: dict[str, tuple[tuple[str, ...], str]] = {
    r"test_api.InterpreterObjectTests.test_init_interpreter_id": (
        (),
        "reads the private attribute _id",
    ),
    r"test_api.ListAllTests.test_destroyed_by_gc": (
        (),
        "wants a collection in the middle of list_all(): atoll's is one C call, in which none happens "
        "(deviations.md, list_all)",
    ),
    r"test_api.TestInterpreterExec.test_display_preserved_exception": (
        (),
        "wants a line of the standard module's Python source in the traceback; atoll's exec() is in C",
    ),
    r"test_api.TestInterpreterPrepareMain.test_not_shareable": (
        (),
        "wants a dict to be refused: for atoll it crosses (deviations.md, prepare_main)",
    ),
    r"test_api.TestInterpreterCall.test_globals_from_stateless_func": (
        (),
        "wants a function without globals to run in the target's __main__: atoll's runs in the namespace "
        "of its own module (deviations.md, functions)",
    ),
    r"test_queues.LowLevelTests\..*": (
        (),
        "tests the private modules _interpqueues and concurrent.interpreters._queues",
    ),
    r"test_queues.TestQueueOps.test_timeout_uses_monotonic_clock": (
        (),
        "replaces the module `time` inside the private module _queues",
    ),
}

_CLOSURES = "wants a closure to be refused: for atoll it crosses by value (deviations.md, functions)"

EXCLUDED_SUBTESTS: dict[str, str] = {
    r"test_api.TestInterpreterCall.test_call_invalid \[.*": _CLOSURES,
    r"test_api.TestInterpreterCall.test_call_in_thread \[invalid case #[12]\]": _CLOSURES,
    r"test_api.TestInterpreterCall.test_stateless_funcs \[no args, returns unpickleable\]": _CLOSURES,
    r"test_api.TestInterpreterCall.test_stateless_func_returns_arg \[unpickleable <function .*": _CLOSURES,
    r"test_api.TestInterpreterCall.test_func_in___main___invalid \[.*": (
        "wants a function of __main__ that uses globals to be refused where the script does not define it: "
        "for atoll it crosses by value (deviations.md, functions)"
    ),
}
