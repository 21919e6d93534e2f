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
    r"test_interpreter_pool.InterpreterPoolExecutorTest.test_(init|submit)_closure": (
        (),
        "wants a closure to be refused: for atoll it crosses by value (deviations.md, functions)",
    ),
    r"test_interpreter_pool.InterpreterPoolExecutorTest.test_(init|submit)_instance_method": (
        (),
        "wants a method of a local class to be refused: for atoll the class crosses by value "
        "(deviations.md, functions)",
    ),
    r"test_interpreter_pool.InterpreterPoolExecutorTest.test_submit_local_instance": (
        (),
        "wants a local class to be refused: for atoll it crosses by value (deviations.md, functions)",
    ),
    r"test_interpreter_pool.InterpreterPoolExecutorTest.test_import_interpreter_pool_executor": (
        (),
        "wants the pool's name to be missing where the built-in module _interpreters is: after install() "
        "it is atoll's",
    ),
    r"test_interpreter_pool.InterpreterPoolExecutorTest.test_pickle_errors_propagate": (
        (),
        "wants NotShareableError where an argument's own code fails as it is rebuilt: atoll raises that "
        "code's exception, and says what was being rebuilt (deviations.md, pools)",
    ),
    r"test_thread_pool.ThreadPoolExecutorTest.test_default_workers": (
        (),
        "wants four threads more than there are CPUs: atoll's pool has as many workers as CPUs "
        "(deviations.md, pools)",
    ),
    r"test_thread_pool.ThreadPoolExecutorTest.test_map_submits_without_iteration": (
        (),
        "wants a task to append to the test's own list, of which another interpreter has a copy",
    ),
    r"test_thread_pool.ThreadPoolExecutorTest.test_executor_map_current_future_cancel": (
        (),
        "wants a task to append to the test's own list, of which another interpreter has a copy",
    ),
    r"test_thread_pool.ThreadPoolExecutorTest.test_hang_global_shutdown_lock": (
        (),
        "wants a task to submit to its own pool without end: a pool crosses as a pool of its own",
    ),
    r"test_thread_pool.ThreadPoolExecutorTest.test_process_fork_from_a_threadpool": (
        (),
        "forks in a task: CPython refuses that in another interpreter",
    ),
    r"test_shutdown.ThreadPoolShutdownTest.test_cancel_futures": (
        (),
        "wants a task to have begun by the time that 50 are submitted, which a thread does and a new "
        "interpreter does not; tests/pools has the same test with a worker that has begun",
    ),
    r"test_shutdown.ThreadPoolShutdownTest.test_thread_names_default": (
        (),
        "wants ThreadPoolExecutor in the names of threads: atoll's say InterpreterPoolExecutor",
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
