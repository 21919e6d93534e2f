"""The process in which `atoll doctor` probes one distribution.

It may crash, hang or be ended by what it imports, so it writes down each step
before and after, as a line of JSON, into a file that outlives it.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from ._doctor_inside import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import Interpreter

#: Interpreters that import at the same time.
_AT_ONCE = 4


class _Report:
    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, **facts: Any) -> None:
        os.write(self.fd, (json.dumps(facts) + "\n").encode())

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.say(begin=name)
        result = work()
        self.say(end=name, result=result)
        return result


def _at_once(interps: list[Interpreter], targets: list[str], crumbs: int) -> dict[str, Any]:
    """All of them import together; what the first failure was, if any failed."""
    barrier = threading.Barrier(len(interps))
    results: list[dict[str, Any]] = []

    def work(interp: Interpreter) -> None:
        barrier.wait()
        results.append(interp.call(load, targets, crumbs))

    threads = [threading.Thread(target=work, args=(interp,)) for interp in interps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) < len(interps):
        return {"failed": {target: _broken("an interpreter's call failed") for target in targets}}
    return {"failed": {name: wrong for result in results for name, wrong in result["failed"].items()}}


def _broken(text: str) -> dict[str, Any]:
    return {"error": text, "blame": "", "chain": [], "refused": []}


def _close(interps: list[Interpreter], targets: list[str]) -> dict[str, Any]:
    from . import InterpreterError

    while interps:
        try:
            interps.pop().close()
        except InterpreterError as error:
            wrong = _broken(f"the interpreter that has imported it cannot be closed: {error}")
            return {"failed": dict.fromkeys(targets, wrong)}
    return {"failed": {}}


def _probe(report: _Report, config: str, targets: list[str]) -> None:
    """One, two in turn, several at once, closed, again, and beside main."""
    from . import create

    def new() -> Interpreter:
        return create(config=config, stdio="process")

    open_ones: list[Interpreter] = []

    def one() -> dict[str, Any]:
        open_ones.append(new())
        return open_ones[-1].call(load, targets, report.fd)

    def several() -> dict[str, Any]:
        fresh = [new() for _ in range(_AT_ONCE)]
        open_ones.extend(fresh)
        return _at_once(fresh, targets, report.fd)

    def beside_main() -> dict[str, Any]:
        load(targets, report.fd)
        return one()

    stages: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("in one interpreter", one),
        ("in a second one", one),
        ("in several at once", several),
        ("closing them", lambda: _close(open_ones, targets)),
        ("in one after others were closed", one),
        ("in one beside the main interpreter", beside_main),
        ("closing the last", lambda: _close(open_ones, targets)),
    ]
    for name, work in stages:
        # What refuses, too: there are modules that refuse well once, and end the process the second time.
        report.stage(name, work)


def main(job: dict[str, Any]) -> None:
    """Do what the job says: {"config", "targets", "sources", "report"}."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report = _Report(job["report"])
    if job["config"] == "main":
        report.stage("in main", lambda: load(job["targets"], report.fd, job["sources"]))
    else:
        _probe(report, job["config"], job["targets"])
    report.say(done=True)
    sys.stdout.flush()
