"""The command `atoll`, the same as `python -m atoll`."""

from __future__ import annotations

import argparse
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["main"]


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, not {text!r}")
    return value


class _Parser(argparse.ArgumentParser):
    """Options may stand anywhere: argparse's own takes ARG... to be empty at the first of them."""

    _again = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if not rest or self._again or self.prog != "atoll map":
            return found, rest
        self._again = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._again = False


def _parser() -> argparse.ArgumentParser:
    from . import __version__
    from ._doctor import add_parser as add_doctor

    parser = _Parser(prog="atoll", description="Many Python interpreters in one process.")
    parser.add_argument("--version", action="version", version=f"atoll {__version__}")
    commands: argparse._SubParsersAction[Any] = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND"
    )
    _add_map(commands)
    add_doctor(commands)
    bench = commands.add_parser(
        "bench", help="measure this machine: atoll, the standard library's interpreters, threads, processes"
    )
    bench.add_argument("--quick", action="store_true", help="fewer rounds")
    bench.add_argument(
        "--only", metavar="WORD", default="", help='only the rows with this in their id: "pool."'
    )
    bench.add_argument("--json", metavar="FILE", help="write the numbers to FILE (-: standard output), too")
    _add_top(commands)
    commands.add_parser("info", help="versions, configuration and limits, for a bug report")
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value


def _add_top(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "top",
        help="show the interpreters of a process that called atoll.expose()",
        description=(
            "Shows the interpreters of a process of yours that called atoll.expose(): state, CPU time, calls, "
            "messages, memory, threads; refreshed until Ctrl-C.  CPU% and BUSY% are of the last interval, in "
            "the first table of the whole life.  Without a PID: which processes can be looked at."
        ),
        epilog="exit status: 0, or 1 if the process cannot be looked at",
    )
    parser.add_argument("pid", metavar="PID", nargs="?", type=_positive, help="the process")
    parser.add_argument("--once", action="store_true", help="show it once and end")
    parser.add_argument("--json", action="store_true", help="JSON: an object each time, on a line of its own")
    parser.add_argument("--stacks", action="store_true", help="what every thread is doing now, once")
    parser.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="how often (default: 1)"
    )


def _add_map(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "map",
        help="call a function on each argument, or each line of standard input, in parallel",
        description=(
            "Calls the function on each ARG, or else on each line of standard input, in parallel interpreters, "
            "and prints each result as a line, in order.  Errors go to standard error with the input that "
            "caused them; the exit status is then 1, and all other results are printed."
        ),
        epilog="example: find . -name '*.json' | atoll map mymodule:check",
    )
    parser.add_argument(
        "function", metavar="MODULE:FUNCTION", help="what to call; the current folder is searched, too"
    )
    parser.add_argument("args", metavar="ARG", nargs="*", help="an input; none: the lines of standard input")
    parser.add_argument(
        "-j", "--jobs", type=_positive, metavar="N", help="so many interpreters (one for each CPU)"
    )
    parser.add_argument(
        "--chunksize", type=_positive, metavar="N", help="so many inputs at once (chosen by measuring)"
    )
    parser.add_argument("--unordered", action="store_true", help="print results as they come")
    parser.add_argument("--jsonl", action="store_true", help="inputs and results are JSON, one value a line")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    args = _parser().parse_args(argv)
    try:
        status = _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read has read enough; nobody is told, as cat tells nobody.
        # What is still in the buffer can go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    if args.command == "map":
        from ._cli import run_map

        return run_map(args)
    if args.command == "top":
        from ._top import run_top

        return run_top(args)
    if args.command == "bench":
        from ._bench import run_bench

        return run_bench(args)
    if args.command == "doctor":
        from ._doctor import run_doctor

        return run_doctor(args)
    from ._cli import run_info

    return run_info(args)


if __name__ == "__main__":
    sys.exit(main())
