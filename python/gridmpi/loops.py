"""The loops of a nest: where their points come from."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import toml
from .errors import Error
from .keys import SOURCES, check

BESIDE = ("exclude", "most", "allow_empty", "where", "only_if", "require", "label", "was", "version", "stop")
SPACES = {"range": ("from", "to", "step"), "linspace": ("from", "to", "count"), "logspace": ("from", "to", "count"),
          "dates": ("from", "to", "step")}


@dataclass(frozen=True)
class Loop:
    """A loop, with the keys that it has in a job file. Under ``points`` there may be a function, and under ``objects``
    anything by name, which no file can hold.
    """

    name: str
    keys: Mapping[str, Any]


def loop(name: str, points: Any, reduce: Any, given: Mapping[str, Any]) -> Loop:
    """A loop as it was asked for."""
    where = f"loop '{name}'"
    check(given, (*SOURCES, *BESIDE), f"loop (in {where})")
    sources = [source for source in SOURCES if source in given]
    if len(sources) + (points is not None) != 1:
        found = [*(["points"] if points is not None else []), *sources]
        if found:
            raise Error(f"{where} has several sources of points, {' and '.join(found)}: keep one of them")
        raise Error(f"{where} has no points: give a list, or one of {', '.join(SOURCES)}")
    keys: dict[str, Any] = {}
    if points is not None:
        keys.update(listed(points, where))
    for source, value in given.items():
        if source in SPACES:
            keys[source] = space(source, value, where)
        elif source == "values":
            keys.update(listed(value, where))
        elif source in ("grid", "zip") and isinstance(value, Mapping):
            keys[source] = parameters(value, f"{where}, {source}")
        elif source == "grids" and isinstance(value, (list, tuple)):
            keys[source] = [parameters(one, f"{where}, grids") if isinstance(one, Mapping) else one for one in value]
        elif source in ("files", "folders", "rows") and isinstance(value, os.PathLike):
            keys[source] = os.fspath(value)
        else:
            keys[source] = value
    if reduce is not None:
        keys["reduce"] = {"python": reduce} if callable(reduce) else reduce
    return Loop(name, keys)


def space(source: str, value: Any, where: str) -> Any:
    """A range, with its bounds by name."""
    names = SPACES[source]
    if isinstance(value, range):
        value = (value.start, value.stop, value.step)
    if isinstance(value, Mapping):
        return {name: plain_date(inner) for name, inner in value.items()}
    least = 2 if source == "range" else 3
    if isinstance(value, (tuple, list)) and least <= len(value) <= 3:
        return {name: plain_date(inner) for name, inner in zip(names, value)}
    raise Error(f"{where}: {source} takes {', '.join(names)}, as in {source}={EXAMPLES[source]}, found {value!r}")


EXAMPLES = {"range": "(0, 5)", "linspace": "(0.0, 1.0, 5)", "logspace": "(1e-3, 1e3, 7)",
            "dates": '("2024-01-01", "2024-03-01", "7d")'}


def plain_date(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


def listed(points: Any, where: str) -> dict[str, Any]:
    """The keys for points that are given as they are."""
    if isinstance(points, range):
        return {"range": {"from": points.start, "to": points.stop, "step": points.step}}
    if isinstance(points, Mapping):
        for name in points:
            if not isinstance(name, str):
                raise Error(f"{where}: objects have names that are texts, found {name!r}")
        if not points:
            raise Error(f"{where} has no points")
        return {"objects": dict(points)}
    if callable(points):
        return {"points": points}
    if isinstance(points, (str, bytes)):
        raise Error(f"{where}: points are a list, found the text {points!r} (files={points!r} takes the files that match)")
    if isinstance(points, (set, frozenset)):
        raise Error(f"{where}: a set has no order; give sorted(...)")
    if hasattr(points, "columns") and hasattr(points, "to_dict"):  # a frame of polars has both, and no "records"
        points = points.to_dicts() if hasattr(points, "to_dicts") else points.to_dict("records")
    points = toml.plain(points)
    if not isinstance(points, Iterable):
        raise Error(f"{where}: points are a list, found {points!r}")
    values = [point_of(point, where) for point in points]
    return {"json": json.dumps(values, ensure_ascii=False)} if toml.has_none(values) else {"values": values}


def parameters(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The parameters of a grid: lists of points, or tables of their sources."""
    def is_list(value: Any) -> bool:
        return isinstance(value, (list, tuple, range)) or hasattr(value, "tolist")

    return {name: [point_of(point, where) for point in toml.plain(value)] if is_list(value) else value
            for name, value in given.items()}


def point_of(point: Any, where: str) -> Any:
    """A point as a job file can hold it: with NumPy's numbers as Python's, and paths and dates as texts. Anything else that
    would arrive as something else is refused.
    """
    if not getattr(point, "shape", ()):  # a number of NumPy's, not an array
        point = plain_date(toml.plain(point))
    if why := inexact(point):
        raise Error(f"{where}: {why}; give objects names, as in {{\"a\": {brief(point)}}}, and the function gets them as "
                    "they are")
    if isinstance(point, dict):
        return {name: point_of(inner, where) for name, inner in point.items()}
    return [point_of(inner, where) for inner in point] if isinstance(point, list) else point


def brief(value: Any) -> str:
    """A value for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def inexact(point: Any) -> str | None:
    """Why a value, apart from what is in it, would not arrive as it is; None if it does."""
    kind = type(point)
    if kind is float and math.isnan(point):
        return "NaN is no point"
    if kind is float and point == 0 and math.copysign(1, point) < 0:
        return "-0.0 is the same point as 0.0 in a job"
    if kind is int and not -(2**63) <= point < 2**63:
        return f"the whole number {point} is no point of a job, where these have 64 bits"
    if kind is dict:
        for name in point:
            if type(name) is not str or inexact(name):
                return f"a point has a field that is called {brief(name)}, and names of fields are texts in a job"
        return None
    if kind is str and any("\ud800" <= character <= "\udfff" for character in point):
        return f"{brief(point)} has half of a character, which no job file can hold"
    if point is None or kind in (str, int, float, bool, list):
        return None
    return f"a point has {brief(point)} of type {kind.__name__} in it, and a job has numbers, texts, lists and dicts"


def is_exact(value: Any) -> bool:
    """Whether a value arrives as it is, as a point of a job."""
    if inexact(value):
        return False
    if type(value) is dict:
        return all(map(is_exact, value.values()))
    return type(value) is not list or all(map(is_exact, value))
