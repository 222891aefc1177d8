"""The loops of a nest: where their points come from."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import toml
from .errors import Error
from .keys import SOURCES, check

BESIDE = ("exclude", "most", "allow_empty", "where", "only_if", "require", "label", "was", "version")
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
    if hasattr(points, "to_dict") and hasattr(points, "columns"):
        points = points.to_dict("records")
    points = toml.plain(points)
    if not isinstance(points, Iterable):
        raise Error(f"{where}: points are a list, found {points!r}")
    values = [point_of(point, where) for point in points]
    return {"json": toml.as_json(values, where)} if toml.has_none(values) else {"values": values}


def point_of(point: Any, where: str) -> Any:
    """A point as a job file can hold it."""
    point = plain_date(toml.plain(point))
    if isinstance(point, Mapping):
        return {name: point_of(inner, where) for name, inner in point.items()}
    if isinstance(point, (list, tuple)):
        return [point_of(inner, where) for inner in point]
    if point is None or isinstance(point, (str, int, float)):
        return point
    kind = type(point).__name__
    raise Error(f"{where}: a point is of type {kind}; give objects names, as in {{\"{kind.lower()}\": {kind}(...)}}")
