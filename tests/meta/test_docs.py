"""The examples of the documentation print what the pages say that they print.

docs/examples/NAME.py, NAME.sh (commands) and NAME.pycon (a session at the
prompt); NAME.out is the output, in which "..." stands for anything, and NAME.in
what is typed.  docs/conf.py shows both on the pages.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from children import LIMIT

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: Run by docs/check.py, which `tools/dev docs` calls, with the packages that they need.
NEED_MORE = {"howto_coverage.py"}
if sys.version_info >= (3, 15) and importlib.util.find_spec("numpy") is None:
    NEED_MORE.add("howto_numpy.py")  # no wheel of it yet; it runs on the other versions
EXAMPLES = sorted(p for p in (DOCS / "examples").iterdir() if p.suffix in {".py", ".sh", ".pycon"})
#: Of examples/, those whose output a page shows.
SHOWN = [p for p in (ROOT / "examples").glob("*.py") if (DOCS / "examples" / f"{p.name}.out").exists()]
#: Said by an example that a busy machine gave no turn in time (a look at an interpreter, what comes
#: before a deadline): it is run again.
TOO_LATE = re.compile(r"cannot be read|^threads +None$|^deadline .*: False$", re.MULTILINE)
RUN_HERE = SHOWN + [p for p in EXAMPLES if p.name not in NEED_MORE]


def command(path: Path) -> list[str]:
    python = [sys.executable, "-W", "error"]
    if path.suffix == ".sh":
        return ["sh", "-e", str(path)]
    if path.suffix == ".pycon":
        return [*python, "-m", "doctest", "-o", "ELLIPSIS", str(path)]
    if path.name == "howto_pytest.py":
        return [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    return [*python, str(path)]


@pytest.mark.parametrize("path", RUN_HERE, ids=lambda p: p.name)
def test_output(path: Path, tmp_path: Path) -> None:
    typed = DOCS / "examples" / f"{path.name}.in"
    folder = Path(sys.executable).parent
    until = time.monotonic() + LIMIT
    while True:
        out = subprocess.run(
            command(path),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=240,
            input=typed.read_text() if typed.exists() else "",
            env=dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", PYTHONDONTWRITEBYTECODE="1"),
        )
        if not TOO_LATE.search(out.stdout + out.stderr) or time.monotonic() > until:
            break
    assert (out.returncode, out.stderr) == (0, ""), out.stdout + out.stderr
    if path.suffix == ".pycon":
        assert ">>> " in path.read_text()
        assert out.stdout == ""  # what doctest has to complain of
        return
    wanted = (DOCS / "examples" / f"{path.name}.out").read_text()
    assert wanted.strip()
    assert doctest.OutputChecker().check_output(wanted, out.stdout, doctest.ELLIPSIS), out.stdout


def test_every_example_is_shown() -> None:
    """And every example that a page names exists; Sphinx would say so, too."""
    text = "\n".join(page.read_text() for page in DOCS.rglob("*.md"))
    named = set(re.findall(r"^```+\{example\} +(\S+)$", text, re.MULTILINE))
    assert len(named) > 20
    assert {p.name for p in EXAMPLES} - named == set(), "on no page"
    there = {p.name for p in EXAMPLES} | {f"/{p.name}" for p in (ROOT / "examples").glob("*.py")}
    assert named - there == set(), "no such file"


def test_what_stands_aside_is_run_elsewhere() -> None:
    check = (DOCS / "check.py").read_text()
    assert [name for name in ("howto_coverage.py", "howto_notebook.py") if name not in check] == []


def test_the_table_in_the_readme_is_what_was_measured() -> None:
    out = subprocess.run(
        [sys.executable, str(DOCS / "plots.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert out.returncode == 0, out.stderr
