"""`atoll map` and `atoll info`.

map: a thread reads the input as it comes and submits it, some inputs at a
time; the main thread prints.  So a slow input is answered at once, and a fast
one is read no further ahead than some thousand lines.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque

from . import _cli_task, _core, _progress
from .futures import Future, InterpreterPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

#: Inputs that may be on their way, for each interpreter.
_AHEAD = 4096
#: What a task is to take, in seconds, and how many inputs it may have.
_SECONDS = 0.002
_MOST = 512


class _Map:
    def __init__(self, args: argparse.Namespace, pool: InterpreterPoolExecutor) -> None:
        self.args = args
        self.pool = pool
        self.finished: deque[Any] = deque()
        self.ready = _core.Semaphore(0)  # one for each of finished; its waits miss no Ctrl-C, see _future.py
        self.total: int | None = len(args.args) or None  # inputs, once that is known
        self.room = threading.Semaphore(_AHEAD * pool._max_workers)
        self.size = args.chunksize or 1
        self.stopped = False
        self.failed = 0
        self.bar = _progress.make()

    def put(self, item: Any) -> None:
        self.finished.append(item)
        self.ready.release()

    # -- the reading thread

    def read(self) -> None:
        total = 0
        try:
            for items in self.batches():
                total += len(items)
                start = 0
                while start < len(items):
                    part = items[start : start + self.size]
                    start += len(part)
                    for _ in part:
                        self.room.acquire()
                    if self.stopped:
                        return
                    self.submit(part)
            self.total = total  # at once: the bar need not wait for what is on its way
            self.put(None)
        except BaseException as error:
            self.put(error)

    def submit(self, items: list[str]) -> None:
        future = self.pool.submit(_cli_task.run_many, self.args.function, self.args.jsonl, items)
        if self.args.unordered:
            future.add_done_callback(lambda f: self.put((f, items)))
        else:
            self.put((future, items))

    def batches(self) -> Iterator[list[str]]:
        """The inputs, as many at a time as are there."""
        if self.args.args:
            yield self.args.args
            return
        left = b""
        # Not through sys.stdin, whose lock this thread would hold at the end.
        source = sys.stdin.fileno()
        while data := os.read(source, 1 << 16):
            *lines, left = (left + data).split(b"\n")
            if lines:
                yield self.decode(lines)
        if left:
            yield self.decode([left])

    def decode(self, lines: list[bytes]) -> list[str]:
        found = [line.decode("utf-8", "surrogateescape") for line in lines]
        return [line for line in found if line.strip()] if self.args.jsonl else found

    # -- the main thread

    def measure(self, seconds: float, count: int) -> None:
        if self.args.chunksize is None:
            wanted = int(_SECONDS * count / max(seconds, 1e-9))
            self.size = max(1, min(wanted, 4 * self.size, _MOST))

    def show(self, future: Future[Any], items: list[str]) -> None:
        if not future.done():
            sys.stdout.flush()  # what there is; this may take long
        error = future.exception()
        if error is not None:
            done = [(False, f"{type(error).__name__}: {error}")] * len(items)
        else:
            seconds, done = future.result()
            self.measure(seconds, len(items))
        lines = []
        for item, (ok, text) in zip(items, done, strict=True):
            if ok:
                lines.append(text + "\n")
            else:
                self.failed += 1
                if lines:
                    self.bar.write("".join(lines))
                    lines.clear()
                self.bar.error(f"atoll map: {item!r}:\n{text}\n")
        if lines:
            self.bar.write("".join(lines))
        self.bar.advance(len(items))
        self.room.release(len(items))

    def run(self) -> int:
        reader = threading.Thread(target=self.read, name="atoll map: input", daemon=True)
        reader.start()
        read = told = False
        shown = 0
        while not read or shown < (self.total or 0):
            if self.total is not None and not told:
                told = True
                self.bar.set_total(self.total)
            if not self.finished:
                sys.stdout.flush()  # the input may take long
            self.ready.acquire()
            got = self.finished.popleft()
            if isinstance(got, BaseException):
                raise got
            if got is None:
                read = True
                continue
            self.show(*got)
            shown += len(got[1])
        sys.stdout.flush()
        return 1 if self.failed else 0


def _check_target(target: str) -> str | None:
    """What is wrong with MODULE:FUNCTION, or None."""
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        return f"{target!r} is not MODULE:FUNCTION"
    try:
        found = _cli_task.resolve(target)
    except (ImportError, AttributeError) as error:
        return str(error)
    except (Exception, SystemExit) as error:
        return f"{module} cannot be imported:\n{_cli_task.describe(error)}"
    return None if callable(found) else f"{target!r} cannot be called"


def run_map(args: argparse.Namespace) -> int:
    """The command `atoll map`; its exit status."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # the console script's own folder is there instead
    wrong = _check_target(args.function)
    if wrong is not None:
        print(f"atoll map: {wrong}", file=sys.stderr)
        return 2
    for name in ("stdin", "stdout") if not args.args else ("stdout",):
        if getattr(sys, name) is None:
            print(f"atoll map: {name} is closed", file=sys.stderr)
            return 2
    # Bytes go through as they are, as in other filters, whatever the locale.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    pool = InterpreterPoolExecutor(args.jobs, "atoll-map")
    work = _Map(args, pool)
    try:
        with pool:
            return work.run()
    except BrokenPipeError:
        raise
    except OSError as error:  # of reading or writing; a task's is in its future
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is in the buffer can go nowhere
        print(f"atoll map: {error}", file=sys.stderr)
        return 1
    finally:
        work.stopped = True
        work.room.release(_AHEAD)
        work.bar.close()


def run_info(args: argparse.Namespace) -> int:
    """The command `atoll info`."""
    import platform
    import sysconfig

    import atoll

    from . import _core

    facts: dict[str, object] = {
        "atoll": atoll.__version__,
        "extension": _core.__file__,
        "python": sys.version.replace("\n", " "),
        "executable": sys.executable,
        "build": "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with a GIL",
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "CPUs": f"{os.cpu_count()}, usable: {InterpreterPoolExecutor()._max_workers}",
        "concurrent.interpreters": _where("concurrent.interpreters"),
        "progress bars": "rich" if _where("rich") else "tqdm" if _where("tqdm") else "plain text",
        "names switched off (ATOLL_NO_ALIAS)": os.environ.get("ATOLL_NO_ALIAS", "no"),
        "default config": "isolated: own GIL, threads, no fork, no exec, no daemon threads",
    }
    try:
        import resource

        for name in ("RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_STACK"):
            soft = resource.getrlimit(getattr(resource, name))[0]
            facts[f"limit {name}"] = "unlimited" if soft == resource.RLIM_INFINITY else soft
    except ImportError:
        pass
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")
    return 0


def _where(name: str) -> str:
    import importlib.util

    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return ""
    return "" if spec is None else str(spec.origin)
