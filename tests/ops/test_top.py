"""expose() and `atoll top`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ops_functions as functions
import pytest

import atoll

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
from children import run_child


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path_factory.getbasetemp()  # pytest's folder is not to be made in the one below
    # A socket's address is short: not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="atoll-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)  # it is read again
        yield Path(folder)


def top(*args: str, status: int = 0) -> str:
    out = subprocess.run(
        [sys.executable, "-m", "atoll", "top", *args], capture_output=True, text=True, timeout=120
    )
    assert out.returncode == status, out.stdout + out.stderr
    return out.stdout if status == 0 else out.stderr


class TestExpose:
    def test_the_owner_alone(self, runtime: Path) -> None:
        with atoll.expose() as exposure:
            path = Path(exposure.path)
            assert path == runtime / "atoll" / f"{os.getpid()}.sock"
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert path.is_socket()
            assert atoll.expose() is exposure
        assert not path.exists() and "closed" in repr(exposure)
        exposure.close()

    def test_again(self) -> None:
        for _ in range(3):
            with atoll.expose() as exposure:
                assert ask(exposure.path, b"stats\n").startswith(b'{"pid": ')

    def test_no_thread_of_pythons(self) -> None:
        before = threading.active_count()
        with atoll.expose() as exposure:
            assert ask(exposure.path, b"stats\n")
            assert threading.active_count() == before

    def test_a_folder_of_somebody_else(self, runtime: Path) -> None:
        """One that others may write to, and a link, are passed over."""
        (runtime / "atoll").mkdir(mode=0o777)
        (runtime / "atoll").chmod(0o777)
        with atoll.expose() as exposure:
            assert Path(exposure.path).parent == runtime / f"atoll-{os.geteuid()}"
        (runtime / "atoll").rmdir()
        (runtime / "real").mkdir(mode=0o700)
        (runtime / "atoll").symlink_to(runtime / "real")
        with atoll.expose() as exposure:
            assert Path(exposure.path).parent == runtime / f"atoll-{os.geteuid()}"

    def test_a_stale_socket(self, runtime: Path) -> None:
        (runtime / "atoll").mkdir(mode=0o700)
        (runtime / "atoll" / f"{os.getpid()}.sock").write_text("")
        with atoll.expose() as exposure:
            assert ask(exposure.path, b"stats\n")

    def test_one_interpreter_at_a_time(self, interp: atoll.Interpreter) -> None:
        with atoll.expose():
            with pytest.raises(atoll.ExecutionFailed) as caught:
                interp.exec("import atoll; atoll.expose()")
            assert isinstance(caught.value.__cause__, atoll.InterpreterError)
        interp.exec("import atoll; exposure = atoll.expose(); exposure.close()")

    def test_ends_with_its_interpreter(self, runtime: Path) -> None:
        with atoll.create() as interp:
            interp.exec("import atoll; atoll.expose()")
            assert list((runtime / "atoll").iterdir())
        assert not list((runtime / "atoll").iterdir())

    def test_ends_with_the_process(self, runtime: Path) -> None:
        run_child("import atoll; print(atoll.expose().path)", env={"XDG_RUNTIME_DIR": str(runtime)})
        assert not list((runtime / "atoll").iterdir())

    def test_a_child_does_not_answer(self) -> None:
        run_child(
            """
            import os, warnings, atoll
            warnings.simplefilter("ignore")
            exposure = atoll.expose()
            pid = os.fork()
            if pid == 0:
                exposure.close()   # nothing of the parent's is touched
                child = atoll.expose()
                assert child.path != exposure.path
                child.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert os.path.exists(exposure.path)
            """,
            env={"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]},
        ).check()


def ask(path: str, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)  # before it has a timeout: else it would not wait in line
        sock.settimeout(120)
        sock.sendall(line)
        parts = []
        try:
            while part := sock.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass  # it did not read all that was sent
        return b"".join(parts)


class TestServer:
    def test_bad_clients(self) -> None:
        """They get an error or nothing, and keep nobody from being answered."""
        with atoll.expose() as exposure:
            assert b"error" in ask(exposure.path, b"what?\n")
            assert ask(exposure.path, b"x" * 1000 + b"\n") == b""
            silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
            for sock in silent:
                sock.connect(exposure.path)
            for sock in silent:
                sock.close()
            assert ask(exposure.path, b"stats\n").endswith(b"}\n")

    def test_many_at_once(self) -> None:
        answers: list[bytes] = []
        with atoll.expose() as exposure:
            threads = [
                threading.Thread(target=lambda: answers.append(ask(exposure.path, b"stats\n")))
                for _ in range(30)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(answers) == 30 and all(json.loads(one)["pid"] == os.getpid() for one in answers)

    def test_one_that_does_not_answer(self, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whose line is full, too."""
        from atoll import _top

        monkeypatch.setattr(_top, "_PATIENCE", 0.2)
        (runtime / "atoll").mkdir(mode=0o700)
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(socket.socket(socket.AF_UNIX))
            busy.bind(str(runtime / "atoll" / "123.sock"))
            busy.listen(0)
            with pytest.raises(_top.Trouble, match="123 does not answer"):
                _top.ask(123, "stats")
            for _ in range(3):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    one.connect(str(runtime / "atoll" / "123.sock"))
            with pytest.raises(_top.Trouble, match="123 does not answer"):
                _top.ask(123, "stats")
            assert 123 in _top.exposed()

    def test_while_a_gil_is_kept(self, stuck: atoll.Interpreter) -> None:
        with atoll.expose() as exposure:
            found = json.loads(ask(exposure.path, b"stats\n"))
        [one] = [one for one in found["interpreters"] if one["id"] == stuck.id]
        assert one["state"] == "running" and one["threads"] is None

    def test_a_name_that_is_no_json(self, interp: atoll.Interpreter) -> None:
        interp.name = 'a"b\\c\n\x01\xe4'
        with atoll.expose() as exposure:
            found = json.loads(ask(exposure.path, b"stats\n"))
        assert interp.name in [one["name"] for one in found["interpreters"]]

    def test_in_any_locale(self) -> None:
        """Numbers have a point, whatever the program's locale."""
        import locale

        before = locale.setlocale(locale.LC_NUMERIC)
        for name in ("de_DE.UTF-8", "de_DE.utf8", "C"):
            try:
                locale.setlocale(locale.LC_NUMERIC, name)
                break
            except locale.Error:
                continue
        try:
            with atoll.expose() as exposure:
                assert json.loads(ask(exposure.path, b"stats\n"))["monotonic_seconds"] > 0
        finally:
            locale.setlocale(locale.LC_NUMERIC, before)


class TestTop:
    def test_once(self, interp: atoll.Interpreter) -> None:
        interp.name = "w\xf6rker"
        interp.call(functions.noop)
        with atoll.expose():
            text = top(str(os.getpid()), "--once")
        head, columns, *rows = text.splitlines()
        assert head.startswith(f"atoll top: process {os.getpid()}, ")
        assert columns.split()[:4] == ["ID", "NAME", "STATE", "UP"]
        [row] = [row.split() for row in rows if row.split()[0] == str(interp.id)]
        assert row[1:3] == ["w\xf6rker", "idle"] and row[7] == str(interp.stats()["calls"])
        assert rows[0].split()[:3] == ["0", "(main)", "running"]

    def test_json(self, interp: atoll.Interpreter) -> None:
        with atoll.expose():
            found = json.loads(top(str(os.getpid()), "--once", "--json"))
        assert found["pid"] == os.getpid()
        [one] = [one for one in found["interpreters"] if one["id"] == interp.id]
        assert set(one) == set(interp.stats())
        assert one["calls"] == interp.stats()["calls"]

    def test_stacks(self) -> None:
        with atoll.expose():
            text = top(str(os.getpid()), "--stacks")
        assert "Interpreter 0 (main):" in text and "in TestTop.test_stacks" in text

    def test_which_processes(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with atoll.expose():
            assert str(os.getpid()) in top()
        from atoll import _top

        # In /tmp there may be others of this user.
        monkeypatch.setattr(_top, "folders", lambda: [str(runtime / "atoll")])
        assert _top._list() == 1
        assert "no process of yours" in capsys.readouterr().err

    def test_one_that_is_not_exposed(self) -> None:
        assert "has not called atoll.expose()" in top(str(os.getpid()), status=1)
        assert "has not called atoll.expose()" in top(str(os.getpid()), "--once", "--json", status=1)

    def test_one_that_has_ended(self, runtime: Path) -> None:
        (runtime / "atoll").mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(runtime / "atoll" / "4.sock"))
        assert "it has ended" in top("4", status=1)

    @pytest.mark.parametrize("args", [["0"], ["x"], ["1", "--interval", "0"], ["1", "--interval", "nan"]])
    def test_bad_arguments(self, args: list[str]) -> None:
        assert "usage: atoll top" in top(*args, status=2)

    def test_a_stream_of_json(self) -> None:
        with atoll.expose():
            child = subprocess.Popen(
                [sys.executable, "-m", "atoll", "top", str(os.getpid()), "--json", "--interval", "0.01"],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdout is not None
            times = [json.loads(child.stdout.readline())["monotonic_seconds"] for _ in range(3)]
            assert times == sorted(set(times))
            child.send_signal(signal.SIGINT)
            child.stdout.read()
            assert child.wait(120) == 0
            child.stdout.close()

    @pytest.mark.parametrize("width", [160, 80])
    @pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
    def test_on_a_terminal(self, rich: bool, width: int, tmp_path: Path) -> None:
        """It redraws; a narrow one gets fewer columns, none of them cut; when the process ends, it says so; the screen is given back."""
        if rich:
            __import__("rich")
        else:
            (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
        program = tmp_path / "program.py"
        program.write_text(
            "import sys, atoll\n"
            "worker = atoll.create(name='worker')\n"
            "worker.call(len, ())\n"
            "with atoll.expose():\n"
            "    print('ready', flush=True)\n"
            "    sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        environment = dict(os.environ, TERM="xterm", PYTHONPATH=str(tmp_path))
        environment.pop("COLUMNS", None)  # the terminal is to tell its width
        terminal, inner = os.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
        child = subprocess.Popen(
            [sys.executable, "-m", "atoll", "top", str(process.pid), "--interval", "0.05"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment,
        )
        os.close(inner)
        shown = b""
        ended = False
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError as error:
                assert error.errno == errno.EIO
                break
            shown += data
            if shown.count(b"atoll top: process") >= 3 and not ended:
                ended = True
                process.stdin.close()
        os.close(terminal)
        text = shown.decode(errors="replace")
        assert child.wait(120) == 0, text
        assert process.wait(120) == 0
        process.stdout.close()
        assert (
            "(main)" in text and "worker" in text and "running" in text and "idle" in text and "CPU%" in text
        )
        assert "\u2026" not in text, "nothing is cut"
        assert ("VIEWS" in text) == (width == 160)
        assert ("columns left out" in text) == (width == 80)
        assert f"process {process.pid} cannot be looked at" in text
        if rich:
            assert "\x1b[?1049h" in text and "\x1b[?1049l" in text, "the other screen, and back"
