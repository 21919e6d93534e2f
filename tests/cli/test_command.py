"""The command `atoll`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import sys, time

def upper(text):
    return text.upper()

def picky(text):
    if text == "3":
        raise ValueError("not this one")
    return int(text) * 2

def leave(text):
    sys.exit("away")

def bump(value):
    return {"n": value["n"] + 1, "text": "\\u00e4"}

class Odd(BaseException):
    pass

def odd(text):
    if text == "3":
        raise Odd("not this one")
    return text

def same(value):
    return value

def surrogate(text):
    return "\\ud800" if text == "2" else text + "\u00e4"

class Tools:
    @staticmethod
    def size(text):
        return len(text)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "given.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def atoll(*args: str, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    out = subprocess.run([sys.executable, "-m", "atoll", *args], input=data, capture_output=True, timeout=120)
    return subprocess.CompletedProcess(
        args,
        out.returncode,
        out.stdout.decode(errors="surrogateescape"),
        out.stderr.decode(errors="surrogateescape"),
    )


class TestMap:
    def test_lines(self) -> None:
        out = atoll("map", "given:upper", stdin="a\nb\nlast")
        assert (out.returncode, out.stdout, out.stderr) == (0, "A\nB\nLAST\n", "")

    def test_arguments(self) -> None:
        out = atoll("map", "given:Tools.size", "x", "yy", "zzz", "-j", "1")
        assert (out.returncode, out.stdout, out.stderr) == (0, "1\n2\n3\n", "")

    def test_nothing(self) -> None:
        out = atoll("map", "given:upper")
        assert (out.returncode, out.stdout, out.stderr) == (0, "", "")

    @pytest.mark.parametrize("options", [[], ["--chunksize", "7"], ["-j", "3"]])
    def test_many_in_order(self, options: list[str]) -> None:
        text = "".join(f"line {n}\n" for n in range(30_000))
        out = atoll("map", "given:upper", *options, stdin=text)
        assert (out.returncode, out.stdout == text.upper()) == (0, True)

    def test_unordered(self) -> None:
        text = "".join(f"line {n}\n" for n in range(5000))
        out = atoll("map", "given:upper", "--unordered", stdin=text)
        assert out.returncode == 0
        assert sorted(out.stdout.splitlines()) == sorted(text.upper().splitlines())

    def test_errors(self) -> None:
        out = atoll("map", "given:picky", "1", "2", "3", "4", "x")
        assert out.returncode == 1
        assert out.stdout == "2\n4\n8\n"
        assert "'3':" in out.stderr and "ValueError: not this one" in out.stderr
        assert "'x':" in out.stderr and "invalid literal" in out.stderr
        assert "_cli_task" not in out.stderr

    def test_exit_is_an_error_like_any_other(self) -> None:
        out = atoll("map", "given:leave", "1", "2")
        assert out.returncode == 1
        assert out.stderr.count("SystemExit: away") == 2

    @pytest.mark.parametrize("size", [[], ["--chunksize", "5"]])
    def test_any_exception_is_that_of_its_own_input(self, size: list[str]) -> None:
        out = atoll("map", "given:odd", *size, stdin="1\n2\n3\n4\n5\n")
        assert (out.returncode, out.stdout) == (1, "1\n2\n4\n5\n")
        assert "'3':" in out.stderr and "Odd: not this one" in out.stderr
        assert out.stderr.count("atoll map:") == 1

    def test_what_is_no_text(self) -> None:
        out = atoll("map", "given:surrogate", "--chunksize", "5", stdin="1\n2\n3\n")
        assert (out.returncode, out.stdout) == (1, "1\u00e4\n3\u00e4\n")
        assert "'2':" in out.stderr and "surrogates not allowed" in out.stderr
        out = atoll("map", "given:same", "--jsonl", stdin='"\\ud800"\n["\u00e4"]\n')
        assert (out.returncode, out.stdout, out.stderr) == (0, '"\\ud800"\n["\u00e4"]\n', "")

    def test_whatever_the_locale(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        out = atoll("map", "given:surrogate", stdin="\u00e9\n")
        assert (out.returncode, out.stdout, out.stderr) == (0, "\u00e9\u00e4\n", "")

    @pytest.mark.parametrize(
        "args",
        [
            ["given:upper", "-j", "2", "a", "b"],
            ["given:upper", "a", "-j", "2", "b"],
            ["-j", "2", "given:upper", "a", "b"],
            ["given:upper", "-j", "2", "--", "a", "b"],
            ["-j", "2", "--", "given:upper", "a", "b"],
        ],
    )
    def test_options_anywhere(self, args: list[str]) -> None:
        out = atoll("map", *args)
        assert (out.returncode, out.stdout, out.stderr) == (0, "A\nB\n", "")

    def test_bad_options(self) -> None:
        for args in ["-j", "0"], ["-j", "x"], ["--chunksize", "-1"]:
            out = atoll("map", "given:upper", *args, "a")
            assert out.returncode == 2
            assert "must be a number from 1 on" in out.stderr
        out = atoll("map", "given:upper", "a", "--nothing")
        assert out.returncode == 2 and "unrecognized arguments: --nothing" in out.stderr

    def test_jsonl(self) -> None:
        out = atoll("map", "given:bump", "--jsonl", stdin='{"n": 1}\n\n{"n": 2}\nno json\n{}\n')
        assert out.returncode == 1
        assert [json.loads(line) for line in out.stdout.splitlines()] == [
            {"n": 2, "text": "ä"},
            {"n": 3, "text": "ä"},
        ]
        assert "JSONDecodeError" in out.stderr and "KeyError: 'n'" in out.stderr

    def test_bytes_that_are_no_text(self) -> None:
        out = atoll("map", "given:upper", stdin=b"a\xff\n")
        assert (out.returncode, out.stdout) == (0, "A\udcff\n")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("given", "MODULE:FUNCTION"),
            ("given:", "MODULE:FUNCTION"),
            ("given:nothing", "nothing"),
            ("absent:thing", "absent"),
            ("given:sys", "cannot be called"),
        ],
    )
    def test_bad_function(self, name: str, message: str) -> None:
        out = atoll("map", name, "x")
        assert out.returncode == 2
        assert message in out.stderr and "Traceback" not in out.stderr

    def test_closed_pipe(self) -> None:
        command = [sys.executable, "-m", "atoll", "map", "given:upper"]
        read, write = os.pipe()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE) as child:
            os.close(write)
            assert child.stdin is not None and child.stderr is not None
            child.stdin.write(b"first\n")
            child.stdin.flush()
            assert os.read(read, 100) == b"FIRST\n"  # a line is answered at once
            os.close(read)
            try:
                child.stdin.write(b"more\n" * 10_000)
                child.stdin.close()
            except BrokenPipeError:
                pass
            assert child.stderr.read() == b""
            assert child.wait(60) == 141


def test_info() -> None:
    out = atoll("info")
    assert (out.returncode, out.stderr) == (0, "")
    assert sys.version.split()[0] in out.stdout and "platform" in out.stdout


@pytest.mark.parametrize(
    "command", [["info"], ["doctor", "pytest"], ["bench", "--quick", "--only", "life.prewarm"]], ids=" ".join
)
def test_into_a_closed_pipe(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        out = subprocess.run(
            [sys.executable, "-m", "atoll", *command], stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert (out.returncode, out.stderr) == (141, "")


def test_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = atoll("--help")
    assert out.returncode == 0
    assert all(command in out.stdout for command in ("map", "bench", "info"))
    out = atoll("map", "--help")
    assert out.returncode == 0
    assert all(word in out.stdout for word in ("--jsonl", "--unordered", "--chunksize", "-j"))
    for command in ([], ["map"], ["doctor"], ["bench"], ["top"], ["info"]):
        lines = atoll(*command, "--help").stdout.splitlines()
        assert lines and all(len(line) <= 80 for line in lines), "wider than a terminal"
    assert atoll().returncode == 2
    assert atoll("unheard-of").returncode == 2
