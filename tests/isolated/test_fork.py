"""fork() while other threads are at work in other interpreters, each in a child process."""

from __future__ import annotations

import pytest
from children import LONG, run_child

BEGIN = """
import atoll, os, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
stop = False
# A module that a thread is about to import when another forks stays locked in
# the child, as in any Python process: what is imported at need is, after a turn.
warm = threading.Event()
def interrupts():
    interp = atoll.create()
    def run():
        while not stop:
            try:
                interp.exec("while True: pass")
            except atoll.ExecutionFailed:
                warm.set()
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        interp.interrupt()
def calls():
    interp = atoll.create()
    while not stop:
        interp.call(len, [1, "two", {"three": b"3" * 5000}])
        warm.set()
def queues():
    interp, queue = atoll.create(), atoll.create_queue(8)
    interp.prepare_main(queue=queue)
    thread = threading.Thread(target=interp.exec, args=("while queue.get() is not None: pass",))
    thread.start()
    while not stop:
        queue.put([1, "x" * 2000])
        warm.set()
    queue.put(None)
    thread.join()
def deadlines():
    interp = atoll.create()
    while not stop:
        try:
            interp.options(timeout=0.001).exec("while True: pass")
        except atoll.ExecutionTimeout:
            warm.set()
def closes():
    while not stop:
        interp = atoll.create()
        interp.call(abs, -1)
        interp.close()
        warm.set()
"""


@pytest.mark.parametrize("work", ["interrupts", "calls", "queues", "deadlines", "closes"])
def test_beside(work: str) -> None:
    """The child can use atoll, whatever another thread was about to do; the parent goes on."""
    turns = 300 if LONG else 25
    run_child(f"""{BEGIN}
with atoll.create() as interp:
    interp.call(abs, -1)
thread = threading.Thread(target={work})
thread.start()
warm.wait()
for _ in range({turns}):
    pid = os.fork()
    if pid == 0:
        with atoll.create() as interp:
            os._exit(5 if interp.call(abs, -3) == 3 else 6)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
stop = True
thread.join()
print(atoll.create().call(abs, -4))
""").check("4\n")


def test_inside_another_interpreter() -> None:
    """Refused there: the child could not live."""
    run_child("""
        import atoll
        for config in ("isolated", "legacy"):
            with atoll.create(config=config) as interp:
                try:
                    interp.exec("import os; os.fork()")
                except atoll.ExecutionFailed as error:
                    print(error.excinfo.type.__name__, error.excinfo.msg)
    """).check(
        "RuntimeError fork not supported for isolated subinterpreters\n"
        "RuntimeError fork not supported for isolated subinterpreters\n"
    )


def test_grandchildren() -> None:
    run_child("""
        import atoll, os
        interp = atoll.create()
        for depth in range(3):
            pid = os.fork()
            if pid != 0:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os._exit(status + 1 if atoll.create().call(abs, -1) == 1 else 99)
            interp = atoll.create()
        os._exit(interp.call(abs, -5))
    """).check(status=8)


def test_by_a_thread() -> None:
    """The thread that forks is the child's main one."""
    run_child("""
        import atoll, os, threading, warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        interp = atoll.create()
        interp.call(abs, -1)
        def work():
            interp.call(abs, -1)
            pid = os.fork()
            if pid == 0:
                os._exit(atoll.create().call(abs, -5))
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), interp.call(abs, -2))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        interp.close()
    """).check("5 2\n")
