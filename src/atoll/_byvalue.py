"""Functions and classes by value: taking them apart in the sender.

The encoder calls reduce() for what it meets inside a definition
(core/def.h).  What another interpreter can import crosses by its name;
anything else as calls of atoll._rebuild, which says how objects, their
identities and their globals come to life there.

Only the globals that a function's code mentions travel (atoll._mentions).

While a definition is made, open() notes what it depends on: for every
function in it the code, the defaults, the contents of the closure and the
globals.  function.c compares these pointers at each later use, which is all
that the second call of a function costs.
"""

from __future__ import annotations

import gc
import sys
from _thread import get_ident
from _weakref import ref
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

from atoll import _core, _rebuild
from atoll._mentions import NEVER_GLOBALS, mentions_of
from atoll._rebuild import Space
from atoll._reference import find, find_module, importable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MISSING: Any = object()
_ATOMS = frozenset(
    [type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)]
)
_HEAPTYPE = 1 << 9
_IMMUTABLETYPE = 1 << 8


class Build:
    """One definition being made: what it holds, and what it depends on."""

    __slots__ = (
        "attributes",
        "cells",
        "members",
        "namespaces",
        "outer",
        "places",
        "records",
        "root",
        "written",
    )

    def __init__(self, root: Any, outer: Build | None) -> None:
        self.root = root
        self.outer = outer
        #: id() -> (the cell, its number)
        self.cells: dict[int, tuple[CellType, int]] = {}
        #: id() of the cells whose variable a function in the graph binds.
        self.written: set[int] = set()
        #: id() of some globals -> where their functions run
        self.places: dict[int, Any] = {}
        #: id() of an Enum's member -> its index
        self.members: dict[int, int] = {}
        #: id() of the dict behind a class's __dict__ -> the class
        self.namespaces: dict[int, type] = {}
        #: For each function: (itself, code, defaults, keyword defaults,
        #: attributes, its cells' contents, globals found, names not found).
        self.records: list[tuple[Any, ...]] = []
        #: Every name that the code seen so far takes as an attribute.
        self.attributes: set[str] = set()

    def place(self, namespace: dict[str, Any]) -> Any:
        place = self.places.get(id(namespace))
        if place is None:
            place = self.places[id(namespace)] = _place_of(namespace)
        return place

    def cell(self, cell: CellType) -> int:
        return self.cells.setdefault(id(cell), (cell, len(self.cells)))[1]


_builds: dict[int, Build] = {}  # by thread: the innermost


def name_of(obj: Any) -> str:
    """Return what to call obj in messages."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    return name if type(name) is str else type(obj).__qualname__


def begin(root: Any) -> Build:
    """Start a definition of `root` in this thread."""
    thread = get_ident()
    build = _builds[thread] = Build(root, _builds.get(thread))
    _find_written(root, build)
    return build


def end(build: Build) -> tuple[bool, str | None, list[tuple[Any, ...]]]:
    """Finish it: whether it holds for this one use only, and what it depends on.

    That includes the place where an import would have found it, and did not.
    """
    thread = get_ident()
    if build.outer is None:
        del _builds[thread]
    else:
        _builds[thread] = build.outer
    return _is_passing(build.root, build.written), _place_by_import(build.root), build.records


def _place_by_import(obj: Any) -> str | None:
    name = getattr(obj, "__qualname__", None)
    module = getattr(obj, "__module__", None)
    if type(name) is str and type(module) is str and "<locals>" not in name and importable(module):
        return f"{module}:{name}"
    return None


def reduce(obj: Any) -> Any:
    """Take apart one object inside a definition.

    Returns "module:qualified name", a tuple (builder, arguments, state, None,
    None, setter), possibly shorter, or NotImplemented where the object's own
    way of being pickled will do.
    """
    kind = type(obj)
    reducer = _REDUCERS.get(kind)
    if reducer is not None:
        return reducer(obj)
    if issubclass(kind, type):
        return _reduce_class(obj)
    if issubclass(kind, property):
        return _reduce_property(obj)
    if issubclass(kind, (staticmethod, classmethod)):
        return _reduce_wrapper(obj)
    reducer = _LATER_REDUCERS.get(f"{kind.__module__}.{kind.__qualname__}")
    if reducer is not None:
        return reducer(obj)
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(kind, enum.Enum):
        return _reduce_member(obj)
    return _reduce_instance(obj)


# ---- what stays the same ----


def _is_passing(obj: Any, written: set[int]) -> bool:
    """Tell whether a definition of obj holds for one use only.

    A closure is copied each time that it is sent, as any value is, unless
    nobody could tell: what it holds cannot change and it binds none of its
    variables.  Functions and classes of a module are like the module: made
    once in each interpreter.
    """
    if _is_cached(obj):
        obj = obj.__wrapped__
    return type(obj) is FunctionType and _is_fresh(obj, written)


def _is_cached(obj: Any) -> bool:
    kind = type(obj)
    return kind.__name__ == "_lru_cache_wrapper" and kind.__module__ == "functools"


def _find_written(root: Any, build: Build) -> None:
    """Find the closure cells that functions in the graph bind anew.

    A function that only reads such a variable shares it with the one that
    binds it, so neither of them is constant.
    """
    todo = [root]
    seen: set[int] = set()
    while todo:
        function = todo.pop()
        if type(function) is not FunctionType:
            if not _is_cached(function):
                continue
            function = function.__wrapped__
        if id(function) in seen:
            continue
        seen.add(id(function))
        info = mentions_of(function.__code__)
        cells = function.__closure__ or ()
        for variable, cell in zip(function.__code__.co_freevars, cells, strict=True):
            if variable in info.written:
                build.written.add(id(cell))
            todo.append(_content(cell))
        if info.names and type(build.place(function.__globals__)) is not str:
            namespace = function.__globals__
            todo += [namespace.get(name) for name in info.names]


def _is_fresh(function: FunctionType, written: set[int]) -> bool:
    """Tell whether the function must be copied at each send."""
    if not function.__closure__ and "<locals>" not in function.__qualname__:
        return False
    todo: list[Any] = [function]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        inside = _inside(value, written)
        if inside is None:
            return True
        todo += inside
    return False


_CONSTANT_MODULES = frozenset(["datetime", "decimal", "uuid", "fractions", "zoneinfo", "ipaddress"])
_CONSTANT_TYPES = frozenset(
    [
        "re.Pattern",
        "operator.itemgetter",
        "operator.attrgetter",
        "operator.methodcaller",
        "types.GenericAlias",
    ]
    + ["pathlib.PosixPath", "pathlib._local.PosixPath", "typing.TypeVar", "typing.ParamSpec"]
)


def _inside(value: Any, written: set[int]) -> tuple[Any, ...] | list[Any] | None:
    """Return what a value consists of; None: it can change."""
    kind = type(value)
    if kind in _ATOMS or kind is object or issubclass(kind, (type, ModuleType)):
        return ()
    if kind is tuple:
        return value  # type: ignore[no-any-return]
    if kind is frozenset:
        return list(value)
    if kind is FunctionType:
        return _inside_function(value, written)
    if kind is BuiltinFunctionType:
        return (value.__self__,)
    if kind is MethodType:
        return (value.__self__, value.__func__)
    if _is_cached(value):
        return (value.__wrapped__,)
    if kind.__module__ in _CONSTANT_MODULES or f"{kind.__module__}.{kind.__qualname__}" in _CONSTANT_TYPES:
        return ()
    enum = sys.modules.get("enum")
    return () if enum is not None and issubclass(kind, enum.Enum) else None


def _inside_function(function: FunctionType, written: set[int]) -> list[Any] | None:
    cells = function.__closure__ or ()
    if (not cells and "<locals>" not in function.__qualname__) or _is_dispatch(function):
        return []
    if not written.isdisjoint([id(cell) for cell in cells]):
        return None
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    held += [_content(cell) for cell in cells]
    held += function.__dict__.values()
    return held


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet, or no more
        return _MISSING


def _proof(values: list[Any]) -> list[Any]:
    """Keep what is needed to tell later whether the values are still the same ones."""
    return [ref(v) if isinstance(v, (type, FunctionType, ModuleType)) else v for v in values]


def _holds(proof: list[Any], values: list[Any]) -> bool:
    if len(proof) != len(values):
        return False
    for old, new in zip(proof, values, strict=True):
        if old is not new and (type(old) is not ref or old() is not new):
            return False
    return True


def _number_of(obj: Any) -> int:
    """Return the number of a class or of anything else that keeps it for life."""
    identity = _rebuild.identity_of(obj)
    if identity is None:
        identity = _rebuild.identify(obj, _core._unique_id(), True)
    return identity.number


def _number_of_function(function: FunctionType, fresh: bool, contents: list[Any]) -> int:
    """Return its number: a new one when it is no longer what the old one stood for."""
    identity = _rebuild.identity_of(function)
    if fresh:
        proof = None  # each copy is its own; the number only finds the way home
    else:
        keywords = function.__kwdefaults__ or {}
        attributes = function.__dict__
        values = [function.__code__, *(function.__defaults__ or ()), *contents]
        values += [*keywords, *keywords.values(), *attributes, *attributes.values()]
        if identity is not None and identity.proof is not None and _holds(identity.proof, values):
            return identity.number
        proof = _proof(values)
    if identity is None:
        return _rebuild.identify(function, _core._unique_id(), True, proof).number
    if identity.proof is None:
        # The first time, or built here from another's definition just now.
        identity.proof = proof
    elif proof is not None:
        _rebuild.renumber(identity, _core._unique_id(), proof)
    return identity.number


# ---- functions ----


def _reduce_code(code: CodeType) -> Any:
    import marshal

    identity = _rebuild.identity_of(code)
    if identity is None:
        identity = _rebuild.identify(code, _core._unique_id(), True)
    return _rebuild.load_code, (identity.number, marshal.dumps(code))


def _reduce_function(function: FunctionType) -> Any:
    name = _BUILDERS.get(function) or find(function)
    if name is not None:
        return name
    if _is_dispatch(function):
        return _reduce_dispatch(function)
    build = _builds[get_ident()]
    code: CodeType = function.__code__
    cells = function.__closure__ or ()
    contents = [_content(cell) for cell in cells]
    fresh = _is_fresh(function, build.written)
    state: dict[str, Any] = {}
    place = build.place(function.__globals__)
    present: dict[str, Any] = {}
    absent: list[str] = []
    info = mentions_of(code)
    build.attributes |= info.attributes
    if type(place) is not str:
        present, absent = _globals_of(function.__globals__, info.names)
        _put_globals(state, _space(place), present, absent)
    elif rewritten := [name for name in info.names if name.startswith("@")]:
        # What rewrote this module's code as it was imported (pytest does, for
        # assert) left names in its globals which an import there does not make.
        state["rewritten"] = _globals_of(function.__globals__, tuple(rewritten))[0]
    if cells:
        _put_closure(state, build, code, cells, contents)
    modules = _submodules([*present.values(), *contents], info.attributes)
    if modules:
        state["modules"] = modules
    # What a new function has anyway is left out.
    defaults, keywords, attributes = function.__defaults__, function.__kwdefaults__, dict(function.__dict__)
    if defaults is not None:
        state["defaults"] = defaults
    if keywords is not None:
        state["kwdefaults"] = keywords
    if attributes:
        state["attributes"] = attributes
    if function.__doc__ is not info.doc:
        state["doc"] = function.__doc__
    _put_annotations(state, function)
    build.records.append(
        (function, code, defaults, keywords, attributes, tuple(contents), present, tuple(absent))
    )
    number = _number_of_function(function, fresh, contents)
    numbers = tuple([build.cell(cell) for cell in cells])
    names = (function.__name__, function.__qualname__, _module_name(function.__module__))
    args = (number, fresh, code, place, *names, numbers)
    return _rebuild.make_function, args, state, None, None, _rebuild.set_function


def _put_closure(
    state: dict[str, Any], build: Build, code: CodeType, cells: tuple[CellType, ...], contents: list[Any]
) -> None:
    """Each cell's content travels with the first function that has it."""
    closure = {}
    numbers = []
    for variable, cell, content in zip(code.co_freevars, cells, contents, strict=True):
        if id(cell) not in build.cells and content is not _MISSING:
            if variable == "__classdict__":
                content = _class_dict(build, content, code)
            closure[variable] = content
            numbers.append(build.cell(cell))
    if closure:
        state["closure"] = closure
        state["cells"] = numbers


def _put_annotations(state: dict[str, Any], function: FunctionType) -> None:
    annotate = getattr(function, "__annotate__", None)
    if annotate is not None:
        state["__annotate__"] = annotate
    elif function.__annotations__:
        state["__annotations__"] = function.__annotations__
    if function.__type_params__:
        state["__type_params__"] = function.__type_params__


def _class_dict(build: Build, namespace: Any, code: CodeType) -> Any:
    """What stands for a class's own ``__dict__``, in which its annotations are evaluated."""
    cls = build.namespaces.get(id(namespace))
    if cls is not None:
        return cls
    # A class that is not sent, such as the one that dataclass(slots=True)
    # replaces: what is used of it will do.
    info = mentions_of(code)
    names = info.attributes.union(info.names)
    return {name: value for name, value in namespace.items() if name in names and type(value) is not CellType}


def _module_name(name: Any) -> Any:
    """What a function made in a hidden namespace of ``__main__`` is called elsewhere."""
    return "__main__" if name == _rebuild.FAKE_MAIN else name


def _place_of(namespace: dict[str, Any]) -> Any:
    """Say where a function with these globals runs: a module's name, or a hidden namespace."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if type(name) is str else None
    is_module = module is not None and getattr(module, "__dict__", None) is namespace
    if is_module and importable(name):  # type: ignore[arg-type]
        return name
    space = _rebuild.space_of(namespace)
    if space is None:
        name = name if type(name) is str else "builtins"
        space = Space(_core._unique_id(), _rebuild.HOME, name, is_module, None)
        space.namespace = namespace
        _rebuild.add_space(space)
    builtins = namespace.get("__builtins__")
    usual: Any = sys.modules["builtins"]
    if builtins is usual or builtins is vars(usual):
        builtins = None
    return space.number, space.home, space.name, space.lasting, builtins


# They are part of every definition.
_BUILDERS: dict[Any, str] = {
    value: f"atoll._rebuild:{name}"
    for name, value in vars(_rebuild).items()
    if type(value) is FunctionType and name.startswith(("make_", "set_", "get_", "load_"))
}


def _space(place: tuple[Any, ...]) -> Space:
    space = _rebuild.find_space(place[0])
    assert space is not None  # made by _place_of just now
    return space


def _globals_of(namespace: dict[str, Any], names: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    present = {}
    absent = []
    for name in names:
        value = namespace.get(name, _MISSING)
        if value is _MISSING:
            absent.append(name)
        else:
            present[name] = value
    return present, absent


def _put_globals(state: dict[str, Any], space: Space, present: dict[str, Any], absent: list[str]) -> None:
    """Give each global its version: a new one where the sender bound it anew."""
    versions = {}
    values = {}
    for name, value in present.items():
        known = space.versions.get(name)
        number = _revision_of(value)
        if known is None or known[1] is not value or known[2] not in (None, number):
            known = space.versions[name] = (_core._unique_id(), value, number)
        versions[name] = known[0]
        values[name] = _resolve_lazy(value)
        _mark_global(value)
    for name in absent:
        known = space.versions.get(name)
        if known is not None:  # it was sent before: say that it is no more
            if known[1] is not _rebuild.ABSENT:
                known = space.versions[name] = (_core._unique_id(), _rebuild.ABSENT, 0)
            versions[name] = known[0]
    state["globals"] = values
    state["versions"] = versions
    state["space"] = space.number


def _revision_of(value: Any) -> int:
    """Return what changes when a function is changed in place."""
    if type(value) is not FunctionType or find(value) is not None:
        return 0
    written = _builds[get_ident()].written
    contents = [_content(cell) for cell in value.__closure__ or ()]
    return _number_of_function(value, _is_fresh(value, written), contents)


def _resolve_lazy(value: Any) -> Any:
    """A lazy import (3.15) is sent as what it imports."""
    kind = type(value)
    if kind.__name__ == "lazy_import" and kind.__module__ in ("builtins", "types"):
        return value.resolve()
    return value


def _submodules(values: list[Any], attributes: set[str]) -> list[ModuleType]:
    """Find what ``import package.module`` made reachable through the package."""
    found = []
    for value in values:
        if type(value) is ModuleType and hasattr(value, "__path__"):
            prefix = value.__name__ + "."
            for name, module in list(sys.modules.items()):
                if name.startswith(prefix) and attributes.issuperset(name[len(prefix) :].split(".")):
                    if type(module) is ModuleType:
                        found.append(module)
    return found


def _is_dispatch(function: FunctionType) -> bool:
    if (
        "_clear_cache" not in function.__dict__
        or type(function.__dict__.get("registry")) is not MappingProxyType
    ):
        return False
    return function.__globals__.get("__name__") == "functools"


def _reduce_dispatch(function: FunctionType) -> Any:
    registry = dict(function.__dict__["registry"])
    default = registry.pop(object)
    own = ("registry", "dispatch", "register", "_clear_cache", "__wrapped__")
    attributes = {name: value for name, value in function.__dict__.items() if name not in own}
    args = (_number_of(function), default)
    return _rebuild.make_dispatch, args, (registry, attributes), None, None, _rebuild.set_dispatch


def _reduce_cached(obj: Any) -> Any:
    name = find(obj)
    if name is not None:
        return name
    how = obj.cache_parameters()
    args = (_number_of(obj), obj.__wrapped__, how["maxsize"], how["typed"])
    return _rebuild.make_cached, args, vars(obj), None, None, _rebuild.set_attributes


def _reduce_method(method: MethodType) -> Any:
    return _rebuild.make_method, (method.__func__, method.__self__)


def _reduce_cell(cell: CellType) -> Any:
    build = _builds[get_ident()]
    new = id(cell) not in build.cells
    number = build.cell(cell)
    content = _content(cell)
    state = (content,) if new and content is not _MISSING else ()
    return _rebuild.get_cell, (number,), state, None, None, _rebuild.set_cell


def _reduce_module(module: ModuleType) -> Any:
    name = find_module(module)
    if name is not None:
        return _rebuild.get_module, (name,)
    if sys.modules.get(module.__name__) is not module:
        raise TypeError(f"module {module.__name__!r} cannot be imported by another interpreter")
    build = _builds[get_ident()]
    place = build.place(vars(module))
    names = [n for n in vars(module) if n in build.attributes and n not in NEVER_GLOBALS]
    state: dict[str, Any] = {}
    _put_globals(state, _space(place), {n: vars(module)[n] for n in names}, [])
    return _rebuild.get_hidden_module, (place,), state, None, None, _rebuild.set_hidden_module


def _reduce_builtin(function: Any) -> Any:
    # A method of an object (its __self__) knows how to be pickled.
    if function.__self__ is None or type(function.__self__) is ModuleType:
        name = find(function)
        if name is not None:
            return name
    return NotImplemented


# ---- classes ----

_get_dict = type.__dict__["__dict__"].__get__
# Made anew with the class, or of no use to another.
_NEVER_ATTRIBUTES = frozenset(
    ["__module__", "_abc_impl", "__annotations_cache__", "__classdictcell__"]
    + ["__parameters__", "__annotate_func__"]
)
# type makes these, unless the class has its own under that name.
_FROM_TYPE = ("__dict__", "__weakref__")


def _reduce_class(cls: type) -> Any:
    name = find(cls)
    if name is not None:
        return name
    if not cls.__flags__ & _HEAPTYPE or cls.__flags__ & _IMMUTABLETYPE:
        raise TypeError(f"{cls!r} cannot be imported by another interpreter")
    namespace = _get_dict(cls)
    early: dict[str, Any] = {"__qualname__": cls.__qualname__, "__module__": _module_name(cls.__module__)}
    slots = {n for n, v in namespace.items() if type(v) is MemberDescriptorType and v.__objclass__ is cls}
    if "__slots__" in namespace:
        has = {n for n in _FROM_TYPE if type(namespace.get(n)) is GetSetDescriptorType}
        early["__slots__"] = tuple(sorted(slots | has))
        if isinstance(namespace["__slots__"], dict):
            early["__slots__"] = namespace["__slots__"]  # with their descriptions
    if "__parameters__" in namespace:
        early["__parameters__"] = namespace["__parameters__"]
    attributes = {}
    for key, value in namespace.items():
        if key in _FROM_TYPE and type(value) is GetSetDescriptorType:
            continue
        if key not in _NEVER_ATTRIBUTES and key not in slots:
            attributes[key] = value
    if "__slots__" in attributes and not isinstance(attributes["__slots__"], (str, tuple, list, dict)):
        del attributes["__slots__"]  # an iterator that type() has used up
    for behind in gc.get_referents(namespace):
        _builds[get_ident()].namespaces[id(behind)] = cls
    annotate = namespace.get("__annotate_func__")
    if annotate is not None:
        attributes["__annotate__"] = annotate
    members = _members_of(cls)
    native = _rebuild.native_base(cls)
    state = {"attributes": attributes, "members": [vars(member) for member in members]}
    if "_abc_impl" in namespace:
        state["registered"] = _registered(cls)
    args = (
        _number_of(cls),
        type(cls),
        cls.__name__,
        cls.__bases__,
        early,
        tuple([_member_arguments(native, member) for member in members]),
    )
    return _rebuild.make_class, args, state, None, None, _rebuild.set_class


def _registered(cls: type) -> list[type]:
    """What was registered with an abstract base class."""
    import abc

    dump: Any = getattr(abc, "_get_dump", None)
    if dump is None:
        return []
    return [sub for sub in [weak() for weak in dump(cls)[0]] if sub is not None]


def _members_of(cls: Any) -> list[Any]:
    """Number an Enum's members, the nameless combinations of a Flag included."""
    enum = sys.modules.get("enum")
    if enum is None or not isinstance(cls, enum.EnumType) or "_member_map_" not in _get_dict(cls):
        return []
    found: dict[int, Any] = {}
    for member in [*cls._member_map_.values(), *cls._value2member_map_.values()]:
        found.setdefault(id(member), member)
    members = _builds[get_ident()].members
    for index, key in enumerate(found):
        members[key] = index
    return list(found.values())


def _member_arguments(native: type, member: Any) -> tuple[Any, ...]:
    """What the ``__new__`` of the data type behind an Enum takes."""
    if native is object:
        return ()
    if "__getnewargs__" in vars(native):
        return native.__getnewargs__(member)  # type: ignore[attr-defined,no-any-return]
    if "__reduce__" in vars(native):
        return native.__reduce__(member)[1]  # type: ignore[call-arg,return-value]
    value = member._value_
    return value if isinstance(value, tuple) else (value,)


def _reduce_member(member: Any) -> Any:
    cls: Any = type(member)
    if find(cls) is not None:
        return NotImplemented
    build = _builds[get_ident()]
    index = build.members.get(id(member))
    if index is None:
        _members_of(cls)
        index = build.members.get(id(member))
        if index is None:
            return NotImplemented
    return _rebuild.get_member, (cls, index, member._name_, (member._value_,))


def _reduce_property(obj: Any) -> Any:
    kind = type(obj)
    # A docstring that comes from the getter comes there from the getter.
    doc = obj.__doc__ if obj.__doc__ != getattr(obj.fget, "__doc__", None) else None
    state = dict(getattr(obj, "__dict__", ()))
    if kind is not property:
        state.pop("__doc__", None)
    args = (kind, obj.fget, obj.fset, obj.fdel, doc)
    if not state:
        return _rebuild.make_property, args
    return _rebuild.make_property, args, state, None, None, _rebuild.set_property


def _reduce_wrapper(obj: Any) -> Any:
    args = (type(obj), obj.__func__)
    if not obj.__dict__:
        return _rebuild.make_wrapper, args
    return _rebuild.make_wrapper, args, dict(obj.__dict__), None, None, _rebuild.set_wrapper


# ---- smaller things ----


def _reduce_mapping_proxy(obj: Any) -> Any:
    return _rebuild.make_mapping_proxy, (dict(obj),)


def _reduce_descriptor(obj: Any) -> Any:
    return getattr, (obj.__objclass__, obj.__name__)


def _reduce_weak(obj: Any) -> Any:
    content: Any = list(obj) if type(obj).__name__ == "WeakSet" else dict(obj)
    return _rebuild.make_weak, (type(obj), content)


def _reduce_object(obj: Any) -> Any:
    return _singleton(obj) or (_rebuild.get_sentinel, (_number_of(obj),))


def _singleton(obj: Any) -> str | None:
    """Find an importable module's own object (dataclasses.MISSING): there is one in each interpreter."""
    module = type(obj).__module__
    where = sys.modules.get(module)
    if where is None or not importable(module):
        return None
    for name, value in list(vars(where).items()):
        if value is obj:
            return f"{module}:{name}"
    return None


def _has_plain_reduce(kind: type) -> bool:
    return (
        kind.__reduce_ex__ is object.__reduce_ex__  # type: ignore[comparison-overlap]
        and kind.__reduce__ is object.__reduce__  # type: ignore[comparison-overlap]
        and kind not in sys.modules["copyreg"].dispatch_table
    )


def _mark_global(value: Any) -> None:
    """Give an identity to a module's own sentinel, an object that is nothing but itself.

    A function may know it by its default as well as by the global, and
    compare the two; they must be one in the other interpreter too, though
    they may get there with different definitions.
    """
    kind = type(value)
    if not kind.__flags__ & _HEAPTYPE or issubclass(kind, type) or getattr(value, "__dict__", None):
        return
    if (
        _rebuild.identity_of(value) is None
        and _has_plain_reduce(kind)
        and kind.__basicsize__ <= object.__basicsize__ + 16
    ):
        _rebuild.identify(value, _core._unique_id(), True)


def _reduce_instance(obj: Any) -> Any:
    for name in ("stdin", "stdout", "stderr"):
        if obj is getattr(sys, name, None):
            return getattr, (sys, name)
    kind = type(obj)
    if not kind.__flags__ & _HEAPTYPE or not _has_plain_reduce(kind):
        return NotImplemented
    singleton = _singleton(obj)
    if singleton is not None:
        return singleton
    identity = _rebuild.identity_of(obj)
    if identity is None:
        return NotImplemented
    parts = obj.__reduce_ex__(5)
    if type(parts) is not tuple or any([part is not None for part in parts[2:]]):
        return NotImplemented
    return _rebuild.make_instance, (identity.number, parts[0], parts[1])


def _reduce_type_variable(obj: Any) -> Any:
    name = find(obj)
    if name is not None:
        return name
    kwargs: dict[str, Any] = {}
    args: tuple[Any, ...] = (obj.__name__,)
    args += getattr(obj, "__constraints__", ())
    if getattr(obj, "__bound__", None) is not None:
        kwargs["bound"] = obj.__bound__
    for how in ("covariant", "contravariant", "infer_variance"):
        if getattr(obj, f"__{how}__", False):
            kwargs[how] = True
    if getattr(obj, "has_default", bool)():
        kwargs["default"] = obj.__default__
    return _rebuild.make_typing, (_number_of(obj), type(obj), args, kwargs, _module_name(obj.__module__))


def _reduce_new_type(obj: Any) -> Any:
    name = find(obj)
    if name is not None:
        return name
    names: dict[str, Any] = {}
    args = (
        _number_of(obj),
        type(obj),
        (obj.__qualname__, obj.__supertype__),
        names,
        _module_name(obj.__module__),
    )
    return _rebuild.make_typing, args


def _reduce_named_sentinel(obj: Any) -> Any:
    name = find(obj)
    if name is not None:
        return name
    return _rebuild.make_typing, (
        _number_of(obj),
        type(obj),
        (obj.__name__,),
        {},
        _module_name(obj.__module__),
    )


def _reduce_type_alias(obj: Any) -> Any:
    name = find(obj)
    if name is not None:
        return name
    kwargs = {"type_params": obj.__type_params__} if obj.__type_params__ else {}
    args = (_number_of(obj), type(obj), (obj.__name__, obj.__value__), kwargs, None)
    return _rebuild.make_typing, args


def _reduce_partial_method(obj: Any) -> Any:
    # Since 3.14 its own way of being copied does not work.
    return _rebuild.make_partial_method, (type(obj), obj.func, obj.args, dict(obj.keywords))


def _reduce_generic_alias(obj: Any) -> Any:
    origin = obj.__origin__
    if obj._name is None and isinstance(origin, type) and find(origin) is None:
        return _rebuild.make_generic_alias, (type(obj), origin, obj.__args__)
    return NotImplemented


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    FunctionType: _reduce_function,
    BuiltinFunctionType: _reduce_builtin,
    ModuleType: _reduce_module,
    MethodType: _reduce_method,
    CellType: _reduce_cell,
    CodeType: _reduce_code,
    MappingProxyType: _reduce_mapping_proxy,
    GetSetDescriptorType: _reduce_descriptor,
    MemberDescriptorType: _reduce_descriptor,
    object: _reduce_object,
    type: _reduce_class,
}

# By name: their modules are not loaded for this.
_LATER_REDUCERS: dict[str, Callable[[Any], Any]] = {
    "functools._lru_cache_wrapper": _reduce_cached,
    "functools.partialmethod": _reduce_partial_method,
    "weakref.WeakKeyDictionary": _reduce_weak,
    "weakref.WeakValueDictionary": _reduce_weak,
    "_weakrefset.WeakSet": _reduce_weak,
    "typing.TypeVar": _reduce_type_variable,
    "typing.ParamSpec": _reduce_type_variable,
    "typing.TypeVarTuple": _reduce_type_variable,
    "typing.NewType": _reduce_new_type,
    "typing.TypeAliasType": _reduce_type_alias,
    "typing._GenericAlias": _reduce_generic_alias,
    "builtins.sentinel": _reduce_named_sentinel,
}
