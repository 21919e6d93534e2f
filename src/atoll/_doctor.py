"""`atoll doctor`: which installed distributions work in isolated interpreters.

    _doctor_find    what there is to import
    _doctor_judge   starts the probes of one distribution, and judges
    _doctor_child   a probe: the process that imports
    _doctor_inside  what runs in each of its interpreters
    _doctor_cache   what was found out before

Nothing here knows any package by name: what doctor says it has seen.
"""

from __future__ import annotations

import argparse
import json
import sys

from . import _progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from typing import Any

    from ._doctor_cache import Cache
    from ._doctor_find import Found, Index
    from ._doctor_judge import Prober

_DESCRIPTION = """\
Tells which installed distributions work in isolated interpreters: all of
them, or those that the NAMEs name, be it a distribution (PyYAML) or a module
(yaml).  Each is imported by child processes: in a plain interpreter; then in
isolated ones, in one, two in turn, several at once, in one after others were
closed, and beside the main interpreter; and, where that fails, with a shared
GIL.

verdicts:
  works                  imports everywhere, and ends cleanly
  works, slower          imports, but without a part in C that refused
  shared GIL only        works with create(config="legacy"): they take turns
  main interpreter only  works in no other interpreter
  crashes                ends the process; the signal is named
  hangs                  is not done within the time limit
  not importable         fails in a plain interpreter, too
  nothing to import      brings no module

doctor imports, and no more: a module that works may still crash in use, and
one that goes on without a part may miss it then."""

_EPILOG = """\
exit status: 0 if all work, perhaps slower; 1 if one does not, or if one that
was named cannot be imported at all; with --strict also if one is slower; 2 for
a name that is unknown."""


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return value


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `atoll`'s."""
    parser = commands.add_parser(
        "doctor",
        help="tell which installed distributions work in isolated interpreters",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="a distribution or a module; none: all that is installed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "-j", "--jobs", type=_positive_int, metavar="N", help="so many probes at once (one for each CPU)"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        default=120.0,
        help="what one child process may take (%(default)g)",
    )
    parser.add_argument("--strict", action="store_true", help='exit with 1 for "works, slower", too')
    parser.add_argument("--fresh", action="store_true", help="probe anew what was found out before")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the cache")


def _examine(found: Found, prober: Prober, index: Index, cache: Cache | None, fresh: bool) -> dict[str, Any]:
    from ._doctor_judge import HANGS, Judge

    if cache is not None and not fresh:
        known = cache.get(found)
        if known is not None:
            return {**known, "cached": True}
    judge = Judge(found, prober, index)
    finding = judge.finding()
    # What took too long may take less on a quieter day.
    if cache is not None and finding["verdict"] != HANGS:
        cache.put(found, finding, judge.evidence())
    return {**finding, "cached": False}


def _all(
    chosen: list[Found], index: Index, args: argparse.Namespace, bar: _progress.Silent
) -> Iterator[dict[str, Any]]:
    """The findings in the order of what was chosen."""
    from concurrent.futures import ThreadPoolExecutor

    from ._doctor_cache import Cache
    from ._doctor_judge import Prober
    from .futures import _default_workers

    prober = Prober(args.timeout)
    cache = None if args.no_cache else Cache()
    futures: list[Future[dict[str, Any]]] = []
    with ThreadPoolExecutor(args.jobs or _default_workers(), "atoll-doctor") as pool:
        # All within: the pool's end waits for probes, which Ctrl-C must have stopped by then.
        try:
            for found in chosen:
                future = pool.submit(_examine, found, prober, index, cache, args.fresh or args.no_cache)
                futures.append(future)
                future.add_done_callback(lambda _: bar.advance(1))
            for future in futures:
                yield future.result()
        finally:
            prober.stop()
            for future in futures:
                future.cancel()


# ------------------------------------------------------------ what is printed


def explain(finding: dict[str, Any]) -> list[str]:
    """A finding's reasons in words, one to each module that is to blame."""
    from ._doctor_judge import NOT_IMPORTABLE, SLOWER

    by_blame: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for reason in finding["reasons"]:
        by_blame.setdefault((reason["verdict"], reason["module"]), []).append(reason)
    lines = []
    for (verdict, module), reasons in by_blame.items():
        first = reasons[0]
        where = f" ({first['distribution']})" if _is_foreign(first, finding["name"]) else ""
        if verdict == NOT_IMPORTABLE:
            lines.append(f"fails in a plain interpreter, too: {first['reason']}")
        elif verdict == SLOWER:
            instead = ", ".join(first["fallback"])
            goes_on = f"falls back to {instead}" if instead else "goes on without it"
            lines.append(f"{module}{where} refuses, {first['by']} {goes_on}")
        else:
            stage = first["stage"] or ""
            is_news = stage not in ("", _FIRST_STAGE) and stage not in first["reason"]
            lines.append(f"{module}{where}: {first['reason']}" + (f", {stage}" if is_news else ""))
        if verdict != SLOWER or where:
            lines += _needed_by(module, reasons)
    return lines + [f"its import warns: {text}" for text in finding["warnings"]]


_FIRST_STAGE = "in one interpreter"


def _needed_by(module: str, reasons: list[dict[str, Any]]) -> list[str]:
    """Who wanted the module, and by way of whom."""
    targets = list(dict.fromkeys(one["target"] for one in reasons if one["target"] not in (None, module)))
    if not targets:
        return []
    more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
    way = [name for name in reasons[0]["via"] if name not in (*targets, module)]
    if len(way) > 4:
        way = [*way[:1], "...", *way[-2:]]
    by_way = f", by way of {' > '.join(way)}" if way else ""
    return [f"    needed by {', '.join(targets[:3])}{more}{by_way}"]


def _is_foreign(reason: dict[str, Any], own: str) -> bool:
    from ._doctor_find import normal

    return reason["distribution"] is not None and reason["distribution"] != normal(own)


def _table(finding: dict[str, Any], width: int) -> str:
    name = f"{finding['name']} {finding['version']}".strip()
    found = explain(finding)
    lines = [f"{finding['verdict']:{width}}  {name}"]
    lines += [f"{'':{width}}    {text}" for text in found[:8]]
    if len(found) > 8:
        lines.append(f"{'':{width}}    and more (--json has it all)")
    return "\n".join(lines) + "\n"


def _is_bad(finding: dict[str, Any], args: argparse.Namespace) -> bool:
    from ._doctor_judge import NOT_IMPORTABLE, NOTHING, SLOWER, WORKS

    verdict = finding["verdict"]
    if verdict in (WORKS, NOTHING):
        return False
    if verdict == SLOWER:
        return bool(args.strict)
    if verdict == NOT_IMPORTABLE:
        return bool(args.names)
    return True


def run_doctor(args: argparse.Namespace) -> int:
    """The command; its exit status."""
    from ._doctor_find import resolve

    chosen, unknown, index = resolve(args.names)
    if unknown:
        names = ", ".join(map(repr, unknown))
        print(f"atoll doctor: no distribution and no module is named {names}", file=sys.stderr)
        return 2
    bar = _progress.make()
    bar.set_total(len(chosen))
    findings = _all(chosen, index, args, bar)
    try:
        return _print(findings, args, bar)
    finally:
        findings.close()  # type: ignore[attr-defined]
        bar.close()


def _print(findings: Iterator[dict[str, Any]], args: argparse.Namespace, bar: _progress.Silent) -> int:
    from . import __version__
    from ._doctor_judge import VERDICTS

    width = max(map(len, VERDICTS))
    seen = []
    for finding in findings:
        seen.append(finding)
        if not args.json:
            bar.write(_table(finding, width))
            sys.stdout.flush()
    counts = {verdict: sum(one["verdict"] == verdict for one in seen) for verdict in VERDICTS}
    if args.json:
        bar.close()
        facts = {
            "atoll": __version__,
            "python": sys.version.split()[0],
            "executable": sys.executable,
            "counts": counts,
            "distributions": seen,
        }
        print(json.dumps(facts, indent=2))
    elif len(seen) != 1:
        parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        bar.write(f"\n{len(seen)} distributions: {parts or 'none'}\n")
    sys.stdout.flush()
    return 1 if any(_is_bad(finding, args) for finding in seen) else 0
