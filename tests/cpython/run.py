"""Runs CPython's own tests of concurrent.interpreters and of executors with atoll in its place.

    python tests/cpython/run.py [--stdlib] [--each] [NAME...]

The tests are those of the running Python (3.14 or later; Debian's
libpython3.14-testsuite).  NAME is a part of a test's name, such as
"test_api.TestInterpreterExec" or "test_lifecycle".  Of the tests of
concurrent.futures, those of the interpreter pool run, and those of the thread
pool with atoll's pool, events and semaphores in the place of threading's; the
process pool's are not about atoll.  `--stdlib` leaves the
standard module in place, to see what a test does there; `--each` runs every
test in a process of its own, to find the one that crashes.

A test that is left out stands in excluded.py with its reason.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from excluded import EXCLUDED, EXCLUDED_SUBTESTS  # noqa: E402

#: The modules of tests, and the packages that they are in.
MODULES = {
    "test_api": "test.test_interpreters",
    "test_lifecycle": "test.test_interpreters",
    "test_queues": "test.test_interpreters",
    "test_interpreter_pool": "test.test_concurrent_futures",
    "test_thread_pool": "test.test_concurrent_futures",
    "test_as_completed": "test.test_concurrent_futures",
    "test_init": "test.test_concurrent_futures",
    "test_shutdown": "test.test_concurrent_futures",
    "test_wait": "test.test_concurrent_futures",
}
#: Seconds for one module; a safety net against a hang.
LIMIT = 300


def short(test: unittest.TestCase) -> str:
    """ "test_api.CreateTests.test_in_main" of "test.test_interpreters.test_api..."."""
    return ".".join(test.id().split(".")[2:])


def every_test(suite: unittest.TestSuite | unittest.TestCase) -> list[unittest.TestCase]:
    if isinstance(suite, unittest.TestCase):
        return [suite]
    return [test for part in suite for test in every_test(part)]


def reason_of(name: str) -> str | None:
    """Why a test is left out here, if it is."""
    version = "%d.%d" % sys.version_info[:2]
    for pattern, (versions, reason) in EXCLUDED.items():
        if (not versions or version in versions) and re.fullmatch(pattern, name):
            return reason
    return None


def load(module: str) -> list[unittest.TestCase]:
    tests = importlib.import_module(f"{MODULES[module]}.{module}")
    found = every_test(unittest.defaultTestLoader.loadTestsFromModule(tests))
    return [test for test in found if is_about_atoll(test)]


def is_about_atoll(test: unittest.TestCase) -> bool:
    """Is it a test of the process pool, or of another class that atoll has no part in?"""
    if ".test_concurrent_futures." not in test.id():
        return True
    # A class for each kind of pool, and one for the process pool's resources.
    return not re.search(r"\.(ProcessPool|FailingInitializerResources)", test.id())


class Replaced:
    """A module with some names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(names, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def stand_in_for_threads(module: str) -> None:
    """The tests of the thread pool are atoll's pool's."""
    import threading
    from concurrent import futures
    from concurrent.futures.interpreter import InterpreterPoolExecutor

    from test.test_concurrent_futures import util

    import atoll
    from atoll import sync

    assert InterpreterPoolExecutor is atoll.InterpreterPoolExecutor
    for mixin in util.ThreadPoolMixin, util.InterpreterPoolMixin:
        mixin.executor_type = atoll.InterpreterPoolExecutor
        mixin.create_event = lambda self: sync.Event()
    tests = importlib.import_module(f"{MODULES[module]}.{module}")
    tests.futures = Replaced(futures, ThreadPoolExecutor=atoll.InterpreterPoolExecutor)
    tests.threading = Replaced(threading, Event=sync.Event, Semaphore=sync.Semaphore)


def stands_in() -> None:
    """Makes sure that the tests see atoll, and not what they were written for."""
    from concurrent import interpreters

    from test.test_interpreters import utils

    import atoll

    assert interpreters.Interpreter is atoll.Interpreter
    assert utils.interpreters.create is atoll.create


def use_public_signature() -> None:
    """The tests make Interpreter objects by private keywords; atoll's takes an id."""
    import contextlib
    from concurrent import interpreters

    from test.test_interpreters import utils

    @contextlib.contextmanager
    def interpreter_obj_from_capi(self, config="legacy"):  # type: ignore[no-untyped-def]
        with self.interpreter_from_capi(config) as interpid:
            yield interpreters.Interpreter(interpid), interpid

    assert hasattr(utils.TestBase, "interpreter_obj_from_capi")
    utils.TestBase.interpreter_obj_from_capi = interpreter_obj_from_capi


class Result(unittest.TextTestResult):
    """Prints each test's name before it runs, and leaves out subtests."""

    #: The entries of EXCLUDED_SUBTESTS that were needed.
    used: ClassVar[set[str]] = set()
    stdlib = False

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        # A crash then tells which it was.
        self.stream.flush()

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None and not self.stdlib:
            name = f"{short(test)} {subtest._subDescription()}"
            for pattern, reason in EXCLUDED_SUBTESTS.items():
                if re.fullmatch(pattern, name):
                    self.used.add(pattern)
                    print(f"\nleft out: {name}: {reason}", flush=True)
                    return
        super().addSubTest(test, subtest, err)


def child(module: str, words: list[str], stdlib: bool) -> int:
    """The tests of one module, in this process."""
    import faulthandler

    faulthandler.enable()
    faulthandler.dump_traceback_later(LIMIT - 10, exit=True)
    if not stdlib and MODULES[module] == "test.test_interpreters":
        stands_in()
        use_public_signature()
    elif not stdlib:
        stand_in_for_threads(module)
    chosen, left_out, known = unittest.TestSuite(), 0, set()
    for test in load(module):
        name = short(test)
        known.add(name)
        reason = None if stdlib else reason_of(name)
        if words and not any(word in name for word in words):
            continue
        if reason is None:
            chosen.addTest(test)
        else:
            left_out += 1
            print(f"left out: {name}: {reason}")
    # An entry that fits no test is one that nobody needs any more.
    version = "%d.%d" % sys.version_info[:2]
    for pattern, (versions, _) in EXCLUDED.items():
        mine = pattern.startswith(f"{module}.") and (not versions or version in versions)
        if mine and not any(re.fullmatch(pattern, name) for name in known):
            print(f"excluded.py names a test that is not there: {pattern}")
            return 1
    Result.stdlib = stdlib
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(chosen)
    unneeded = {p for p in EXCLUDED_SUBTESTS if p.startswith(f"{module}.")} - Result.used
    if unneeded and not words and not stdlib:
        print("excluded.py names subtests that pass:", *sorted(unneeded), sep="\n  ")
        return 1
    # By test: one with five subtests that fail is one.
    failures = [test for test, _ in [*result.failures, *result.errors]] + result.unexpectedSuccesses
    for test, reason in result.skipped:
        print(f"skipped: {short(test)}: {reason}")
    bad = len({getattr(test, "test_case", test).id() for test in failures})
    skipped = len({getattr(test, "test_case", test).id() for test, _ in result.skipped})
    good = max(0, result.testsRun - bad - skipped)
    print(f"RESULT {good} {bad} {skipped} {left_out}", flush=True)
    return 1 if bad or not good else 0


def run_child(arguments: list[str], stdlib: bool) -> tuple[int, str]:
    env = dict(os.environ, PYTHONPATH=str(HERE / "hook"), PYTHONUNBUFFERED="1")
    env["ATOLL_CPYTHON_TESTS"] = "stdlib" if stdlib else "atoll"
    command = [sys.executable, str(HERE / "run.py"), "--child", *arguments]
    if stdlib:
        command.append("--stdlib")
    try:
        out = subprocess.run(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or b""
        return 124, printed.decode(errors="replace") if isinstance(printed, bytes) else printed
    return out.returncode, out.stdout


def each(words: list[str], stdlib: bool) -> int:
    """Every test in a process of its own; one line per test that does not pass."""
    bad = count = 0
    for module in MODULES:
        for test in load(module):
            name = short(test)
            if words and not any(word in name for word in words):
                continue
            count += 1
            status, printed = run_child([module, name], stdlib)
            if status and "RESULT 0 0 0 1" not in printed and "RESULT 0 0 1" not in printed:
                bad += 1
                print(f"--- {name}: exit status {status}\n{printed}\n", flush=True)
    print(f"{count - bad} passed, {bad} failed")
    return 1 if bad or not count else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stdlib", action="store_true", help="the standard module, not atoll")
    parser.add_argument("--each", action="store_true", help="each test in its own process")
    parser.add_argument("--child", metavar="MODULE", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    if sys.version_info < (3, 14):
        sys.exit("run.py: the tests are those of CPython 3.14 and later")
    if args.child:
        return child(args.child, args.names, args.stdlib)
    if args.each:
        return each(args.names, args.stdlib)
    good = bad = skipped = left_out = 0
    for module in MODULES:
        status, printed = run_child([module, *args.names], args.stdlib)
        counts = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+)$", printed, re.MULTILINE)
        if args.names and counts and not int(counts[1]) + int(counts[2]):
            continue  # nothing of that name in this module
        if status:
            print(f"--- {module}: exit status {status}\n{printed}")
        else:
            print(
                "\n".join(
                    line for line in printed.splitlines() if line.startswith(("left out: ", "skipped: "))
                )
            )
        if counts is None:
            bad += 1
            print(f"{module} did not come to its end")
            continue
        good, bad = good + int(counts[1]), bad + int(counts[2])
        skipped, left_out = skipped + int(counts[3]), left_out + int(counts[4])
        if status and not int(counts[2]):
            bad += 1
        print(f"{module}: {counts[1]} passed, {counts[2]} failed, {counts[3]} skipped, {counts[4]} left out")
    print(f"{good} passed, {bad} failed, {skipped} skipped")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
