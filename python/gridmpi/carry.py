"""Functions and values of this session as bytes, for children that cannot import them."""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import io
import marshal
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

from .bytecode import codes, global_names, is_importable
from .errors import Error


class TakesMore(Exception):
    """What functions alone do not take: a class of the session, say."""


class Functions(pickle.Pickler):
    """Carries functions with what they use, where all of that can be imported or is a plain value. It makes them of what
    Python itself has, so that children need nothing of this package.
    """

    def __init__(self, file: io.BytesIO, protocol: int, persistent: Callable[[Any], Any] | None = None) -> None:
        super().__init__(file, protocol)
        self._persistent = persistent
        self._within: dict[int, dict[str, Any]] = {}

    def persistent_id(self, value: Any) -> Any:
        return self._persistent(value) if self._persistent else None

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, types.FunctionType) and not is_importable(value):
            return self._function(value)
        if isinstance(value, types.CellType):
            return types.CellType, (), (None, {"cell_contents": value.cell_contents})
        if isinstance(value, types.ModuleType):
            return importlib.import_module, (value.__name__,)
        if value is types.FunctionType or value is types.CellType:
            return getattr, (types, "FunctionType" if value is types.FunctionType else "CellType")
        if isinstance(value, type) and value.__module__ == "__main__":
            raise TakesMore(f"the class {value.__qualname__}")
        return reduced(value)

    def _function(self, function: types.FunctionType) -> Any:
        code = function.__code__
        for inner in codes(code):
            if any(instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") for instruction in dis.get_instructions(inner)):
                raise TakesMore(f"{function.__name__}, which sets a global name")
        used = {name: function.__globals__[name] for name in global_names(code) if name in function.__globals__}
        names = {name for inner in codes(code) for name in inner.co_names}
        for module in [one.__name__ for one in used.values() if isinstance(one, types.ModuleType)]:
            # Modules within it that the code may name are imported, too. No global name has a dot.
            below = [one for one in list(sys.modules) if one.startswith(f"{module}.")]
            used.update({one: sys.modules[one] for one in below if names.issuperset(one[len(module) + 1:].split("."))})
        # Functions that call each other meet by the names in these, which are kept: pickle knows them by their addresses.
        name = function.__globals__.get("__name__", "__main__")
        within = self._within.setdefault(id(function), {**used, "__name__": name, "__builtins__": builtins})
        own = {"__defaults__": function.__defaults__, "__kwdefaults__": function.__kwdefaults__, "__doc__": function.__doc__,
               "__qualname__": function.__qualname__, "__module__": function.__module__}
        arguments = (code, within, function.__name__, None, function.__closure__)
        return types.FunctionType, arguments, (dict(vars(function)), own)


def reduced(value: Any) -> Any:
    """What neither pickle nor cloudpickle makes as it should be: code with its places, for tracebacks, and functions under
    `functools.lru_cache`, with an empty cache. `NotImplemented` for all else.
    """
    if isinstance(value, types.CodeType):
        return marshal.loads, (marshal.dumps(value),)
    if isinstance(value, functools._lru_cache_wrapper) and not is_importable(value):
        about = value.cache_parameters()
        kind: Any = type(value)
        info = functools._CacheInfo  # type: ignore[attr-defined,unused-ignore]
        return kind, (value.__wrapped__, about["maxsize"], about["typed"], info), dict(vars(value))
    return NotImplemented


def pickled(value: Any, what: str, persistent: Callable[[Any], Any] | None = None) -> bytes:
    """A value as bytes. What can be imported goes by its name, and what `persistent` has a word for by that."""
    file = io.BytesIO()
    try:
        Functions(file, 5, persistent).dump(value)
        return file.getvalue()
    except TakesMore as error:
        missing = str(error)
    except Exception as error:
        missing = f"something that pickle does not know ({type(error).__name__}: {error})"
    try:
        cloudpickle: Any = importlib.import_module("cloudpickle")
    except ImportError:
        raise Error(
            f"{what} uses {missing}, which is known in this session alone: to carry it to other processes takes "
            "cloudpickle (pip install cloudpickle), or a module of its own"
        ) from None

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, inner: Any) -> Any:
            return persistent(inner) if persistent else None

        def reducer_override(self, inner: Any) -> Any:
            if isinstance(inner, functools.cached_property):  # it has a lock before Python 3.12
                return functools.cached_property, (inner.func,), {"attrname": inner.attrname}
            found = reduced(inner)
            return super().reducer_override(inner) if found is NotImplemented else found

    file = io.BytesIO()
    try:
        Pickler(file, 5).dump(value)
    except Exception as error:
        raise Error(f"{what} cannot be carried to other processes: {type(error).__name__}: {error}") from None
    return file.getvalue()
