"""`atoll doctor` on packages from the index, one or more of each class.

    tools/dev run python tests/doctor/real.py [NAME...]

They are installed into a folder of their own below build/, and only as
wheels.  Exits 3 where they cannot be had, 1 where a verdict is not among
those that the package's way of refusing allows.  With names, those packages
are installed and judged, and nothing is compared.

What stands here is known of these packages today, and may change with their
releases; doctor itself knows none of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAILS = {"shared GIL only", "main interpreter only", "crashes"}
#: Name -> the verdicts that fit.
EXPECTED = {
    "multidict": {"works"},
    "idna": {"works"},
    "PyYAML": {"works, slower"},
    "aiohttp": {"works, slower"},
    "numpy": FAILS,
    "orjson": FAILS,
    "cryptography": FAILS,
    "msgspec": FAILS,
    "lxml": FAILS,
}


def install(folder: Path, names: list[str]) -> bool:
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--target", str(folder), "--upgrade", *names]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        print(f"cannot be had for Python {sys.version.split()[0]}: {out.stderr.strip()[-300:]}")
    return out.returncode == 0


def main() -> int:
    names = sys.argv[1:] or list(EXPECTED)
    version = ".".join(map(str, sys.version_info[:3]))
    folder = ROOT / "build" / f"doctor-{version}"
    if not install(folder, names):
        return 3
    with tempfile.TemporaryDirectory() as cache:
        out = subprocess.run(
            [sys.executable, "-m", "atoll", "doctor", "--json", *names],
            env=dict(os.environ, PYTHONPATH=str(folder), XDG_CACHE_HOME=cache),
            stdout=subprocess.PIPE,
            text=True,
        )
    found = json.loads(out.stdout)["distributions"]
    wrong = 0
    for one in found:
        expected = EXPECTED.get(one["name"]) if not sys.argv[1:] else None
        fits = expected is None or (
            one["verdict"] in expected and (one["reasons"] or one["verdict"] == "works")
        )
        wrong += not fits
        blame = ", ".join(dict.fromkeys(reason["module"] for reason in one["reasons"]))
        print(f"{'' if fits else 'NOT EXPECTED: '}{one['name']} {one['version']}: {one['verdict']} {blame}")
    assert len(found) == len(names), "all of them were judged"
    print(f"doctor: {len(found) - wrong} as expected, {wrong} not")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
