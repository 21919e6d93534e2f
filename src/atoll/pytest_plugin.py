"""pytest --atoll-isolated: each test runs in two isolated interpreters at once.

For the authors of extension modules who want to know whether theirs is safe
there: a test that passes alone may fail, or end the process, where two
interpreters use the module at the same time.

pytest collects in the main interpreter, as ever; then the same arguments are
given to a pytest of its own in each of the interpreters, which stays for the
whole session: fixtures, conftest.py and assertions work there as usual.  The
main one says which test is next, waits for both, and reports the worse of the
two outcomes.  A module that refuses isolated interpreters fails its tests with
the error of its import.

In the interpreters these do not work, and are switched off: faulthandler,
pytest-timeout (signals belong to the main interpreter), the cache, and capture
of file descriptors (they belong to the process); sys.stdout is captured.
"""

from __future__ import annotations

import contextlib
import io

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from . import Interpreter, Queue
    from ._threads import InterpreterThread

_OPTION = "--atoll-isolated"
_COUNT = "--atoll-interpreters"

#: What is switched off in the interpreters.
_QUIET = ["-p", "no:faulthandler", "-p", "no:timeout", "-p", "no:cacheprovider", "--capture=sys"]

_WORSE = {"passed": 0, "skipped": 1, "failed": 2}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("atoll", "isolated interpreters")
    group.addoption(
        _OPTION,
        action="store_true",
        default=False,
        help="run each test in several isolated interpreters (own GIL) at once",
    )
    group.addoption(
        _COUNT, type=int, default=2, metavar="N", help="how many interpreters that are (default: 2)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(_OPTION) and not config.getoption("collectonly"):
        count = config.getoption(_COUNT)
        if count < 1:
            raise pytest.UsageError(f"{_COUNT} must be at least 1")
        config.pluginmanager.register(_Driver(config, count), "atoll-isolated")


# ---------------------------------------------------------- in an interpreter


class _Inner:
    """The plugin of the pytest in an interpreter: runs what it is told, reports each phase."""

    def __init__(self, orders: Queue[Any], reports: Queue[Any]) -> None:
        self.orders = orders
        self.reports = reports

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.reports.put(("trouble", report.nodeid, str(report.longrepr)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.reports.put(("collected", "", list(items)))
        order = [items[name] for name in self.orders.get() if name in items]
        places = {item.nodeid: place for place, item in enumerate(order)}
        for name in iter(self.orders.get, None):
            place = places[name]
            following = order[place + 1] if place + 1 < len(order) else None
            item = order[place]
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            self.reports.put(("done", name, None))
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self.config.hook
        data = hook.pytest_report_to_serializable(config=self.config, report=report)
        self.reports.put(("report", report.nodeid, data))

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config


def _run_inside(args: list[str], orders: Queue[Any], reports: Queue[Any]) -> None:
    """What each interpreter runs for the whole session."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            status = pytest.main(args, plugins=[_Inner(orders, reports)])
        text = f"pytest in the interpreter ended with {status!r}\n{shown.getvalue()}"
    except BaseException as error:
        reports.put(("ended", "", f"pytest in the interpreter failed: {error!r}\n{shown.getvalue()}"))
        raise
    reports.put(("ended", "", text))


# ------------------------------------------------------- in the main interpreter


class _Place:
    """One interpreter and what is known of it."""

    def __init__(self, number: int, args: list[str]) -> None:
        from . import create, create_queue

        self.number = number
        self.interp: Interpreter = create(name=f"pytest-{number}")
        self.orders: Queue[Any] = create_queue()
        self.reports: Queue[Any] = create_queue()
        self.names: set[str] = set()
        self.trouble: dict[str, str] = {}
        self.ended: str | None = None
        self.thread: InterpreterThread[Any] = self.interp.call_in_thread(
            _run_inside, args, self.orders, self.reports
        )
        _ = self.thread.future  # its error is ours

    def collect(self) -> None:
        while self.ended is None:
            kind, name, data = self.reports.get()
            if kind == "collected":
                self.names.update(data)
                return
            self.note(kind, name, data)

    def note(self, kind: str, name: str, data: Any) -> None:
        if kind == "trouble":
            self.trouble[name] = data
        elif kind == "ended":
            self.ended = data

    def finish(self, name: str, config: pytest.Config) -> list[pytest.TestReport]:
        """The reports of a test that it was told to run."""
        found = []
        while self.ended is None:
            kind, about, data = self.reports.get()
            if kind == "done" and about == name:
                break
            if kind == "report":
                found.append(config.hook.pytest_report_from_serializable(config=config, data=data))
            self.note(kind, about, data)
        return found

    def why_not(self, name: str) -> str:
        """Why a test was not collected there."""
        for about, text in self.trouble.items():
            if not about or name.startswith(about):
                return text
        return self.ended or "it was not collected there"

    def close(self) -> None:
        from . import InterpreterError

        self.orders.put(None)
        try:
            self.interp.close(interrupt=True, timeout=10)
            self.thread.join(1)
        except InterpreterError:
            pass  # stuck: the end of the process sees to it


class _Driver:
    """The plugin of the pytest in the main interpreter."""

    def __init__(self, config: pytest.Config, count: int) -> None:
        self.config = config
        self.count = count

    @pytest.hookimpl
    def pytest_report_header(self) -> str:
        return f"atoll: each test runs in {self.count} isolated interpreters at once"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        args = [str(arg) for arg in self.config.invocation_params.args if str(arg) != _OPTION]
        places: list[_Place] = []
        try:
            for number in range(1, self.count + 1):
                places.append(_Place(number, args + _QUIET))
            names = [item.nodeid for item in session.items]
            for place in places:
                place.collect()
                place.orders.put(names)
            for item in session.items:
                self.run(item, places)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
        finally:
            for place in places:
                place.close()
        return True

    def run(self, item: pytest.Item, places: list[_Place]) -> None:
        """One test, in all interpreters; its outcome is the worst."""
        name = item.nodeid
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=name, location=item.location)
        able = [place for place in places if name in place.names and place.ended is None]
        for place in able:
            place.orders.put(name)
        outcomes = [(place, place.finish(name, self.config)) for place in able]
        for report in merge(item, places, outcomes):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=name, location=item.location)


def _broken(item: pytest.Item, place: _Place) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"in isolated interpreter {place.number}:\n{place.why_not(item.nodeid)}",
        when="setup",
    )


def merge(
    item: pytest.Item, places: list[_Place], outcomes: list[tuple[_Place, list[pytest.TestReport]]]
) -> Iterator[pytest.TestReport]:
    """One report for each phase: the worst, which says where it was."""
    ran = {place for place, _ in outcomes}
    broken = [place for place in places if place not in ran]
    broken += [place for place, reports in outcomes if place.ended is not None and not reports]
    if broken:
        yield _broken(item, broken[0])
        return
    for when in ("setup", "call", "teardown"):
        phase = [
            (place.number, report) for place, reports in outcomes for report in reports if report.when == when
        ]
        if not phase:
            continue
        number, worst = max(phase, key=lambda entry: _WORSE[entry[1].outcome])
        if worst.outcome == "failed":
            bad = [str(n) for n, report in phase if report.outcome == "failed"]
            worst.sections.append(
                ("atoll", f"failed in interpreter {' and '.join(bad)} of {len(places)}; this is {number}")
            )
        yield worst
