"""The same scripts on the standard module and on atoll: same output, same exit status.

`scripts/NAME.py` is written for `concurrent.interpreters`, and `NAME.out` is
what it prints there, with its exit status.  Where atoll differs there is a
`NAME.atoll.out`, and docs/deviations.md has a row that names the script.  On
3.12 and 3.13, which have no such module, atoll alone is run.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "scripts").glob("*.py"))
HOOK = HERE.parent / "cpython" / "hook"  # its sitecustomize calls install()
DEVIATIONS = HERE.parents[1] / "docs" / "deviations.md"


def outcome(script: Path, module: str) -> str:
    """What the script prints with `module` in the place, and its exit status."""
    env = {**os.environ, "PYTHONPATH": str(HOOK), "ATOLL_CPYTHON_TESTS": module}
    out = subprocess.run(
        # -u: in the standard module an interpreter's prints come late else.
        [sys.executable, "-u", str(script)],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )
    if out.returncode < 0 or out.returncode > 128:
        pytest.fail(f"{script.name} died: {out.returncode}\n{out.stdout}\n{out.stderr}")
    return f"{out.stdout}exit status {out.returncode}\n"


def expected(script: Path, module: str) -> str:
    special = script.with_suffix(f".{module}.out")
    return (special if special.exists() else script.with_suffix(".out")).read_text()


def check(script: Path, module: str) -> None:
    want, got = expected(script, module), outcome(script, module)
    diff = difflib.unified_diff(want.splitlines(), got.splitlines(), "expected", module, lineterm="", n=1)
    assert got == want, "\n".join(diff)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_atoll(script: Path) -> None:
    check(script, "atoll")


if sys.version_info >= (3, 14):

    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
    def test_standard_module(script: Path) -> None:
        """The expectation is what the standard module does, not what we think."""
        check(script, "stdlib")


def test_every_difference_is_documented() -> None:
    rows = DEVIATIONS.read_text()
    differing = sorted(
        path.name.removesuffix(".atoll.out") for path in (HERE / "scripts").glob("*.atoll.out")
    )
    assert differing
    assert [name for name in differing if f"`{name}`" not in rows] == []
    for name in differing:
        script = HERE / "scripts" / f"{name}.py"
        assert expected(script, "atoll") != expected(script, "stdlib"), f"{name} does not differ any more"


def test_every_expectation_has_its_script() -> None:
    stems = {path.name.partition(".")[0] for path in (HERE / "scripts").iterdir() if path.is_file()}
    assert stems == {path.stem for path in SCRIPTS}
    assert len(SCRIPTS) >= 15
