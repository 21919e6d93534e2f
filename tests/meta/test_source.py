"""The rules of the source that a machine can check: CONTRIBUTING.md, Rules."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
C_FILES = sorted(SRC.glob("*/*.[ch]"))

#: What each layer may include, besides itself and what stands left of it.
CORE_LAYERS = [
    {"base", "atomic"},  # base.c counts with atomics; no header goes round
    {"platform", "stack"},
    {"frame", "memo", "table", "usage"},
    {"waiting"},
    {"wire", "queue", "async", "block", "sync", "def"},
    {"registry"},
    {"scheduler"},
]
EXT_LAYERS = [
    {"compat"},
    {"state", "load", "module"},  # module.h names the parts, and no more
    {"errors", "attach", "runtime", "chores", "probe", "memory"},
    {"transfer", "function", "run", "interrupt", "output", "lifecycle", "create", "setup", "preload", "exit"},
    # then the types, which know each other only by their public headers
]
#: Who may include NAME_impl.h or NAME_private.h, beside NAME*.
SHARED = {"transfer": {"encode", "decode"}, "queue": {"async"}}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def code_of(path: Path) -> str:
    """The file's text without its comments."""
    return COMMENT.sub(" ", path.read_text())


def includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(code_of(path))


def local_includes(path: Path) -> list[Path]:
    """The project's own files that `path` includes, in order."""
    return [(path.parent / name).resolve() for mark, name in includes(path) if mark == '"']


def layer(path: Path) -> tuple[int, int]:
    """(core or ext, height): a file may include what is not above it."""
    layers = CORE_LAYERS if path.parent.name == "core" else EXT_LAYERS
    base = 0 if path.parent.name == "core" else 1
    for height, names in enumerate(layers):
        # attach_cache.c belongs to attach, platform_posix.c to platform.
        if path.stem in names or path.stem.split("_")[0] in names:
            return base, height
    return base, len(layers)


def ids(path: Path) -> str:
    return str(path.relative_to(SRC))


def test_there_is_something_to_check() -> None:
    assert len(C_FILES) >= 20
    assert sum(len(includes(path)) for path in C_FILES) >= 40


@pytest.mark.parametrize("path", C_FILES, ids=ids)
class TestIncludes:
    def test_exist(self, path: Path) -> None:
        missing = [p for p in local_includes(path) if not p.exists()]
        assert not missing

    def test_point_one_way(self, path: Path) -> None:
        mine = layer(path)
        above = [str(p.relative_to(SRC)) for p in local_includes(path) if layer(p) > mine]
        assert not above, f"{ids(path)} includes what stands above it"

    def test_internals_stay_inside(self, path: Path) -> None:
        for other in local_includes(path):
            part, _, kind = other.stem.partition("_")
            if kind in {"impl", "private", "doc"}:
                mine = path.stem.partition("_")[0]
                assert mine == part or mine in SHARED.get(part, ())

    def test_no_c_file(self, path: Path) -> None:
        assert not [name for _, name in includes(path) if name.endswith(".c")]

    def test_own_header_first(self, path: Path) -> None:
        own = path.with_suffix(".h")
        if path.suffix == ".c" and own.exists():
            # Or the header that the files of one part share, which begins with it.
            first = local_includes(path)[0]
            shared = first.stem in {f"{path.stem}_impl", f"{path.stem}_private"}
            assert first == own or (shared and local_includes(first)[0] == own)
            assert includes(path)[0][0] == '"', "own header before the system's"

    def test_no_internals_of_cpython(self, path: Path) -> None:
        names = [name for _, name in includes(path)]
        assert not [n for n in names if "internal/" in n or "pycore" in n]
        assert "Py_BUILD_CORE" not in code_of(path)

    def test_core_is_free_of_python(self, path: Path) -> None:
        if path.parent.name == "core":
            assert "Python.h" not in [name for _, name in includes(path)]
            assert not re.search(r"\bPy[A-Z_]\w*\(", code_of(path))

    def test_python_h_comes_from_compat(self, path: Path) -> None:
        if path.name != "compat.h":
            assert "Python.h" not in [name for _, name in includes(path)]


@pytest.mark.parametrize("path", C_FILES, ids=ids)
class TestText:
    def test_versions_only_in_compat(self, path: Path) -> None:
        if path.name != "compat.h":
            assert "PY_VERSION_HEX" not in code_of(path)
            assert "EXT_WEAK" not in code_of(path)
            assert not re.search(r"\bextern\b[^;{]*\b_Py\w+", code_of(path))

    def test_length(self, path: Path) -> None:
        lines = path.read_text().count("\n")
        assert lines <= 900, f"{ids(path)} has {lines} lines: cut it"

    def test_has_a_head(self, path: Path) -> None:
        text = path.read_text()
        assert text.startswith("/*"), "the file says what it is for"
        head = text[: text.index("*/")].count("\n") + 1
        assert 1 <= head <= 60

    def test_guard(self, path: Path) -> None:
        if path.suffix == ".h":
            name = f"ATOLL_{path.parent.name}_{path.stem}_H".upper()
            assert f"#ifndef {name}\n#define {name}\n" in path.read_text()


def test_no_cycle() -> None:
    graph = {path: set(local_includes(path)) for path in C_FILES if path.suffix == ".h"}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(p.name for p in (*trail, path))
        if path not in done:
            for other in graph.get(path, ()):
                visit(other, (*trail, path))
            done.add(path)

    for path in graph:
        visit(path, ())
    assert done >= set(graph)


def test_every_source_is_built() -> None:
    listed = (SRC / "meson.build").read_text()
    missing = [ids(path) for path in C_FILES if path.suffix == ".c" and f"'{ids(path)}'" not in listed]
    python = [str(p.relative_to(SRC)) for p in SRC.glob("atoll/*") if p.suffix in {".py", ".pyi", ".typed"}]
    missing += [name for name in python if f"'{name}'" not in listed]
    assert python
    assert not missing, "not in src/meson.build"


def test_every_source_is_on_the_map() -> None:
    listed = (SRC / "README.md").read_text()
    names = {path.stem for path in C_FILES} | {path.stem for path in SRC.glob("atoll/*.py")}
    missing = sorted(name for name in names if not re.search(rf"\b{name}\b", listed))
    assert not missing, "not in src/README.md"


def tracked() -> list[Path]:
    """The project's own files: git's list, or without git what is not built."""
    out = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if out.returncode == 0:
        return [ROOT / name for name in out.stdout.split("\0") if name and (ROOT / name).is_file()]
    tops = [
        p for p in ROOT.iterdir() if p.name not in {".git", "build", "dist"} and not p.name.startswith(".")
    ]
    files = [p for top in tops for p in ([top] if top.is_file() else top.rglob("*"))]
    return [p for p in files if p.is_file() and "__pycache__" not in p.parts]


def test_nothing_of_one_machine() -> None:
    """No path of somebody's machine and no package registry's host in any file."""
    banned = re.compile(
        "|".join(
            [
                r"/ro" + r"ot/\.",
                r"/home/[a-z]+/",
                r"/wo" + r"rk/",
                r"files\.python" + r"hosted",
                r"py" + r"pi\.org",
            ]
        )
    )
    found = []
    files = tracked()
    for path in files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in banned.finditer(text)]
    assert len(files) > 20
    assert not found


def test_exported_symbols() -> None:
    """One symbol: nothing of ours can clash with another library's."""
    core = pytest.importorskip("atoll._core")
    out = subprocess.run(
        ["nm", "-D", "--defined-only", core.__file__], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in out.stdout.splitlines()}
    linker = {"_init", "_fini", "_edata", "_end", "__bss_start"}
    sanitizer = {name for name in names if name.startswith(("__asan", "__ubsan", "__tsan", "__odr_asan"))}
    assert names - linker - sanitizer == {"PyInit__core"}


def test_names_of_test_files() -> None:
    """pytest imports test files, conftest.py aside, by their name alone: each has one of its own."""
    names = [path.stem for path in sorted((ROOT / "tests").rglob("*.py")) if "scripts" not in path.parts]
    tests = [name for name in names if name.startswith("test_")]
    assert tests
    assert sorted(set(tests)) == sorted(tests)
