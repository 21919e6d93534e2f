"""A progress bar on a terminal: rich's, tqdm's, or a line of text."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Silent:
    """No bar: standard error is no terminal."""

    def write(self, text: str) -> None:
        """Print lines to standard output, past the bar."""
        sys.stdout.write(text)

    def error(self, text: str) -> None:
        """Print lines to standard error, past the bar."""
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()

    def advance(self, count: int) -> None:
        """So many more are done."""

    def set_total(self, total: int) -> None:
        """So many are to be done."""

    def close(self) -> None:
        """Remove the bar."""


class Plain(Silent):
    """A line that is written anew ten times a second."""

    def __init__(self) -> None:
        self._done = 0
        self._total: int | None = None
        self._shown = 0.0

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = 0.0

    def write(self, text: str) -> None:
        self._clear()
        sys.stdout.write(text)
        sys.stdout.flush()

    def error(self, text: str) -> None:
        self._clear()
        super().error(text)

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown > 0.1:
            self._shown = now
            total = (
                "" if self._total is None else f"/{self._total} {self._done * 100 // max(1, self._total)}%"
            )
            sys.stderr.write(f"\r\x1b[K{self._done}{total}")
            sys.stderr.flush()

    def set_total(self, total: int) -> None:
        self._total = total

    def close(self) -> None:
        self._clear()


class Rich(Silent):
    """rich's."""

    def __init__(self, progress: Any) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._progress = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def write(self, text: str) -> None:
        sys.stdout.write(text)  # redirected, if it goes to the terminal

    def error(self, text: str) -> None:
        self._console.print(text.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def set_total(self, total: int) -> None:
        self._progress.update(self._task, total=total)

    def close(self) -> None:
        self._progress.stop()


class Tqdm(Silent):
    """tqdm's."""

    def __init__(self, tqdm: Any) -> None:
        self._bar = tqdm.tqdm(file=sys.stderr, leave=False)

    def write(self, text: str) -> None:
        self._bar.write(text, file=sys.stdout, end="")

    def error(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr, end="")

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def set_total(self, total: int) -> None:
        self._bar.total = total
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def make() -> Silent:
    """The best there is here."""
    if not sys.stderr.isatty():
        return Silent()
    try:
        import rich.progress

        return Rich(rich.progress)
    except ImportError:
        pass
    try:
        import tqdm

        return Tqdm(tqdm)
    except ImportError:
        return Plain()
