"""What `atoll doctor` probes: the distributions, and what of them can be imported.

A distribution's list of files says which modules it brings.  Its roots are the
outermost of them: `google.protobuf` where `google` is a namespace of many.
Its extension modules are looked for one by one, since `import lxml` loads none
of lxml's.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import sys
from importlib import metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SUFFIXES = sorted(importlib.machinery.EXTENSION_SUFFIXES, key=len, reverse=True)
#: Modules for the distribution's own tests.
_TESTS = re.compile(r"^_*(tests?|testing|conftest)$|^_*tests?_|_tests?$")
_READ_MOST = 2 << 20


def normal(name: str) -> str:
    """A distribution's name as all spellings of it have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Found:
    """A distribution, or a module that belongs to none.

    roots: what to import.  extensions: extension modules that it brings.
    sources: its modules in Python, name -> file.
    """

    def __init__(self, name: str, version: str, record: str, files: Iterable[tuple[str, str]]) -> None:
        self.name = name
        self.version = version
        self.record = record
        self.sources: dict[str, str] = {}
        self.extensions: dict[str, str] = {}
        packages: set[str] = set()
        for path, full in files:
            module, kind = _module_of(path)
            if module is None:
                continue
            if kind == "extension":
                self.extensions[module] = full
            else:
                self.sources[module] = full
            if kind == "package":
                packages.add(module)
        # The public ones first: what the others only repeat is seen to be theirs.
        self.roots = sorted(self._outermost(packages), key=lambda name: (is_private(name), name))

    def _outermost(self, packages: set[str]) -> set[str]:
        """The packages, and the modules in no package of this distribution."""
        roots: set[str] = set()
        tests: set[str] = set()
        for module in {*self.sources, *self.extensions}:
            parts = module.split(".")
            above = [".".join(parts[:n]) for n in range(1, len(parts))]
            if not any(name in packages for name in above):
                (tests if _TESTS.search(parts[0]) else roots).add(module)
        return roots or tests

    def candidates(self) -> dict[str, list[str]]:
        """For each extension module, those of the modules whose text speaks of it.

        The public ones come first: they are what people import.
        """
        wanted = {name: re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b") for name in self.extensions}
        wanted = {name: pattern for name, pattern in wanted.items() if not is_test(name)}
        found: dict[str, list[str]] = {name: [] for name in wanted}
        if not wanted:
            return found
        for module in sorted(self.sources, key=lambda name: (is_private(name), name.count("."), name)):
            if is_test(module) or module.endswith("__main__"):
                continue
            try:
                with open(self.sources[module], encoding="utf-8", errors="replace") as file:
                    text = file.read(_READ_MOST)
            except OSError:
                continue
            for name, pattern in wanted.items():
                if pattern.search(text):
                    found[name].append(module)
        return {name: modules[:6] for name, modules in found.items()}


def is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


def is_test(module: str) -> bool:
    return any(_TESTS.search(part) for part in module.split("."))


def _module_of(path: str) -> tuple[str | None, str]:
    """(module, "package", "module" or "extension") that a file of a distribution is."""
    parts = path.split("/")
    if ".." in parts or "__pycache__" in parts:
        return None, ""
    *folders, last = parts
    if last.endswith(".py"):
        stem, kind = last[:-3], "module"
    else:
        for suffix in _SUFFIXES:
            if last.endswith(suffix):
                stem, kind = last[: -len(suffix)], "extension"
                break
        else:
            return None, ""
    if stem == "__init__":
        stem, kind = "", "package"
    names = [*folders, stem] if stem else folders
    if not names or not all(name.isidentifier() or _is_hash(name) for name in names):
        return None, ""
    if names[0].startswith("__editable__") or (stem == "setup" and not folders):
        return None, ""
    return ".".join(names), kind


def _is_hash(name: str) -> bool:
    """mypyc's shared modules begin with a digit."""
    return re.fullmatch(r"\w+", name) is not None


def distributions() -> dict[str, metadata.Distribution]:
    """All installed ones by normal name; of two the one that sys.path finds first."""
    found: dict[str, metadata.Distribution] = {}
    for dist in metadata.distributions():
        name = dist.metadata["Name"]
        if name:
            found.setdefault(normal(name), dist)
    return found


def look_at(dist: metadata.Distribution) -> Found:
    """What there is to import of a distribution."""
    files = [(str(file), str(dist.locate_file(file))) for file in dist.files or ()]
    record = dist.read_text("RECORD") or "\n".join(path for path, _ in files)
    found = Found(dist.metadata["Name"], dist.version, record, files)
    if not found.roots:
        # Installed in place, or by a tool that lists no files.
        names = (dist.read_text("top_level.txt") or "").split()
        names = names or [normal(found.name).replace("-", "_")]
        found.roots = [name for name in names if _exists(name)]
    return found


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def module_alone(name: str) -> Found | None:
    """A module that no distribution brings: the standard library's, or a file's."""
    if not all(part.isidentifier() for part in name.split(".")) or not _exists(name):
        return None
    version = "standard library" if name.partition(".")[0] in sys.stdlib_module_names else "no distribution"
    found = Found(name, version, "", ())
    found.roots = [name]
    return found


class Index:
    """Which distribution a module belongs to; made at its first use."""

    def __init__(self, dists: dict[str, metadata.Distribution]) -> None:
        self._dists = dists
        self._owners: dict[str, str] | None = None

    def owner(self, module: str) -> str | None:
        """The normal name of the distribution that brings module, or its package."""
        if self._owners is None:
            self._owners = {}
            for key, dist in self._dists.items():
                for file in dist.files or ():
                    name, _ = _module_of(str(file))
                    if name is not None:
                        self._owners.setdefault(name, key)
        while module:
            if module in self._owners:
                return self._owners[module]
            module = module.rpartition(".")[0]
        return None


def resolve(names: list[str]) -> tuple[list[Found], list[str], Index]:
    """(what the names stand for, those that stand for nothing, the index).

    A name is a distribution's, or that of a module, whose distribution is
    then meant.  No names: all distributions.
    """
    dists = distributions()
    index = Index(dists)
    if not names:
        return [look_at(dists[key]) for key in sorted(dists)], [], index
    chosen: dict[str, Found] = {}
    unknown = []
    for name in names:
        key: str | None = normal(name)
        if key not in dists:
            key = index.owner(name) if _exists(name.partition(".")[0]) else None
        if key is not None:
            chosen.setdefault(key, look_at(dists[key]))
            continue
        alone = module_alone(name)
        if alone is None:
            unknown.append(name)
        else:
            chosen.setdefault(name, alone)
    return list(chosen.values()), unknown, index


def stdlib_folders() -> tuple[str, ...]:
    import sysconfig

    return tuple({os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
