"""`atoll map` where things are not as quiet as in a test: terminals, Ctrl-C, streams that are closed or full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

LIMIT = 120
MODULE = """
import os, time

def upper(text):
    if text == "bad":
        raise ValueError("not this one")
    return text.upper()

def spin(text):
    os.write(2, b"READY")
    while True:
        pass

def wait_for_file(text):
    while text != "first" and not os.path.exists("go"):
        time.sleep(0.01)
    return text.upper()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "given.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*args: str) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-m", "atoll", "map", *args]


def default_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """The other side of a terminal, read by a thread."""

    def __init__(self) -> None:
        self.fd, self.inner = os.openpty()
        self.text = b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self) -> None:
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # the child has closed its side
                return
            if not data:
                return
            self.text += data

    def close(self) -> str:
        self.thread.join(LIMIT)
        os.close(self.fd)
        return self.text.decode(errors="replace").replace("\r\n", "\n")


@pytest.mark.parametrize("without", [[], ["rich"], ["rich", "tqdm"]], ids=["all", "no rich", "plain"])
def test_progress(folder: Path, without: list[str]) -> None:
    """A bar on the terminal, whatever is there to draw it; the results go where they should, whole."""
    for name in without:
        (folder / f"{name}.py").write_text(f"raise ImportError('no {name} here')")
    lines = [f"line {n}" for n in range(3000)]
    lines[1500] = "bad"
    terminal = Terminal()
    child = subprocess.Popen(
        command("given:upper", "-j", "2"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.inner,
        env=dict(os.environ, TERM="xterm", COLUMNS="100", PYTHONPATH=str(folder)),
    )
    os.close(terminal.inner)
    out, _ = child.communicate("".join(f"{line}\n" for line in lines).encode(), timeout=LIMIT)
    shown = terminal.close()
    assert child.returncode == 1, shown
    assert out.decode().splitlines() == [line.upper() for line in lines if line != "bad"]
    assert "atoll map: 'bad':" in shown and "ValueError: not this one" in shown
    assert "\r" in shown or "\x1b[" in shown, "something is drawn anew"
    if without == ["rich", "tqdm"]:
        assert "\r\x1b[K" in shown


def test_output_to_the_terminal_too(folder: Path) -> None:
    """Bar and results on one terminal: every result is there, on a line of its own."""
    terminal = Terminal()
    child = subprocess.Popen(
        command("given:upper", "-j", "2"),
        stdin=subprocess.PIPE,
        stdout=terminal.inner,
        stderr=terminal.inner,
        env=dict(os.environ, TERM="xterm", COLUMNS="100"),
    )
    os.close(terminal.inner)
    assert child.stdin is not None
    child.stdin.write(b"".join(b"line %d\n" % n for n in range(200)))
    child.stdin.close()
    assert child.wait(LIMIT) == 0
    shown = terminal.close()
    for n in range(200):
        assert f"LINE {n}\n" in shown


def test_ctrl_c_while_it_computes() -> None:
    with subprocess.Popen(
        command("given:spin", "x", "-j", "1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    ) as child:
        assert child.stderr is not None
        assert child.stderr.read(5) == b"READY"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=LIMIT)
        assert (child.returncode, out, err) == (130, b"", b"")


def test_ctrl_c_while_it_waits_for_input() -> None:
    with subprocess.Popen(
        command("given:upper", "-j", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write(b"line\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"LINE\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(LIMIT) == 130
        assert (child.stdout.read(), child.stderr.read()) == (b"", b"")


@pytest.mark.parametrize("options", [[], ["--unordered"]])
def test_a_result_does_not_wait_for_the_next(folder: Path, options: list[str]) -> None:
    with subprocess.Popen(
        command("given:wait_for_file", "-j", "1", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(b"first\nsecond\nthird\n")
        child.stdin.close()
        assert child.stdout.readline() == b"FIRST\n"
        (folder / "go").touch()
        assert child.stdout.read() == b"SECOND\nTHIRD\n"
        assert child.wait(LIMIT) == 0


@pytest.mark.parametrize(("redirect", "name"), [("<&-", "stdin"), (">&-", "stdout")])
def test_closed_streams(redirect: str, name: str) -> None:
    line = "echo a | " * (name == "stdout") + f'"$@" {redirect}'
    out = subprocess.run(
        ["sh", "-c", line, "sh", *command("given:upper")], capture_output=True, text=True, timeout=LIMIT
    )
    assert (out.returncode, out.stdout, out.stderr) == (2, "", f"atoll map: {name} is closed\n")


def test_full_device() -> None:
    with open("/dev/full", "w") as full:
        out = subprocess.run(
            command("given:upper", "a", "b"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT
        )
    assert out.returncode == 1
    assert out.stderr.startswith("atoll map: [Errno 28]") and out.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [("def f(", "SyntaxError"), ("raise SystemExit(4)", "SystemExit: 4"), ("1 / 0", "ZeroDivisionError")],
)
def test_module_that_cannot_be_imported(folder: Path, code: str, message: str) -> None:
    (folder / "broken.py").write_text(code)
    out = subprocess.run(command("broken:f", "x"), capture_output=True, text=True, timeout=LIMIT)
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr.startswith("atoll map: broken cannot be imported:\n")
    assert message in out.stderr and "importlib" not in out.stderr and "_cli" not in out.stderr


def test_real_input(folder: Path) -> None:
    """find ... | atoll map module:function | head, as one types it."""
    library = Path(os.__file__).parent
    (folder / "count.py").write_text(
        "import ast, pathlib\ndef statements(path):\n"
        "    return f'{len(ast.parse(pathlib.Path(path).read_bytes()).body):5} {path}'\n"
    )
    line = f"find {library}/json {library}/email -name '*.py' | sort | \"$@\""
    run = ["sh", "-c", line, "sh", *command("count:statements")]
    out = subprocess.run(run, capture_output=True, text=True, timeout=LIMIT)
    assert (out.returncode, out.stderr) == (0, "")
    paths = [text.split()[1] for text in out.stdout.splitlines()]
    assert paths == sorted(paths) and len(paths) > 20
    run[2] += " | head -n 3"
    out = subprocess.run(run, capture_output=True, text=True, timeout=LIMIT)
    assert (out.returncode, out.stderr) == (0, "")
    assert [text.split()[1] for text in out.stdout.splitlines()] == paths[:3]


def test_the_bar_knows_how_many_there_are(folder: Path) -> None:
    """As soon as all of the input was read, not when all of it is done."""
    for name in "rich", "tqdm":
        (folder / f"{name}.py").write_text(f"raise ImportError('no {name} here')")
    terminal = Terminal()
    child = subprocess.Popen(
        command("given:wait_for_file", "first", "second", "-j", "1", "--chunksize", "1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal.inner,
        env=dict(os.environ, TERM="xterm", PYTHONPATH=str(folder)),
    )
    os.close(terminal.inner)
    deadline = time.monotonic() + LIMIT
    while b"1/2 50%" not in terminal.text and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    seen = terminal.text
    (folder / "go").touch()
    out, _ = child.communicate(timeout=LIMIT)
    terminal.close()
    assert (child.returncode, out) == (0, b"FIRST\nSECOND\n")
    assert b"1/2 50%" in seen
