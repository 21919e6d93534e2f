"""atoll in a real Jupyter kernel, and completion in IPython.

    tools/dev run python tests/notebook/real.py

jupyter_client and ipykernel are installed into a folder below build/.  Exits 3
where they cannot be had.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

CELLS = {
    "prints of exec show in the cell": (
        "import atoll\ninterp = atoll.create()\ninterp.exec('print(6 * 7)')",
        "42\n",
    ),
    "a function of a cell crosses by value": (
        "import math\ndef half(x):\n    print('in', atoll.get_current() == interp)\n    return math.floor(x / 2)\n"
        "print(interp.call(half, 9))",
        "in True\n4\n",
    ),
    "so does a class, and its instances come back": (
        "class Point:\n    def __init__(self, x):\n        self.x = x\n"
        "def move(point):\n    return Point(point.x + 1)\n"
        "got = interp.call(move, Point(2))\nprint(isinstance(got, Point), got.x)",
        "True 3\n",
    ),
    "a cell that is run again is sent again": (
        "def half(x):\n    return -x\nprint(interp.call(half, 9))",
        "-9\n",
    ),
    "prints of a thread": (
        "thread = interp.call_in_thread(print, 'from a thread')\nthread.join()",
        "from a thread\n",
    ),
    "a pool": (
        "with atoll.InterpreterPoolExecutor(2) as pool:\n    print(list(pool.map(lambda x: x * x, range(4))))",
        "[0, 1, 4, 9]\n",
    ),
    "standard error": (
        "import sys\ninterp.exec('import sys; print(1, file=sys.stderr)')",
        "1\n",
    ),
}
ERROR = "interp.call(lambda: 1 / 0)"


def install(folder: Path) -> bool:
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--upgrade"]
    command += ["--only-binary", ":all:", "--target", str(folder), "jupyter_client", "ipykernel"]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        print(f"cannot be had for Python {sys.version.split()[0]}: {out.stderr.strip()[-300:]}")
    return out.returncode == 0


def run_cell(client: Any, code: str) -> tuple[str, str]:
    """(what it printed, its error's text)."""
    shown, failed = [], []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            shown.append(content["text"])
        elif message["msg_type"] == "error":
            failed.append("\n".join(content["traceback"]))

    client.execute_interactive(code, output_hook=hook, timeout=120)
    return "".join(shown), "".join(failed)


def main() -> int:
    version = ".".join(map(str, sys.version_info[:3]))
    folder = ROOT / "build" / f"notebook-{version}"
    if not install(folder):
        return 3
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    sys.path.insert(0, str(folder))
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
    )
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    wrong = 0
    try:
        client.wait_for_ready(timeout=120)
        for name, (code, expected) in CELLS.items():
            shown, failed = run_cell(client, code)
            fits = (shown, failed) == (expected, "")
            wrong += not fits
            print(f"{'passed' if fits else 'FAILED'}: {name}" + ("" if fits else f"\n{shown!r}\n{failed}"))
        _, failed = run_cell(client, ERROR)
        fits = "ZeroDivisionError" in failed
        wrong += not fits
        print(f"{'passed' if fits else 'FAILED'}: an error shows where it came from")
        for text, wanted in {"atoll.cre": "create", "interp.call_": "call_in_thread"}.items():
            reply = client.complete(text, reply=True, timeout=120)["content"]
            fits = any(match.endswith(wanted) for match in reply["matches"])
            wrong += not fits
            print(f"{'passed' if fits else 'FAILED'}: {text} is completed")
        run_cell(client, "interp.close()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    print(f"notebook: {len(CELLS) + 3 - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
