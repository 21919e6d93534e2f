"""Check JSON lines in parallel: which records of a log are not as they should be?

    python examples/check_jsonl.py [FILE] [--jobs N]

Without FILE it makes a file of its own.  Each worker parses and checks some
hundred lines at a time; a line at fault is reported with its number, and all
others are counted.  The checker and its dataclass are of this very script:
they are sent to the interpreters by value.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from atoll import InterpreterPoolExecutor

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}")
LEVELS = {"debug", "info", "warning", "error"}


@dataclass(frozen=True)
class Verdict:
    line: int
    level: str
    problem: str = ""


def check(numbered: tuple[int, str]) -> Verdict:
    """What is wrong with one line, if anything."""
    line, text = numbered
    try:
        record = json.loads(text)
    except ValueError as error:
        return Verdict(line, "", f"no JSON: {error}")
    level = record.get("level")
    if level not in LEVELS:
        return Verdict(line, "", f"unknown level {level!r}")
    if not EMAIL.fullmatch(record.get("user", "")):
        return Verdict(line, level, f"no e-mail address: {record.get('user')!r}")
    if not 100 <= record.get("status", 0) <= 599:
        return Verdict(line, level, f"no HTTP status: {record.get('status')!r}")
    return Verdict(line, level)


def make_file(path: Path, lines: int) -> None:
    generator = random.Random(5)
    with path.open("w") as file:
        for n in range(lines):
            record = {
                "level": generator.choice(sorted(LEVELS)),
                "user": f"user{n}@example.org",
                "status": generator.choice([200, 201, 404, 500]),
                "tags": [f"tag{i}" for i in range(generator.randrange(20))],
            }
            text = json.dumps(record)
            if n % 1000 == 7:
                text = generator.choice(
                    [text[:-3], text.replace("@", " at "), text.replace('"status": ', '"status": 9')]
                )
            file.write(text + "\n")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open() as file:
        yield from enumerate(file, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--lines", type=int, default=100_000, help="of the file that is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / "log.jsonl"
        if args.file is None:
            make_file(path, args.lines)
        levels: Counter[str] = Counter()
        bad = 0
        with InterpreterPoolExecutor(args.jobs) as pool:
            # buffersize: the file is read as far as the workers are, no further.
            for verdict in pool.map(check, numbered_lines(path), buffersize=20_000):
                levels[verdict.level] += not verdict.problem
                if verdict.problem:
                    bad += 1
                    print(f"line {verdict.line}: {verdict.problem}")
        good = ", ".join(f"{count} {level}" for level, count in sorted(levels.items()) if count)
        print(f"{bad} lines are wrong; the others: {good}")


main()
