"""The table of docs/internals/lifecycle.md, case by case, each in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from children import LIMIT, Outcome, clean

HERE = Path(__file__).resolve().parent
DOC = HERE.parents[1] / "docs" / "internals" / "lifecycle.md"
SCENARIO = HERE / "scenario.py"

#: Code that is in the interpreter has a finally block.
CALLS = ["Python", "queue", "lock", "C", "C with GIL"]
THREADS = ["threads", "daemon threads"]
STATUS = {
    "sys.exit": 7,
    "uncaught exception": 1,
    "os._exit": 3,
    "SIGTERM": -signal.SIGTERM,
    "SIGTERM handler": 4,
}
EXITS = ["sys.exit", "end of main", "uncaught exception", "os._exit", "SIGTERM", "SIGTERM handler"]
#: Nobody waits for the end.
DROPPED = ["last reference", "garbage collection"]
#: What the children of a fork end with.
CHILD = {"os.fork, parent": 5, "os.fork, child": 5, "multiprocessing fork": 0, "preexec_fn": 0}


def read_table() -> dict[tuple[str, str], str]:
    """(who ends it, its state) -> outcome."""
    rows = [line.strip()[1:-1].split("|") for line in DOC.read_text().splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in rows[0]]
    table = {}
    for row in rows[2:]:
        cells = [cell.strip() for cell in row]
        if len(cells) != len(head) or cells[0] == "What":
            break  # the next table
        for state, outcome in zip(head[1:], cells[1:], strict=True):
            table[cells[0], state] = outcome
    return table


TABLE = read_table()
CASES = [
    case
    for case, outcome in TABLE.items()
    if outcome != "—" and not (case[0] == "standard module" and sys.version_info < (3, 13))
]
#: Once: pytest changes its own while cases run.
ENVIRONMENT = clean()


class Told(NamedTuple):
    """What the scenario told, in sorted order where that is open."""

    before: list[str]  # the end
    ended: str
    after: list[str]


class Result(NamedTuple):
    outcome: Outcome
    told: Told
    child_lives: bool | None  # the subprocess, where there is one


def run_case(ender: str, state: str) -> Result:
    feed, keep = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", str(SCENARIO), state, ender, str(feed)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            pass_fds=[feed],
        )
        try:
            out, err = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
            out, err = child.communicate()
            raise AssertionError(f"it hangs\nout: {out}\nerr: {err}") from None
        number = re.search(r"^child (\d+)\n", out, re.MULTILINE)
        lives = None if number is None else is_alive(int(number[1]))
    finally:
        os.close(feed)
        os.close(keep)
    return Result(Outcome(child.returncode, out, err), divide(out), lives)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def divide(out: str) -> Told:
    lines = out.partition("ending\n")[2].splitlines()
    ends = [i for i, line in enumerate(lines) if line.startswith("ended: ")]
    end = ends[0] if ends else len(lines)
    return Told(sorted(lines[:end]), "".join(lines[end : end + 1])[7:], sorted(lines[end + 1 :]))


# --- what is to be expected ---------------------------------------------------------


def inner_finally(state: str) -> list[str]:
    return ["inner finally"] if state in CALLS + THREADS and state != "C with GIL" else []


def at_its_end(state: str, outcome: str) -> list[str]:
    """What code in it does at its end."""
    if outcome in ("closed", "put off"):
        return ["inner atexit"]
    if outcome == "waited":
        return ["let go", "inner atexit", *inner_finally(state)]
    if outcome == "interrupted":
        return ["inner atexit", *inner_finally(state)]
    assert outcome in ("refused", "later", "dropped", "untouched", "absent", "abandoned", "cut off"), outcome
    return []


def what_the_ender_gets(ender: str, state: str, outcome: str) -> str:
    """A regular expression."""
    if ender in CHILD:
        return f"child's status {CHILD[ender]}"
    if ender in DROPPED:
        return "dropped"
    if ender == "with, exception":
        return "ValueError: mine"
    if outcome != "refused":
        return "closed"
    if ender == "its own close()":
        return "InterpreterError: an interpreter cannot close itself: close\\(\\) was called in interpreter 1"
    if state == "daemon threads":
        return "InterpreterError: cannot close interpreter 1: daemon thread 'Thread-1 \\(work\\)' still runs in it"
    return "InterpreterError: interpreter (1 is )?running"


def afterwards(ender: str, state: str, outcome: str) -> list[str]:
    """What is found then, and done to what is left."""
    view = ["view seen"] if state == "views" else ["released None"] if state == "others' views" else []
    if outcome == "later":
        return (
            ["listed"]
            if state == "C with GIL"
            else ["listed", "inner atexit", "not listed", "over", *inner_finally(state)]
        )
    if outcome == "dropped":
        return ["inner atexit", "not listed", "not listed", "over", *inner_finally(state)]
    if outcome in ("refused", "untouched", "absent"):
        if state == "C with GIL":
            return ["listed"]
        return ["listed", "usable 1", "inner atexit", "then closed", "over", *view, *inner_finally(state)]
    return ["not listed", "over", *view, *(["not listed"] if ender in DROPPED else [])]


def expect(ender: str, state: str, outcome: str) -> Told:
    before = at_its_end(state, outcome)
    if ender in EXITS:
        if outcome != "cut off":
            before += ["outer atexit", "outer finally"]
        return Told(sorted(before + (["over"] if ender == "end of main" else [])), "", [])
    if outcome == "absent":
        seen = ["child: view seen"] if state == "views" else []
        before += ["child: 2", *["child: InterpreterNotFoundError"] * 2, "child: [0]", *seen]
    return Told(sorted(before), "", sorted(afterwards(ender, state, outcome)))


# --- the tests ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], Future[Result]]]:
    """The cases that were asked for, each made once, four at a time."""
    wanted = [
        (item.callspec.params["ender"], item.callspec.params["state"])
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(4) as pool:
        yield {case: pool.submit(run_case, *case) for case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("ender", "state"), CASES)
def test_case(ender: str, state: str, results: dict[tuple[str, str], Future[Result]]) -> None:
    outcome, told, child_lives = results[ender, state].result()
    expected = expect(ender, state, TABLE[ender, state])
    assert told._replace(ended="") == expected, outcome
    if ender not in EXITS:
        assert re.fullmatch(what_the_ender_gets(ender, state, TABLE[ender, state]), told.ended), outcome
    assert outcome.status == STATUS.get(ender, 0), outcome
    assert child_lives is (True if state == "subprocess" else None), outcome
    if ender == "uncaught exception":
        assert outcome.err.count("Traceback") == 1 and outcome.err.endswith("\nValueError: mine\n"), outcome
    else:
        assert outcome.err == "", outcome


def test_the_table_is_whole() -> None:
    """Every case that the scenario can make has one outcome, and every outcome is explained."""
    source = SCENARIO.read_text()
    states = re.findall(r'^    "([^"]+)": f?["(]', source.partition("ENDERS: dict")[0], re.MULTILINE)
    enders = re.findall(r'^    "([^"]+)": (?:by_|lambda)', source, re.MULTILINE)
    assert len(states) == 11 and len(enders) == 20
    assert set(TABLE) == {(ender, state) for ender in enders for state in states}
    explained = re.findall(r"^- \*\*(.+?)\*\*:", DOC.read_text(), re.MULTILINE)
    assert sorted(set(TABLE.values())) == sorted(explained)
