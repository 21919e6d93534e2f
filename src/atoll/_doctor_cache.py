"""What `atoll doctor` has found out before.

An entry holds as long as the Python, atoll, the distribution's list of files
and every file of other people's that took part in the probe are the same,
byte for byte, and as long as no module has appeared that was looked for in
vain.  Entries are JSON files below $XDG_CACHE_HOME/atoll/doctor; one that
cannot be read counts as none.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import sys
import tempfile
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._doctor_find import Found

#: Changes with what the probes do.
_FORMAT = 3


def folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the specification wants that
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "atoll", "doctor")


class Cache:
    """Entries by distribution; hashes are worked out once in a run."""

    def __init__(self) -> None:
        from . import __version__

        self._lock = threading.Lock()
        self._hashes: dict[str, str | None] = {}
        python = f"{sys.version} {sys.implementation.cache_tag} {sys.prefix}"
        self._common = f"{_FORMAT} {__version__} {python}"

    def _path(self, found: Found) -> str:
        text = "\0".join([self._common, found.name, found.version, found.record, *found.roots])
        key = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in found.name)
        return os.path.join(folder(), f"{safe}-{key}.json")

    def _hash(self, path: str) -> str | None:
        with self._lock:
            if path in self._hashes:
                return self._hashes[path]
        try:
            with open(path, "rb") as file:
                value: str | None = hashlib.file_digest(file, _new_hash).hexdigest()
        except OSError:
            value = None
        with self._lock:
            self._hashes[path] = value
        return value

    def get(self, found: Found) -> dict[str, Any] | None:
        """The finding, if nothing has changed since."""
        try:
            with open(self._path(found), encoding="utf-8") as file:
                entry = json.load(file)
            finding, files, missing = entry["finding"], entry["files"], entry["missing"]
            finding["verdict"], finding["reasons"]
            if any(self._hash(path) != value for path, value in files.items()):
                return None
            if any(_can_be_found(name) for name in missing):
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return dict(finding)

    def put(self, found: Found, finding: dict[str, Any], evidence: tuple[dict[str, str], list[str]]) -> None:
        """Keep a finding; a cache that cannot be written is none."""
        files, missing = evidence
        entry = {
            "finding": finding,
            "files": {path: self._hash(path) for path in files},
            "missing": [name for name in missing if not _can_be_found(name)],
        }
        path = self._path(found)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=os.path.dirname(path), suffix=".tmp", delete=False
            ) as file:
                json.dump(entry, file)
            os.replace(file.name, path)
        except OSError:
            pass


def _new_hash() -> Any:
    return hashlib.blake2b(digest_size=16)


def _can_be_found(name: str) -> bool:
    if name in sys.builtin_module_names:
        return True
    try:
        return importlib.machinery.PathFinder.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
