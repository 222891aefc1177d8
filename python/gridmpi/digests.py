"""What functions and values are made of, by content: the same in each process, whatever the order of sets and the
bytes of pickles are.
"""

from __future__ import annotations

import ast
import copyreg
import dis
import enum
import functools
import hashlib
import importlib.metadata
import inspect
import linecache
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import Error
from .modules import Modules, is_own, own_file, python_version

SHORT = 60  # a value up to this length stands for itself, in characters


class CannotCompare(Exception):
    """A value of which nobody can say whether it is the same in a later session."""


def is_importable(value: Any) -> bool:
    """Whether a function or class is found again by its module and name, in a process that imports it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<")
    if not isinstance(module, str) or module == "__main__" or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    if getattr(found, "__file__", None) is None and module not in sys.builtin_module_names:
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code and those within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def global_names(code: types.CodeType) -> list[str]:
    """The global names that a code reads, and those of the codes within it."""
    wanted = ("LOAD_GLOBAL", "LOAD_NAME")
    return sorted({instruction.argval for inner in codes(code) for instruction in dis.get_instructions(inner)
                   if instruction.opname in wanted and isinstance(instruction.argval, str)})


def imported_names(code: types.CodeType) -> list[str]:
    """The modules that a code imports."""
    return sorted({instruction.argval for inner in codes(code) for instruction in dis.get_instructions(inner)
                   if instruction.opname == "IMPORT_NAME" and instruction.argval})


class Contents:
    """The parts that functions and values are made of: texts by name, equal if and only if the content is."""

    def __init__(self) -> None:
        self.modules = Modules()
        self.parts: dict[str, str] = {}
        self._done: dict[int, tuple[bytes, Any]] = {}  # with the values, so that no other gets their addresses
        self._at: dict[int, int] = {}
        self._functions: dict[int, tuple[bytes, Any]] = {}

    def add(self, part: str, value: Any) -> None:
        """Adds a function or a value, with all that it uses, under this name."""
        try:
            self.parts[part] = self._text(value)
        except RecursionError:
            raise CannotCompare("it has too many levels") from None

    def all(self) -> dict[str, str]:
        """All parts, sorted; with Python's version, where code counts."""
        found = {**self.modules.parts, **self.parts}
        if any(text.startswith("code ") for text in found.values()):
            found["Python"] = python_version()
        return dict(sorted(found.items()))

    def digest(self) -> str:
        """One digest for all parts."""
        hasher = hashlib.blake2b(digest_size=12)
        for part, text in self.all().items():
            hasher.update(f"{len(part)} {part} {len(text)} {text}".encode("utf-8", "surrogatepass"))
        return hasher.hexdigest()

    def _text(self, value: Any) -> str:
        if value is None or isinstance(value, (bool, int, float, str)) and len(repr(value)) <= SHORT:
            return repr(value)
        if isinstance(value, tuple) and len(repr(value)) <= SHORT and all(type(v) in (int, float, str) for v in value):
            return repr(value)
        if isinstance(value, types.FunctionType) and not is_importable(value):
            return f"code {self._function(value).hex()}"
        if isinstance(value, types.ModuleType):
            return f"module {self._module(value)}"
        if isinstance(value, (types.FunctionType, type)) and is_importable(value):
            return f"{value.__module__}.{self._reference(value)}"
        return f"{type(value).__name__} {self.of(value).hex()}"

    def of(self, value: Any) -> bytes:
        """The digest of a value."""
        key = id(value)
        if key in self._done:
            return self._done[key][0]
        if key in self._at:
            return f"within {len(self._at) - self._at[key]}".encode()
        self._at[key] = len(self._at)
        try:
            hasher = hashlib.blake2b(digest_size=12)
            for piece in self._pieces(value):
                hasher.update(len(piece).to_bytes(8, "little"))
                hasher.update(piece)
            found = hasher.digest()
        finally:
            del self._at[key]
        if not self._at:  # within a value that holds itself, digests depend on where it was entered
            self._done[key] = (found, value)
        return found

    def _pieces(self, value: Any) -> Iterator[bytes | memoryview]:
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes, bytearray, range, type(...)):
            yield kind.__name__.encode()
            yield bytes(value) if isinstance(value, (bytes, bytearray)) else repr(value).encode("utf-8", "backslashreplace")
        elif kind in (list, tuple):
            yield kind.__name__.encode()
            yield from map(self.of, value)
        elif kind in (set, frozenset):
            yield kind.__name__.encode()
            yield from sorted(map(self.of, value))
        elif kind is dict:
            yield b"dict"
            for name, inner in value.items():
                yield self.of(name)
                yield self.of(inner)
        elif isinstance(value, types.ModuleType):
            yield b"module"
            yield self._module(value).encode()
        elif isinstance(value, types.FunctionType):
            yield b"function"
            yield self._reference(value).encode() if is_importable(value) else self._function(value)
        elif isinstance(value, type):
            yield b"class"
            yield from self._class(value)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodType)):
            owner = getattr(value, "__self__", None)
            yield f"{kind.__name__} {value.__name__} {getattr(value, '__module__', None)}".encode()
            if owner is not None and not isinstance(owner, types.ModuleType):
                yield self.of(owner)
                yield self.of(value.__func__) if isinstance(value, types.MethodType) else b""
        elif isinstance(value, types.MappingProxyType):
            yield b"mapping"
            yield self.of(dict(value))
        elif isinstance(value, functools._lru_cache_wrapper):
            yield b"cached"
            yield self.of(value.cache_parameters())
            yield self.of(value.__wrapped__)
        elif isinstance(value, enum.Enum):
            yield from (self.of(kind), value.name.encode())
        elif kind.__module__ == "numpy" and hasattr(value, "dtype") and hasattr(value, "tobytes"):
            yield from self._array(value)
        elif kind.__module__.startswith("pandas.") and hasattr(value, "_mgr"):
            yield from self._frame(value)
        else:
            yield from self._object(value)

    def _array(self, value: Any) -> Iterator[bytes | memoryview]:
        yield f"array {value.dtype.str} {value.dtype.descr if value.dtype.names else ''} {value.shape}".encode()
        if value.dtype.hasobject:
            yield self.of(value.tolist())
            return
        try:
            yield memoryview(value).cast("B")  # a large one is not copied
        except (TypeError, ValueError, BufferError):  # in another order, empty, or dates
            yield value.tobytes()

    def _frame(self, value: Any) -> Iterator[bytes]:
        """A frame or a series of pandas: its blocks may be divided in several ways."""
        yield type(value).__name__.encode()
        yield self.of(value.index.to_list())
        columns = [value] if value.ndim == 1 else [value.iloc[:, at] for at in range(value.shape[1])]
        for column in columns:
            yield f"{column.name!r} {column.dtype}".encode("utf-8", "backslashreplace")
            array = column.to_numpy()
            yield self.of(array)

    def _object(self, value: Any) -> Iterator[bytes]:
        """Anything else, by what pickle would make of it."""
        kind = type(value)
        try:
            reducer = copyreg.dispatch_table.get(kind)
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:
            raise CannotCompare(f"a {kind.__module__}.{kind.__qualname__} has no content that can be compared ({error})") from None
        if isinstance(reduced, str):
            yield self._by_name(value, reduced)
            return
        yield self.of(kind)
        call, arguments, *rest = reduced
        yield self.of(call)
        yield self.of(tuple(arguments))
        state, items, pairs = [*rest[:3], None, None, None][:3]
        yield self.of(state)
        yield self.of(list(items) if items is not None else None)
        yield self.of(list(pairs) if pairs is not None else None)

    def _by_name(self, value: Any, name: str) -> bytes:
        """Something that is found again by its name alone."""
        module = getattr(value, "__module__", None) or type(value).__module__
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__" or is_own(file) and getattr(sys.modules[module], name, None) is not value:
            raise CannotCompare(f"{name}, a {type(value).__qualname__}, is known by its name alone")
        if is_own(file):
            self.modules.name(module, name.partition(".")[0])
        return f"{module} {name}".encode()

    def _module(self, module: types.ModuleType) -> str:
        if own_file(module.__name__):
            self.modules.whole(module.__name__)
        return module.__name__

    def _reference(self, value: Any) -> str:
        """The name of a function or class that processes import; what its source names counts, if it is the user's."""
        top = value.__qualname__.partition(".")[0]
        if is_own(getattr(sys.modules.get(value.__module__), "__file__", None)):
            self.modules.name(value.__module__, top)
        return str(value.__qualname__)

    def _class(self, value: type) -> Iterator[bytes]:
        if is_importable(value):
            yield f"{value.__module__} {self._reference(value)}".encode()
            return
        yield value.__qualname__.encode()
        yield from map(self.of, value.__bases__)
        passing = ("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__",
                   "_abc_impl")
        for name, inner in sorted(vars(value).items()):
            if name in passing or isinstance(inner, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                continue
            yield name.encode()
            if isinstance(inner, property):
                yield self.of((inner.fget, inner.fset, inner.fdel))
            elif isinstance(inner, functools.cached_property):
                yield self.of(inner.func)
            else:
                yield self.of(inner.__func__ if isinstance(inner, (staticmethod, classmethod)) else inner)

    def _function(self, function: types.FunctionType) -> bytes:
        """The code of a function that processes do not import; what it uses is added as parts."""
        key = id(function)
        if key in self._functions:
            return self._functions[key][0]
        code = function.__code__
        found = hashlib.blake2b(b"".join(self._code(code)), digest_size=12).digest()
        self._functions[key] = (found, function)
        self.modules.sources[found.hex()] = source_of(function)
        name = function.__name__
        for part, inner in self._used(function):
            try:
                self._add_used(part, name, inner)
            except CannotCompare as why:
                raise CannotCompare(f"{name} uses {part}: {why}") from None
        for module in imported_names(code):
            if own_file(module):
                self.modules.whole(module)
            else:
                self._package(module.partition(".")[0])
        return found

    def _add_used(self, part: str, function: str, value: Any) -> None:
        text = self._text(value)
        known = self.parts.get(part)
        if known is not None and known != text:
            part = f"{part} of {function}"  # two functions have a name each
            while self.parts.get(part, text) != text:
                part += "'"
        self.parts[part] = text

    def _used(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        for name in global_names(function.__code__):
            if name in function.__globals__:
                yield name, function.__globals__[name]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                yield name, cell.cell_contents
            except ValueError:  # not set yet
                continue
        defaults: Mapping[str, Any] = function.__kwdefaults__ or {}
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        by_place = function.__defaults__ or ()
        for name, value in [*zip(names[len(names) - len(by_place):], by_place), *defaults.items()]:
            yield f"default of {name} in {function.__name__}", value
        for name, value in vars(function).items():
            yield f"{function.__name__}.{name}", value

    def _code(self, code: types.CodeType) -> Iterator[bytes]:
        """A code without comments and places."""
        about = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_names,
                 code.co_varnames, code.co_freevars, code.co_cellvars)
        yield repr(about).encode()
        yield code.co_code
        yield getattr(code, "co_exceptiontable", b"")
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield hashlib.blake2b(b"".join(self._code(constant)), digest_size=12).digest()
            else:
                yield self.of(constant)

    def _package(self, name: str) -> None:
        """A package that only a call imports."""
        try:
            self.parts[f"package {name}"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass  # the standard library's, or not there yet


def source_of(function: types.FunctionType) -> str:
    """The source of a function for people, without comments where it can be read; empty if nobody has it."""
    try:
        linecache.checkcache(function.__code__.co_filename)
        lines = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError, IndexError, SyntaxError):
        return ""
    try:
        return ast.unparse(ast.parse(lines))
    except (SyntaxError, ValueError):
        return lines.strip()  # a lambda in the middle of a statement


OF_CRUNCH = 'say what it is yourself, with version="1", and change that when results change'


def contents_of(values: Mapping[str, Any], way_out: str = OF_CRUNCH) -> Contents:
    """What these functions and values are made of; an error says what cannot be compared, and the way out."""
    contents = Contents()
    for part, value in values.items():
        try:
            contents.add(part, value)
        except CannotCompare as why:
            raise Error(
                f"it cannot be seen whether {part} is the same in a later session: {why}; {way_out}"
            ) from None
    return contents
