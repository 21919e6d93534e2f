"""Functions and classes by value: putting them together in the receiver.

A definition (core/def.h) is one graph of calls of the functions below, made
by atoll._byvalue in its home interpreter.  Each object is made empty first
and filled afterwards, so that recursion, mutual recursion and classes that
mention themselves need nothing special.

Identity.  What is sent has a number that is unique in the process.  A number
that is known here gives the object that is here already: at home the original
itself, elsewhere the one built earlier; what came along to fill it is then
dropped.  That is why a class is built once in each interpreter, and why one
that comes home is the class that it was.  The tables hold their objects
weakly.

Namespaces.  A function whose module can be imported runs against the module's
own globals.  Any other runs against a hidden namespace, one for each module
it came from, and never against this interpreter's ``__main__``.  A global
comes with a version and is bound only if that version is newer than the one
that was bound before: so the sender's new value replaces the old one, while
what the function bound here itself stays.

If anything fails on the way (an import, an interruption), end() drops the
half-built objects and takes the bound globals back, and the next attempt
starts afresh; so too if two threads build the same thing at once.  Globals are bound at once, since an object that comes later in
the same graph may be made by a function that needs them.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from _weakref import ref
from types import CellType, FunctionType, ModuleType

from atoll import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType
    from typing import Any

#: This interpreter's id.
HOME: int = _core._home()

#: How CPython 3.14 and later call a ``__main__`` that is not the real one.
FAKE_MAIN = "<fake __main__>"

_HEAPTYPE = 1 << 9

# ---- identities ----


class _Ref(ref):  # type: ignore[type-arg]
    """A weak reference that knows the table entry to remove."""

    __slots__ = ("key",)
    key: int


class Identity:
    """What is known of one object: the number, and what the number stands for."""

    __slots__ = ("number", "numbers", "own", "proof", "ref")
    ref: Callable[[], Any]

    def __init__(self, obj: Any, number: int, own: bool, proof: Any) -> None:
        try:
            weak = self.ref = _Ref(obj, _forget)
            weak.key = id(obj)
        except TypeError:
            _hold(self, obj)
        self.number = number
        self.numbers = [number]
        self.own = own
        self.proof = proof


# What allows no weak reference (object(), a type alias) is held, and these
# few are all that are.
_MAX_HELD = 1024
_held: dict[int, Any] = {}  # by id()


def _hold(identity: Identity, obj: Any) -> None:
    _held[id(obj)] = obj
    identity.ref = lambda: obj
    if len(_held) > _MAX_HELD:
        oldest = next(iter(_held))
        _remove(oldest, _identities[oldest])
        del _held[oldest]


_identities: dict[int, Identity] = {}  # by id() of the object
_objects: dict[int, Identity] = {}  # by number


#: The callback of the weak references: _remove() as C code, which nothing interrupts.
_forget: Callable[[Any], None] = _core._forgetter(_identities, _objects)


def _remove(key: int, identity: Identity) -> None:
    del _identities[key]
    for number in identity.numbers:
        if _objects.get(number) is identity:
            del _objects[number]


def identity_of(obj: Any) -> Identity | None:
    """Return what is known of this very object."""
    identity = _identities.get(id(obj))
    return identity if identity is not None and identity.ref() is obj else None


def identify(obj: Any, number: int, own: bool, proof: Any = None, find: bool = True) -> Identity:
    """Give obj its number; with `find`, the number leads to it from now on."""
    identity = _identities[id(obj)] = Identity(obj, number, own, proof)
    if find:
        _objects[number] = identity
    return identity


def renumber(identity: Identity, number: int, proof: Any) -> None:
    """A function was changed: it gets a new number, and answers to the latest old ones."""
    identity.number = number
    identity.proof = proof
    identity.numbers.append(number)
    _objects[number] = identity
    if len(identity.numbers) > 64:
        _objects.pop(identity.numbers.pop(0), None)


def get_sentinel(number: int) -> Any:
    """Builder: a bare object()."""
    decoding = _current()
    obj = decoding.find(number)
    return decoding.add(object(), number) if obj is None else obj


# ---- namespaces ----


class Space:
    """The globals of one source module, here or at their home.

    `versions` holds for each global the version and the value that were last
    sent (at home) or bound (elsewhere), and a function's number at home.
    """

    __slots__ = ("__weakref__", "home", "lasting", "module", "name", "namespace", "number", "versions")

    def __init__(self, number: int, home: int, name: str, lasting: bool, module: ModuleType | None) -> None:
        self.number = number
        self.home = home
        self.name = name
        #: Whether it is a module's, so that others will come to run in it.
        self.lasting = lasting
        #: The module around a hidden namespace; None: these are the originals.
        self.module = module
        self.namespace: dict[str, Any] = {} if module is None else vars(module)
        self.versions: dict[str, tuple[int, Any, int | None]] = {}


# A hidden namespace is kept alive by the functions that run in it, which have
# it as their globals, and which has its Space as an item of its own; what is
# lasting is kept here as well.  So are the originals, of which only those of
# modules last: a namespace of some exec() is forgotten before there are many.
_kept: dict[int, Space] = {}  # by number
_spaces: dict[int, ref[Space]] = {}  # by number
_spaces_by_dict: dict[int, ref[Space]] = {}  # by id() of the namespace
_space_limit = 64


def find_space(number: int) -> Space | None:
    """Return the namespace with this number, if it is here."""
    weak = _spaces.get(number)
    return None if weak is None else weak()


def space_of(namespace: dict[str, Any]) -> Space | None:
    """Return what is known of this very dict."""
    weak = _spaces_by_dict.get(id(namespace))
    space = None if weak is None else weak()
    return space if space is not None and space.namespace is namespace else None


def add_space(space: Space) -> None:
    """Register a namespace, after a sweep if they have become many."""
    global _space_limit
    if len(_spaces) >= _space_limit:
        _sweep_spaces()
        _space_limit = max(64, 2 * len(_spaces))
    _spaces[space.number] = _spaces_by_dict[id(space.namespace)] = ref(space)
    if space.module is None or space.lasting:
        _kept[space.number] = space


def _sweep_spaces() -> None:
    for space in list(_kept.values()):
        if space.module is None:
            module = sys.modules.get(space.name)
            useful = getattr(module, "__dict__", None) is space.namespace
        else:
            useful = _core._is_alive(space.home)
        if not useful:
            del _kept[space.number]
    for table in (_spaces, _spaces_by_dict):
        for key, weak in list(table.items()):
            if weak() is None:
                del table[key]


def _hidden_space(number: int, home: int, name: str, lasting: bool, builtins: Any) -> Space:
    space = find_space(number)
    if space is None:
        module = ModuleType(FAKE_MAIN if name == "__main__" else name)
        space = Space(number, home, name, lasting, module)
        space.namespace["__builtins__"] = sys.modules["builtins"] if builtins is None else builtins
        space.namespace["__atoll_space__"] = space
        # There is no source to load: linecache of 3.15 warns of half an answer.
        del space.namespace["__loader__"], space.namespace["__spec__"]
        add_space(space)
    return space


def _import(name: str) -> ModuleType:
    if name not in sys.modules:
        __import__(name)
    return sys.modules[name]


# ---- one definition being decoded ----


class Decoding:
    """The objects of one definition before they are complete."""

    __slots__ = ("cells", "made", "members", "old", "outer", "relied", "undo")

    def __init__(self, outer: Decoding | None) -> None:
        self.outer = outer
        #: number -> (the object, whether later definitions may use it too)
        self.made: dict[int, tuple[Any, bool]] = {}
        #: What was known before, and needs no filling, by id().
        self.old: dict[int, Any] = {}
        self.cells: dict[int, CellType] = {}
        self.members: dict[int, list[Any]] = {}
        #: The globals bound so far, with the version and value before that.
        #: Globals that were there in this version already.
        self.relied: list[tuple[Space, str, int]] = []
        self.undo: list[tuple[Space, str, tuple[int, Any, int | None]]] = []

    def find(self, number: int, fresh: bool = False) -> Any:
        """Return the object with this number; None: it has to be made.

        With `fresh`, one built for an earlier definition does not do.
        """
        made = self.made.get(number)
        if made is not None:
            return made[0]
        identity = _objects.get(number)
        obj = None if identity is None or (fresh and not identity.own) else identity.ref()
        if obj is not None:
            self.old[id(obj)] = obj
        return obj

    def add(self, obj: Any, number: int, fresh: bool = False) -> Any:
        self.made[number] = (obj, not fresh)
        return obj

    def cell(self, number: int) -> CellType:
        cell = self.cells.get(number)
        if cell is None:
            cell = self.cells[number] = CellType()
        return cell


ABSENT: Any = object()
_decodings: dict[int, Decoding] = {}  # by thread: the innermost


def begin() -> Decoding:
    """Start to decode a definition in this thread."""
    thread = get_ident()
    decoding = _decodings[thread] = Decoding(_decodings.get(thread))
    return decoding


def end(decoding: Decoding, complete: bool, obj: Any) -> bool | None:
    """Finish: what was built becomes known if it is complete.

    Returns whether obj, what came out, is this interpreter's own object, or
    None if another thread has built some of it meanwhile, or has failed to:
    then it must be decoded again.
    """
    thread = get_ident()
    if decoding.outer is None:
        _decodings.pop(thread, None)
    else:
        _decodings[thread] = decoding.outer
    again = complete and not _is_undisturbed(decoding)
    if not complete or again:
        for space, name, before in reversed(decoding.undo):
            _set_global(space, name, before)
        return None
    for number, (made, find) in decoding.made.items():
        if identity_of(made) is None:
            identify(made, number, False, None, find)
    identity = identity_of(obj)
    return identity is not None and identity.own


def _is_undisturbed(decoding: Decoding) -> bool:
    for number, (made, find) in decoding.made.items():
        identity = _objects.get(number) if find else None
        if identity is not None and identity.ref() not in (None, made):
            return False
    for space, name, version in decoding.relied:
        if space.versions[name][0] < version:
            return False
    return True


def _set_global(space: Space, name: str, binding: tuple[int, Any, int | None]) -> None:
    space.versions[name] = binding
    if binding[1] is ABSENT:
        space.namespace.pop(name, None)
    else:
        space.namespace[name] = binding[1]


def _current() -> Decoding:
    return _decodings[get_ident()]


# ---- code and functions ----


def load_code(number: int, data: bytes) -> CodeType:
    """Builder: a code object, with its file's name and line numbers."""
    import marshal

    decoding = _current()
    code = decoding.find(number)
    if code is None:
        code = decoding.add(marshal.loads(data), number)
    return code  # type: ignore[no-any-return]


def make_function(
    number: int,
    fresh: bool,
    code: CodeType,
    place: str | tuple[Any, ...],
    name: str,
    qualname: str,
    module: str | None,
    cells: tuple[int, ...],
) -> Any:
    """Builder: a function without its defaults, attributes and the contents of its cells.

    `place` is the name of a module to import, or a hidden namespace.
    """
    decoding = _current()
    function: Any = decoding.find(number, fresh)
    if function is None:
        namespace = vars(_import(place)) if isinstance(place, str) else _hidden_space(*place).namespace
        closure = tuple([decoding.cell(cell) for cell in cells])
        function = FunctionType(code, namespace, name, None, closure or None)
        function.__qualname__ = qualname
        function.__module__ = module
        decoding.add(function, number, fresh)
    return function


def set_function(function: Any, state: dict[str, Any]) -> None:
    """Setter: the rest of a function, and the globals that it uses."""
    decoding = _current()
    if "globals" in state:
        _bind(decoding, state)
    for name, value in state.get("rewritten", {}).items():
        function.__globals__.setdefault(name, value)
    if id(function) in decoding.old:
        return
    closure = state.get("closure")
    if closure:
        for cell, (variable, content) in zip(state["cells"], closure.items(), strict=True):
            if variable == "__classdict__" and isinstance(content, type):
                content = vars(content)
            decoding.cell(cell).cell_contents = content
    if "attributes" in state:
        function.__dict__.update(state["attributes"])
    for key, name in _FUNCTION_PARTS:
        if key in state:
            setattr(function, name, state[key])


_FUNCTION_PARTS = (
    ("defaults", "__defaults__"),
    ("kwdefaults", "__kwdefaults__"),
    ("doc", "__doc__"),
    ("__annotations__", "__annotations__"),
    ("__annotate__", "__annotate__"),
    ("__type_params__", "__type_params__"),
)


def _bind(decoding: Decoding, state: dict[str, Any]) -> None:
    space = find_space(state["space"])
    if space is None or space.module is None:
        return  # at home: its globals are the originals
    values = state["globals"]
    for name, version in state["versions"].items():
        known = space.versions.get(name)
        if known is None or known[0] < version:
            if known is None:
                known = (0, space.namespace.get(name, ABSENT), None)
            decoding.undo.append((space, name, known))
            _set_global(space, name, (version, values.get(name, ABSENT), None))
        else:
            decoding.relied.append((space, name, version))


def get_cell(number: int) -> CellType:
    """Builder: a closure cell that something holds as a value."""
    return _current().cell(number)


def set_cell(cell: CellType, content: tuple[Any, ...]) -> None:
    """Setter: its content, if there is any."""
    for value in content:
        cell.cell_contents = value


def get_module(name: str) -> ModuleType:
    """Builder: a module that can be imported."""
    return _import(name)


def get_hidden_module(place: tuple[Any, ...]) -> ModuleType:
    """Builder: the module object around a hidden namespace."""
    space = _hidden_space(*place)
    return sys.modules[space.name] if space.module is None else space.module


def set_hidden_module(_module: ModuleType, state: dict[str, Any]) -> None:
    """Setter: those of its globals that are used."""
    _bind(_current(), state)


def make_method(function: Any, owner: Any) -> Any:
    """Builder: a bound method."""
    from types import MethodType

    return MethodType(function, owner)


def make_cached(number: int, function: Any, maxsize: int | None, typed: bool) -> Any:
    """Builder: a function behind functools.lru_cache, with an empty cache."""
    import functools

    decoding = _current()
    cached = decoding.find(number)
    if cached is None:
        cached = decoding.add(functools.lru_cache(maxsize, typed)(function), number)
    return cached


def make_dispatch(number: int, function: Any) -> Any:
    """Builder: a functools.singledispatch function with its default alone."""
    import functools

    decoding = _current()
    dispatch = decoding.find(number)
    if dispatch is None:
        dispatch = decoding.add(functools.singledispatch(function), number)
    return dispatch


def set_dispatch(dispatch: Any, state: tuple[dict[Any, Any], dict[str, Any]]) -> None:
    """Setter: its other implementations, and its own attributes."""
    if id(dispatch) not in _current().old:
        for cls, function in state[0].items():
            dispatch.register(cls, function)
        dispatch.__dict__.update(state[1])


def set_attributes(obj: Any, state: dict[str, Any]) -> None:
    """Setter: attributes of something with a plain ``__dict__``."""
    if id(obj) not in _current().old:
        obj.__dict__.update(state)


# ---- classes ----


class _Halt(BaseException):
    """Stops type.__new__ between the class being complete and its hooks."""


class _Catcher:
    """Takes a class out of type.__new__ before ``__init_subclass__`` is called.

    The hooks ran at home, where the class statement was; what they did to the
    class comes with it.  type.__new__ looks for ``__set_name__`` when the
    class is made and ready, and calls ``__init_subclass__`` after that; so an
    attribute whose ``__set_name__`` keeps the class and raises is the way to
    a class whose hooks have not run.
    """

    owner: Any = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        raise _Halt


_MARK = "__atoll_making__"


def _skeleton(meta: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    catcher = namespace[_MARK] = _Catcher()
    made: Any
    try:
        made = type.__new__(meta, name, bases, namespace)
    except _Halt:
        made = catcher.owner
    except TypeError:
        if catcher.owner is not None or _is_plain(meta):
            raise
        # A metaclass written in C (ctypes) makes its classes itself.
        del namespace[_MARK]
        made = meta.__new__(meta, name, bases, namespace)
        return made  # type: ignore[no-any-return]
    type.__delattr__(made, _MARK)
    return made  # type: ignore[no-any-return]


def _is_plain(meta: type) -> bool:
    return native_base(meta) is type


def native_base(cls: type) -> type:
    """Return the first base that is no class statement's."""
    for base in cls.__mro__:
        if not base.__flags__ & _HEAPTYPE:
            return base
    return object


def make_class(
    number: int, meta: type, name: str, bases: tuple[type, ...], early: dict[str, Any], members: Iterable[Any]
) -> Any:
    """Builder: a class without its attributes.

    `early` has those attributes that must be there from the beginning.  For
    an Enum, `members` has what each member's ``__new__`` takes.
    """
    decoding = _current()
    cls = decoding.find(number)
    if cls is None:
        cls = decoding.add(_skeleton(meta, name, bases, early), number)
        native = native_base(cls)
        decoding.members[id(cls)] = [native.__new__(cls, *args) for args in members]
    return cls


def set_class(cls: Any, state: dict[str, Any]) -> None:
    """Setter: a class's attributes, as the class statement and its decorators left them."""
    decoding = _current()
    if id(cls) in decoding.old:
        return
    for member, attributes in zip(decoding.members[id(cls)], state["members"], strict=True):
        member.__dict__.update(attributes)
    put: Callable[[Any, str, Any], None] = type.__setattr__
    if not _is_plain(type(cls)):
        put = type(cls).__setattr__  # type: ignore[assignment]
    hidden = {}
    for name, value in state["attributes"].items():
        if _is_hidden(type(cls), name):
            hidden[name] = value
        else:
            put(cls, name, value)
    if hidden:
        _put_hidden(cls, hidden)
    if "registered" in state:
        import abc

        abc._abc_init(cls)  # type: ignore[attr-defined]
        for sub in state["registered"]:
            abc.ABCMeta.register(cls, sub)


# What type's own descriptors must hear of, and put into the class's dict.
_FOR_TYPE = frozenset(
    ["__doc__", "__annotations__", "__annotate__", "__abstractmethods__", "__type_params__"],
)


def _is_hidden(meta: type, name: str) -> bool:
    """Tell whether an attribute of a class is behind one of its metaclass.

    A class may have a property ``__class__`` or ``__name__`` for its
    instances: to set that on the class would rename the class, or fail.
    """
    for base in meta.__mro__:
        if name in base.__dict__:
            kind = type(base.__dict__[name])
            return name not in _FOR_TYPE and (hasattr(kind, "__set__") or hasattr(kind, "__delete__"))
    return False


def _put_hidden(cls: Any, attributes: dict[str, Any]) -> None:
    import gc

    (namespace,) = gc.get_referents(type.__dict__["__dict__"].__get__(cls))
    namespace.update(attributes)
    # The caches of look-ups hear of a change only if one is made as usual.
    type.__setattr__(cls, _MARK, None)
    type.__delattr__(cls, _MARK)


def get_member(cls: Any, index: int, name: str | None, value: tuple[Any, ...]) -> Any:
    """Builder: a member of an Enum."""
    members = _current().members.get(id(cls))
    if members is not None:
        return members[index]
    return cls._member_map_[name] if name in cls._member_map_ else cls(*value)


# ---- smaller things ----


def make_property(cls: type, fget: Any, fset: Any, fdel: Any, doc: Any) -> Any:
    """Builder: a property."""
    made = cls(fget, fset, fdel)
    if doc is not None:
        made.__doc__ = doc
    return made


def set_property(obj: Any, state: dict[str, Any]) -> None:
    """Setter: its other attributes."""
    for name, value in state.items():
        setattr(obj, name, value)


def make_wrapper(cls: type, function: Any) -> Any:
    """Builder: a staticmethod or classmethod."""
    return cls(function)


def set_wrapper(obj: Any, state: dict[str, Any]) -> None:
    """Setter: what functools.wraps and the like put on it."""
    obj.__dict__.update(state)


def make_partial_method(cls: type, function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Builder: a functools.partialmethod."""
    return cls(function, *args, **keywords)


def make_mapping_proxy(mapping: dict[Any, Any]) -> Any:
    """Builder: a read-only view of a dict."""
    from types import MappingProxyType

    return MappingProxyType(mapping)


def make_weak(cls: type, content: Any) -> Any:
    """Builder: a WeakSet, WeakKeyDictionary or WeakValueDictionary."""
    return cls(content)


def make_instance(number: int, function: Any, args: tuple[Any, ...]) -> Any:
    """Builder: a sentinel of a module's: one in each interpreter."""
    decoding = _current()
    obj = decoding.find(number)
    if obj is None:
        obj = decoding.add(function(*args), number)
    return obj


def make_typing(
    number: int, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any], module: str | None
) -> Any:
    """Builder: a TypeVar, ParamSpec, TypeVarTuple, NewType, type alias or sentinel."""
    decoding = _current()
    obj = decoding.find(number)
    if obj is None:
        obj = kind(*args, **kwargs)
        try:
            obj.__module__ = module
        except AttributeError:
            pass
        decoding.add(obj, number)
    return obj


def make_generic_alias(cls: type, origin: Any, args: tuple[Any, ...]) -> Any:
    """Builder: Origin[args], where Origin is not complete yet."""
    return cls(origin, args)
