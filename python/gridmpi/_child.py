# Runs in a Python child of a worker, not in the caller's process: makes the functions that the caller wrote beside this
# file. It is a part of that file, so it imports nothing of gridmpi's. HERE is the folder, NAME what was written.
import hashlib
import importlib
import inspect
import json
import linecache
import os
import pickle
import sys
import warnings
from typing import Any


def set_up(context: dict[str, Any]) -> None:
    """What the caller has: where modules are found, and which warnings are shown."""
    sys.path[:] = context["path"]
    warnings.resetwarnings()
    for action, message, (module, category), of_module, line in reversed(context["filters"]):
        try:
            kind = getattr(importlib.import_module(module), category)
        except (ImportError, AttributeError):
            continue  # of a module that only the caller has
        warnings.filterwarnings(action, message or "", kind, of_module or "", line)


def check_files(files: dict[str, str]) -> None:
    """The functions are those of the files as the caller has read them."""
    for path, digest in files.items():
        try:
            with open(path, "rb") as file:
                found = hashlib.blake2b(file.read(), digest_size=12).hexdigest()
        except OSError as error:
            raise RuntimeError(f"{path} cannot be read here: {error}") from None
        if found != digest:
            raise RuntimeError(f"{path} has changed since this run was started: start it again")


def made(carried: dict[str, Any], name: str) -> Any:
    """A function of those that were carried, to be called with points by the names of loops."""
    function = pickle.loads(carried["functions"][name])
    objects, by_place = carried["objects"].get(name, {}), carried["by_place"]
    is_result = not name.startswith(("load", "points_"))
    if not objects and not is_result and hasattr(function, "__name__"):
        return function

    def point(loop: str, value: Any) -> Any:
        # Each call has a copy of its own.
        return pickle.loads(objects[loop][value]) if loop in objects and isinstance(value, str) else value

    within = {"function": function, "point": point, "result": kept if by_place else Sure(function)}
    if by_place:
        text = f"lambda **points: result(function(point({by_place!r}, points[{by_place!r}])))"
    elif name == "load":
        text = "lambda value: function(point(by_loop, value))"
        within["by_loop"] = next(iter(objects), None)  # of the loop whose points are loaded
    else:
        given = "**{loop: point(loop, value) for loop, value in points.items()}" if objects else "*given, **points"
        text = f"lambda *given, **points: function({given})"
        if is_result:
            text = f"lambda *given, **points: found if type(found := function({given})) is float else result(found)"
    # In no file, so that errors begin with the function itself.
    wrapper = eval(compile(text, "<string>", "eval"), within)
    wrapper.__name__ = getattr(function, "__name__", type(function).__name__)
    if by_place:
        one = inspect.Parameter(by_place, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        wrapper.__signature__ = inspect.Signature([one])
    else:
        try:
            wrapper.__signature__ = inspect.signature(function)
        except (TypeError, ValueError):
            pass
    return wrapper


PLAIN = frozenset((float, int, bool, str, type(None)))


class Sure:
    """Sees to it that no result of a function is kept as something else without a word: JSON would make texts of the names of
    fields, and lists of tuples.
    """

    def __init__(self, function: Any) -> None:
        self._name = getattr(function, "__name__", type(function).__name__)
        self._has_said = False

    def __call__(self, result: Any) -> Any:
        if type(result) not in PLAIN:
            try:
                self._look(result, ())
            except RecursionError:
                pass  # the child says that it cannot be kept
        return result

    def _look(self, value: Any, at: "tuple[Any, ...]") -> None:
        child: Any = sys.modules["__main__"]  # the program's, with errors that say all and a way to warn
        if isinstance(value, dict):
            for name, inner in value.items():
                if not isinstance(name, str):
                    raise child.Wrong(f"the result cannot be kept: {place(at)} has the key {name!r} of type "
                                      f"{type(name).__name__}, and names of fields are texts, as str() makes them")
                if type(inner) not in PLAIN:
                    self._look(inner, (*at, name))
        elif isinstance(value, (list, tuple)):
            if isinstance(value, tuple) and not self._has_said:
                self._has_said = True
                child.warn(f"{place(at)} of {self._name} is a tuple, and comes back as a list")
            if not PLAIN.issuperset(map(type, value)):
                for number, inner in enumerate(value):
                    self._look(inner, (*at, number))


def place(at: "tuple[Any, ...]") -> str:
    """Where something is in a result, for messages."""
    return "result" + "".join(f"[{name!r}]" for name in at)


def kept(value: Any) -> dict[str, Any]:
    """What a call has returned, as a run that says it exactly: a plain number would be a score, and JSON as others read
    it has no infinities, and no tuples and names that are no texts.
    """
    def plain(inner: Any) -> Any:
        return inner.tolist() if hasattr(inner, "tolist") else inner.item()

    try:
        if not is_json(value):
            return {"tagged": json.dumps(tagged(value), default=plain)}
        json.dumps(value, allow_nan=False, default=plain)
    except ValueError:
        return {"json": json.dumps(value, default=plain)}
    except Exception:  # the child says what it is that cannot be kept
        pass
    return {"value": value}


def is_json(value: Any) -> bool:
    """Whether JSON has lists and names of fields as they are in a value."""
    if isinstance(value, dict):
        return all(isinstance(name, str) for name in value) and all(map(is_json, value.values()))
    if isinstance(value, list):
        return PLAIN.issuperset(map(type, value)) or all(map(is_json, value))
    return not isinstance(value, tuple)


def tagged(value: Any) -> Any:
    """A value with lists, tuples and dicts as what JSON tells apart: `map.untagged` reads it."""
    if isinstance(value, dict):
        return {"dict": [[tagged(name), tagged(inner)] for name, inner in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [tagged(inner) for inner in value]}
    return [tagged(inner) for inner in value] if isinstance(value, list) else value


def functions(here: str, name: str, digest: "str | None") -> dict[str, Any]:
    """The functions of a file, by their names."""
    with open(os.path.join(here, "context.json"), encoding="utf-8") as file:
        set_up(json.load(file))
    with open(os.path.join(here, name), "rb") as file:
        data = file.read()
    if digest and hashlib.blake2b(data, digest_size=12).hexdigest() != digest:
        raise RuntimeError(f"{os.path.join(here, name)} is not what this run was started with: start it again")
    before = set(sys.modules)
    carried = pickle.loads(data)
    check_files(carried["files"])
    for path, text in carried["sources"].items():
        linecache.cache[path] = (len(text), None, text.splitlines(True), path)  # for tracebacks
    found = {function: made(carried, function) for function in carried["functions"]}
    for module in set(sys.modules) - before:  # what carries functions is no package that they use
        if module.partition(".")[0] == "cloudpickle":
            del sys.modules[module]
    return found
