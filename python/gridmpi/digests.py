"""What functions and values are made of, by content: the same in each process, whatever the order of sets and the
bytes of pickles are.
"""

from __future__ import annotations

import contextlib
import copyreg
import enum
import functools
import hashlib
import importlib.metadata
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .arrays import is_array, is_of, pieces_of
from .bytecode import global_names, imports, is_importable, source_of
from .errors import Error
from .modules import Modules, is_own, own_file, python_version

SHORT = 60  # a value up to this length stands for itself, in characters
ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)])
PASSING = ("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "_abc_impl",
           "__annotations_cache__")  # of classes
WHOLE = "with all that it uses"


class CannotCompare(Exception):
    """A value of which nobody can say whether it is the same in a later session."""


@contextlib.contextmanager
def comparing(part: str, way_out: str) -> Iterator[None]:
    """Says in errors what cannot be compared, and the way out."""
    try:
        yield
    except (CannotCompare, RecursionError) as error:
        why = error if isinstance(error, CannotCompare) else "it has too many levels"
        raise Error(f"it cannot be seen whether {part} is the same in a later session: {why}; {way_out}") from None


def atom(value: Any) -> str:
    """A text that stands for one of ATOMS. Python refuses to write very long numbers in decimal."""
    return f"int {value:x}" if type(value) is int else f"{type(value).__name__} {value!r}"


class Tree:
    """The digest of one value with all that it holds and uses. Objects are numbered in the order in which they are met,
    and met again they stand as their numbers, as in a pickle: so each counts once, and which of them are one object, too.
    Each writes all about itself before what it holds, so that a list of what is still to come does for recursion.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._hasher = hashlib.blake2b(digest_size=12)
        self._held: list[tuple[Any, str]] = []  # by the value at hand, with what to say in errors
        self._met: dict[int, tuple[int, Any]] = {}  # with the objects, so that no other gets their addresses

    def digest(self) -> bytes:
        waiting: list[tuple[Any, str]] = []
        while self._held or waiting:
            waiting += reversed(self._held)
            self._held = []
            value, uses = waiting.pop()
            try:
                self._visit(value)
            except CannotCompare as why:
                raise CannotCompare(f"{uses}{why}") from None
            if uses:
                self._held = [(held, of_held or uses) for held, of_held in self._held]
        return self._hasher.digest()

    def add(self, value: Any, uses: str = "") -> None:
        self._held.append((value, uses))

    def put(self, *pieces: str | bytes) -> None:
        for piece in pieces:
            data = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece
            self._hasher.update(len(data).to_bytes(8, "little"))
            self._hasher.update(data)

    def _visit(self, value: Any) -> None:
        kind = type(value)
        if kind in ATOMS:
            self._atom(value)
        elif kind is tuple and all(type(one) in ATOMS for one in value):
            self.row("plain", value)  # Python may make one object of two
        elif isinstance(value, (types.FunctionType, type)) and is_importable(value):
            self.put("named", self._contents.reference(value))
        elif isinstance(value, types.ModuleType):
            self.put("module", self._contents.module(value))
        elif is_of(value, "numpy", "generic"):
            self.put("number", self._contents.of_array(value))
        elif id(value) in self._met:
            self.put("again", str(self._met[id(value)][0]))
        else:
            self._met[id(value)] = (len(self._met), value)
            self._new(value)

    def _atom(self, value: Any) -> None:
        self.put(atom(value))

    def row(self, what: str, values: Any) -> None:
        self.put(what, str(len(values)))
        if ATOMS.issuperset(map(type, values)):  # no text that stands for one has a zero in it
            self.put("atoms", "\0".join(map(atom, values)))
        else:
            self._held += [(value, "") for value in values]

    def _new(self, value: Any) -> None:
        kind = type(value)
        if kind in (list, tuple):
            self.row(kind.__name__, value)
        elif kind in (set, frozenset):
            self.row(kind.__name__, sorted(value, key=atom if ATOMS.issuperset(map(type, value)) else self._contents.alone))
        elif kind is dict:
            self.row("dict", [one for pair in value.items() for one in pair])
        elif kind is bytearray:
            self.put("bytearray", bytes(value))
        elif kind is types.CodeType:
            self.code(value)
        elif kind is types.CellType:
            self._cell(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.MethodType):
            self.row("method", (value.__self__, value.__func__))
        elif isinstance(value, types.BuiltinFunctionType):
            owner = None if isinstance(value.__self__, types.ModuleType) else value.__self__
            self.row("builtin", (value.__name__, value.__module__, owner))
            self._contents.modules.add(value.__module__ or "")
        elif isinstance(value, types.MappingProxyType):
            self.row("mapping", (dict(value),))
        elif isinstance(value, functools._lru_cache_wrapper):
            self.row("cached", (value.cache_parameters(), value.__wrapped__))
        elif isinstance(value, property):
            self.row("property", (value.fget, value.fset, value.fdel))
        elif isinstance(value, functools.cached_property):
            self.row("cached_property", (value.attrname, value.func))
        elif isinstance(value, (staticmethod, classmethod)):
            self.row(kind.__name__, (value.__func__,))
        elif isinstance(value, enum.Enum):
            self.row("member", (kind, value.name, value.value))
        elif is_array(value):
            self.put("array", self._contents.of_array(value))
        else:
            self._object(value)

    def code(self, code: types.CodeType) -> None:
        """A code without comments and places."""
        self._contents.has_code = True
        about = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_names,
                 code.co_varnames, code.co_freevars, code.co_cellvars)
        self.put("code", repr(about), code.co_code, getattr(code, "co_exceptiontable", b""), str(len(code.co_consts)))
        for constant in code.co_consts:
            self._constant(constant)

    def _constant(self, value: Any) -> None:
        """A constant of a code: which of them are one object differs between a source and its compiled file."""
        if isinstance(value, (tuple, frozenset)):
            self.put(type(value).__name__, str(len(value)))
            for inner in value if isinstance(value, tuple) else sorted(value, key=self._contents.alone):
                self._constant(inner)
        elif isinstance(value, types.CodeType):
            self.code(value)
        elif type(value) in ATOMS:
            self._atom(value)
        else:
            raise CannotCompare(f"its code has a {type(value).__qualname__} as a constant")

    def _cell(self, cell: types.CellType) -> None:
        try:
            held = cell.cell_contents
        except ValueError:  # not set yet
            self.put("empty cell")
            return
        self.put("cell")
        self.add(held)

    def _function(self, function: types.FunctionType) -> None:
        """A function that processes do not import: its code, and what that uses. A global name that is missing counts as
        missing: it may come, or shadow one of Python's own.
        """
        name, code = function.__name__, function.__code__
        self.put("function")
        self.code(code)
        for part in global_names(code):
            self.put(part, "is" if part in function.__globals__ else "is not")
            if part in function.__globals__:
                self.add(function.__globals__[part], f"{name} uses {part}: ")
        for part, cell in zip(code.co_freevars, function.__closure__ or ()):
            self.add(cell, f"{name} uses {part}: ")
        self.row("defaults", (function.__defaults__, function.__kwdefaults__, dict(vars(function))))
        self._contents.imported_by(function)

    def _class(self, value: type) -> None:
        passing = (types.MemberDescriptorType, types.GetSetDescriptorType)
        kept = {name: inner for name, inner in vars(value).items() if name not in PASSING and not isinstance(inner, passing)}
        about = (value.__qualname__, type(value), value.__bases__)
        self.row("class", (*about, *sorted(kept), *(kept[name] for name in sorted(kept))))

    def _object(self, value: Any) -> None:
        """Anything else, by what pickle would make of it."""
        kind = type(value)
        try:
            reducer = copyreg.dispatch_table.get(kind)
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception as error:
            raise CannotCompare(f"a {kind.__module__}.{kind.__qualname__} has no content that can be compared ({error})") from None
        if isinstance(reduced, str):
            self.put("by name", self._contents.by_name(value, reduced))
            return
        call, arguments, *rest = reduced
        state, items, pairs = [*rest[:3], None, None, None][:3]
        self.row("object", (kind, call, tuple(arguments), state))
        self.row("items", list(items) if items is not None else [])
        self.row("pairs", [one for pair in pairs for one in pair] if pairs is not None else [])
        self.add(rest[3] if len(rest) > 3 else None)  # what sets the state


class Contents:
    """The parts that functions and values are made of: texts by name, equal if and only if the content is. One part has a
    function with all that it uses; those of what it uses are there to name what has changed.
    """

    def __init__(self) -> None:
        self.modules = Modules()
        self.parts: dict[str, str] = {}
        self._digests: dict[tuple[str, int], tuple[bytes, Any]] = {}  # with the values, as above
        self._begun: set[tuple[str, int]] = set()
        self.has_code = False
        self._functions: dict[int, tuple[str, Any]] = {}

    def add(self, part: str, value: Any) -> None:
        """Adds a function or a value, with all that it uses, under this name."""
        whole = f"{type(value).__name__} {self.alone(value).hex()}"
        self.parts[part] = text = self._text(value)
        if text != whole and text.startswith("code "):
            self.parts[f"{part}, {WHOLE},"] = whole
        elif isinstance(value, types.MethodType):
            self._add_used(value.__func__.__name__, part, value.__func__)

    def all(self) -> dict[str, str]:
        """All parts, sorted; with Python's version, where code counts."""
        found = {**self.modules.parts, **self.parts}
        if self.has_code or self.modules.parts:
            found["Python"] = python_version()
        return dict(sorted(found.items()))

    def digest(self) -> str:
        """One digest for all parts."""
        hasher = hashlib.blake2b(digest_size=12)
        for part, text in self.all().items():
            hasher.update(f"{len(part)} {part} {len(text)} {text}".encode("utf-8", "surrogatepass"))
        return hasher.hexdigest()

    def alone(self, value: Any) -> bytes:
        """The digest of a value by itself."""
        return self._once("alone", value, lambda tree: tree.add(value))

    def of_array(self, value: Any) -> bytes:
        """The digest of an array or a frame. Parts of it that other values hold, too, count by content as well."""
        return self._once("array", value, lambda tree: tree.row("array", (type(value), *pieces_of(value))))

    def _once(self, kind: str, value: Any, fill: Callable[[Tree], None]) -> bytes:
        key = (kind, id(value))
        if key in self._digests:
            return self._digests[key][0]
        if key in self._begun:
            raise CannotCompare(f"a {type(value).__qualname__} holds itself, in a set or an array")
        self._begun.add(key)
        tree = Tree(self)
        try:
            fill(tree)
            digest = tree.digest()
        finally:
            self._begun.discard(key)
        if type(value) not in ATOMS:
            self._digests[key] = (digest, value)
        return digest

    def _text(self, value: Any) -> str:
        plain = value if type(value) is tuple else (value,)
        if all(type(v) in (type(None), bool, int, float, str) for v in plain) and sum(len(atom(v)) for v in plain) <= SHORT:
            return repr(value)
        if isinstance(value, types.ModuleType):
            return f"module {self.module(value)}"
        if isinstance(value, (types.FunctionType, type)) and is_importable(value):
            return self.reference(value)
        if isinstance(value, types.FunctionType):
            return f"code {self._function(value)}"
        return f"{type(value).__name__} {self.alone(value).hex()}"

    def _function(self, function: types.FunctionType) -> str:
        """The digest of the code of a function; what it uses is added as parts."""
        key = id(function)
        if key not in self._functions:
            tree = Tree(self)
            tree.code(function.__code__)
            digest = tree.digest().hex()
            self._functions[key] = (digest, function)
            self.modules.sources[digest] = source_of(function)
            for part, inner in used(function):
                self._add_used(part, function.__name__, inner)
        return self._functions[key][0]

    def _add_used(self, part: str, function: str, value: Any) -> None:
        text = self._text(value)
        known = self.parts.get(part)
        if known is not None and known != text:
            part = f"{part} of {function}"  # two functions have a name each
            while self.parts.get(part, text) != text:
                part += "'"
        self.parts[part] = text

    def by_name(self, value: Any, name: str) -> str:
        """Something that is found again by its name alone."""
        module = getattr(value, "__module__", None) or type(value).__module__
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__" or is_own(file) and getattr(sys.modules[module], name, None) is not value:
            raise CannotCompare(f"{name}, a {type(value).__qualname__}, is known by its name alone")
        self.modules.add(module)
        return f"{module} {name}"

    def module(self, module: types.ModuleType) -> str:
        """The name of a module, whose content counts, if it is the user's."""
        self.modules.add_all_below(module.__name__)
        return module.__name__

    def reference(self, value: Any) -> str:
        """The name of a function or class that processes import; its module counts, if it is the user's."""
        self.modules.add(value.__module__)
        return f"{value.__module__}.{value.__qualname__}"

    def imported_by(self, function: types.FunctionType) -> None:
        """The modules that a function imports when it is called."""
        for name, names, level in imports(function.__code__):
            self.modules.add_imported(name, names, level, function.__globals__.get("__package__"))
            top = name.partition(".")[0]
            if not level and not own_file(top):
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # the standard library's, say
                    self.parts[f"package {top}"] = importlib.metadata.version(top)


def used(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The values that a function uses, with what they are called."""
    for name in global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        with contextlib.suppress(ValueError):  # not set yet
            yield name, cell.cell_contents
    defaults: Mapping[str, Any] = function.__kwdefaults__ or {}
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    by_place = function.__defaults__ or ()
    for name, value in [*zip(names[len(names) - len(by_place):], by_place), *defaults.items()]:
        yield f"default of {name} in {function.__name__}", value
    for name, value in vars(function).items():
        yield f"{name} of the function {function.__name__}", value


OF_CRUNCH = 'say what it is yourself, with version="1", and change that when results change'


def contents_of(values: Mapping[str, Any], way_out: str = OF_CRUNCH) -> Contents:
    """What these functions and values are made of; an error says what cannot be compared, and the way out."""
    contents = Contents()
    for part, value in values.items():
        with comparing(part, way_out):
            contents.add(part, value)
    return contents
