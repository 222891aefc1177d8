"""How functions get to the children: by a file that the children import, beside a pickle that they alone load."""

from __future__ import annotations

import hashlib
import json
import linecache
import os
import pickle
import sys
import types
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bytecode import is_importable
from .carry import pickled
from .digests import Contents
from .modules import is_own

FOLDER = "python"  # in the results folder


def own_place(function: Any, folder: Path) -> str | None:
    """`file.py:function`, where the function is one of the user's that a job file can name."""
    if not isinstance(function, types.FunctionType) or not is_importable(function):
        return None
    file = getattr(sys.modules[function.__module__], "__file__", None)
    if "." in function.__module__ or "." in function.__qualname__ or not is_own(file):
        return None
    return f"{os.path.relpath(str(file), folder)}:{function.__name__}"


@dataclass
class Carried:
    """Functions that one file gives to the children."""

    file: str
    functions: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    by_place: str | None = None

    def write(self, folder: Path, contents: Contents | None, known: str | None = None) -> str:
        """Writes the file and its pickle, whose name it returns. `known` stands for the content; without it, the pickle itself does."""
        carried = {
            "functions": {name: pickled(function, named(function)) for name, function in self.functions.items()},
            "objects": {
                name: {loop: {key: pickled(one, f"'{key}' of loop '{loop}'") for key, one in objects.items()}
                       for loop, objects in of_function.items()}
                for name, of_function in self.objects.items()
            },
            "by_place": self.by_place,
            "files": contents.modules.files if contents else {},
            "sources": sources(self.functions.values()),
        }
        data = pickle.dumps(carried, 5)
        digest = hashlib.blake2b(data, digest_size=12).hexdigest()
        name = f"{self.file}-{known or digest}.pickle"
        child = [(Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("_cores.py", "_child.py")]
        lines = [
            "# Written by the Python package gridmpi, for the children of this folder's runs.",
            *child,
            f"found = functions(os.path.dirname(os.path.abspath(__file__)), {name!r}, {None if known else digest!r})",
            *(f"{function} = found[{function!r}]" for function in self.functions),
            "",
        ]
        write(folder / name, data)
        write(folder / f"{self.file}.py", "\n".join(lines).encode())
        if contents:
            for of_source, text in contents.modules.sources.items():
                if text:
                    (folder / "sources").mkdir(exist_ok=True)
                    write(folder / "sources" / of_source, text.encode("utf-8", "surrogatepass"))
        return name


def named(function: Any) -> str:
    """What a function is called in messages."""
    return str(getattr(function, "__qualname__", None) or f"a {type(function).__name__}")


def write(path: Path, data: bytes) -> None:
    """Writes a file as a whole, for its owner alone."""
    unfinished = path.with_name(path.name + ".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(unfinished, path)


def sources(functions: Any) -> dict[str, str]:
    """The text of cells of notebooks, which is in no file, for tracebacks."""
    found = {}
    for function in functions:
        function = getattr(function, "__func__", function)
        if isinstance(function, types.FunctionType):
            of_module = [used for used in function.__globals__.values()
                         if isinstance(used, types.FunctionType) and used.__module__ == function.__module__]
            for path in dict.fromkeys(one.__code__.co_filename for one in (function, *of_module)):
                if not os.path.isfile(path) and (lines := linecache.getlines(path)):
                    found[path] = "".join(lines)
    return found


def context() -> bytes:
    """What children take over from this process."""
    path = [os.path.abspath(folder or ".") for folder in sys.path if isinstance(folder, str)]
    filters = []
    given: Any = warnings.filters
    for action, message, category, module, line in given:
        patterns = [text if text is None or isinstance(text, str) else text.pattern for text in (message, module)]
        filters.append([action, patterns[0], (category.__module__, category.__qualname__), patterns[1], line])
    return json.dumps({"path": list(dict.fromkeys(path)), "filters": filters}).encode()

