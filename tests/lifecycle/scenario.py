"""One case of docs/internals/lifecycle.md in this process: scenario.py STATE ENDER FD.

An interpreter is brought into a state, and somebody ends it, or the process.
What happens is told in lines on standard output, past all buffers: "ending",
and what comes of it; "ended: ..." with what the ender got; then what is left
is let go; "over".  FD is what a subprocess reads: it ends when the test closes
the other end.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import atoll
from atoll import _threads, sync

SAY = """
import os
def tell(text):
    os.write(1, (text + "\\n").encode())
"""
exec(SAY)
tell: Callable[[str], None]

#: In a function of its own: 3.13 and 3.14 leave a loop's jump back out of the try block around it.
LOOP = "spin()"
#: What every interpreter is told first.
PRELUDE = f"""{SAY}
import atexit, threading
from collections import deque
from functools import partial
from itertools import chain, repeat
from operator import call
atexit.register(tell, "inner atexit")
def close_itself():
    import atoll
    try:
        atoll.get_current().close()
    except BaseException as error:
        results.put(f"{{type(error).__name__}}: {{error}}")
    else:
        results.put("closed")
def spin():
    while not release.is_set():
        pass
def work():
    try:
        started.set()
        {LOOP}
    finally:
        tell("inner finally")
"""

#: Code that runs in it, and until when.
RUNNING = {
    "Python": f"started.set()\n {LOOP}",
    "queue": "started.set(); queue.get()",
    "lock": "started.set(); lock.acquire()",
    # No Python runs between the call of set() and what follows.
    # After it there is a jump back, where 3.15 looks for what is to be raised.
    "C": "deque(map(call, [started.set, partial(os.read, pipe, 1)]), maxlen=0)\n for _ in '12': pass",
    "C with GIL": "deque(chain(map(call, [started.set]), repeat(None)), maxlen=0)",
}
#: What a call has left behind in it.
LEFT = {
    "idle": "",
    "threads": "threading.Thread(target=work).start()",
    "daemon threads": "threading.Thread(target=work, daemon=True).start()",
    "subprocess": (
        "import subprocess\n"
        "child = subprocess.Popen(['cat'], stdin=fd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "tell(f'child {child.pid}')"
    ),
    "views": "view = memoryview(bytearray(b'seen'))",
    "others' views": "kept = seen[1:]",
}

state, ender, feed = sys.argv[1], sys.argv[2], int(sys.argv[3])
started, release, go = sync.Event(), sync.Event(), sync.Event()
lock = sync.Lock()
queue, results = atoll.create_queue(), atoll.create_queue()
pipe_read, pipe_write = os.pipe()
views: list[memoryview] = []
data = bytearray(b"main's")
threads: list[threading.Thread] = []


def make() -> atoll.Interpreter:
    """An interpreter in the state, but for code that runs in it."""
    config: Any = "isolated"
    if state == "daemon threads":
        config = atoll.InterpreterConfig(gil="own", allow_daemon_threads=True)
    interp = atoll.create(config=config)
    interp.prepare_main(
        started=started,
        release=release,
        go=go,
        lock=lock,
        queue=queue,
        results=results,
        pipe=pipe_read,
        fd=feed,
    )
    interp.exec(PRELUDE)
    if state == "others' views":
        interp.prepare_main(seen=memoryview(data))
    if state in LEFT:
        interp.exec(LEFT[state])
    if "threads" in state:
        started.wait()
    if state == "views":
        interp.exec("results.put(view)")
        views.append(results.get())
    return interp


def code() -> str:
    """What runs in it."""
    lines = ["try:", f" {RUNNING[state]}", "finally:", " tell('inner finally')"]
    if ender == "its own close()":
        # The one that runs cannot: another thread of the interpreter does.
        lines[:0] = ["def closer():", " go.wait(); close_itself()", "threading.Thread(target=closer).start()"]
    return "\n".join(lines)


def run_in_main(text: str) -> None:
    import __main__

    exec(text, vars(__main__))


def quiet(work: Callable[..., Any], *args: Any) -> Callable[[], None]:
    """work, but for what stops it."""

    def run() -> None:
        try:
            work(*args)
        except atoll.ExecutionFailed:
            pass

    return run


def start(interp: atoll.Interpreter) -> None:
    """Runs code in it from a thread that does not keep the process."""
    if state in RUNNING:
        lock.acquire()
        thread = threading.Thread(target=quiet(interp.exec, code()), daemon=True)
        thread.start()
        threads.append(thread)
        started.wait()
        time.sleep(0.02)  # it is about to wait, or waits


def let_go() -> None:
    """What runs, or waits, may end."""
    if release.is_set():
        return
    release.set()
    queue.put(None)
    if lock.locked():
        lock.release()
    os.write(pipe_write, b"x")


def let_go_soon() -> None:
    """Let go of what somebody waits for."""
    if state not in RUNNING and state != "threads":
        return

    def run() -> None:
        go.wait()
        time.sleep(0.05)
        tell("let go")
        let_go()

    threading.Thread(target=run, daemon=True).start()


def attempt(work: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    try:
        work(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "closed"


def is_listed(ident: int) -> bool:
    return ident in [interp.id for interp in atoll.list_all()]


def conclude(ident: int, result: str) -> None:
    """After somebody tried to end it."""
    tell(f"ended: {result}")
    tell("listed" if is_listed(ident) else "not listed")
    if views:
        tell(f"view {bytes(views[0]).decode()}")
        views.clear()
    if state == "C with GIL":
        sys.exit()
    let_go()
    for thread in threads:
        thread.join()
    threads.clear()
    if is_listed(ident):
        interp = atoll.Interpreter(ident)
        tell(f"usable {interp.call(abs, -1)}")
        if state == "daemon threads":
            interp.exec("for t in threading.enumerate():\n if '(work)' in t.name: t.join()")
        tell(f"then {attempt(interp.close)}")
    if state == "others' views":
        tell(f"released {type_of_failure(data.clear)}")


# --- who ends it -----------------------------------------------------------------


def by_close() -> None:
    interp = make()
    start(interp)
    if state == "threads":
        let_go_soon()
    tell("ending")
    go.set()
    conclude(interp.id, attempt(interp.close))


def by_another_thread() -> None:
    interp = make()
    start(interp)
    if state == "threads":
        let_go_soon()
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(attempt(interp.close)))
    tell("ending")
    go.set()
    thread.start()
    thread.join()
    conclude(interp.id, got[0])


def by_itself() -> None:
    interp = make()
    start(interp)
    tell("ending")
    if state in RUNNING:
        go.set()
    else:
        interp.exec("close_itself()")
    conclude(interp.id, results.get())


def by_sibling() -> None:
    interp, sibling = make(), atoll.create()
    start(interp)
    if state == "threads":
        let_go_soon()
    sibling.prepare_main(interp=interp, results=results)
    tell("ending")
    go.set()
    sibling.exec("""
        try:
            interp.close()
        except BaseException as error:
            results.put(f"{type(error).__name__}: {error}")
        else:
            results.put("closed")
    """)
    sibling.close()
    conclude(interp.id, results.get())


def by_last_reference() -> None:
    interp = make()
    start(interp)
    ident = interp.id
    tell("ending")
    del interp
    conclude(ident, "dropped")
    tell("listed" if is_listed(ident) else "not listed")


def by_garbage_collection() -> None:
    gc.disable()
    interp = make()
    start(interp)
    ident = interp.id
    cycle: list[Any] = [interp]
    cycle.append(cycle)
    del interp, cycle
    tell("ending")
    gc.collect()
    conclude(ident, "dropped")
    tell("listed" if is_listed(ident) else "not listed")


def by_stdlib() -> None:
    import _interpreters  # type: ignore[import-not-found]

    interp = make()
    start(interp)
    if state == "threads":
        let_go_soon()
    tell("ending")
    go.set()
    conclude(interp.id, attempt(_interpreters.destroy, interp.id, restrict=True))


def by_interrupting() -> None:
    interp = make()
    start(interp)
    seconds = 0.1 if state.startswith("C") else 60.0
    tell("ending")
    conclude(interp.id, attempt(interp.close, interrupt=True, timeout=seconds))


def by_with(error: Exception | None) -> None:
    result = "closed"
    if not state.startswith("C"):
        _threads.GRACE = 60.0
    try:
        with make() as interp:
            if state in RUNNING:
                lock.acquire()
                thread = interp.call_in_thread(run_in_main, code())
                threads.append(thread)
                started.wait()
            tell("ending")
            if error is None:
                let_go_soon()
                go.set()
            else:
                raise error
    except (ValueError, atoll.InterpreterError) as got:
        result = f"{type(got).__name__}: {got}"
    conclude(interp.id, result)


# --- who ends the process ----------------------------------------------------------


def at_exit(leave: Callable[[], object]) -> None:
    interp = make()
    start(interp)
    globals()["interp"] = interp  # it stays open
    atexit.register(tell, "outer atexit")
    tell("ending")
    try:
        leave()
    finally:
        tell("outer finally")


def fail() -> NoReturn:
    raise ValueError("mine")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def by_sigterm_handler() -> None:
    def handler(number: int, frame: object) -> None:
        sys.exit(4)

    signal.signal(signal.SIGTERM, handler)
    if state not in RUNNING or state.startswith("C"):
        at_exit(terminate)
        return
    # The main thread itself is inside.
    interp = make()
    globals()["interp"] = interp
    lock.acquire()
    atexit.register(tell, "outer atexit")

    def kill() -> None:
        started.wait()
        time.sleep(0.02)
        tell("ending")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=kill, daemon=True).start()
    try:
        interp.exec(code())
    finally:
        tell("outer finally")


# --- fork ----------------------------------------------------------------------------


def look_around(interp: atoll.Interpreter) -> None:
    """What the child sees."""
    tell(f"child: {[i.id for i in atoll.list_all()]}")
    tell(f"child: {type_of_failure(interp.call, abs, -1)}")
    tell(f"child: {type_of_failure(interp.close)}")
    if views:
        tell(f"child: view {bytes(views[0]).decode()}")
    with atoll.create() as other:
        tell(f"child: {other.call(abs, -2)}")


def type_of_failure(work: Callable[..., Any], *args: Any) -> str:
    try:
        return str(work(*args))
    except Exception as error:
        return type(error).__name__


def by_fork(look: bool) -> None:
    interp = make()
    start(interp)
    tell("ending")
    pid = os.fork()
    if pid == 0:
        if look:
            look_around(interp)
        sys.exit(5)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    conclude(interp.id, f"child's status {status}")


def by_multiprocessing() -> None:
    import multiprocessing

    interp = make()
    start(interp)
    process = multiprocessing.get_context("fork").Process(target=look_around, args=(interp,))
    tell("ending")
    process.start()
    process.join()
    conclude(interp.id, f"child's status {process.exitcode}")


def by_preexec() -> None:
    interp = make()
    start(interp)
    tell("ending")
    status = subprocess.run(["true"], preexec_fn=lambda: look_around(interp)).returncode
    conclude(interp.id, f"child's status {status}")


ENDERS: dict[str, Callable[[], None]] = {
    "close()": by_close,
    "another thread's close()": by_another_thread,
    "its own close()": by_itself,
    "a sibling's close()": by_sibling,
    "last reference": by_last_reference,
    "garbage collection": by_garbage_collection,
    "standard module": by_stdlib,
    "close(interrupt=True)": by_interrupting,
    "with": lambda: by_with(None),
    "with, exception": lambda: by_with(ValueError("mine")),
    "sys.exit": lambda: at_exit(lambda: sys.exit(7)),
    "end of main": lambda: at_exit(lambda: None),
    "uncaught exception": lambda: at_exit(fail),
    "os.fork, parent": lambda: by_fork(False),
    "os.fork, child": lambda: by_fork(True),
    "multiprocessing fork": by_multiprocessing,
    "preexec_fn": by_preexec,
    "os._exit": lambda: at_exit(lambda: os._exit(3)),
    "SIGTERM": lambda: at_exit(terminate),
    "SIGTERM handler": by_sigterm_handler,
}

if __name__ == "__main__":
    if state in RUNNING or "threads" in state:
        # CPython's own word about a fork beside a thread of the user's.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    ENDERS[ender]()
    tell("over")
