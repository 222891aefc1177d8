"""Numbers that JSON lacks: the program prints them as texts, and the store says which of these they are."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import Error

STORE = "runs.sqlite"  # in the results folder
SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
TEXTS = ("status", "error", "host", "workdir", "run.workdir", "loop", "group.loop")  # columns that are no values
FEW = 500  # as many tasks are looked for one by one
UNKNOWN = object()


def is_marked(value: Any) -> bool:
    """Whether there is a text in it that may stand for a number."""
    if isinstance(value, str):
        return value in SPECIAL
    if isinstance(value, dict):
        return any(map(is_marked, value.values()))
    return isinstance(value, list) and any(map(is_marked, value))


def as_printed(value: Any) -> Any:
    """A value as the program prints it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: as_printed(inner) for name, inner in value.items()}
    return [as_printed(inner) for inner in value] if isinstance(value, list) else value


def as_numbers(value: Any) -> Any:
    """A value with numbers for these texts, where only the JSON is known: the results of a study's Rust."""
    if isinstance(value, dict):
        return {name: as_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_numbers(inner) for inner in value]
    return SPECIAL.get(value, value) if isinstance(value, str) else value


def decoded(data: bytes) -> Any:
    """A value in the form that the store keeps beside JSON: bincode's, of the program's type `Value`."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        if at > len(data):
            raise ValueError("cut off")
        return data[at - count:at]

    def number() -> int:
        first = take(1)[0]
        return first if first < 251 else int.from_bytes(take(2 ** (first - 250)), "little")

    def value() -> Any:
        kind = number()
        if kind == 0:
            return None
        if kind == 1:
            return take(1) == b"\x01"
        if kind == 2:
            zigzag = number()
            return (zigzag >> 1) ^ -(zigzag & 1)
        if kind == 3:
            return struct.unpack("<d", take(8))[0]
        if kind == 4:
            return take(number()).decode()
        if kind == 5:
            return [value() for _ in range(number())]
        if kind == 6:
            return {take(number()).decode(): value() for _ in range(number())}
        raise ValueError(f"kind {kind}")

    found = value()
    if at != len(data):
        raise ValueError("bytes are left")
    return found


def at_name(value: Any, name: str) -> Iterator[Any]:
    """What a column of this name may have of a record: a field, or one within a field."""
    if not isinstance(value, dict):
        return
    if name in value:
        yield value[name]
    for field, inner in value.items():
        if name.startswith(f"{field}."):
            yield from at_name(inner, name[len(field) + 1:])
    if name.startswith("value."):  # a field with the name of another column
        yield from at_name(value, name[len("value."):])


def select(folder: Path, sql: str, given: Sequence[Any] = ()) -> Iterator[Any]:
    """The rows of a query to the store of a results folder."""
    store = sqlite3.connect(f"{(folder / STORE).absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    with contextlib.closing(store):
        yield from store.execute(sql, given)


class Exact:
    """What the store of a results folder has, for rows that the program has printed."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._of_json: dict[str, list[Any]] | None = None

    def runs(self, rows: Sequence[dict[str, Any]]) -> None:
        """Puts numbers in place of texts in rows of runs."""
        marked = {row["task"]: row for row in rows if is_marked(row)}
        if marked:
            for task, points, text, exact in self._runs(list(marked)):
                if row := marked.pop(task, None):
                    self._put(row, points, text, exact)
            for row in marked.values():
                self._put_skipped(row)

    def groups(self, rows: Sequence[dict[str, Any]], loop: str) -> None:
        """The same in rows of groups, which have to be all of them."""
        if not any(map(is_marked, rows)):
            return
        loops = self._query("SELECT name, reduce FROM loops ORDER BY level")

        def is_stored(row: dict[str, Any]) -> bool:
            """Not of points that were stopped early, but for their runs of earlier starts."""
            of = row.get("group.loop", row.get("loop")) if loop == "all" else loop
            return bool(row["status"] != "skipped" or of == loops[-1][0] and row["runs"] + row["failed"] > 0)

        skipped = [row for row in rows if not is_stored(row)]
        if skipped:
            rows = [row for row in rows if is_stored(row)]
        for row in skipped:
            self._put_skipped(row)
        joined = [reduce == "join" for _, reduce in loops] + [False]
        levels = [level for level, (name, _) in enumerate(loops)
                  if name == loop or loop == "all" and not joined[level] and not joined[level + 1]]
        stored: list[tuple[Any, Any, Any]] = []
        for level in levels:
            if level + 1 == len(loops):
                stored += [(points, text, exact) for _, points, text, exact in self._runs(None)]
            else:
                sql = "SELECT value, exact FROM groups WHERE level = ? ORDER BY number"
                found = self._query(sql, [level + 1])
                known = self._around(level, [name for name, _ in loops[:level + 1]])
                places = known if len(known) == len(found) else [None] * len(found)
                stored += [(place, text, exact) for place, (text, exact) in zip(places, found)]
        if len(stored) != len(rows):
            raise self._changed()
        for row, (points, text, exact) in zip(rows, stored):
            if is_marked(row):
                self._put(row, points, text, exact)

    def _around(self, level: int, loops: Sequence[str]) -> list[dict[str, Any]]:
        """The points of the groups of a level, in their order, where loops have points that are printed alike."""
        keys = [key for key, in self._query("SELECT key FROM points WHERE level <= ?", [level]) if isinstance(key, str)]
        if not any("9e999" in key for key in keys) or not any('Infinity"' in key for key in keys):
            return []
        found: list[dict[str, Any]] = []
        for _, points, _, _ in self._runs(None):
            place = {name: points[name] for name in loops}
            if not found or repr(found[-1]) != repr(place):
                found.append(place)
        return found

    def point(self, name: str, printed: Any) -> Any:
        """A point of a loop, or a field of it, by what was printed of it. `UNKNOWN`, if there is none."""
        found: dict[str, Any] = {}
        for level, (loop, ) in enumerate(self._query("SELECT name FROM loops ORDER BY level")):
            if name == loop or name.startswith(f"{loop}."):
                for key, in self._query("SELECT DISTINCT key FROM points WHERE level = ?", [level]):
                    for value in at_name({loop: json.loads(key)}, name):
                        if as_printed(value) == printed:
                            found[repr(value)] = value
        if len(found) > 1:
            raise Error(f"{name} has both {' and '.join(found)}, which these rows do not tell apart: read results.runs, which does")
        return next(iter(found.values()), UNKNOWN)

    def value(self, printed: Any, place: Mapping[str, Any] | None = None) -> Any:
        """A whole result, or what results were reduced to, or a final call has returned, by what was printed of it, and of the
        points of a run.
        """
        if not is_marked(printed):
            return printed
        if self._of_json is None:
            self._of_json = {}
            tables = {name for name, in self._query("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in sorted({"runs", "groups", "finals"} & tables):
                for text, exact in self._query(f"SELECT value, exact FROM {table} WHERE value IS NOT NULL"):
                    if exact is not None or '"NaN"' in text or 'Infinity"' in text:
                        printed_here = self._json(text)
                        self._of_json.setdefault(json.dumps(printed_here), []).append(self._value(text, exact))
        found = {repr(value): value for value in self._of_json.get(json.dumps(printed), [])}
        if len(found) > 1 and place is not None:
            of_place = {repr(value): value for _, points, text, exact in self._runs(None) if as_printed(points) == place
                        for value in [self._value(text, exact)] if as_printed(value) == printed}
            found = of_place or found
        if len(found) > 1:
            raise Error(f"there are both {' and '.join(found)}, which these rows do not tell apart: read results.runs, which does")
        if not found:
            raise self._changed()
        return next(iter(found.values()))

    def _put(self, row: dict[str, Any], points: Any, text: Any, exact: Any) -> None:
        """Puts the numbers of a row in place."""
        result = self._value(text, exact)
        for name, cell in row.items():
            if not is_marked(cell) or name in TEXTS and not any(as_printed(one) == cell for one in at_name(result, name)):
                continue
            if name == "score":
                row[name] = SPECIAL[cell]
                continue
            where = {} if points is None else points
            candidates = [*at_name(where, name), *at_name(result, name), *([result] if name == "value" else [])]
            same = [one for one in candidates if as_printed(one) == cell]
            if not same and (points is None or name.startswith("best_")):
                same = [one for one in [self.point(name.removeprefix("best_"), cell)] if one is not UNKNOWN]
            if not same and text is None and isinstance(cell, str):
                same = [SPECIAL[cell]]  # a score under its own name
            if not same:
                raise self._changed()
            row[name] = same[0]

    def _put_skipped(self, row: dict[str, Any]) -> None:
        """Puts numbers in place that are points of a run, or of a group, that was not made."""
        if row.get("status") != "skipped":
            raise self._changed()
        self._put(row, None, None, None)

    def _json(self, text: str) -> Any:
        if re.fullmatch(r"large/[0-9a-f]{64}", text):
            text = (self._folder / text).read_text(encoding="utf-8")
        return json.loads(text)

    def _value(self, text: Any, exact: Any) -> Any:
        """A value of the store; None, if it is a number that is its score."""
        if text is None:
            return None
        printed = self._json(str(text))
        if exact is None:
            return printed
        data = exact if isinstance(exact, bytes) else (self._folder / exact).read_bytes()
        try:
            found = decoded(data)
        except (ValueError, RecursionError, struct.error):
            return as_numbers(printed)
        return found if as_printed(found) == printed else as_numbers(printed)

    def _runs(self, tasks: Sequence[int] | None) -> Iterator[tuple[int, dict[str, Any], Any, Any]]:
        """The runs of tasks, in their order: the points by the names of loops, and the columns `value` and `exact`. The view
        has the points as SQLite can say them; here they are in the form that they are known by.
        """
        loops = [name for name, in self._query("SELECT name FROM loops ORDER BY level")]
        view = self._query("SELECT sql FROM sqlite_master WHERE name = 'all_runs'")[0][0]
        own = view.split(" AS ", 1)[1].rstrip("; \n").replace("(SELECT value FROM points WHERE", "(SELECT key FROM points WHERE")
        own = own.replace("SELECT ", 'SELECT r.value AS "gridmpi value", r.exact AS "gridmpi exact", ', 1)
        names = ", ".join('"' + name.replace('"', '""') + '"' for name in loops)
        few = tasks is not None and len(tasks) <= FEW
        which = f"WHERE task IN ({', '.join(map(str, tasks or ()))}) LIMIT {len(tasks or ())}" if few else "ORDER BY task"
        for task, text, exact, *points in self._each(f'SELECT task, "gridmpi value", "gridmpi exact", {names} FROM ({own}) {which}'):
            known = {name: json.loads(point) if isinstance(point, str) else point for name, point in zip(loops, points)}
            yield task, known, text, exact

    def _query(self, sql: str, given: Sequence[Any] = ()) -> list[Any]:
        return list(self._each(sql, given))

    def _each(self, sql: str, given: Sequence[Any] = ()) -> Iterator[Any]:
        try:
            yield from select(self._folder, sql, given)
        except sqlite3.Error as error:
            raise Error(f"{self._folder / STORE} cannot be read ({error}), so which of the texts NaN and Infinity are numbers "
                        "is not known; to_polars() and to_arrow() read the results without it") from None

    def _changed(self) -> Error:
        return Error(f"{self._folder} has changed while it was read: ask again, or when the run has ended")


def points(exact: Exact, printed: Mapping[str, Any], result: Any = None) -> dict[str, Any]:
    """Points by the names of loops or their fields, or fields of a result."""
    found = {}
    for name, value in printed.items():
        if is_marked(value):
            known = exact.point(name, value)
            same = [one for one in at_name(result, name) if as_printed(one) == value]
            value = known if known is not UNKNOWN else same[0] if same else value
        found[name] = value
    return found


def score(printed: Any) -> Any:
    """A score, which is a number."""
    return SPECIAL[printed] if isinstance(printed, str) else printed
