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
    if not objects and not by_place and hasattr(function, "__name__"):
        return function

    def point(loop: str, value: Any) -> Any:
        # Each call has a copy of its own.
        return pickle.loads(objects[loop][value]) if loop in objects and isinstance(value, str) else value

    within = {"function": function, "point": point, "by_place": by_place}
    text = "lambda **points: function(**{loop: point(loop, value) for loop, value in points.items()})"
    if by_place:
        within["kept"] = kept
        text = f"lambda **points: kept(function(point({by_place!r}, points[{by_place!r}])))"
    elif name == "load":
        text = "lambda value: function(point(by_loop, value))"
        within["by_loop"] = next(iter(objects), None)  # of the loop whose points are loaded
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


def kept(value: Any) -> dict[str, Any]:
    """What a call has returned, as a run that says it exactly: a plain number would be a score, and JSON as others read
    it has no infinities.
    """
    def plain(inner: Any) -> Any:
        return inner.tolist() if hasattr(inner, "tolist") else inner.item()

    try:
        json.dumps(value, allow_nan=False, default=plain)
    except ValueError:
        return {"json": json.dumps(value, default=plain)}
    except Exception:  # the child says what it is that cannot be kept
        pass
    return {"value": value}


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
