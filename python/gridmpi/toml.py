"""Values as TOML."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import Error

BARE = re.compile(r"[A-Za-z0-9_-]+")
LINE = 110  # how long lines with tables get, in characters


def key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """A string in double quotes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Error(f"{value!r} has half of a character, which no file in UTF-8 can hold") from None
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(given: Any, where: str = "") -> str:
    """A value in one line. ``where`` names it in errors."""
    given = plain(given)
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str):
        return text(given)
    if isinstance(given, int):
        return str(given)
    if isinstance(given, float):
        if math.isnan(given):
            raise Error(f"{where or 'a value'} is NaN, which is no point and no number of a job")
        return repr(given)
    if isinstance(given, (datetime.datetime, datetime.date)):
        return given.isoformat()
    if isinstance(given, (list, tuple)):
        return "[" + ", ".join(value(inner, where) for inner in given) + "]"
    if isinstance(given, Mapping):
        if not given:
            return "{}"
        for name in given:
            if not isinstance(name, str):
                raise Error(f"{where or 'a value'} has a field that is called {name!r}: names of fields are texts")
        fields = (f"{key(name)} = {value(inner, where)}" for name, inner in given.items())
        return "{ " + ", ".join(fields) + " }"
    if given is None:
        raise Error(f"{where or 'a value'} is None, which TOML cannot say")
    raise Error(f"{where or 'a value'} is of type {type(given).__name__}: a job has numbers, strings, lists and dicts")


def plain(given: Any) -> Any:
    """What NumPy's numbers and arrays and paths are in plain Python."""
    if isinstance(given, Path):
        return os.fspath(given)
    if hasattr(given, "tolist") and hasattr(given, "dtype"):
        return given.tolist()
    return given


def has_none(given: Any) -> bool:
    """Whether there is None anywhere in a point, or in a list of them."""
    if isinstance(given, dict):
        return any(map(has_none, given.values()))
    return given is None or isinstance(given, list) and any(map(has_none, given))


def table(name: str, fields: Mapping[str, Any], *, many: bool = False) -> str:
    """A table with a line for each key; longer ones get a table of their own below it."""
    head, below = [f"[[{name}]]" if many else f"[{name}]"], []
    for field, given in fields.items():
        line = f"{key(field)} = {value(given, f'{name}.{field}')}"
        if isinstance(given, Mapping) and given and len(line) > LINE and not many:
            below.append(table(f"{name}.{key(field)}", given))
        else:
            head.append(line)
    return "\n".join(head) + "\n" + "".join("\n" + part for part in below)
