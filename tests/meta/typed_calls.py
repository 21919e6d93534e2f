"""Calls have the types of what they call, as a user's project sees it.

`tools/dev lint` runs this with its own mypy, MYPYPATH naming where atoll is
installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TYPED = """
import atoll
from atoll import aio
from atoll.futures import Future, InterpreterPoolExecutor

def add(a: int, b: float = 0) -> str:
    return str(a + b)

async def main(interp: atoll.Interpreter, pool: InterpreterPoolExecutor, failed: atoll.ExecutionFailed) -> None:
    reveal_type(interp.call(add, 1, b=2.0))  # str
    reveal_type(interp.call_in_thread(add, 1).future)  # Future[str]
    reveal_type(interp.options(timeout=1).call(add, 1))  # str
    reveal_type(pool.submit(add, 1).result())  # str
    reveal_type(pool.options(timeout=1).submit(add, 1))  # Future[str]
    reveal_type(pool.map(add, [1, 2]))  # Iterator[str]
    reveal_type(failed.excinfo.errdisplay)  # str
    reveal_type(await aio.to_interpreter(add, 1))  # str
    reveal_type(await aio.call(interp, add, 1))  # str
    reveal_type(atoll.Supervisor().exits)  # WorkerExit]
    reveal_type(atoll.create_queue().qsize())  # int
"""
WRONG = """
import atoll
from atoll import aio
from atoll.futures import InterpreterPoolExecutor

def add(a: int, b: float = 0) -> str:
    return str(a + b)

async def main(interp: atoll.Interpreter, pool: InterpreterPoolExecutor) -> None:
    interp.call(add, "text")
    interp.call_in_thread(add, c=1)
    interp.options(timeout=1).call(add)
    pool.submit(add, "text")
    await aio.to_interpreter(add, "text")
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "typed.py").write_text(TYPED)
        (Path(folder) / "wrong.py").write_text(WRONG)
        out = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "typed.py", "wrong.py"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    lines = out.stdout.splitlines()
    trouble = [line for line in lines if line.startswith("typed.py") and "error:" in line]
    for number, line in enumerate(TYPED.split("\n"), 1):
        if "reveal_type" in line:
            wanted = line.partition("# ")[2]
            got = [found for found in lines if found.startswith(f"typed.py:{number}: note: Revealed")]
            if len(got) != 1 or wanted not in got[0].replace("builtins.", ""):
                trouble.append(f"{line.strip()}: {got}")
    wrong = {int(line.split(":")[1]) for line in lines if line.startswith("wrong.py") and "error:" in line}
    if wrong != {10, 11, 12, 13, 14}:
        trouble.append(f"errors were found in lines {sorted(wrong)} of the wrong calls")
    print("\n".join(trouble) or "Success: every call has the type of what it calls")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
