"""What a function's code mentions: globals, attributes, variables that it binds.

Read off the byte code, that of the functions and classes inside it included:
names and attributes by number of the instruction's argument, so no source is
needed, and a name that only looks like a global costs no more than a look at
the sender's globals.  What was found is kept as long as the code lives.
"""

from __future__ import annotations

from _weakref import ref
from types import CellType, CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What has no place in another interpreter's copy of a module.
NEVER_GLOBALS = frozenset(["__name__", "__builtins__", "__loader__", "__spec__", "__atoll_space__"])


class Mentions:
    """What there is to know of a code object, and of the code inside it."""

    __slots__ = ("attributes", "doc", "names", "ref", "written")

    def __init__(self, code: CodeType) -> None:
        self.ref = ref(code, _forget(id(code)))
        names: set[str] = set()
        attributes: set[str] = set()
        written: set[str] = set()
        _scan(code, names, attributes, written)
        self.names = tuple(sorted(names - NEVER_GLOBALS))
        self.attributes = attributes
        #: The docstring that a new function of this code has.
        self.doc = FunctionType(code, {}, None, None, tuple([CellType() for _ in code.co_freevars])).__doc__
        #: Variables of an enclosing function that it, or one inside it, binds.
        self.written = written & set(code.co_freevars)


_known: dict[int, Mentions] = {}  # by id() of the code


def _forget(key: int) -> Callable[[Any], None]:
    def drop(dead: Any) -> None:
        if key in _known and _known[key].ref is dead:
            del _known[key]

    return drop


def mentions_of(code: CodeType) -> Mentions:
    """From the second time on what was found the first time."""
    found = _known.get(id(code))
    if found is None or found.ref() is not code:
        found = _known[id(code)] = Mentions(code)
    return found


# Numbers of instructions: those that name a global, and by how many bits the
# number of the name is shifted; those that bind a variable in a cell.
_global_ops: dict[int, int] = {}
_cell_ops: list[int] = []
_extended = 0


def _load_opcodes() -> None:
    global _extended
    from opcode import opmap

    for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"):
        _global_ops[opmap[name]] = 0
    _global_ops[opmap["LOAD_GLOBAL"]] = 1
    _cell_ops.extend([opmap["STORE_DEREF"], opmap["DELETE_DEREF"]])
    _extended = opmap["EXTENDED_ARG"]


def _scan(code: CodeType, names: set[str], attributes: set[str], written: set[str]) -> None:
    if not _global_ops:
        _load_opcodes()
    ops = code.co_code[::2]
    args = code.co_code[1::2]
    mentioned = code.co_names
    for op, shift in _global_ops.items():
        for arg in _arguments(op, ops, args):
            names.add(mentioned[arg >> shift])
    attributes.update(mentioned)
    inside: set[str] = set()
    variables: tuple[str, ...] = ()
    for op in _cell_ops:
        for arg in _arguments(op, ops, args):
            if not variables:
                own = code.co_varnames
                variables = own + tuple([c for c in code.co_cellvars if c not in own]) + code.co_freevars
            inside.add(variables[arg])
    for const in code.co_consts:
        if type(const) is CodeType:
            below: set[str] = set()
            _scan(const, names, attributes, below)
            inside.update(below)
    written.update(inside.intersection(code.co_freevars))


def _arguments(op: int, ops: bytes, args: bytes) -> list[int]:
    found = []
    at = ops.find(op)
    while at >= 0:
        arg, shift, before = args[at], 8, at - 1
        while before >= 0 and ops[before] == _extended:
            arg |= args[before] << shift
            shift += 8
            before -= 1
        found.append(arg)
        at = ops.find(op, at + 1)
    return found
