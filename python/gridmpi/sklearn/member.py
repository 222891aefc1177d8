"""What children do of a search over data sets and models: fits, the best of each data set, and its refit."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..carry import pickled
from ..functions import write
from . import task

INDEX = "index-of-search"  # in the folder of the tasks
BESIDE = "fits"  # beside the functions: names that folder, for final calls, which are not told of anything that changes
ESTIMATOR = "estimator.pickle"  # in the folder of a final call


@dataclass
class Index:
    """Where the parts of a fit are among the tasks of the store."""

    places: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By data set and model: the task of the first split, and the number of the first fit."""
    candidates: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """By the point of a candidate: its model, its position there, and its task."""
    splits: dict[str, int] = field(default_factory=dict)
    """By data set: how many there are."""

    def one_of_each(self) -> list[int]:
        """A task of each model."""
        return list({model: task for (_, model), (task, _) in reversed(self.places.items())}.values())

    def write(self, folder: Path) -> None:
        (folder / INDEX).write_bytes(pickle.dumps(self))


def opened(folder: str) -> tuple[Index, Any]:
    """The index, and the reader of the tasks."""
    from .store import Reader, here

    index = pickle.loads((here(folder) / INDEX).read_bytes())
    assert isinstance(index, Index)
    return index, Reader(folder)


class Fits:
    """The fits in a folder, each of which is called by its points. One of each model is read when a child gets this, with the modules
    that it needs: they are imported before there is a call.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.index, self.reader = opened(self.folder)
        for number in self.index.one_of_each():
            self.reader.task(number)

    def __call__(self, dataset: str, candidate: str, split: int) -> dict[str, Any]:
        """One fit."""
        model, at, place = self.index.candidates[candidate]
        first, number = self.index.places[dataset, model]
        function, by_place, by_name = self.reader.task(first + split)
        by_name["parameters"] = self.reader.task(place)[1][0]
        return task.called(self.folder, number + at * self.index.splits[dataset] + split, (function, by_place, by_name))


# These functions are carried by value: the children that call them import nothing of this package.
def splits_of(datasets: Mapping[str, int]) -> Callable[[str], Sequence[int]]:
    """What gives the splits of a data set."""
    def splits(dataset: str) -> Sequence[int]:
        return range(datasets[dataset])

    return splits


def best_by(metric: str) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]:
    """What gives the candidate with the greatest mean of a metric, the first one of equals."""
    def best(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        scores: dict[Any, list[Any]] = {}
        for one in runs:
            found = one["value"].get(metric) if isinstance(one["value"], dict) else None
            scores.setdefault(one["candidate"], []).append(found)
        means = {candidate: sum(found) / len(found) for candidate, found in scores.items() if None not in found}
        winner = max(means, key=means.__getitem__) if means else None
        return {"winner": winner, **({} if winner is None else {"score": means[winner]})}

    return best


def refits() -> Callable[..., dict[str, Any] | None]:
    """What fits the best candidate of a data set again."""
    def refit(dataset: str, summary: Mapping[str, Any], folder: str) -> dict[str, Any] | None:
        if summary["winner"] is None:
            return None
        from gridmpi.sklearn import member

        return member.refit(dataset, summary, folder)

    return refit


def refit(dataset: str, summary: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Fits the best candidate of a data set again, on all of it."""
    from sklearn import config_context  # type: ignore[import-untyped,unused-ignore]

    from .store import COPIES

    # Beside the function that has called this, wherever this host has it.
    place = Path(str(sys.modules["gridmpi_final"].__file__)).with_name(BESIDE).read_text(encoding="utf-8")
    index, reader = opened(place)
    model, _, of_candidate = index.candidates[summary["winner"]]
    function, (estimator, X, y), by_name = reader.task(index.places[dataset, model][0])
    parameters = reader.task(of_candidate)[1][0]
    begun, error, sent = time.perf_counter(), None, None
    with task.hearing() as heard, config_context(**getattr(function, "config", {})):
        try:
            data = pickled(refitted(estimator, X, y, by_name, parameters), "the estimator")
            if COPIES in os.environ:
                sent = data  # the caller does not see the folder
            else:
                write(Path(folder) / ESTIMATOR, data)
        except Exception as why:  # the caller says it, and meets it itself
            error = f"{type(why).__name__}: {why}"
    seconds = time.perf_counter() - begun
    return {"fit_time": seconds, "kept": task.packed({"of": summary["winner"], "error": error, "estimator": sent, **heard})}


def refitted(estimator: Any, X: Any, y: Any, by_name: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    """A new estimator with these parameters, fitted as scikit-learn's searches do."""
    from sklearn.base import clone  # type: ignore[import-untyped,unused-ignore]

    found = clone(estimator).set_params(**clone(parameters, safe=False))
    found.fit(*((X,) if y is None else (X, y)), **(by_name["fit_params"] or {}))
    return found
