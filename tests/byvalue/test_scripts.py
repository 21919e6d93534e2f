"""Functions and classes of ``__main__``, however it came to be.

Each script in scripts/ checks one subject by asserts, and prints "ok".  It
runs as somebody's own program would, without a main guard: were it ever run
a second time, in the target, its output or its side effects would show.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "scripts").glob("*.py"))
#: What depends on the script having a file of its own.
NEED_FILE = {"exceptions", "globals", "functions", "errors", "more"}

TWICE = """
import os as _os
_mark = _os.environ["ATOLL_TEST_MARK"]
with open(_mark, "a") as _file:
    _ = _file.write("run\\n")
"""


def run(command: list[str], tmp_path: Path, *, text: str | None = None, cwd: Path | None = None) -> str:
    mark = tmp_path / "mark"
    env = dict(os.environ, ATOLL_TEST_MARK=str(mark), PYTHONFAULTHANDLER="1")
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, *command],
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        env=env,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert mark.read_text() == "run\n", "the sender's file was run again"
    return done.stdout


def marked(script: Path, tmp_path: Path) -> Path:
    copy = tmp_path / script.name
    copy.write_text(script.read_text() + TWICE)
    return copy


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 9


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_as_script(script: Path, tmp_path: Path) -> None:
    args = ["50000" if os.environ.get("ATOLL_LONG") else "1"] if script.stem == "growth" else []
    assert run([str(marked(script, tmp_path)), *args], tmp_path) == "ok\n"


OTHER_WAYS = [p for p in SCRIPTS if p.stem != "growth"]


@pytest.mark.parametrize("script", OTHER_WAYS, ids=lambda p: p.stem)
def test_as_module(script: Path, tmp_path: Path) -> None:
    """python -m"""
    package = tmp_path / "somewhere"
    package.mkdir()
    (package / "__init__.py").touch()
    marked(script, tmp_path).rename(package / script.name)
    assert run(["-m", f"somewhere.{script.stem}"], tmp_path, cwd=tmp_path) == "ok\n"


@pytest.mark.parametrize("script", OTHER_WAYS, ids=lambda p: p.stem)
def test_by_runpy(script: Path, tmp_path: Path) -> None:
    copy = marked(script, tmp_path)
    code = f"import runpy; runpy.run_path({str(copy)!r}, run_name='__main__')"
    assert run(["-c", code], tmp_path) == "ok\n"


@pytest.mark.parametrize("script", [p for p in OTHER_WAYS if p.stem not in NEED_FILE], ids=lambda p: p.stem)
def test_as_text(script: Path, tmp_path: Path) -> None:
    """python -c, and python reading its program from standard input."""
    text = script.read_text() + TWICE
    assert run(["-c", "__file__ = __import__('atoll').__file__\n" + text], tmp_path) == "ok\n"
    (tmp_path / "mark").unlink()
    assert run(["-"], tmp_path, text="__file__ = __import__('atoll').__file__\n" + text) == "ok\n"


PROMPT = r"""
import atoll
interp = atoll.create()
x = 1
def f():
    return x, __name__

assert interp.call(f) == (1, "<fake __main__>")
x = 2
assert interp.call(f) == (2, "<fake __main__>")
class C:
    def m(self):
        return x

assert type(interp.call(C)) is C
assert interp.call(C().m) == 2
def f():
    return "anew", x

assert interp.call(f) == ("anew", 2)
class C:
    def m(self):
        return "another class", x

assert interp.call(C().m) == ("another class", 2)
assert type(interp.call(C)) is C
assert interp.call(lambda: f()) == ("anew", 2)
print("ok")
"""


def test_at_the_prompt(tmp_path: Path) -> None:
    """What is typed into the prompt of the module `code`, as IDLE and others have it."""
    text = PROMPT + TWICE.replace("\n    ", " ") + "\n"
    program = (
        "import code, sys, os\n"
        "class Quiet(code.InteractiveConsole):\n"
        "    def showtraceback(self):\n"
        "        import traceback; traceback.print_exc(); os._exit(3)\n"
        "console = Quiet({'__name__': '__main__', '__builtins__': __builtins__})\n"
        f"for line in {text!r}.split('\\n'):\n"
        "    console.push(line)\n"
    )
    assert run(["-c", program], tmp_path) == "ok\n"


NOTEBOOK = r'''
import sys, types, linecache
import atoll
interp = atoll.create()
shell = types.ModuleType("__main__")
sys.modules["__main__"] = shell  # as IPython does
shell.interp = interp
cells = """
import atoll, dataclasses
LIMIT = 10
@dataclasses.dataclass
class Job:
    n: int
    def run(self):
        return min(self.n, LIMIT)
#--
def work(n):
    return Job(n).run()
assert interp.call(work, 99) == 10
assert interp.call(Job(3).run) == 3
#--
LIMIT = 20
assert interp.call(work, 99) == 20
#--
def work(n):
    return "new", Job(n)
result = interp.call(work, 1)
assert result == ("new", Job(1)), result
assert type(result[1]) is Job
#--
class Failed(Exception):
    pass
def fail():
    raise Failed("here")
try:
    interp.call(fail)
except atoll.ExecutionFailed as error:
    assert type(error.__cause__) is Failed
    assert "ipython-input-4" in error.excinfo.errdisplay, error.excinfo.errdisplay
#--
print("ok")
""".split("#--")
for i, cell in enumerate(cells):
    exec(compile(cell, f"<ipython-input-{i}>", "exec"), vars(shell))
'''


def test_in_a_notebook(tmp_path: Path) -> None:
    script = tmp_path / "kernel.py"
    script.write_text(NOTEBOOK + TWICE)
    assert run([str(script)], tmp_path) == "ok\n"


def test_interactive(tmp_path: Path) -> None:
    """python -i on a pipe: the real prompt, where __main__ has no file."""
    text = PROMPT + TWICE.replace("\n    ", " ") + "\n"
    mark = tmp_path / "mark"
    env = dict(os.environ, ATOLL_TEST_MARK=str(mark), PYTHON_BASIC_REPL="1")
    done = subprocess.run(
        [sys.executable, "-i", "-q"], input=text, capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == "ok\n"
    assert mark.read_text() == "run\n"


REWRITTEN = """
def test_it():
    import atoll

    def check(n):
        assert n % 2 == 0, "odd"

    with atoll.create() as interp:
        interp.call(check, 2)
        try:
            interp.call(check, 3)
        except atoll.ExecutionFailed as error:
            assert error.excinfo.type.__name__ == "AssertionError"
            assert "assert (3 % 2) == 0" in error.excinfo.msg
        else:
            raise SystemExit("it did not fail")
"""


def test_asserts_that_pytest_has_rewritten(tmp_path: Path) -> None:
    """A function made in a test refers to a name that only pytest's import has put there."""
    script = tmp_path / "test_rewritten.py"
    script.write_text(REWRITTEN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(script)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "1 passed" in out.stdout
