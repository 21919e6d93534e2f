"""What `atoll doctor` runs in each interpreter that it probes: imports, watched.

An extension module that refuses to load shows only where nobody falls back,
so the loaders of extension modules are watched while the targets are imported.
This module imports nothing but what every interpreter has: what it loaded
itself could no longer be seen to refuse.
"""

import sys
from posix import write

from . import _imports  # noqa: F401  (a refusal would load it in the midst of a probe)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# The loaders as they stand in every interpreter; importlib.machinery would load more.
_builtin: "Any" = sys.modules["_frozen_importlib"].BuiltinImporter
_dynamic: "Any" = sys.modules["_frozen_importlib_external"].ExtensionFileLoader


class _Watch:
    """Notes which extension modules are loaded, which refuse, and who asked.

    crumbs: a file descriptor that is told "> NAME" before and "< NAME" after
    each extension module: what stands open when the process dies is to blame.
    """

    def __init__(self, crumbs: int) -> None:
        self.crumbs = crumbs
        self.refused: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []  # of self.refused
        self.importers: dict[str, str] = {}
        self.asked: set[str] = set()
        self.undo: list[tuple[Any, str, Any]] = []

    # -- a finder that finds nothing, and notes who asked

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        self.asked.add(name)
        self.importers.setdefault(name, _importer(sys._getframe(1)))

    # -- the loaders

    def step(self, original: "Callable[..., Any]", name: str, origin: "Any", *args: "Any") -> "Any":
        write(self.crumbs, f"> {name}\n".encode())
        before = len(self.refused)
        try:
            return original(*args)
        except BaseException as error:
            if self.refusal_of(error, before) is None:
                by, chain = _who(sys._getframe(1))
                self.errors.append(error)
                self.refused.append(
                    {
                        "module": name,
                        "file": origin,
                        "reason": _describe(error),
                        "by": by,
                        "chain": chain,
                    }
                )
            raise
        finally:
            write(self.crumbs, f"< {name}\n".encode())

    def refusal_of(self, error: BaseException, since: int) -> "dict[str, Any] | None":
        """The refusal that error is, or that led to it; none of those before: they are only its context."""
        seen: list[BaseException] = []
        waiting: list[BaseException | None] = [error]
        while waiting:
            one = waiting.pop()
            if one is None or any(one is other for other in seen):
                continue
            for number in range(since, len(self.errors)):
                if one is self.errors[number]:
                    return self.refused[number]
            seen.append(one)
            waiting += one.__context__, one.__cause__
        return None

    def put(self, owner: "Any", name: str, value: "Any") -> None:
        self.undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def __enter__(self) -> "_Watch":
        step = self.step
        create, execute = _dynamic.create_module, _dynamic.exec_module
        self.put(_dynamic, "create_module", lambda it, spec: step(create, spec.name, spec.origin, it, spec))
        self.put(
            _dynamic,
            "exec_module",
            lambda it, module: step(execute, module.__name__, it.path, it, module),
        )
        make, fill = _builtin.create_module, _builtin.exec_module
        self.put(
            _builtin, "create_module", staticmethod(lambda spec: step(make, spec.name, "built-in", spec))
        )
        self.put(
            _builtin,
            "exec_module",
            staticmethod(lambda module: step(fill, module.__name__, "built-in", module)),
        )
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.meta_path.remove(self)
        for owner, name, value in reversed(self.undo):
            setattr(owner, name, value)


def _is_machinery(frame: "FrameType") -> bool:
    name = frame.f_code.co_filename
    # import_module() asks for somebody else, too.
    by_name = frame.f_globals.get("__name__") == "importlib"
    return by_name or name.startswith("<frozen importlib") or name == __file__


def _importer(frame: "FrameType | None") -> str:
    """The module whose code is importing."""
    while frame is not None and _is_machinery(frame):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _who(frame: "FrameType | None") -> tuple[str, list[str]]:
    """(the importing module, the modules that are being imported, outermost first)."""
    by = _importer(frame)
    chain: list[str] = []
    while frame is not None:
        if frame.f_code.co_name == "<module>" and not _is_machinery(frame):
            name = str(frame.f_globals.get("__name__", ""))
            if not chain or chain[-1] != name:
                chain.append(name)
        frame = frame.f_back
    return by, chain[::-1]


def _describe(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    # The first sentence says it; some add a page of advice.
    text = text.split("\n\n")[0].replace("\n", " ")
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _innermost(error: BaseException) -> tuple[str, list[str]]:
    """(the module whose code led to it, the modules on the way).

    The standard library is to blame only where nobody else is.
    """
    chain: list[str] = []
    last = others = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if not _is_machinery(frame):
            last = str(frame.f_globals.get("__name__", ""))
            if last.partition(".")[0] not in sys.stdlib_module_names:
                others = last
            if frame.f_code.co_name == "<module>" and (not chain or chain[-1] != last):
                chain.append(last)
        trace = trace.tb_next
    return others or last, chain


def _load(target: str) -> None:
    """Import a module; "NAME@FILE": that extension module alone."""
    name, alone, path = target.partition("@")
    if not alone:
        __import__(name)
        return
    bootstrap: Any = sys.modules["_frozen_importlib"]
    bootstrap._load(bootstrap.ModuleSpec(name, _dynamic(name, path), origin=path))


def _import(watch: _Watch, target: str) -> "dict[str, Any] | None":
    """Import it; None, or what went wrong and who is to blame."""
    before = len(watch.refused)
    try:
        _load(target)
    except BaseException as error:  # SystemExit, and the panics of other languages
        refusal = watch.refusal_of(error, before)
        if refusal is None and len(watch.refused) > before:
            refusal = watch.refused[-1]  # raised anew, without the cause
        if refusal is not None:
            blame, chain = refusal["module"], refusal["chain"]
        else:
            blame, chain = _innermost(error)
        return {
            "error": _describe(error),
            "blame": blame,
            "chain": chain,
            "refused": [one["module"] for one in watch.refused[before:]],
        }
    return None


def load(targets: list[str], crumbs: int, sources: "dict[str, list[str]] | None" = None) -> "dict[str, Any]":
    """Import the targets here; tell what came of it, in values that cross.

    sources: extension modules that the distribution has -> modules whose
    import may load them, likeliest first.  For each that the targets have not
    loaded, "witness" names a module whose import does.  Where none does, the
    file is no module (code opens it by hand), or is wanted later: then it is
    the first public module that speaks of it.
    """
    known = set(sys.modules)
    failed: dict[str, Any] = {}
    fallbacks: dict[str, list[int]] = {}
    witness: dict[str, str] = {}
    with _Watch(crumbs) as watch:
        for target in targets:
            before = len(watch.refused)
            wrong = _import(watch, target)
            if wrong is not None:
                failed[target] = wrong
            fallbacks[target] = list(range(before, len(watch.refused)))
        for extension, candidates in (sources or {}).items():
            if extension in sys.modules:
                continue
            for candidate in [*candidates, extension]:
                if candidate in failed or candidate in sys.modules:
                    continue
                if _import(watch, candidate) is not None:
                    continue
                if extension in sys.modules:
                    witness[extension] = candidate
                    break
                if "._" not in f".{candidate}":
                    witness.setdefault(extension, candidate)
    modules = {}
    for name in set(sys.modules) - known:
        spec = getattr(sys.modules[name], "__spec__", None)
        origin = getattr(spec, "origin", None) or getattr(sys.modules[name], "__file__", None)
        modules[name] = origin if isinstance(origin, str) else None
    return {
        "failed": failed,
        "refused": watch.refused,
        "by_target": fallbacks,
        "modules": modules,
        "known": sorted(known),
        "importers": {name: by for name, by in watch.importers.items() if name in modules},
        "missing": sorted(
            name for name in watch.asked if "." not in name and name not in sys.modules and _is_name(name)
        ),
        "witness": witness,
    }


def _is_name(name: "Any") -> bool:
    return isinstance(name, str) and name.isidentifier()
