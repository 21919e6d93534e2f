"""Draws the documentation's plots and tables from what `atoll bench` measured.

    python docs/plots.py            writes docs/_generated/ (`tools/dev docs` calls it)
    python docs/plots.py --readme   puts the README's table up to date
    python docs/plots.py --check    says whether it is (tests/meta/test_docs.py)

docs/benchmarks/*.json are the output of

    atoll bench --json FILE [--only GROUP.]

in parts or in one, all of one machine and one Python.  Every number on the
benchmarks page and in the README comes from there and is made here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
OUT = HERE / "_generated"

Row = dict[str, Any]

#: id -> what the README calls it, and the rivals that it shows.
IN_README = {
    "call.noop": ("`interp.call(noop)`, main thread", ["stdlib"]),
    "call.ints.1000": ("`interp.call(len, [1000 ints])`", ["stdlib"]),
    "queue.pingpong": ("ball between two interpreters, there and back", ["stdlib", "processes"]),
    "queue.putget.int": ("`queue.put(7); queue.get()`", ["stdlib"]),
    "pool.map.noop": ("a task in `pool.map(noop, ...)`", ["stdlib", "threads", "processes"]),
    "pool.submit": ("`pool.submit(noop).result()`", ["stdlib", "threads", "processes"]),
    "pool.first": ("first result of a new pool, import and all", ["stdlib", "threads", "processes"]),
    "life.create": ("`create()`; a process: start and join", ["stdlib", "processes"]),
    "life.memory.16": ("memory of 16 idle ones", ["processes"]),
}
#: series -> title, axis, log axes, the file.
PLOTS = {
    "call.ints": ("A call with a list of ints", "ints in the list", "seconds a call", "log"),
    "call.bytes": ("A call with bytes", "bytes", "seconds a call", "log"),
    "call.view": ("A call with a memoryview", "bytes that it views", "seconds a call", "log"),
    "queue.size": ("There and back between two sides", "bytes in the message", "seconds a round trip", "log"),
    "pool.size": ("A task with bytes", "bytes in the argument", "seconds a task", "log"),
    "pool.count": ("A new pool: start, tasks, end", "tasks", "seconds in all", "log"),
    "pool.workers": ("CPU-bound tasks", "workers", "times one thread's speed", "linear"),
    "life.memory": ("Memory of idle interpreters and processes", "how many", "bytes", "linear"),
}
#: One colour for each competitor, and a mark, for those who see no colours.
STYLES = {
    "atoll": ("#d1495b", "o"),
    "stdlib": ("#00798c", "s"),
    "threads": ("#8d96a3", "^"),
    "processes": ("#edae49", "D"),
    "interpreters-pep-734": ("#30638e", "v"),
    "extrainterpreters": ("#5f0f40", "P"),
}
OTHER = ("#bbbbbb", "x")
GROUPS = {
    "call": "Calls",
    "queue": "Queues",
    "stop": "Stopping",
    "pool": "Pools",
    "life": "Creation, end, memory, import",
}


def load() -> tuple[dict[str, Any], dict[str, str], dict[str, Row]]:
    """The machine, the rivals, and the rows by id."""
    machine: dict[str, Any] = {}
    rivals: dict[str, str] = {}
    rows: dict[str, Row] = {}
    for path in sorted((HERE / "benchmarks").glob("*.json")):
        data = json.loads(path.read_text())
        if data["schema"] != 1:
            sys.exit(f"{path.name}: not of the shape that this script reads")
        facts = {name: value for name, value in data["machine"].items() if name != "date"}
        if machine and facts != {name: machine[name] for name in facts}:
            sys.exit(f"{path.name} is of another machine or version than the others")
        machine = {**facts, "date": max(data["machine"]["date"], machine.get("date", ""))}
        rivals |= data["rivals"]
        for row in data["rows"]:
            if row["id"] in rows:
                sys.exit(f"{path.name}: the row {row['id']} was there already")
            rows[row["id"]] = row
    if not rows:
        sys.exit("docs/benchmarks has no JSON of atoll bench")
    return machine, rivals, rows


def human(value: float, unit: str) -> str:
    if unit == "x":
        return f"{value:.2f}"
    steps = {
        "bytes": [(1e6, "MB"), (1e3, "KB"), (1.0, "B")],
        "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
    }[unit]
    for size, name in steps:
        if abs(value) >= size:
            break
    scaled = value / size
    return f"{scaled:.0f} {name}" if scaled >= 99.5 else f"{scaled:.2g} {name}"


def times(ratio: float) -> str:
    """How many times: two digits, which is what such a number is good for."""
    if ratio >= 99.5:
        rounded = round(ratio, 1 - len(str(int(ratio))) + 1)
        return f"{rounded:,.0f}x"
    return f"{ratio:.2g}x" if ratio < 9.95 else f"{ratio:.0f}x"


def machine_line(machine: dict[str, Any]) -> str:
    system = machine["platform"].split("-")[0]
    return (
        f"atoll {machine['atoll']}, CPython {machine['python']}, {system} x86-64 virtual machine with "
        f"{machine['cpus']} {machine['processor']} cores, {machine['date']}"
    )


def readme_table(machine: dict[str, Any], rows: dict[str, Row]) -> str:
    lines = [
        "| | atoll | `concurrent.interpreters` | threads | processes |",
        "|---|---|---|---|---|",
    ]
    for id, (title, rivals) in IN_README.items():
        row = rows[id]
        cells = [human(row["values"]["atoll"], row["unit"])]
        for rival in ("stdlib", "threads", "processes"):
            cells.append(times(row["ratios"][rival]) if rival in rivals else "")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Medians, and how many times atoll's median the others take, by `atoll bench`: {machine_line(machine)}.",
        "[How cost grows](docs/benchmarks.md), with size, count and workers.",
    ]
    return "\n".join(lines)


BEGIN, END = "<!-- measured: docs/plots.py --readme -->", "<!-- end of what was measured -->"


def readme(check: bool) -> None:
    machine, _, rows = load()
    text = README.read_text()
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        sys.exit("README.md has no place for the table")
    new = f"{head}{BEGIN}\n{readme_table(machine, rows)}\n{END}{tail}"
    if new == text:
        return
    if check:
        sys.exit("README.md's table is not what docs/benchmarks says: docs/plots.py --readme")
    README.write_text(new)


# ---------------------------------------------------------------- the page


def tables(rivals: dict[str, str], rows: dict[str, Row]) -> str:
    """Every row that is no point of a plot, by group."""
    parts = []
    for group, title in GROUPS.items():
        mine = [row for row in rows.values() if row["id"].startswith(f"{group}.") and "series" not in row]
        if not mine:
            continue
        names: list[str] = []
        for row in mine:
            names += [name for name in row["values"] if name != "atoll" and name not in names]
        order = [name for name in STYLES if name in names] + [name for name in names if name not in STYLES]
        parts += [
            f"### {title}",
            "",
            f"| | atoll | {' | '.join(order)} |",
            "|---|" + "---|" * (len(order) + 1),
        ]
        for row in mine:
            cells = [human(row["values"]["atoll"], row["unit"])]
            for name in order:
                if name in row["values"]:
                    cells.append(f"{human(row['values'][name], row['unit'])} ({times(row['ratios'][name])})")
                else:
                    cells.append("")
            parts.append(f"| {row['title']} | {' | '.join(cells)} |")
        parts.append("")
    parts += ["### Who is who", ""]
    parts += [f"- **{name}**: {what}" for name, what in sorted(rivals.items())]
    return "\n".join(parts) + "\n"


def draw(rows: dict[str, Row]) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "atoll"  # the same file every time
    matplotlib.rcParams["font.size"] = 10
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter, FixedLocator

    for series, (title, x_label, y_label, scale) in PLOTS.items():
        points = sorted((r for r in rows.values() if r.get("series") == series), key=lambda row: row["x"])
        if not points:
            sys.exit(f"docs/benchmarks has no row of the series {series}")
        names: list[str] = []
        for row in points:
            names += [name for name in row["values"] if name not in names]
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
        for name in names:
            mine = [row for row in points if name in row["values"]]
            x = [row["x"] for row in mine]
            y = [row["values"][name] for row in mine]
            colour, mark = STYLES.get(name, OTHER)
            width = 2.4 if name == "atoll" else 1.4
            axes.plot(x, y, label=name, color=colour, marker=mark, linewidth=width, markersize=5)
            low = [row["spread"][name][0] for row in mine]
            high = [row["spread"][name][1] for row in mine]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if scale == "log":
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
            # Whole decades, two at least: a level line looks level.
            low, high = axes.get_ylim()
            bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
            axes.set_ylim(10**bottom, 10 ** max(top, bottom + 2))
        else:
            axes.xaxis.set_major_locator(FixedLocator([row["x"] for row in points]))
            axes.set_ylim(bottom=0)
            if points[0]["unit"] == "bytes":
                axes.yaxis.set_major_formatter(EngFormatter(unit="B"))
        if series == "pool.workers":
            x = [row["x"] for row in points]
            axes.plot(x, x, color="#cccccc", linestyle=":", label="ideal", zorder=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        figure.savefig(OUT / f"{series}.svg", metadata={"Date": None})
        pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.readme or args.check:
        readme(args.check)
        return
    machine, rivals, rows = load()
    OUT.mkdir(exist_ok=True)
    draw(rows)
    (OUT / "machine.md").write_text(machine_line(machine) + ".\n")
    (OUT / "tables.md").write_text(tables(rivals, rows))
    print(f"{len(PLOTS)} plots, {len(rows)} rows: {OUT.relative_to(HERE.parent)}")


main()
