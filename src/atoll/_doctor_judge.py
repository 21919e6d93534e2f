"""How `atoll doctor` comes to its verdict on one distribution.

Each probe is a child process (_doctor_child) with a time limit.  The first
imports in a plain interpreter: what fails there is no fault of isolation, and
what loads there and refuses in an isolated interpreter is a silent fallback.
The second does it in isolated interpreters.  What fails there is tried with a
shared GIL.  Only if a crash left no trace are the extension modules tried one
by one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading

from . import _doctor_find
from ._doctor_find import Found, is_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORKS = "works"
SLOWER = "works, slower"
SHARED = "shared GIL only"
MAIN = "main interpreter only"
CRASHES = "crashes"
HANGS = "hangs"
NOT_IMPORTABLE = "not importable"
NOTHING = "nothing to import"
#: From good to bad; the last two say nothing about isolation.
VERDICTS = [WORKS, SLOWER, SHARED, MAIN, HANGS, CRASHES, NOT_IMPORTABLE, NOTHING]

#: Modules that are tried one by one to find which of them crashes.
_SUSPECTS = 40

_WARNING = re.compile(r"^.+:\d+: (\w*Warning: .+)$", re.MULTILINE)

_START = (
    "import sys, json; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from atoll._doctor_child import main; main(job)"
)


class Stopped(Exception):
    """The run was ended from outside."""


class Prober:
    """Starts the children; stop() ends those that run."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._running:
                _kill(child)

    def probe(self, config: str, targets: list[str], sources: dict[str, list[str]] | None = None) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="atoll-doctor-", ignore_cleanup_errors=True) as folder:
            report = os.path.join(folder, "report")
            work = os.path.join(folder, "work")
            os.mkdir(work)
            job = {
                "config": config,
                "targets": targets,
                "sources": sources,
                "report": report,
                # A relative entry means a folder of ours, not of the child's.
                "path": [os.path.abspath(entry) for entry in sys.path],
            }
            status = self._run(json.dumps(job).encode(), work, os.path.join(folder, "output"))
            try:
                with open(report, encoding="utf-8", errors="replace") as file:
                    lines = file.read().splitlines()
            except OSError:
                lines = []
            with open(os.path.join(folder, "output"), encoding="utf-8", errors="replace") as file:
                output = file.read()[-4000:]
        return Outcome(status, lines, output)

    def _run(self, job: bytes, work: str, output: str) -> int | None:
        """The child's exit status; None: it took too long."""
        with open(output, "wb") as sink:
            with self._lock:
                if self._stopped:
                    raise Stopped
                child = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START],
                    stdin=subprocess.PIPE,
                    stdout=sink,
                    stderr=sink,
                    cwd=work,
                    start_new_session=True,
                )
                self._running.add(child)
            try:
                child.communicate(job, timeout=self.limit)
            except subprocess.TimeoutExpired:
                return None
            finally:
                _kill(child)  # and what it has started
                child.wait()
                with self._lock:
                    self._running.discard(child)
                    stopped = self._stopped
            if stopped:
                raise Stopped
            return child.returncode


def _kill(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


class Outcome:
    """What a child wrote down before it ended, in whichever way."""

    def __init__(self, status: int | None, lines: list[str], output: str) -> None:
        self.status = status
        self.output = output
        self.results: dict[str, dict[str, Any]] = {}
        self.stage: str | None = None  # the one that had begun and not ended
        self.done = False
        self.loading: list[str] = []
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        if line.startswith("> "):
            self.loading.append(line[2:])
            return
        if line.startswith("< "):
            if line[2:] in self.loading:
                last = len(self.loading) - 1 - self.loading[::-1].index(line[2:])
                del self.loading[last]
            return
        try:
            facts = json.loads(line)
        except ValueError:
            return  # cut off by the end of the process
        if "begin" in facts:
            self.stage = facts["begin"]
            self.loading.clear()
        elif "end" in facts:
            self.results[facts["end"]] = facts["result"]
            self.stage = None
        self.done = self.done or "done" in facts

    @property
    def first(self) -> dict[str, Any]:
        return next(iter(self.results.values()), _NOTHING_KNOWN)

    def failed(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """target -> (stage, what went wrong)."""
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for stage, result in self.results.items():
            for target, wrong in result["failed"].items():
                found.setdefault(target, (stage, wrong))
        return found

    def death(self) -> tuple[str, str] | None:
        """(verdict, how the child ended), unless it ended well."""
        where = self.stage or ("leaving Python" if self.done else "starting")
        if self.status is None:
            return HANGS, f"no end of it: {where}"
        if self.status < 0:
            return CRASHES, f"{_signal_name(-self.status)}, {where}"
        if self.status or not self.done:
            return CRASHES, f"the process ended with status {self.status}, {where}"
        return None


_NOTHING_KNOWN: dict[str, Any] = {
    "failed": {},
    "refused": [],
    "by_target": {},
    "modules": {},
    "known": [],
    "importers": {},
    "missing": [],
    "witness": {},
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Judge:
    """One distribution's case."""

    def __init__(self, found: Found, prober: Prober, index: _doctor_find.Index) -> None:
        self.found = found
        self.prober = prober
        self.index = index
        self.main = Outcome(0, [], "")
        self.isolated = Outcome(0, [], "")

    def finding(self) -> dict[str, Any]:
        """The verdict, as it is printed in JSON and kept in the cache.

        verdict: one of VERDICTS.  signal: the signal's name if it crashes.
        reasons: [{module, distribution, file, reason, stage, via, target,
        verdict, fallback}].  warnings: texts.
        """
        finding = self._finding()
        finding = {
            "name": self.found.name,
            "version": self.found.version,
            "imports": self.found.roots,
            **finding,
        }
        finding.setdefault("signal", None)
        finding.setdefault("warnings", [])
        return finding

    def evidence(self) -> tuple[dict[str, str], list[str]]:
        """(the files of others' modules that took part, names that nobody had)."""
        files: dict[str, str] = {}
        missing: set[str] = set()
        folders = _doctor_find.stdlib_folders()
        for outcome in (self.main, self.isolated):
            for result in outcome.results.values():
                missing.update(result.get("missing", ()))
                for origin in result.get("modules", {}).values():
                    if origin and os.path.isabs(origin) and not _in_stdlib(origin, folders):
                        files[origin] = origin
        for name in self.found.extensions.values():
            files[name] = name
        return files, sorted(missing)

    # -- the steps

    def _finding(self) -> dict[str, Any]:
        found = self.found
        if not found.roots:
            return {"verdict": NOTHING, "reasons": []}
        # A private extension module on its own: those who use it come first, they may do without it.
        roots = [name for name in found.roots if not (name in found.extensions and is_private(name))]
        roots = roots or found.roots
        self.main = self.prober.probe("main", roots, found.candidates())
        death = self.main.death()
        if death is not None:
            blame = self.main.loading[-1] if self.main.loading else ", ".join(found.roots)
            return self._not_importable(blame, death[1])
        first = self.main.first
        witnesses = set(first["witness"].values())
        targets = [root for root in roots if root not in first["failed"]]
        if not any(not is_private(target) for target in [*targets, *witnesses]):
            public = [root for root in roots if root in first["failed"]]
            if public:
                wrong = first["failed"][public[0]]
                return self._not_importable(wrong["blame"], wrong["error"])
        targets += sorted(witnesses - set(targets))
        if not targets:
            return {"verdict": NOTHING, "reasons": []}
        return self._isolated(targets)

    def _not_importable(self, blame: str, reason: str) -> dict[str, Any]:
        return {"verdict": NOT_IMPORTABLE, "reasons": [self._reason(NOT_IMPORTABLE, blame, reason)]}

    def _isolated(self, targets: list[str]) -> dict[str, Any]:
        self.isolated = self.prober.probe("isolated", targets)
        death = self.isolated.death()
        if death is not None:
            return self._died(death, targets)
        failed = self.isolated.failed()
        fallbacks = self._fallbacks([target for target in targets if target not in failed])
        failed = self._without_consequences(failed, {reason["module"] for reason in fallbacks})
        if not failed:
            return {
                "verdict": SLOWER if fallbacks else WORKS,
                "reasons": fallbacks,
                "warnings": self._warnings(),
            }
        reasons = []
        shared = self.prober.probe("legacy", sorted(failed))
        fails_too = set(failed) if shared.death() is not None else set(shared.failed())
        for target, (stage, wrong) in failed.items():
            verdict = MAIN if target in fails_too else SHARED
            reason = self._reason(verdict, wrong["blame"] or target, self._why(wrong), stage=stage)
            reason.update(target=target, via=wrong["chain"])
            reasons.append(reason)
        reasons += fallbacks
        return {"verdict": max((r["verdict"] for r in reasons), key=VERDICTS.index), "reasons": reasons}

    def _why(self, wrong: dict[str, Any]) -> str:
        for refusal in self._refusals():
            if refusal["module"] == wrong["blame"]:
                return str(refusal["reason"])
        return str(wrong["error"])

    def _warnings(self) -> list[str]:
        """What its import warns of in isolated interpreters alone: a fallback that is of no use says so."""
        plain = set(_WARNING.findall(self.main.output))
        return [text for text in dict.fromkeys(_WARNING.findall(self.isolated.output)) if text not in plain]

    def _refusals(self) -> list[dict[str, Any]]:
        return [one for result in self.isolated.results.values() for one in result.get("refused", ())]

    def _loads_in_main(self, module: str) -> bool:
        first = self.main.first
        return module in first["modules"] or module in first["known"]

    def _fallbacks(self, targets: list[str]) -> list[dict[str, Any]]:
        """Extension modules that refused without the import's failing."""
        first = self.isolated.first
        main = self.main.first
        plain = {*main["modules"], *main["known"]}
        reasons: dict[str, dict[str, Any]] = {}
        for target in targets:
            for number in first["by_target"].get(target, ()):
                refusal = first["refused"][number]
                module = refusal["module"]
                if module in reasons or not self._loads_in_main(module):
                    continue  # it does not load anywhere
                reason = self._reason(SLOWER, module, refusal["reason"])
                by = refusal["by"]
                reason["fallback"] = sorted(
                    name for name, who in first["importers"].items() if who == by and name not in plain
                )
                reason.update(by=by, target=target, via=refusal["chain"])
                reasons[module] = reason
        return list(reasons.values())

    def _without_consequences(
        self, failed: dict[str, tuple[str, dict[str, Any]]], fallen_back: set[str]
    ) -> dict[str, tuple[str, dict[str, Any]]]:
        """Without what fails because of what others do without.

        That is the very part that refused, on its own; and private modules
        that need it, or while whose import nothing refuses: then they have
        looked at what the others got.
        """
        return {
            target: (stage, wrong)
            for target, (stage, wrong) in failed.items()
            if target not in fallen_back
            and not (
                is_private(target) and fallen_back and (wrong["blame"] in fallen_back or not wrong["refused"])
            )
        }

    def _died(self, death: tuple[str, str], targets: list[str]) -> dict[str, Any]:
        verdict, how = death
        outcome = self.isolated
        blame = outcome.loading[-1] if outcome.loading else self._suspect(verdict)
        reason = self._reason(verdict, blame or ", ".join(targets), how, stage=outcome.stage)
        finding: dict[str, Any] = {"verdict": verdict, "reasons": [reason]}
        if outcome.status is not None and outcome.status < 0:
            finding["signal"] = _signal_name(-outcome.status)
        return finding

    def _suspect(self, verdict: str) -> str | None:
        """The extension module that does it alone, if there is one.

        First each is loaded from its file, without the packages that it is
        in; then, since some need those, by importing it.
        """
        loaded = {**self.main.first["modules"], **self.isolated.first["modules"]}
        suffixes = tuple(_doctor_find._SUFFIXES)
        suspects: list[str] = [
            name for name, origin in loaded.items() if origin and origin.endswith(suffixes)
        ]
        suspects.sort(
            key=lambda name: (name not in self.found.extensions, self.index.owner(name) is None, name)
        )
        suspects = suspects[:_SUSPECTS]
        for targets in ([f"{name}@{loaded[name]}" for name in suspects], suspects):
            for name, target in zip(suspects, targets, strict=True):
                death = self.prober.probe("isolated", [target]).death()
                if death is not None and death[0] == verdict:
                    return name
        return None

    def _reason(self, verdict: str, module: str, text: str, stage: str | None = None) -> dict[str, Any]:
        return {
            "verdict": verdict,
            "module": module,
            "distribution": self._owner(module),
            "reason": text,
            "stage": stage,
            "by": None,
            "target": None,
            "via": [],
            "fallback": [],
        }

    def _owner(self, module: str) -> str | None:
        if module.partition(".")[0] in sys.stdlib_module_names:
            return "standard library"
        return self.index.owner(module)


def _in_stdlib(origin: str, folders: tuple[str, ...]) -> bool:
    real = os.path.realpath(origin)
    return any(
        real.startswith(folder + os.sep)
        and not real[len(folder) :].startswith((os.sep + "site-packages", os.sep + "dist-packages"))
        for folder in folders
    )
