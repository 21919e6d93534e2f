"""`atoll top`: the interpreters of a process that called atoll.expose(), in a terminal."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

from ._expose import folders, socket_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    Stats = dict[str, Any]

#: Seconds that a process has to answer.
_PATIENCE = 10.0
_COLUMNS = (
    ("ID", "right"),
    ("NAME", "left"),
    ("STATE", "left"),
    ("UP", "right"),
    ("CPU%", "right"),
    ("BUSY%", "right"),
    ("CPU", "right"),
    ("CALLS", "right"),
    ("EXC", "right"),
    ("MSG IN", "right"),
    ("MSG OUT", "right"),
    ("IN", "right"),
    ("OUT", "right"),
    ("BLOCKS", "right"),
    ("MEM", "right"),
    ("THR", "right"),
    ("VIEWS", "right"),
)


#: Columns that a narrow terminal does without, the least telling first.
_SPARED = (
    "VIEWS",
    "MSG OUT",
    "MSG IN",
    "OUT",
    "IN",
    "EXC",
    "BLOCKS",
    "CPU",
    "THR",
    "UP",
    "MEM",
    "CALLS",
    "BUSY%",
)


class Trouble(Exception):
    """What is said instead of a table; exit status 1."""


def _connect(sock: socket.socket, path: str) -> None:
    """Waits for its turn where many ask; at most _PATIENCE, then BlockingIOError."""
    # A socket with a timeout of Python's does not block, and would be refused.
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", *divmod(int(_PATIENCE * 1e6), 1000000))
    )
    sock.connect(path)
    sock.settimeout(_PATIENCE)


def ask(pid: int, what: str) -> bytes:
    """The answer of process `pid`.  Raises Trouble."""
    why = "it has not called atoll.expose()"
    for folder in folders():
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                _connect(sock, socket_path(folder, pid))
                sock.sendall(what.encode() + b"\n")
                parts = []
                while part := sock.recv(65536):
                    parts.append(part)
            except FileNotFoundError:
                continue
            except PermissionError:
                why = "it belongs to another user"
                continue
            except ConnectionError:
                why = "it has ended"
                continue
            except (TimeoutError, BlockingIOError):
                raise Trouble(f"process {pid} does not answer") from None
            if parts:
                return b"".join(parts)
            why = "it does not let this user ask"
    raise Trouble(f"process {pid} cannot be looked at: {why}")


def ask_stats(pid: int) -> Stats:
    try:
        found: Stats = json.loads(ask(pid, "stats"))
    except ValueError:
        raise Trouble(f"process {pid} gave an answer that is none: is it of another version?") from None
    return found


def exposed() -> list[int]:
    """The processes of this user that answer."""
    found = set()
    for folder in folders():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            pid, _dot, kind = name.partition(".")
            if kind == "sock" and pid.isdecimal():
                with socket.socket(socket.AF_UNIX) as sock:
                    try:
                        _connect(sock, os.path.join(folder, name))
                    except BlockingIOError:
                        pass  # it is there, and busy
                    except OSError:
                        continue
                found.add(int(pid))
    return sorted(found)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def _amount(number: float | None) -> str:
    """At most four digits."""
    if number is None:
        return "?"
    for unit in ("", "K", "M", "G", "T"):
        if number < 9999.5 or unit == "T":
            break
        number /= 1000
    return f"{number:.0f}{unit}"


def _shares(one: Stats, before: Stats | None, seconds: float) -> tuple[str, str]:
    """CPU% and BUSY% since `before`, or since the interpreter began."""
    cpu, up = one["cpu_seconds"], one["uptime_seconds"]
    busy = one["busy_share"] * up
    if before is not None and seconds > 0:
        cpu -= before["cpu_seconds"]
        busy -= before["busy_share"] * before["uptime_seconds"]
        up = seconds
    percent = [100 * max(value, 0.0) / up if up > 0 else 0.0 for value in (cpu, busy)]
    return f"{percent[0]:.0f}", f"{min(percent[1], 100.0):.0f}"


def rows(now: Stats, before: Stats | None) -> list[list[str]]:
    """The table's cells: one row for each interpreter."""
    old = {one["id"]: one for one in before["interpreters"]} if before else {}
    seconds = now["monotonic_seconds"] - before["monotonic_seconds"] if before else 0.0
    found = []
    for one in now["interpreters"]:
        cpu, busy = _shares(one, old.get(one["id"]), seconds)
        name = "(main)" if one["id"] == 0 and one["name"] is None else one["name"] or ""
        found.append(
            [
                str(one["id"]),
                "".join(ch if ch.isprintable() else "?" for ch in name)[:24],
                one["state"],
                _span(one["uptime_seconds"]),
                cpu,
                "-" if one["id"] == 0 else busy,
                _span(one["cpu_seconds"]),
                *(_amount(one[key]) for key in ("calls", "exceptions", "messages_in", "messages_out")),
                *(_amount(one[key]) for key in ("bytes_in", "bytes_out", "allocated_blocks")),
                "-" if one["memory_bytes"] is None else _amount(one["memory_bytes"]),
                _amount(one["threads"]),
                _amount(one["views_held"]),
            ]
        )
    return found


def title(now: Stats, left_out: int = 0) -> str:
    told = [
        f"atoll top: process {now['pid']}, {len(now['interpreters'])} interpreters",
        f"{left_out} columns left out" if left_out else "",
        f"Python {now['python']}",
        f"atoll {now['atoll']}",
        time.strftime("%H:%M:%S"),
    ]
    return ", ".join(filter(None, told))


def _fitting(table: list[list[str]], width: int | None) -> list[int]:
    """The columns for which there is room, two cells of space to each."""
    needed = {k: max(map(len, column)) + 2 for k, column in enumerate(zip(*table, strict=True))}
    names = [name for name, _ in _COLUMNS]
    for name in _SPARED:
        if width is None or sum(needed.values()) <= width:
            break
        del needed[names.index(name)]
    return list(needed)


def plain(now: Stats, before: Stats | None, width: int | None = None) -> str:
    """The table as text."""
    table = [[name for name, _ in _COLUMNS], *rows(now, before)]
    kept = _fitting(table, width)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [title(now, len(_COLUMNS) - len(kept))]
    for row in table:
        cells = [
            row[k].rjust(widths[k]) if _COLUMNS[k][1] == "right" else row[k].ljust(widths[k]) for k in kept
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(line[:width] for line in lines) + "\n"


class _PlainScreen:
    """Redraws by two of the terminal's oldest sequences."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()

    def show(self, now: Stats, before: Stats | None) -> None:
        if self.terminal:
            size = os.get_terminal_size(sys.stdout.fileno())
            lines = plain(now, before, size.columns).splitlines()[: size.lines - 1]
            sys.stdout.write("\x1b[H\x1b[J" + "\n".join(lines) + "\n")
        else:
            sys.stdout.write(plain(now, before))
        sys.stdout.flush()

    def close(self) -> None:
        pass


class _RichScreen:
    def __init__(self) -> None:
        from rich.live import Live

        self.live = Live(screen=True, auto_refresh=False)
        self.live.start()

    def show(self, now: Stats, before: Stats | None) -> None:
        from rich.table import Table
        from rich.text import Text

        found = rows(now, before)
        kept = _fitting([[name for name, _ in _COLUMNS], *found], self.live.console.width)
        told = Text(title(now, len(_COLUMNS) - len(kept)))
        table = Table(title=told, box=None, padding=(0, 1), expand=False, title_justify="left")
        for k in kept:
            name, side = _COLUMNS[k]
            table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
        for row in found:
            style = {"running": "bold", "closing": "dim"}.get(row[2], "")
            table.add_row(*(Text(row[k]) for k in kept), style=style)
        self.live.update(table, refresh=True)

    def close(self) -> None:
        self.live.stop()


def _make_screen() -> _PlainScreen | _RichScreen:
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        try:
            return _RichScreen()
        except ImportError:
            pass
    return _PlainScreen()


def _watch(pid: int, interval: float) -> int:
    before = None
    now = ask_stats(pid)  # what is wrong is said before the screen is taken
    screen = _make_screen()
    try:
        while True:
            screen.show(now, before)
            time.sleep(interval)
            before, now = now, ask_stats(pid)
    except Trouble as trouble:
        screen.close()
        print(f"atoll top: {trouble}", file=sys.stderr)
        return 0  # it was looked at, and has ended
    except KeyboardInterrupt:
        return 0
    finally:
        screen.close()


def _list() -> int:
    found = exposed()
    if not found:
        print("atoll top: no process of yours has called atoll.expose()", file=sys.stderr)
        return 1
    for pid in found:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            command = ""
        print(f"{pid:>8}  {command}"[:200].rstrip())
    return 0


def run_top(args: argparse.Namespace) -> int:
    """The command `atoll top`; its exit status."""
    try:
        if args.pid is None:
            return _list()
        if args.stacks:
            sys.stdout.write(ask(args.pid, "stacks").decode(errors="replace"))
            return 0
        if args.json:
            if args.once:
                print(json.dumps(ask_stats(args.pid), indent=2))
                return 0
            while True:
                print(json.dumps(ask_stats(args.pid)), flush=True)
                time.sleep(args.interval)
        if args.once:
            print(plain(ask_stats(args.pid), None), end="")
            return 0
        return _watch(args.pid, args.interval)
    except Trouble as trouble:
        print(f"atoll top: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
