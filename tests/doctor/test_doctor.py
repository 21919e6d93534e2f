"""`atoll doctor` on distributions made for it: one of each class."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import made
import pytest
from children import clean

WORKS, SLOWER, SHARED, MAIN = "works", "works, slower", "shared GIL only", "main interpreter only"


class Doctor:
    def __init__(self, site: made.Site, cache: Path) -> None:
        self.site = site
        self.cache = cache

    def run(self, *args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "atoll", "doctor", *args],
            env=clean(
                PYTHONPATH=str(path or self.site.folder), XDG_CACHE_HOME=str(self.cache), COLUMNS="110"
            ),
            capture_output=True,
            text=True,
            timeout=280,
            stdin=subprocess.DEVNULL,
        )

    def find(self, *args: str) -> dict[str, dict[str, Any]]:
        out = self.run("--json", *args)
        assert out.stderr == "", out.stderr
        return {one["name"]: one for one in json.loads(out.stdout)["distributions"]}


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Doctor:
    return Doctor(made.make(tmp_path_factory.mktemp("site")), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def found(doctor: Doctor) -> dict[str, dict[str, Any]]:
    """All of them, from one run."""
    names = [path.name.partition("-")[0] for path in doctor.site.folder.glob("*.dist-info")]
    assert len(names) > 10
    return doctor.find(*names)


@pytest.mark.parametrize(
    ("name", "verdict", "blame", "distribution"),
    [
        ("made-works", WORKS, None, None),
        ("Made.Slower", SLOWER, "made_slower._c", "made-slower"),
        ("made-without", SLOWER, "made_helper", "made-helper"),
        ("made-shared", SHARED, "made_shared._c", "made-shared"),
        ("made-main", MAIN, "made_main._c", "made-main"),
        ("made-lazy", SHARED, "made_lazy._c", "made-lazy"),
        ("made-alias", SLOWER, "made_alias._c", "made-alias"),
        ("made-apart", SLOWER, "_made_apart_c", "made-apart"),
        ("made-choice", SLOWER, "made_choice.fast_best", "made-choice"),
        ("made-by-hand", SHARED, "made_helper", "made-helper"),
        ("made-helper", SHARED, "made_helper", "made-helper"),
        ("made-thread", MAIN, "made_thread", "made-thread"),
        ("made-needs", SHARED, "made_shared._c", "made-shared"),
        ("made-between", SHARED, "made_shared._c", "made-shared"),
        ("made-crash", "crashes", "made_crash._c", "made-crash"),
        ("made-crash-late", "crashes", "made_crash_late._c", "made-crash-late"),
        ("made-quit", "crashes", "made_quit._c", "made-quit"),
        ("made-broken", "not importable", "made_broken", "made-broken"),
        ("made-space", WORKS, None, None),
        ("made-nothing", "nothing to import", None, None),
        ("made-tests", WORKS, None, None),
    ],
)
def test_verdict(
    found: dict[str, dict[str, Any]], name: str, verdict: str, blame: str | None, distribution: str | None
) -> None:
    one = found[name]
    assert one["verdict"] == verdict, one
    assert [(r["module"], r["distribution"]) for r in one["reasons"]][:1] == (
        [(blame, distribution)] if blame else []
    )


def test_fallback_is_named(found: dict[str, dict[str, Any]]) -> None:
    (reason,) = found["Made.Slower"]["reasons"]
    assert reason["fallback"] == ["made_slower._pure"] and reason["by"] == "made_slower"
    assert "does not support loading" in reason["reason"]
    (reason,) = found["made-without"]["reasons"]
    assert reason["fallback"] == [] and reason["by"] == "made_without"


def test_warnings(doctor: Doctor, found: dict[str, dict[str, Any]]) -> None:
    """Those of isolated interpreters alone."""
    assert found["made-choice"]["warnings"] == ["UserWarning: the fast part is missing"]
    assert found["made-works"]["warnings"] == found["made-crash"]["warnings"] == []
    assert "  its import warns: UserWarning: the fast part is missing\n" in doctor.run("made-choice").stdout


def test_transitive_blame(found: dict[str, dict[str, Any]]) -> None:
    (reason,) = found["made-needs"]["reasons"]
    assert reason["target"] == "made_needs"
    assert reason["via"] == ["made_needs", "made_between", "made_shared"]


def test_signal_and_stage(found: dict[str, dict[str, Any]]) -> None:
    assert found["made-crash"]["signal"] == "SIGABRT"
    assert found["made-crash"]["reasons"][0]["stage"] == "in a second one"
    assert found["made-crash-late"]["signal"] == "SIGABRT"
    assert found["made-crash-late"]["reasons"][0]["stage"] == "closing them"
    assert found["made-quit"]["signal"] is None
    assert "status 7" in found["made-quit"]["reasons"][0]["reason"]


def test_a_fault_that_is_no_extension_module(found: dict[str, dict[str, Any]]) -> None:
    assert "daemon thread" in found["made-thread"]["reasons"][0]["reason"]


def test_namespace_roots(found: dict[str, dict[str, Any]]) -> None:
    assert found["made-space"]["imports"] == ["made_space.alone", "made_space.inner"]


def test_table(doctor: Doctor) -> None:
    out = doctor.run("made-slower", "made-needs", "made-broken", "made-crash")
    assert (out.returncode, out.stderr) == (1, "")
    assert "works, slower          Made.Slower 1.0\n" in out.stdout
    assert "made_slower._c refuses, made_slower falls back to made_slower._pure" in out.stdout
    assert "made_shared._c (made-shared): " in out.stdout
    assert "needed by made_needs, by way of made_between > made_shared" in out.stdout
    assert "fails in a plain interpreter, too: ModuleNotFoundError" in out.stdout
    assert "made_crash._c: SIGABRT, in a second one" in out.stdout
    assert "4 distributions: 1 works, slower, 1 shared GIL only, 1 crashes, 1 not importable" in out.stdout


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["made-works", "made-nothing", "made-slower"], 0),
        (["made-slower", "--strict"], 1),
        (["made-works", "made-main", "-j", "1"], 1),
        (["made-broken"], 1),
        (["no-such-thing", "made-works"], 2),
        (["--jobs", "0"], 2),
        (["--timeout", "nan"], 2),
    ],
)
def test_status(doctor: Doctor, args: list[str], status: int) -> None:
    out = doctor.run(*args)
    assert out.returncode == status, out
    assert "Traceback" not in out.stderr
    assert status != 2 or out.stderr


def test_names(doctor: Doctor) -> None:
    """A distribution in any spelling, a module, one of the standard library."""
    found = doctor.find("MADE_works", "made_works", "made_shared._c", "json", "readline")
    assert {name: one["verdict"] for name, one in found.items()} == {
        "made-works": WORKS,
        "made-shared": SHARED,
        "json": WORKS,
        "readline": SHARED,
    }
    assert found["json"]["version"] == "standard library"
    assert found["readline"]["reasons"][0]["distribution"] == "standard library"


def test_all_that_is_installed(tmp_path: Path) -> None:
    """No names: everything that this Python finds, here without its own packages."""
    import atoll

    (tmp_path / "atoll").symlink_to(Path(atoll.__file__).parent)
    site = made.Site(tmp_path)
    site.add("made-one", {"made_one.py": ""})
    site.add("made-two", {"made_two.py": ""})
    out = subprocess.run(
        [sys.executable, "-S", "-m", "atoll", "doctor", "--json", "--no-cache"],
        env=clean(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=280,
    )
    facts = json.loads(out.stdout)
    assert [one["name"] for one in facts["distributions"]] == ["made-one", "made-two"], out
    assert facts["python"] == sys.version.split()[0]
    assert facts["counts"]["works"] == 2


class TestCache:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Doctor:
        (tmp_path / "site").mkdir()
        site = made.Site(tmp_path / "site")
        site.add("made-base", {"made_base.py": ""})
        site.add(
            "made-top",
            {"made_top.py": "import made_base\ntry: import made_later\nexcept ImportError: pass\n"},
        )
        return Doctor(site, tmp_path / "cache")

    def test_kept(self, own: Doctor) -> None:
        first = own.find("made-top")["made-top"]
        second = own.find("made-top")["made-top"]
        assert (first.pop("cached"), second.pop("cached")) == (False, True)
        assert first == second
        (entry,) = (own.cache / "atoll/doctor").iterdir()
        assert entry.name.startswith("made-top-")

    def test_left_aside(self, own: Doctor) -> None:
        own.find("made-top", "--no-cache")
        assert not own.cache.exists()
        own.find("made-top")
        assert own.find("made-top", "--fresh")["made-top"]["cached"] is False

    def test_changes(self, own: Doctor) -> None:
        own.find("made-top")
        (own.site.folder / "made_base.py").write_text("x = 1\n")
        assert own.find("made-top")["made-top"]["cached"] is False, "a module further down"
        (own.site.folder / "made_later.py").write_text("")
        assert own.find("made-top")["made-top"]["cached"] is False, "one that was looked for"
        assert own.find("made-top")["made-top"]["cached"] is True

    def test_spoilt(self, own: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        from atoll._doctor_cache import Cache
        from atoll._doctor_find import Found

        monkeypatch.setenv("XDG_CACHE_HOME", str(own.cache))
        cache, found = Cache(), Found("x", "1", "", ())
        finding = {"verdict": WORKS, "reasons": []}
        cache.put(found, finding, ({}, []))
        assert cache.get(found) == finding
        (entry,) = (own.cache / "atoll/doctor").iterdir()
        for text in ("", "{", "[]", '{"finding": 3, "files": {}, "missing": []}'):
            entry.write_text(text)
            assert cache.get(found) is None

    def test_not_writable(self, own: Doctor) -> None:
        own.cache.write_text("no folder")
        assert own.find("made-top")["made-top"]["verdict"] == WORKS


def test_progress_on_a_terminal(doctor: Doctor) -> None:
    terminal, inner = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "atoll", "doctor", "--fresh", "made-works", "made-between"],
        env=clean(
            PYTHONPATH=str(doctor.site.folder), XDG_CACHE_HOME=str(doctor.cache), TERM="xterm", COLUMNS="100"
        ),
        stdin=inner,
        stdout=subprocess.PIPE,
        stderr=inner,
    )
    os.close(inner)
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    out, _ = child.communicate(timeout=60)
    assert b"2 distributions" in out
    assert any(mark in shown for mark in (b"1/2", b"2/2", b"0/2")), shown


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """Its children end with it, though they are in sessions of their own."""
    import signal

    site = made.Site(tmp_path)
    mark = tmp_path / "mark"
    site.add(
        "made-slow",
        {
            "made_slow.py": f"import os, signal\nopen({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\nsignal.pause()\n"
        },
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "atoll", "doctor", "--no-cache", "made-slow"],
        env=clean(PYTHONPATH=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (mark.exists() and mark.read_text().endswith("\n")):
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, "", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_ctrl_c_before_all_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs already is stopped, however early Ctrl-C comes."""
    import argparse
    import concurrent.futures
    import threading

    from atoll import _doctor, _doctor_judge, _progress
    from atoll._doctor_find import Found, Index

    begun, stopped = threading.Event(), threading.Event()
    heard: list[bool] = []

    def examine(*_: object) -> None:
        begun.set()
        heard.append(stopped.wait(60))

    class Pool(concurrent.futures.ThreadPoolExecutor):
        sent = 0

        def submit(self, *args: Any, **kwargs: Any) -> Any:
            self.sent += 1
            if self.sent == 2:
                assert begun.wait(60)
                raise KeyboardInterrupt
            return super().submit(*args, **kwargs)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(_doctor, "_examine", examine)
    monkeypatch.setattr(_doctor_judge.Prober, "stop", lambda _: stopped.set())
    args = argparse.Namespace(timeout=60.0, no_cache=True, fresh=True, jobs=1)
    chosen = [Found("made-one", "1", "", ()), Found("made-two", "1", "", ())]
    with pytest.raises(KeyboardInterrupt):
        list(_doctor._all(chosen, Index({}), args, _progress.Silent()))
    assert heard == [True]


def test_outcome_of_a_child() -> None:
    """What a probe wrote down before it died, read back."""
    from atoll._doctor_judge import Outcome

    lines = ['{"begin": "in one interpreter"}', "> a", "> b", "< b", "> a.c", '{"end": "half a li']
    hung = Outcome(None, lines, "")
    assert hung.death() == ("hangs", "no end of it: in one interpreter")
    assert hung.loading == ["a", "a.c"]
    assert Outcome(-11, [], "").death() == ("crashes", "SIGSEGV, starting")
    assert Outcome(0, ['{"done": true}'], "").death() is None
    assert Outcome(0, [], "").death() == ("crashes", "the process ended with status 0, starting")


def test_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of it was done within the limit."""
    from atoll._doctor_judge import Prober

    site = made.Site(tmp_path)
    site.add("made-hang", {}, {"made_hang": ["HANG"]})
    monkeypatch.syspath_prepend(str(tmp_path))
    death = Prober(2.0).probe("isolated", ["made_hang"]).death()
    assert death is not None and death[0] == "hangs"


def test_help() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "atoll", "doctor", "--help"], capture_output=True, text=True, timeout=60
    )
    assert out.returncode == 0
    for word in ("works, slower", "--json", "--timeout", "--strict", "-j", "exit status", "--fresh"):
        assert word in out.stdout


def test_it_knows_no_package() -> None:
    """Doctor finds out; it does not look up."""
    import atoll

    text = "".join(path.read_text() for path in Path(atoll.__file__).parent.glob("_doctor*.py"))
    assert len(text) > 10_000
    for name in (
        "numpy",
        "orjson",
        "multidict",
        "msgspec",
        "aiohttp",
        "cryptography",
        "pydantic",
        "cffi",
        "pandas",
    ):
        assert name not in text.lower(), name
