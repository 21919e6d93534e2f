"""stats(), stacks(), dump_stacks() and register_dump()."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any

import ops_functions as functions
import pytest

import atoll
from atoll.sync import Event

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
from children import run_child

KEYS = {
    "id",
    "name",
    "state",
    "uptime_seconds",
    "cpu_seconds",
    "busy_share",
    "calls",
    "exceptions",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "allocated_blocks",
    "threads",
    "views_held",
    "memory_bytes",
}


class TestStats:
    def test_keys(self, interp: atoll.Interpreter) -> None:
        interp.name = "one"
        stats = interp.stats()
        assert set(stats) == KEYS
        assert (stats["id"], stats["name"], stats["state"]) == (interp.id, "one", "idle")

    def test_a_new_one(self) -> None:
        with atoll.create() as interp:
            stats = interp.stats()
            assert (stats["calls"], stats["exceptions"], stats["cpu_seconds"]) == (0, 0, 0.0)
            assert stats["threads"] == 0 and stats["views_held"] == 0 and stats["memory_bytes"] is None
            assert stats["allocated_blocks"] > 1000

    def test_calls_and_exceptions(self, interp: atoll.Interpreter) -> None:
        before = interp.stats()
        for _ in range(5):
            interp.call(functions.noop)
        interp.exec("x = 1")
        for _ in range(3):
            with pytest.raises(atoll.ExecutionFailed):
                interp.call(functions.fail)
        after = interp.stats()
        assert after["calls"] - before["calls"] == 9
        assert after["exceptions"] - before["exceptions"] == 3

    def test_a_pool_counts_its_tasks(self) -> None:
        with atoll.InterpreterPoolExecutor(1) as pool:
            for _ in range(7):
                pool.submit(functions.noop).result()
            with pytest.raises(ValueError):
                pool.submit(functions.fail).result()
            worker = max(atoll.list_all(), key=lambda one: one.id)
            stats = worker.stats()
            assert (stats["calls"], stats["exceptions"]) == (8, 1)

    def test_bytes_both_ways(self, interp: atoll.Interpreter) -> None:
        me = atoll.get_current()
        here, there = me.stats(), interp.stats()
        interp.call(functions.echo, b"x" * 1_000_000)  # large ones are lent, not copied
        interp.call(functions.echo, "y" * 900)
        here2, there2 = me.stats(), interp.stats()
        for one, other, kind in (
            (there, there2, "in"),
            (there, there2, "out"),
            (here, here2, "out"),
            (here, here2, "in"),
        ):
            more = other[f"bytes_{kind}"] - one[f"bytes_{kind}"]
            assert 1_000_900 <= more < 1_010_000, kind
            assert 2 <= other[f"messages_{kind}"] - one[f"messages_{kind}"] < 10, kind

    def test_queues_count(self, interp: atoll.Interpreter) -> None:
        queue = atoll.create_queue()
        before = interp.stats()
        for number in range(10):
            queue.put(number)
        interp.prepare_main(queue=queue)
        interp.exec("for _ in range(10): queue.get()")
        assert interp.stats()["messages_in"] - before["messages_in"] >= 10

    def test_blocks(self, interp: atoll.Interpreter) -> None:
        before = interp.stats()["allocated_blocks"]
        interp.call(functions.leave_blocks, 100_000)
        assert 100_000 <= interp.stats()["allocated_blocks"] - before < 105_000

    def test_views(self, interp: atoll.Interpreter) -> None:
        interp.exec("data = bytearray(100)")
        view = interp.call(eval, "memoryview(__import__('__main__').data)", {})
        assert interp.stats()["views_held"] == 1
        view.release()
        del view
        assert interp.stats()["views_held"] == 0

    def test_while_it_runs(self, interp: atoll.Interpreter) -> None:
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.wait_for, started, release)
        assert started.wait(120)
        stats = interp.stats()
        release.set()
        thread.join()
        assert stats["state"] == "running" and stats["threads"] == 1
        assert 0 < stats["busy_share"] <= 1
        assert interp.stats()["state"] == "idle"

    def test_cpu_and_busy(self, interp: atoll.Interpreter) -> None:
        start = time.thread_time()
        before = interp.stats()
        interp.call(functions.burn, 0.1)
        middle = interp.stats()
        spent = time.thread_time() - start
        interp.call(time.sleep, 0.1)
        after = interp.stats()
        slept = time.thread_time() - start - spent
        assert 0.09 < middle["cpu_seconds"] - before["cpu_seconds"] < spent + 0.01
        assert after["cpu_seconds"] - middle["cpu_seconds"] < slept + 0.01, "sleeping is no work"
        busy = [one["busy_share"] * one["uptime_seconds"] for one in (middle, after)]
        assert busy[1] - busy[0] > 0.099, "but it is busy"

    def test_cpu_of_the_running_call(self, interp: atoll.Interpreter) -> None:
        before = interp.stats()["cpu_seconds"]
        thread = interp.call_in_thread(functions.burn_for_ever)
        future = thread.future
        try:
            limit = time.monotonic() + 120
            while interp.stats()["cpu_seconds"] - before < 0.05:
                assert time.monotonic() < limit
        finally:
            thread.interrupt()
        assert isinstance(future.exception(120), atoll.ExecutionInterrupted)

    def test_many_short_calls_add_up(self, interp: atoll.Interpreter) -> None:
        """Their CPU time is estimated between two readings of the clock."""
        before = interp.stats()["cpu_seconds"]
        start = time.thread_time()
        for _ in range(3000):
            interp.call(functions.noop)
        spent = time.thread_time() - start
        assert 0 < interp.stats()["cpu_seconds"] - before <= spent * 1.1

    def test_a_call_within_a_call_is_the_others(self, interp: atoll.Interpreter) -> None:
        before = interp.stats()["cpu_seconds"]
        start = time.thread_time()
        inner = interp.call(functions.call_inside, 0.02, 0.2)
        spent = time.thread_time() - start
        outer = interp.stats()["cpu_seconds"] - before
        assert inner["cpu_seconds"] > 0.19
        assert outer > 0.01, "creating it, and its own part"
        assert inner["cpu_seconds"] + outer < spent + 0.1, "nothing counts twice"

    def test_main_does_not_count_what_its_threads_do_elsewhere(self, interp: atoll.Interpreter) -> None:
        main = atoll.get_main()
        start = time.process_time()
        before = main.stats()["cpu_seconds"] + interp.stats()["cpu_seconds"]
        interp.call(functions.burn, 0.3)
        both = main.stats()["cpu_seconds"] + interp.stats()["cpu_seconds"] - before
        assert 0.29 < both < time.process_time() - start + 0.1, "nothing counts twice"

    def test_threads_that_live_there(self, interp: atoll.Interpreter) -> None:
        started, release = Event(), Event()
        before = interp.stats()["cpu_seconds"]
        interp.call(functions.burn_in_thread, 0.1, started, release)
        assert started.wait(120)
        stats = interp.stats()
        release.set()
        assert stats["threads"] == 1 and stats["state"] == "idle"
        assert stats["cpu_seconds"] - before > 0.09

    def test_main(self) -> None:
        stats = atoll.get_main().stats()
        assert stats["state"] == "running" and stats["threads"] >= 1 and stats["cpu_seconds"] > 0

    def test_closed(self) -> None:
        interp = atoll.create()
        interp.call(functions.noop)
        interp.close()
        stats = interp.stats()
        assert (stats["state"], stats["calls"]) == ("closed", 1)
        assert stats["threads"] is None and stats["allocated_blocks"] is None
        assert interp.stats()["uptime_seconds"] == stats["uptime_seconds"], "it has stopped"

    def test_of_oneself(self, interp: atoll.Interpreter) -> None:
        interp.exec("import atoll; stats = atoll.get_current().stats()")
        stats = interp.call(eval, "__import__('__main__').stats", {})
        assert stats["id"] == interp.id and stats["state"] == "running" and stats["threads"] == 1

    def test_takes_no_arguments(self, interp: atoll.Interpreter) -> None:
        with pytest.raises(TypeError):
            interp.stats(1)  # type: ignore[call-arg]


def names_of(stack: Any) -> list[str]:
    return [frame.name.rpartition(".")[2] for frame in stack.frames]


class TestStacks:
    def test_idle(self, interp: atoll.Interpreter) -> None:
        assert interp.stacks() == []

    def test_of_a_call(self, interp: atoll.Interpreter) -> None:
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.wait_for, started, release)
        assert started.wait(120)
        limit = time.monotonic() + 120
        while True:
            [stack] = interp.stacks()
            if "release.wait(120)" in str(stack):
                break  # before, it may still be in the line that wakes this thread
            assert time.monotonic() < limit
        release.set()
        thread.join()
        assert names_of(stack) == ["wait_for"]
        assert stack.in_call and stack.ident == thread.ident and stack.native_id == thread.native_id
        assert "runs a call" in str(stack)
        assert "ops_functions.py" in stack.frames[-1].filename

    def test_of_its_own_threads(self, interp: atoll.Interpreter) -> None:
        started, release = Event(), Event()
        interp.call(functions.start_thread, started, release, "n\xe4me")
        assert started.wait(120)
        [stack] = interp.stacks()
        release.set()
        assert stack.name == "n\xe4me" and not stack.in_call and not stack.daemon
        assert names_of(stack)[-1] == "wait_for" and names_of(stack)[0] == "_bootstrap"

    def test_of_the_caller_itself(self) -> None:
        found = [one for one in atoll.get_current().stacks() if one.ident == threading.get_ident()]
        assert len(found) == 1
        assert "test_of_the_caller_itself" in names_of(found[0])
        assert found[0].name == threading.current_thread().name

    def test_deep_ones_are_cut(self, interp: atoll.Interpreter) -> None:
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.wait_deep, started, release, 500)
        assert started.wait(120)
        [stack] = interp.stacks()
        release.set()
        thread.join()
        assert len(stack.frames) == 128 and names_of(stack)[-1] == "wait_for"

    def test_c_code_keeps_the_gil(self, stuck: atoll.Interpreter) -> None:
        with pytest.raises(atoll.InterpreterError, match="keeps its GIL"):
            stuck.stacks()
        stats = stuck.stats()
        assert stats["state"] == "running" and stats["threads"] is None
        out = io.StringIO()
        atoll.dump_stacks(out)
        assert "cannot be read" in out.getvalue() and "test_c_code_keeps_the_gil" in out.getvalue()

    def test_closed(self) -> None:
        interp = atoll.create()
        interp.close()
        with pytest.raises(atoll.InterpreterNotFoundError):
            interp.stacks()

    def test_pickles(self, interp: atoll.Interpreter) -> None:
        import pickle

        [mine] = [one for one in atoll.get_current().stacks() if one.ident == threading.get_ident()]
        assert pickle.loads(pickle.dumps(mine)) == mine

    def test_while_everything_changes(self, interp: atoll.Interpreter) -> None:
        """Looking races with calls, threads and closing: nothing breaks."""
        done = threading.Event()

        def change() -> None:
            while not done.is_set():
                with atoll.create() as one:
                    thread = one.call_in_thread(functions.burn, 0.01)
                    thread.join()

        threads = [threading.Thread(target=change) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(40):
                for one in atoll.list_all():
                    one.stats()
                    try:
                        one.stacks()
                    except atoll.InterpreterError:
                        pass
                atoll.dump_stacks(io.StringIO())
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert interp.stats()["state"] == "idle"


class TestDump:
    def test_all_interpreters(self, interp: atoll.Interpreter) -> None:
        interp.name = "w\xf6rker"
        started, release = Event(), Event()
        thread = interp.call_in_thread(functions.wait_for, started, release)
        assert started.wait(120)
        out = io.StringIO()
        atoll.dump_stacks(out)
        release.set()
        thread.join()
        text = out.getvalue()
        assert "Interpreter 0 (main):" in text
        assert f"Interpreter {interp.id} [w\xf6rker] (running):" in text
        assert "in wait_for\n" in text and "test_all_interpreters" in text

    def test_to_a_descriptor(self) -> None:
        with tempfile.TemporaryFile() as file:
            atoll.dump_stacks(file.fileno())
            file.seek(0)
            assert b"Interpreter 0 (main):" in file.read()

    def test_to_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        atoll.dump_stacks()
        assert "Interpreter 0 (main):" in capsys.readouterr().err

    def test_from_inside_another(self, interp: atoll.Interpreter) -> None:
        interp.exec(
            """
            import atoll, io
            def look():
                out = io.StringIO()
                atoll.dump_stacks(out)
                return out.getvalue()
            text = look()
            """
        )
        text = interp.call(eval, "__import__('__main__').text", {})
        assert "in look\n" in text and "test_from_inside_another" in text


SIGNAL = """
import os, signal, sys, time
import atoll
from atoll import _core
from atoll.sync import Event

_core._probe_patience(60)

def wait_for(started, release):
    started.set()
    release.wait(120)

def until(condition):
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)

out = open("dump.txt", "w+")
def text():
    with open("dump.txt") as file:
        return file.read()
"""


class TestSignal:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_while_the_main_thread_is_inside(self) -> None:
        """The main thread waits in another interpreter, in C."""
        run_child(
            SIGNAL
            + """
import threading
interp = atoll.create(name="worker")
started, release = Event(), Event()
atoll.register_dump(signal.SIGUSR1, out)
out.close()   # it was duplicated

def watch():
    started.wait(120)
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: "in wait_for" in text())
    release.set()

thread = threading.Thread(target=watch)
thread.start()
interp.call(wait_for, started, release)
thread.join()
found = text()
assert "Interpreter 0 (main):" in found and "[worker] (running):" in found, found
assert found.count("in wait_for") == 1 and "[MainThread]" in found and "in watch" in found, found
print("told")
"""
        ).check("told\n")

    def test_again_and_unregister(self) -> None:
        run_child(
            SIGNAL
            + """
seen = []
signal.signal(signal.SIGUSR1, lambda *args: seen.append(1))
atoll.register_dump(signal.SIGUSR1, out)
for n in range(1, 4):
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: text().count("Interpreter 0 (main):") == n)
assert not seen
print(atoll.unregister_dump(signal.SIGUSR1), atoll.unregister_dump(signal.SIGUSR1))
os.kill(os.getpid(), signal.SIGUSR1)
until(lambda: seen)
print(text().count("Interpreter 0 (main):"))
"""
        ).check("True False\n3\n")

    def test_another_file(self) -> None:
        run_child(
            SIGNAL
            + """
atoll.register_dump(signal.SIGUSR2, open("other.txt", "w"))
atoll.register_dump(signal.SIGUSR2, out.fileno())
os.kill(os.getpid(), signal.SIGUSR2)
until(lambda: "Interpreter 0 (main):" in text())
print(open("other.txt").read() == "")
"""
        ).check("True\n")

    def test_ctrl_c_works_beside_it(self) -> None:
        run_child(
            SIGNAL
            + """
import threading
atoll.register_dump(signal.SIGUSR1, out)
interp = atoll.create()
started, release = Event(), Event()
def kill():
    started.wait(120)
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: "in wait_for" in text())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=kill).start()
try:
    interp.call(wait_for, started, release)
except KeyboardInterrupt:
    print("interrupted")
"""
        ).check("interrupted\n")

    def test_a_child_has_none(self) -> None:
        run_child(
            SIGNAL
            + """
import warnings
warnings.simplefilter("ignore")
seen = []
signal.signal(signal.SIGUSR1, lambda *args: seen.append(1))
atoll.register_dump(signal.SIGUSR1, out)
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: seen)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.kill(os.getpid(), signal.SIGUSR1)
until(lambda: "Interpreter 0 (main):" in text())
"""
        ).check("7\n")

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, 0, -1, 10_000])
    def test_unfit(self, number: int) -> None:
        with pytest.raises(ValueError):
            atoll.register_dump(number)

    def test_bad_arguments(self) -> None:
        with pytest.raises(OSError):
            atoll.register_dump(signal.SIGUSR1, 987_654)
        with pytest.raises(TypeError):
            atoll.register_dump("SIGUSR1")  # type: ignore[arg-type]
        with pytest.raises(io.UnsupportedOperation):
            atoll.register_dump(signal.SIGUSR1, io.StringIO())
        assert atoll.unregister_dump(signal.SIGUSR1) is False
