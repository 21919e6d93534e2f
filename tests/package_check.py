"""What an installed wheel must have; `tools/dev package` runs this in a fresh venv."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import atoll
import atoll._core


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
    print(
        f"package: atoll {importlib.metadata.version('atoll')} on {sys.version.split()[0]}: 1 passed, 0 failed"
    )


if __name__ == "__main__":
    main()
