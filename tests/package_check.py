"""What an installed wheel must have; `tools/dev package` runs this in a fresh venv."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import atoll
import atoll._core

ROOT = Path(__file__).resolve().parents[1]


def check_readme() -> None:
    """Each Python block of the README runs, and prints what its comments say."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert blocks, "the README has an example"
    for code in blocks:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "example.py"
            script.write_text(code)
            out = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=folder)
        assert (out.returncode, out.stderr) == (0, ""), out
        for promised in re.findall(r"^\s*print\(.*\)[ ]+# (.+)$", code, re.MULTILINE):
            assert promised in out.stdout.splitlines(), (promised, out.stdout)


def main() -> None:
    package = Path(atoll.__file__).parent
    assert Path(sys.prefix) in package.parents, f"not the installed package: {package}"
    assert (package / "py.typed").exists()
    assert atoll.__version__ == importlib.metadata.version("atoll")
    installed = {str(file) for file in importlib.metadata.files("atoll") or ()}
    assert "atoll-names.pth" in installed, installed
    assert importlib.metadata.requires("atoll") is None or all(
        "extra ==" in need for need in importlib.metadata.requires("atoll") or ()
    ), "nothing is needed at run time"
    finders = [getattr(finder, "__name__", "") for finder in sys.meta_path]
    assert ("AtollNames" in finders) == (sys.version_info < (3, 14)), finders
    if sys.version_info < (3, 14):
        code = "from concurrent import interpreters as i; i.create().exec('print(6 * 7)')"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (out.returncode, out.stdout, out.stderr) == (0, "42\n", ""), out
    if any(entry.name == "atoll" for entry in importlib.metadata.entry_points(group="console_scripts")):
        out = subprocess.run([Path(sys.prefix) / "bin/atoll", "info"], capture_output=True, text=True)
        assert out.returncode == 0, out
    meta = importlib.metadata.metadata("atoll")
    assert meta["License-Expression"] == "MIT" and "Typing :: Typed" in meta.get_all("Classifier", [])
    assert {"cli", "dask", "joblib", "anyio"} <= set(meta.get_all("Provides-Extra", []))
    assert inspect.signature(atoll.Interpreter.call)
    out = subprocess.run([sys.executable, "-m", "atoll", "doctor", "atoll"], capture_output=True, text=True)
    assert (out.returncode, out.stdout[:6]) == (0, "works "), out
    check_readme()
    print(
        f"package: atoll {importlib.metadata.version('atoll')} on {sys.version.split()[0]}: 1 passed, 0 failed"
    )


if __name__ == "__main__":
    main()
