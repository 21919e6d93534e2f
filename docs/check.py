"""Runs the examples that need packages which the tests do without; `tools/dev docs` calls it.

- howto_coverage.py needs coverage;
- howto_notebook.py runs as a notebook would: cell by cell in a real Jupyter
  kernel, whose streams must show what NAME.out says.  (tests/meta/test_docs.py
  runs it as a script.)
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent / "examples"


def compare(name: str, got: str) -> None:
    want = (EXAMPLES / f"{name}.out").read_text()
    if not doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS):
        sys.exit(f"{name} prints\n{got}\nand not\n{want}")
    print(f"checked: {name}")


def as_script(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / name)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
    if out.returncode or out.stderr:
        sys.exit(f"{name}: exit status {out.returncode}\n{out.stdout}{out.stderr}")
    compare(name, out.stdout)


def as_notebook(name: str) -> None:
    from jupyter_client.manager import start_new_kernel

    cells = re.split(r"^# %%.*\n", (EXAMPLES / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(cells) > 1, "cells begin with # %%"
    # This Python's kernel, whatever kernels the machine has installed.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JUPYTER_PATH"] = str(Path(sys.prefix, "share/jupyter"))
        os.environ["IPYTHONDIR"] = folder
        manager, client = start_new_kernel(startup_timeout=120, cwd=folder)
        shown: list[str] = []

        def show(message: dict) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream" and content["name"] == "stdout":
                shown.append(content["text"])
            elif kind in ("stream", "error"):
                shown.append(f"{kind}: {content}\n")

        try:
            for cell in cells:
                client.execute_interactive(cell, timeout=120, output_hook=show, allow_stdin=False)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    compare(name, "".join(shown))


as_script("howto_coverage.py")
as_notebook("howto_notebook.py")
