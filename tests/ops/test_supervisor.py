"""Supervisor: workers in interpreters of their own that are kept running."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import supervised

import atoll
from atoll import _supervisor, _supervisor_loop, _supervisor_run, _watch
from atoll.sync import Event

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
from children import LIMIT, LONG, run_child
from ctrl_c_at import CtrlCAt


class Worker:
    """One that does as it is told."""

    def __init__(self, supervisor: atoll.Supervisor, name: str = "worker", **options: Any) -> None:
        self.orders = atoll.create_queue()
        self.ran = atoll.create_queue()
        self.supervisor = supervisor
        self.name = name
        supervisor.add(name, supervised.take, (self.orders, self.ran), **options)

    def wait(self) -> int:
        """Until it runs (again): its interpreter's id."""
        return self.ran.get(timeout=LIMIT)  # type: ignore[no-any-return]

    def end(self, *how: Any) -> None:
        self.orders.put(how)

    @property
    def exits(self) -> list[atoll.WorkerExit]:
        return [exit for exit in self.supervisor.exits if exit.name == self.name]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def until_it_reads(supervisor: atoll.Supervisor) -> None:
    """Until the worker is in os.read(): C code that no interruption ends.

    A thread that is seen in that line has let go of the GIL there, so it is.
    """
    interp = supervisor.workers["worker"].interpreter
    assert interp is not None
    while not any("os.read(" in (stack.frames[-1].line or "") for stack in interp.stacks() if stack.frames):
        pass


@pytest.fixture(autouse=True)
def slow_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_supervisor_loop, "PATIENCE", LIMIT)
    monkeypatch.setattr(_supervisor_run, "LEFT_BEHIND", LIMIT)


@pytest.fixture
def patient() -> Iterator[atoll.Supervisor]:
    """It never gives up, and does not wait before it restarts."""
    before = atoll.list_all()
    with atoll.Supervisor(max_restarts=None, backoff=0.0) as supervisor:
        yield supervisor
    del supervisor
    gc.collect()
    assert atoll.list_all() == before


class TestWhyItEnded:
    def test_returned(self, patient: atoll.Supervisor) -> None:
        worker = Worker(patient)
        worker.end("return")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert (exit.name, exit.run, exit.kind, exit.error, exit.restart) == (
            "worker",
            1,
            "returned",
            None,
            False,
        )
        assert exit.normal and exit.uptime > 0 and exit.traceback == "" and exit.note == ""
        assert str(exit).startswith("worker 'worker' (run 1) returned after ")

    def test_failed(self, patient: atoll.Supervisor) -> None:
        worker = Worker(patient, restart="never")
        worker.end("fail", "spam")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "failed" and not exit.normal and not exit.restart
        assert type(exit.error) is ValueError and exit.error.args == ("spam",)
        assert "in end\n" in exit.traceback and exit.traceback.endswith("ValueError: spam")
        assert str(exit).endswith(" s: ValueError: spam")

    @pytest.mark.parametrize(
        ("code", "status", "normal"),
        [(None, None, True), (0, 0, True), (3, 3, False), ("text", "text", False)],
    )
    def test_exited(self, patient: atoll.Supervisor, code: Any, status: Any, normal: bool) -> None:
        worker = Worker(patient, restart="never")
        worker.end("exit", code)
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert (exit.kind, exit.status, exit.normal) == ("exited", status, normal)
        assert str(exit).endswith(f"with status {0 if code is None else code!r}")

    def test_timeout(self, patient: atoll.Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_watch, "GRACE", LIMIT)  # slow machines are not unresponsive
        worker = Worker(patient, restart="never", timeout=0.05)
        worker.end("spin")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "timeout" and isinstance(exit.error, atoll.ExecutionTimeout)

    @pytest.mark.parametrize(
        ("how", "limits"),
        [
            ("spin", {"cpu_seconds": 0.05}),
            ("spin", {"wall_seconds": 0.05, "cpu_seconds": None}),
            ("hoard", {"memory_bytes": 64 << 20}),
        ],
    )
    def test_limit(self, patient: atoll.Supervisor, how: str, limits: dict[str, Any]) -> None:
        worker = Worker(patient, restart="never", limits=limits)
        worker.end(how)
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "limit" and not exit.normal
        assert isinstance(exit.error, atoll.LimitExceeded) and exit.error.limit == next(iter(limits))
        assert "went over a limit" in str(exit)

    def test_each_run_has_the_limits_anew(self, patient: atoll.Supervisor) -> None:
        worker = Worker(patient, limits={"memory_bytes": 64 << 20})
        worker.end("hoard")
        worker.end("hoard")
        worker.end("return")
        assert patient.wait(LIMIT)
        assert [exit.kind for exit in patient.exits] == ["limit", "limit", "returned"]

    def test_interrupted(self, patient: atoll.Supervisor) -> None:
        worker = Worker(patient, restart="never")
        worker.wait()
        interp = patient.workers["worker"].interpreter
        assert interp is not None and interp.interrupt()
        del interp
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "interrupted" and isinstance(exit.error, atoll.ExecutionInterrupted)

    def test_closed_by_others(self, patient: atoll.Supervisor) -> None:
        """Whoever is quicker closes it: the other one, or the worker's own thread."""
        worker = Worker(patient)
        first = worker.wait()
        interp = patient.workers["worker"].interpreter
        assert interp is not None and interp.id == first
        try:
            interp.close(interrupt=True, timeout=LIMIT)
        except atoll.InterpreterError:
            pass
        assert worker.wait() != first
        assert patient.exits[0].kind in ("closed", "interrupted")
        del interp

    def test_what_cannot_cross(self, patient: atoll.Supervisor) -> None:
        patient.add("worker", print, (sys.stdout,), restart="never")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "failed" and isinstance(exit.error, atoll.NotShareableError)

    def test_an_interpreter_cannot_be_made(
        self, patient: atoll.Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(**options: Any) -> None:
            raise atoll.InterpreterError("no more")

        monkeypatch.setattr(atoll, "create", fail)
        worker = Worker(patient, restart="never")
        assert patient.wait(LIMIT)
        assert str(worker.exits[0]).endswith("InterpreterError: no more")

    def test_a_thread_is_left_behind(self, patient: atoll.Supervisor) -> None:
        """It is interrupted, and its interpreter closed."""
        ran, never = atoll.create_queue(), atoll.create_queue()
        patient.add("worker", supervised.leave_thread, (ran, never), restart="never")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "failed" and exit.note == ""

    def test_a_thread_is_left_behind_in_c(
        self, patient: atoll.Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_supervisor_run, "LEFT_BEHIND", 0.05)
        ran = atoll.create_queue()
        reader, writer = os.pipe()
        patient.add("worker", supervised.leave_stuck_thread, (ran, reader), restart="never")
        assert patient.wait(LIMIT)
        (exit,) = patient.exits
        assert exit.kind == "failed" and "left in C" in exit.note
        os.write(writer, b"x")
        for interp in atoll.list_all()[1:]:
            interp.close(interrupt=True, timeout=LIMIT)
        os.close(reader)
        os.close(writer)


class TestRestart:
    @pytest.mark.parametrize(
        ("restart", "how", "again"),
        [
            ("always", ("return",), True),
            ("always", ("fail", "x"), True),
            ("always", ("exit", 0), True),
            ("on_failure", ("return",), False),
            ("on_failure", ("fail", "x"), True),
            ("on_failure", ("exit", 0), False),
            ("on_failure", ("exit", 1), True),
            ("never", ("return",), False),
            ("never", ("fail", "x"), False),
            ("never", ("exit", 1), False),
        ],
    )
    def test_kinds(self, patient: atoll.Supervisor, restart: str, how: tuple[Any, ...], again: bool) -> None:
        worker = Worker(patient, restart=restart)
        first = worker.wait()
        worker.end(*how)
        if again:
            assert worker.wait() > first, "a fresh interpreter"
            info = patient.workers["worker"]
            assert (info.runs, info.restarts, info.restart) == (2, 1, restart)
        else:
            assert patient.wait(LIMIT)
            assert patient.workers["worker"].state == "ended"
        assert [exit.restart for exit in worker.exits] == [again]

    def test_functions_as_they_stand(self, patient: atoll.Supervisor) -> None:
        got = atoll.create_queue()
        spam = ["spam"]

        def closure(prefix: str, *, suffix: str) -> None:
            got.put(prefix + spam[0] + suffix)

        patient.add("closure", closure, ("a ",), {"suffix": "!"})
        patient.add("lambda", lambda: got.put(atoll.get_current().name))
        patient.add("builtin", print, (), {"end": ""})
        assert patient.wait(LIMIT)
        assert {got.get(), got.get()} == {"a spam!", "lambda"}
        assert {exit.kind for exit in patient.exits} == {"returned"}

    def test_one_for_one(self, patient: atoll.Supervisor) -> None:
        one, other = Worker(patient, "one"), Worker(patient, "other")
        one.wait()
        other.wait()
        one.end("fail")
        one.wait()
        workers = patient.workers
        assert (workers["one"].runs, workers["other"].runs) == (2, 1)
        assert list(workers) == ["one", "other"]

    def test_one_for_all(self) -> None:
        began = atoll.create_queue()
        options: dict[str, Any] = {"max_restarts": 1, "within": 1e9, "backoff": 0.001}
        with atoll.Supervisor(
            strategy="one_for_all", on_start=lambda info: began.put(info.name), **options
        ) as supervisor:
            workers = [Worker(supervisor, name) for name in "abcd"]
            for worker in workers:
                worker.wait()
            workers[3].end("return")  # that one is done
            until(lambda: supervisor.workers["d"].state == "ended")
            workers[1].end("fail")
            for worker in workers[:3]:
                worker.wait()
            assert [info.runs for info in supervisor.workers.values()] == [2, 2, 2, 1]
            kinds = {exit.name: exit.kind for exit in supervisor.exits}
            assert kinds == {"a": "stopped", "b": "failed", "c": "stopped", "d": "returned"}
            assert all(exit.restart for exit in supervisor.exits if exit.name != "d")
        assert began.get_many(100) == ["a", "b", "c", "d", "a", "b", "c"]

    def test_one_for_all_is_one_restart(self) -> None:
        options: dict[str, Any] = {"max_restarts": 1, "within": 1e9, "backoff": 0.0}
        with (
            pytest.raises(atoll.SupervisorError) as caught,
            atoll.Supervisor(strategy="one_for_all", **options) as one,
        ):
            workers = [Worker(one, name) for name in "ab"]
            for _ in range(2):
                for worker in workers:
                    worker.wait()
                workers[0].end("fail")
            one.wait(LIMIT)
        assert [exit.name for exit in caught.value.exits] == ["a", "a"]

    def test_by_hand(self) -> None:
        with atoll.Supervisor(max_restarts=0) as supervisor:
            worker, other = Worker(supervisor), Worker(supervisor, "other")
            first = worker.wait()
            other.wait()
            supervisor.restart("worker")
            assert worker.wait() > first
            (exit,) = worker.exits
            assert (exit.kind, exit.restart, exit.delay) == ("stopped", True, 0.0)
            assert supervisor.workers["other"].runs == 1
            worker.end("return")
            until(lambda: supervisor.workers["worker"].state == "ended")
            supervisor.restart("worker")  # one that has ended
            worker.wait()
            supervisor.restart()
            worker.wait()
            other.wait()
            assert [info.runs for info in supervisor.workers.values()] == [4, 2]
            with pytest.raises(KeyError):
                supervisor.restart("nobody")

    @pytest.mark.parametrize("interrupt", [False, True])
    def test_in_an_interpreter_that_is_closed(self, interrupt: bool) -> None:
        """Its end is the supervisor's, which stops its workers."""
        before = atoll.list_all()
        ran, ended = atoll.create_queue(), atoll.create_queue()
        interp = atoll.create()
        interp.call(supervised.supervise_on, ran, ended)
        ran.get(timeout=LIMIT)
        interp.close(interrupt=interrupt, timeout=LIMIT)
        if not interrupt:
            assert ended.get_nowait() == "asked"
        atoll.create().close()
        assert atoll.list_all() == before

    def test_in_an_interpreter(self) -> None:
        with atoll.create() as interp:
            assert interp.call(supervised.supervise_inside) == ["failed", "returned"]


class TestRates:
    def fail(self, worker: Worker, times: int) -> None:
        for _ in range(times):
            worker.wait()
            worker.end("fail")

    def test_back_off(self) -> None:
        with atoll.Supervisor(max_restarts=None, within=1e9, backoff=0.001, max_backoff=0.005) as supervisor:
            worker = Worker(supervisor)
            self.fail(worker, 5)
            worker.wait()
            assert [exit.delay for exit in worker.exits] == [0.001, 0.002, 0.004, 0.005, 0.005]

    def test_back_off_begins_anew(self) -> None:
        """After a run that lasted for `within` seconds: here, any."""
        with atoll.Supervisor(within=0.0, backoff=0.001) as supervisor:
            worker = Worker(supervisor)
            self.fail(worker, 3)
            worker.wait()
            assert [exit.delay for exit in worker.exits] == [0.001] * 3

    def test_it_waits_for_its_time(self) -> None:
        with atoll.Supervisor(backoff=1e6, max_backoff=1e6) as supervisor:
            worker = Worker(supervisor)
            self.fail(worker, 1)
            until(lambda: supervisor.workers["worker"].state == "waiting")
            assert supervisor.wait(0.0) is False
            assert supervisor.workers["worker"].interpreter is None
            supervisor.restart("worker")  # not so for whoever asks
            worker.wait()
        assert [exit.kind for exit in worker.exits] == ["failed", "stopped"]

    def test_too_many(self) -> None:
        with atoll.Supervisor(max_restarts=3, within=1e9, backoff=0.0) as supervisor:
            worker, other = Worker(supervisor), Worker(supervisor, "other")
            other.wait()
            self.fail(worker, 4)
            with pytest.raises(atoll.SupervisorError) as caught:
                supervisor.wait(LIMIT)
            error = caught.value
            assert [exit.run for exit in error.exits] == [1, 2, 3, 4]
            assert "4 restarts within 1e+09 s are more than max_restarts=3" in str(error)
            assert str(error).count("failed after") == 4
            assert isinstance(error.__cause__, ValueError)
            assert supervisor.state == "failed"
            assert [info.state for info in supervisor.workers.values()] == ["ended", "ended"]
            assert other.exits[0].kind == "stopped"
            assert worker.exits[-1].restart is False
            assert supervisor.stop() == []
            supervisor._loop.failure = None  # the block's end would raise it, too

    def test_the_block_raises_it(self) -> None:
        with pytest.raises(atoll.SupervisorError), atoll.Supervisor(max_restarts=0) as supervisor:
            self.fail(Worker(supervisor), 1)
            until(lambda: supervisor.state == "failed")

    def test_what_the_block_raises_counts(self) -> None:
        with pytest.raises(KeyError), atoll.Supervisor(max_restarts=0) as supervisor:
            self.fail(Worker(supervisor), 1)
            until(lambda: supervisor.state == "failed")
            raise KeyError

    def test_few_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock that goes on by ten seconds whenever it is read."""
        time = iter(range(0, 10**9, 10))
        monkeypatch.setattr(_supervisor_run, "now", lambda: float(next(time)))
        with atoll.Supervisor(max_restarts=1, within=5.0, backoff=1.0) as supervisor:
            worker = Worker(supervisor)
            self.fail(worker, 4)
            worker.wait()
            assert len(worker.exits) == 4


class TestStop:
    def test_asked(self) -> None:
        ran, ended = atoll.create_queue(), atoll.create_queue()
        with atoll.Supervisor(grace=LIMIT) as supervisor:
            supervisor.add("worker", supervised.listen, (ran, ended), restart="always")
            ran.get(timeout=LIMIT)
            (exit,) = supervisor.stop()
            assert (exit.kind, exit.error, exit.normal, exit.restart) == ("stopped", None, True, False)
        assert ended.get_nowait() == "asked"
        assert supervisor.state == "stopped" and supervisor.stop() == []

    def test_asked_in_vain(self) -> None:
        ran, ended = atoll.create_queue(), atoll.create_queue()
        with atoll.Supervisor() as supervisor:
            supervisor.add("worker", supervised.heedless, (ran, ended), grace=0.01)
            ran.get(timeout=LIMIT)
            (exit,) = supervisor.stop()
            assert exit.kind == "stopped" and isinstance(exit.error, atoll.ExecutionInterrupted)
        assert ended.get_nowait() == "interrupted"

    def test_interrupt(self) -> None:
        ran, ended = atoll.create_queue(), atoll.create_queue()
        with atoll.Supervisor(grace=1e6) as supervisor:
            supervisor.add("worker", supervised.heedless, (ran, ended))
            ran.get(timeout=LIMIT)
            (exit,) = supervisor.stop(interrupt=True)
            assert exit.kind == "stopped"

    def test_interrupted_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second interruption would strike the finally block of the first."""
        ran = atoll.create_queue()
        gate, seen = Event(), threading.Event()
        told: list[str] = []
        interrupt = _supervisor_run.Run.interrupt

        def count(run: _supervisor_run.Run) -> Any:
            told.append(run.name)
            return interrupt(run)

        monkeypatch.setattr(_supervisor_run.Run, "interrupt", count)
        with atoll.Supervisor() as supervisor:
            supervisor.add("worker", supervised.tidy, (ran, gate))
            ran.get(timeout=LIMIT)
            supervisor._loop.request("stop", True)
            supervisor._loop.request("stop", True)
            supervisor._loop.inbox.put((seen.set,))
            assert seen.wait(LIMIT)
            gate.set()
        assert told == ["worker-1"]

    def test_an_exception_in_the_block_interrupts(self) -> None:
        ran, ended = atoll.create_queue(), atoll.create_queue()
        with pytest.raises(KeyError), atoll.Supervisor(grace=1e6) as supervisor:
            supervisor.add("worker", supervised.heedless, (ran, ended))
            ran.get(timeout=LIMIT)
            raise KeyError
        assert ended.get_nowait() == "interrupted"

    def test_unresponsive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_supervisor_loop, "PATIENCE", 0.05)
        reader, writer = os.pipe()
        ran = atoll.create_queue()
        with atoll.Supervisor() as supervisor:
            supervisor.add("worker", supervised.stuck, (ran, reader))
            ran.get(timeout=LIMIT)
            until_it_reads(supervisor)
            (exit,) = supervisor.stop()
        assert (exit.kind, exit.normal, exit.restart) == ("unresponsive", False, False)
        assert "in stuck" in exit.note
        assert "was left behind" in str(exit)
        thread = next(t for t in threading.enumerate() if t.name == "worker-1")
        os.write(writer, b"x")
        thread.join(LIMIT)
        assert not thread.is_alive()
        os.close(reader)
        os.close(writer)

    @pytest.mark.parametrize("how", ["deadline", "restart"])
    def test_unresponsive_and_replaced(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_supervisor_loop, "PATIENCE", 0.05)
        reader, writer = os.pipe()
        ran = atoll.create_queue()
        timeout = 0.1 if how == "deadline" else None
        with atoll.Supervisor(max_restarts=None, backoff=0.0) as supervisor:
            supervisor.add("worker", supervised.stuck, (ran, reader), timeout=timeout)
            ran.get(timeout=LIMIT)
            if how == "restart":
                until_it_reads(supervisor)
                supervisor.restart("worker")
            # One may meet its deadline before it is stuck.
            until(lambda: any(e.kind == "unresponsive" and e.restart for e in supervisor.exits))
            ran.get(timeout=LIMIT)
            assert "unresponsive" in [exit.kind for exit in supervisor.exits]
            threads = [t for t in threading.enumerate() if t.name.startswith("worker-")]
            os.write(writer, b"x" * 1000)
            for thread in threads:
                thread.join(LIMIT)
        os.close(reader)
        os.close(writer)

    def test_before_it_was_started(self) -> None:
        supervisor = atoll.Supervisor()
        supervisor.add("worker", print)
        assert supervisor.state == "new" and supervisor.workers["worker"].state == "starting"
        assert supervisor.stop() == []
        assert supervisor.state == "stopped" and supervisor.workers["worker"].state == "ended"
        with pytest.raises(RuntimeError, match="started once"):
            supervisor.start()

    def test_no_more_workers(self) -> None:
        with atoll.Supervisor() as supervisor:
            pass
        with pytest.raises(RuntimeError, match="stopped"):
            supervisor.add("worker", print)
        with pytest.raises(RuntimeError, match="stopped"):
            supervisor.restart()
        assert supervisor.wait() is True

    def test_dropped(self) -> None:
        ran, ended = atoll.create_queue(), atoll.create_queue()
        supervisor = atoll.Supervisor()
        supervisor.start()
        supervisor.add("worker", supervised.listen, (ran, ended))
        thread = supervisor._loop.thread
        assert thread is not None
        ran.get(timeout=LIMIT)
        with pytest.warns(ResourceWarning, match="dropped without stop"):
            del supervisor
            gc.collect()
        assert ended.get(timeout=LIMIT) == "asked"
        thread.join(LIMIT)
        assert not thread.is_alive()


class TestNothingIsLeft:
    @pytest.mark.parametrize("how", ["never started", "stopped", "failed", "failed and heard"])
    def test_of_the_supervisor(self, how: str) -> None:
        """Not even where its callback, or its error, refers to it."""

        class Mark:
            pass

        def use() -> weakref.ref[Any]:
            supervisor = atoll.Supervisor(max_restarts=0, on_exit=lambda exit: supervisor.exits.clear())
            supervisor.mark = Mark()  # type: ignore[attr-defined]
            supervisor.add("worker", supervised.end, ("fail" if "failed" in how else "return",))
            if how != "never started":
                supervisor.start()
            if how == "stopped":
                supervisor.wait(LIMIT)
                supervisor.stop()
            elif how == "failed and heard":
                with pytest.raises(atoll.SupervisorError):
                    supervisor.wait(LIMIT)
            thread = supervisor._loop.thread
            if thread is not None:
                thread.join(LIMIT)
            return weakref.ref(supervisor.mark)  # type: ignore[attr-defined]

        before = atoll.list_all()
        gone = use()
        gc.collect()
        assert gone() is None
        assert atoll.list_all() == before

    def test_of_the_runs(self) -> None:
        """What is remembered of a run keeps neither its thread nor what it was given."""
        with atoll.Supervisor(max_restarts=None, backoff=0.0) as supervisor:
            worker = Worker(supervisor)
            for how in ("fail", "exit", "fail"):
                worker.wait()
                worker.end(how, 1)
            worker.wait()
            supervisor.stop()
            assert len(supervisor.exits) == 4
            limit = time.monotonic() + LIMIT
            gc.collect()
            # A thread that has told its end still has some steps to go.
            while any(isinstance(thing, _supervisor_run.Run) for thing in gc.get_objects()):
                assert time.monotonic() < limit
                gc.collect()


class TestCallbacks:
    def test_what_they_are_given(self) -> None:
        heard: list[Any] = []
        with atoll.Supervisor(backoff=0.0, on_start=heard.append, on_exit=heard.append) as supervisor:
            worker = Worker(supervisor)
            worker.end("fail", "spam")
            worker.end("return")
            assert supervisor.wait(LIMIT)
        assert [type(item).__name__ for item in heard] == ["WorkerInfo", "WorkerExit"] * 2
        assert [heard[0].runs, heard[1].run, heard[2].runs, heard[3].run] == [1, 1, 2, 2]
        assert heard[1] == supervisor.exits[0] and heard[1].restart
        assert heard[0].state == "running" and heard[0].interpreter is not None

    def test_what_they_raise_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail(exit: atoll.WorkerExit) -> None:
            raise KeyError("spam")

        with atoll.Supervisor(on_exit=fail) as supervisor:
            worker = Worker(supervisor)
            worker.end("return")
            assert supervisor.wait(LIMIT)
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.exc_info is not None and record.exc_info[0] is KeyError

    def test_sys_exit_is_no_exit(self, caplog: pytest.LogCaptureFixture) -> None:
        with atoll.Supervisor(backoff=0.0, on_start=sys.exit, on_exit=sys.exit) as supervisor:
            worker = Worker(supervisor)
            worker.end("fail")
            worker.end("return")
            assert supervisor.wait(LIMIT)
        assert [exit.kind for exit in worker.exits] == ["failed", "returned"]

    def test_they_may_use_the_supervisor(self) -> None:
        said: list[Any] = []

        def on_exit(exit: atoll.WorkerExit) -> None:
            try:
                supervisor.wait()
            except RuntimeError as error:
                said.append(str(error))
            said.append([info.name for info in supervisor.workers.values()])
            if exit.name == "worker":
                supervisor.add("other", print, (), {"end": ""})
            else:
                said.append(supervisor.stop())

        supervisor = atoll.Supervisor(on_exit=on_exit)
        supervisor.start()
        worker = Worker(supervisor)
        worker.end("return")
        thread = supervisor._loop.thread
        assert thread is not None
        thread.join(LIMIT)
        assert supervisor.state == "stopped"
        wait = "the supervisor's thread cannot wait for itself"
        assert said == [wait, ["worker"], wait, ["worker", "other"], []]

    def test_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "atoll.supervisor")
        with atoll.Supervisor(backoff=0.001) as supervisor:
            worker = Worker(supervisor)
            worker.end("fail", "spam")
            worker.end("return")
            assert supervisor.wait(LIMIT)
        told = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert [level for level, _ in told] == ["INFO", "WARNING", "INFO", "INFO", "INFO"]
        assert "failed after" in told[1][1] and "it runs again in 0.001 s" in told[1][1]
        assert told[1][1].endswith("ValueError: spam")


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"strategy": "one_for_none"}, ValueError),
            ({"max_restarts": -1}, ValueError),
            ({"max_restarts": 1.5}, TypeError),
            ({"within": -1}, ValueError),
            ({"within": "1"}, TypeError),
            ({"backoff": float("nan")}, ValueError),
            ({"max_backoff": None}, TypeError),
            ({"grace": -0.1}, ValueError),
            ({"config": "spam"}, ValueError),
            ({"on_exit": 3}, TypeError),
            ({"on_start": "print"}, TypeError),
        ],
    )
    def test_supervisor(self, options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error, match=next(iter(options))):
            atoll.Supervisor(**options)

    @pytest.mark.parametrize(
        ("args", "options", "error"),
        [
            ((3, print), {}, TypeError),
            (("", print), {}, ValueError),
            (("a\0b", print), {}, ValueError),
            (("a", "print"), {}, TypeError),
            (("a", print, 3), {}, TypeError),
            (("a", print), {"restart": "sometimes"}, ValueError),
            (("a", print), {"timeout": -1}, ValueError),
            (("a", print), {"grace": "1"}, TypeError),
            (("a", print), {"limits": {"cpu": 1}}, TypeError),
            (("a", print), {"limits": {"cpu_seconds": -1}}, ValueError),
            (("a", print), {"limits": {"memory_bytes": 0.5}}, TypeError),
            (("taken", print), {}, ValueError),
        ],
    )
    def test_add(self, args: tuple[Any, ...], options: dict[str, Any], error: type[Exception]) -> None:
        supervisor = atoll.Supervisor()
        supervisor.add("taken", print)
        with pytest.raises(error):
            supervisor.add(*args, **options)
        assert list(supervisor.workers) == ["taken"]
        supervisor.stop()

    def test_not_started(self) -> None:
        supervisor = atoll.Supervisor()
        with pytest.raises(RuntimeError, match="not started"):
            supervisor.wait()
        with pytest.raises(RuntimeError, match="new"):
            supervisor.restart()

    def test_stop_event_is_for_workers(self) -> None:
        with pytest.raises(RuntimeError, match="workers"):
            atoll.stop_event()

    def test_errors_cross(self) -> None:
        exit = atoll.WorkerExit("a", 1, "failed", ValueError("x"), None, "text", 0.5)
        error = atoll.SupervisorError("gave up", (exit,))
        with atoll.create() as interp:
            copies = [pickle.loads(pickle.dumps(error)), interp.call(supervised_echo, error)]
        for copy in copies:
            assert type(copy) is atoll.SupervisorError and str(copy) == "gave up"
            assert str(copy.exits[0]) == str(exit)
            assert copy.exits[0].error.args == ("x",)

    def test_repr(self, patient: atoll.Supervisor) -> None:
        assert repr(patient) == "<atoll.Supervisor, running>"
        worker = Worker(patient)
        worker.wait()
        assert repr(patient) == "<atoll.Supervisor, running; worker: running>"


def supervised_echo(value: Any) -> Any:
    return value


class TestProcess:
    CODE = """
    import atoll, os, signal, sys, threading
    from atoll import _core, _supervisor_loop, _supervisor_run
    _core._probe_patience(60)
    _supervisor_loop.PATIENCE = _supervisor_run.LEFT_BEHIND = 60
    def spin():  # 3.13 and 3.14 leave a loop's jump back out of the try block that it ends
        while True:
            pass
    def listen(ran):
        event = atoll.stop_event()
        ran.put(1)
        try:
            event.wait()
            print("asked", flush=True)
        except BaseException as error:
            print(type(error).__name__, flush=True)
            raise
    ran = atoll.create_queue()
    supervisor = atoll.Supervisor()
    """

    def run(self, code: str) -> Any:
        import textwrap

        return run_child(textwrap.dedent(self.CODE) + textwrap.dedent(code))

    def test_exit(self) -> None:
        code = """
        supervisor.start()
        supervisor.add("worker", listen, (ran,), restart="always")
        ran.get()
        sys.exit(3)
        """
        self.run(code).check("asked\n", 3)

    def test_exit_with_one_that_is_stuck(self) -> None:
        code = """
        def stuck(ran, pipe):
            ran.put(1)
            os.read(pipe, 1)
        supervisor.start()
        _supervisor_loop.PATIENCE = 0.05
        supervisor.add("worker", stuck, (ran, os.pipe()[0]))
        ran.get()
        interp = supervisor.workers["worker"].interpreter
        line = stuck.__code__.co_firstlineno + 2
        while not any(stack.frames and stack.frames[-1].lineno == line for stack in interp.stacks()):
            pass
        """
        out = self.run(code)
        assert (out.status, out.out) == (0, "")
        assert "unresponsive" in out.err and "Traceback" not in out.err

    def test_ctrl_c(self) -> None:
        """In wait(), in the block: the workers are interrupted."""
        code = """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def worker(ran):
            try:
                ran.put(1)
                spin()
            finally:
                print("finally", flush=True)
        try:
            with supervisor:
                supervisor.add("worker", worker, (ran,))
                ran.get()
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
                supervisor.wait()
        except KeyboardInterrupt:
            print("KeyboardInterrupt", supervisor.state, atoll.list_all())
        """
        self.run(code).check("finally\nKeyboardInterrupt stopped [Interpreter(0)]\n")

    def test_ctrl_c_in_stop(self) -> None:
        code = """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def heedless(ran):
            atoll.stop_event()
            try:
                ran.put(1)
                spin()
            finally:
                print("finally", flush=True)
        supervisor = atoll.Supervisor(grace=1e6)
        supervisor.start()
        supervisor.add("worker", heedless, (ran,))
        ran.get()
        def press():
            import time
            while supervisor.state != "stopping":
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press).start()
        try:
            supervisor.stop()
        except KeyboardInterrupt:
            print("KeyboardInterrupt", flush=True)
        """
        out = self.run(code)
        assert (out.status, out.err) == (0, "")
        assert sorted(out.out.split()) == ["KeyboardInterrupt", "finally"]

    def test_fork(self) -> None:
        code = """
        import warnings
        warnings.simplefilter("ignore")
        supervisor.start()
        supervisor.add("worker", listen, (ran,))
        ran.get()
        child = os.fork()
        if child == 0:
            print(supervisor.state, supervisor.stop(), supervisor.wait(), supervisor.workers["worker"].state, flush=True)
            with atoll.Supervisor() as other:
                other.add("worker", print, ("in the child",), {"flush": True})
                other.wait()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        supervisor.stop()
        """
        self.run(code).check("stopped [] True ended\nin the child\nasked\n")


def use(supervisor: atoll.Supervisor) -> None:
    supervisor.start()
    supervisor.add("worker", int)
    supervisor.wait()
    assert supervisor.workers and supervisor.exits and repr(supervisor)
    supervisor.restart("worker")
    supervisor.stop()


def test_ctrl_c_anywhere() -> None:
    """Wherever it comes, stop() stops, and nothing is left."""
    before = atoll.list_all()
    at, step = 1, 1 if LONG else 5
    while True:
        supervisor = atoll.Supervisor()
        ctrl_c = CtrlCAt(at, _supervisor, _supervisor_loop)
        try:
            with ctrl_c:
                use(supervisor)
        except KeyboardInterrupt:
            pass
        loop = supervisor._loop
        supervisor.stop(interrupt=True)
        assert supervisor.state == "stopped"
        assert loop.thread is None or loop.thread.ident is None or loop.stopped.wait(LIMIT), at
        assert {info.state for info in supervisor.workers.values()} <= {"ended"}
        if not ctrl_c.came:
            break
        at += step
    del supervisor, loop
    gc.collect()
    assert atoll.list_all() == before
    assert at > 200, "it was never reached"
