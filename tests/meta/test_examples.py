"""Every file in examples/, and every Python example in the documentation, runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
#: Arguments that keep the input small; an example without an entry gets none.
ARGUMENTS: dict[str, list[str]] = {
    "stdlib_census.py": ["--jobs", "2", "--limit", "20"],
    "census_processes.py": ["--jobs", "2", "--limit", "20"],
    "check_jsonl.py": ["--jobs", "2", "--lines", "3000"],
    "pipeline.py": ["--limit", "60"],
    "sweep.py": ["--jobs", "2", "--steps", "3", "--people", "300"],
    "mandelbrot.py": ["--jobs", "2", "--size", "60x40", "--iterations", "20", "-o", "mandelbrot.png"],
    "wsgi_pool.py": ["--jobs", "2", "--demo", "--deadline", "0.2"],
    "ping_pong.py": ["--rounds", "200"],
    "supervisor.py": ["--messages", "21"],
}
#: What must be in the output, beside exit status 0.
PRINTS = {
    "stdlib_census.py": "All four agree.",
    "census_processes.py": '"seconds"',
    "check_jsonl.py": "3 lines are wrong",
    "log_queue.py": "INFO worker.1: line 3 of 3",
    "pipeline.py": "60 files, ",
    "sweep.py": "who were ever ill",
    "mandelbrot.py": "60x40",
    "wsgi_pool.py": "over 1 connection",
    "ping_pong.py": "processes (Pipe)",
    "supervisor.py": "21 of 21 messages answered; ",
    "stop.py": "the interpreter is as good as before: 10",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example(path: Path, tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-W", "error", str(path), *ARGUMENTS.get(path.name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    assert "Traceback" not in out.stderr
    assert PRINTS.get(path.name, "") in out.stdout
    assert out.stdout.strip(), "an example shows something"


def test_there_are_examples() -> None:
    assert {"stdlib_census.py", "census_processes.py"} <= {path.name for path in EXAMPLES}
    assert set(ARGUMENTS) | set(PRINTS) <= {path.name for path in EXAMPLES}


def test_census_on_a_terminal(tmp_path: Path) -> None:
    """The progress bar comes where there is a terminal, and the table stays whole."""
    terminal, inner = os.openpty()
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/stdlib_census.py"), "--jobs", "2", "--limit", "32"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=tmp_path,
        env=dict(os.environ, TERM="xterm", COLUMNS="100"),
    )
    os.close(inner)
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    text = shown.decode(errors="replace")
    assert child.wait(60) == 0, text
    assert "All four agree." in text
    assert re.search(r"32/32|100%", text), "a progress bar"


def snippets() -> list[pytest.param]:
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for match in re.finditer(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            line = path.read_text()[: match.start()].count("\n") + 1
            found.append(pytest.param(match.group(1), id=f"{path.name}:{line}"))
    return found


@pytest.mark.parametrize("code", snippets())
def test_documentation(code: str, tmp_path: Path) -> None:
    """A Python block is a program; what a comment after a print says, it prints."""
    script = tmp_path / "snippet.py"
    script.write_text(code)
    out = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert (out.returncode, out.stderr) == (0, ""), out.stdout + out.stderr
    promised = re.findall(r"^\s*print\(.*\)[ ]+# (.+)$", code, re.MULTILINE)
    printed = out.stdout.splitlines()
    assert [line for line in promised if line not in printed] == []


def test_pipeline_that_cannot_read(tmp_path: Path) -> None:
    """Files that are not there are named; the rest is counted, and nobody waits for ever."""
    (tmp_path / "a.txt").write_text("spam eggs spam\n")
    names = [*(f"missing{n}" for n in range(300)), "a.txt"]
    out = subprocess.run(
        [sys.executable, str(ROOT / "examples/pipeline.py"), *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert out.returncode == 1
    assert out.stderr.count("missing") == 300
    assert "Traceback" not in out.stderr
    assert "        2  spam\n" in out.stdout
    assert "1 files, 3 words, 2 different" in out.stdout


@pytest.mark.parametrize("name", ["split", "count", "merge"])
def test_pipeline_with_a_stage_that_fails(name: str, tmp_path: Path) -> None:
    """The reason is seen, and the program ends, however full the queues are."""
    text = (ROOT / "examples/pipeline.py").read_text()
    where = {"split": "words.put(pattern", "count": "counts.put(dict", "merge": "total.update("}[name]
    script = tmp_path / "pipeline.py"
    assert text.count(where) == 1
    script.write_text(text.replace(where, "1 / 0;" + where))
    out = subprocess.run(
        [sys.executable, str(script), "--limit", "400"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert out.returncode == 1
    assert "ZeroDivisionError" in out.stderr
    assert "QueueShutDown" not in out.stderr
