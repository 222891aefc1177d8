"""The results in a folder, through the verbs of gridmpi. They can be read while a run is going on."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from .errors import Error
from .exact import STORE, Exact, as_printed, points, score, select
from .process import output, verb
from .progress import Progress, of_status
from .tables import Export, Table


class Results:
    """The results in a folder.

    >>> Results("nowhere")
    Traceback (most recent call last):
    ...
    gridmpi.errors.Error: nowhere is no results folder: it has no runs.sqlite
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        """The results folder."""
        if not (Path(self.folder) / STORE).is_file():
            raise Error(f"{self.folder} is no results folder: it has no {STORE}")

    @property
    def summary(self) -> Table:
        """A row for each point of the outermost loops, those that do not reduce: the best points (``best_LOOP``), the
        score and the other fields, how many runs stand behind it, ``status``, ``error``.
        """
        outer = [name for name, reduce in self._loops().items() if not reduce]
        if not outer:
            return Table(self._only_row)
        groups, written = Export(self.folder, ["--groups", outer[-1]]), self._written()["groups"]
        has_finals = any("final" in group for group in written)
        return Table(lambda: self._with_finals(groups.rows, outer, written)) if has_finals else groups

    @property
    def runs(self) -> Table:
        """A row for each run: its points by the names of the loops, ``status``, ``score``, the fields of its result,
        ``seconds``, ``started``, ``error``, and where it was made. Runs that were not made, because their point was stopped
        early, have the status ``"skipped"``, and why in ``error``; so have those that an earlier run has made and that do
        not count, with their score.
        """
        return Export(self.folder)

    @property
    def failures(self) -> Table:
        """The rows of runs that failed, with the traceback in ``error``."""
        return Export(self.folder, ["--where", "run.status = 'failed'"])

    @property
    def loops(self) -> list[str]:
        """The names of the loops, outermost first."""
        return list(self._loops())

    @property
    def progress(self) -> Progress:
        """How far the run is, or how it has ended."""
        return of_status(verb(["status", self.folder, "--format", "json"]))

    def where(self, condition: str) -> Table:
        """The rows of the runs that meet a condition, such as ``"alpha < 1 and fold = 0"``."""
        return Export(self.folder, ["--where", condition])

    def groups(self, loop: str) -> Table:
        """A row for each point of a loop, with the loops inside it folded: ``cv_results_`` of scikit-learn. ``"all"`` has
        those of every loop. Points that were stopped early have the status ``"skipped"`` and no rank.
        """
        return Export(self.folder, ["--groups", loop])

    def best(self, top: int = 1, *, max: str | None = None, min: str | None = None, by: str | None = None) -> Table:
        """The best points of each row of the result: the row's points, ``place``, the best points, the score and the other
        fields.

        Args:
            top: how many of each.
            max: the field that is to be as great as possible, rather than what the nest says. ``min``: as small.
            by: the best for each point of a loop, or value of a field: ``"model.family"``.
        """
        words = ["best", self.folder, "--top", str(top), "--format", "json"]
        for name, value in (("max", max), ("min", min), ("by", by)):
            words += [f"--{name}", value] if value is not None else []

        def read() -> list[dict[str, Any]]:
            rows, exact = [], Exact(self.folder)
            for row in verb(words):
                for one in row["best"]:
                    own = {name: one[name] for name in one if name in ("runs", "failed")}
                    place = {**row["coordinates"], **one["coordinates"]}
                    found = exact.value(one["value"], place) if isinstance(one["value"], dict) else None
                    compared = score(one["score"])
                    rows.append({**points(exact, row["coordinates"], found), "place": one["place"],
                                 **points(exact, one["coordinates"], found),
                                 "score": compared, **beside(compared, found or {}), **own, "status": row["status"]})
            return rows

        return Table(read)

    def explain(self, task: int) -> str:
        """Everything about one task, in words."""
        return output(["explain", self.folder, str(task)])

    def report(self) -> Path:
        """Writes a report of the results, one HTML file in their folder, and returns its path."""
        output(["report", self.folder])
        return Path(self.folder) / "report.html"

    def _loops(self) -> dict[str, str]:
        """The loops, and how each is reduced."""
        try:
            found = list(select(Path(self.folder), "SELECT name, reduce FROM loops ORDER BY level"))
        except sqlite3.Error as error:  # a file system without locks, a folder that cannot be written to
            found = [(loop["name"], loop["reduce"]) for loop in self._written().get("loops", [])]
            if not found:
                raise Error(f"{Path(self.folder) / STORE} cannot be read: {error}") from None
        return {name: reduce or "" for name, reduce in found}

    def _written(self) -> dict[str, Any]:
        """The summary that a start writes at its end."""
        try:
            found = json.loads((Path(self.folder) / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"groups": []}
        assert isinstance(found, dict)
        return found

    def _only_row(self) -> list[dict[str, Any]]:
        """The row of a nest that reduces all its loops."""
        groups = self._written()["groups"][:1]
        if not groups:
            groups = verb(["status", self.folder, "--format", "json"])["groups"]["latest"][:1]
        rows, exact = [], Exact(self.folder)
        for group in groups:
            summary = group.get("summary") or {}
            value, scored = summary.get("value"), summary.get("score", group.get("score"))
            value = None if value == scored else exact.value(value)
            best = points(exact, summary.get("best") or group.get("best") or {}, value)
            fields = beside(score(scored), value) if isinstance(value, dict) else {} if value is None else {"value": value}
            final = {f"final.{name}": field for name, field in final_of(group, exact).items()}
            best = {f"best_{name}": point for name, point in best.items()}
            rows.append({**best, "score": score(scored), **fields, **final, "runs": group["runs"], "failed": group["failed"],
                         **{name: group[name] for name in ("stopped", "skipped") if name in group},
                         "status": group.get("status"), "error": group.get("error")})
        return rows

    def _with_finals(self, rows: list[dict[str, Any]], outer: list[str], written: list[Any]) -> list[dict[str, Any]]:
        """The rows with what final calls have returned, as a start has written it."""
        exact, known = Exact(self.folder), dict[str, list[dict[str, Any]]]()
        for group in written:
            known.setdefault(json.dumps(group["coordinates"]), []).append(final_of(group, exact))
        found = []
        for row in rows:
            same = known.get(json.dumps(as_printed({name: row.get(name) for name in outer})))
            final = same.pop(0) if same else {}
            found.append({**row, **{f"final.{name}": value for name, value in final.items()}})
        return found

    def _repr_html_(self) -> str:
        return self.summary._repr_html_()

    def __repr__(self) -> str:
        return f"<Results {self.folder}>\n{self.summary!r}"


def beside(scored: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields for a row with a column ``score``: one of that name is called as in summary.csv where it is another number."""
    return {"value.score" if name == "score" and field != scored else name: field for name, field in fields.items()}


def final_of(group: dict[str, Any], exact: Exact) -> dict[str, Any]:
    """What the final call of a row has returned, by fields."""
    final = group.get("final")
    if not isinstance(final, dict):
        return {}
    value = final.get("value")
    value = score(value) if isinstance(value, str) and value == final.get("score") else exact.value(value)
    fields = dict(value) if isinstance(value, dict) else {} if value is None else {"value": value}
    return {**fields, **({"error": final["error"]} if final.get("error") else {})}


def open(folder: str | os.PathLike[str]) -> Results:
    """The results in a folder, of any job, while it runs, too. No function of theirs is loaded."""
    return Results(folder)
