"""The fits of a search over data sets and models as one nest: data sets, models, candidates, and splits within."""

from __future__ import annotations

import functools
import pickle
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone  # type: ignore[import-untyped,unused-ignore]
from sklearn.exceptions import FitFailedWarning  # type: ignore[import-untyped,unused-ignore]

from ..digests import ATOMS, Contents, comparing
from ..nest import Nest
from ..results import Results
from . import member, store, task
from .fits import FITS, RUNS, WAY_OUT, configuration, finished, folder_for, options, say, versions
from .found import read
from .given import Model, Pair

# Files for which `version` stands. The child that has imported them to check them goes on as one of a worker's.
CARRIED = ["**/gridmpi_crunch.py", "**/gridmpi/**"]
SHORT = 120  # a candidate up to this length stands for itself, in characters


@dataclass
class Stream:
    """What has come of the fits."""

    fits: Mapping[tuple[str, str], list[Any]]
    """What each fit of a data set and a model has returned, in scikit-learn's order."""
    refits: Mapping[tuple[str, str, int], Callable[[], Any]]
    """By data set, model and candidate, those that were fitted again: what reads the estimator."""


def here(pairs: Sequence[Pair]) -> Stream:
    """Makes the fits in this process, one after another."""
    def fit(function: Any, by_place: Any, by_name: Any, parameters: Any) -> Any:
        return function(clone(by_place[0]), *by_place[1:], **by_name, parameters=parameters)

    return Stream({(pair.dataset.name, pair.model.name): [fit(*one, parameters) for parameters in pair.model.candidates
                                                          for one in pair.tasks] for pair in pairs}, {})


def streamed(pairs: Sequence[Pair], metric: str | None, results: Any, workers: int | None, mpi: Any) -> Stream:
    """Makes the fits on workers, and the best one of each data set again on all of it, if there is a metric for that.

    Raises:
        Exception: that of the first fit that has raised one.
        Error: gridmpi refused the run.
    """
    identity = Identity(pairs) if results is not None else None
    points = identity.points if identity else {name: [f"{name}: {at}" for at in range(len(model.candidates))]
                                               for name, model in models_of(pairs).items()}
    splits = {pair.dataset.name: len(pair.tasks) for pair in pairs}
    each = dict.fromkeys(point for of_model in points.values() for point in of_model)  # equal texts are one point
    nest = Nest("search").loop("dataset", list(splits), **identity.datasets() if identity else {})
    nest = nest.loop("candidate", list(each), reduce=member.best_by(metric) if metric else None, **identity.candidates() if identity else {})
    of_split = range(max(splits.values())) if len(set(splits.values())) == 1 else member.splits_of(splits)
    nest = nest.loop("split", of_split, reduce="join" if metric else None)
    keys: dict[str, Any] = {"final": member.refits()} if metric else {}
    with (folder_for(results, identity.common if identity else "", mpi) as folder,
          tempfile.TemporaryDirectory(prefix=FITS, dir=folder, ignore_cleanup_errors=True) as place):
        index = write(Path(place), pairs, points)
        run = nest._with(_crunch={"beside": {member.BESIDE: place}, "folders": [place]}).start(
            member.Fits(place), version="1", ignore=CARRIED, results=str(folder / RUNS), on_failure="stop",
            **options(workers, mpi), **keys)
        rows = finished(run, folder, Path(place), len(each) * sum(splits.values()))
        kept = {tuple(row["coordinates"].values()): task.unpacked(row["value"]["kept"]) for row in rows}
        refits = refits_in(folder / RUNS, index, results is not None) if metric else {}
    say([*kept.values(), *(one for one, _ in refits.values())])
    fits = {(dataset, model): [kept[dataset, point, split]["found"] for point in of_model for split in range(count)]
            for dataset, count in splits.items() for model, of_model in points.items()}
    return Stream(fits, {of: reads for of, (_, reads) in refits.items()})


def models_of(pairs: Sequence[Pair]) -> dict[str, Model]:
    return {pair.model.name: pair.model for pair in pairs}


def write(place: Path, pairs: Sequence[Pair], points: Mapping[str, Sequence[str]]) -> member.Index:
    """Writes what children need: a fit of each split of a data set and model, and the parameters of candidates."""
    index, tasks, count = member.Index(), list[Any](), 0
    for pair in pairs:
        index.splits[pair.dataset.name] = len(pair.tasks)
        index.places[pair.dataset.name, pair.model.name] = len(tasks), count
        count += len(pair.tasks) * len(pair.model.candidates)
        tasks += pair.tasks
    for name, model in models_of(pairs).items():
        for at, point in enumerate(points[name]):
            index.candidates.setdefault(point, (name, at, len(tasks) + at))
        tasks += [(None, (one,), {}) for one in model.candidates]
    store.write(place, tasks)
    index.write(place)
    return index


def refits_in(runs: Path, index: member.Index, stays: bool) -> dict[tuple[str, str, int], Any]:
    """What final calls have kept, by data set, model and candidate: for `say`, and of a `Stream`."""
    found = {}
    for group in Results(runs)._written()["groups"]:
        final = group.get("final") or {}
        if final.get("status") == "ok" and isinstance(final.get("value"), dict):
            dataset, kept = group["coordinates"]["dataset"], task.unpacked(final["value"]["kept"])
            model, at, _ = index.candidates[kept["of"]]
            if kept["error"] is not None:
                warnings.warn(f"data set '{dataset}', model '{model}': the best candidate could not be fitted on the whole data set: "
                              f"{kept['error']}", FitFailedWarning, stacklevel=4)
                continue
            if kept.get("estimator") is not None:  # of a host that does not see the folder
                found[dataset, model, at] = kept, functools.partial(pickle.loads, kept["estimator"])
                continue
            path = runs / final["folder"] / member.ESTIMATOR
            reads = functools.partial(read, path) if stays else functools.partial(pickle.loads, path.read_bytes())
            found[dataset, model, at] = kept, reads
    return found


class Identity:
    """What fits are made of, as digests: those of data sets and of models, and of what all fits share."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.points: dict[str, list[str]] = {}
        """The candidates of each model as texts."""
        self._datasets: dict[str, str] = {}
        self._models: dict[str, str] = {}
        shared = Contents()
        for pair in pairs:
            dataset, model = pair.dataset, pair.model
            if dataset.name not in self._datasets:
                with comparing(f"data set '{dataset.name}'", WAY_OUT):
                    content = [dataset.X, dataset.y, dict(dataset.params), pair.search.cv.content]
                    self._datasets[dataset.name] = shared.alone(content).hex()
            if model.name not in self._models:
                with comparing(f"model '{model.name}'", WAY_OUT):
                    self._models[model.name] = self._model(pair)
        function, _, by_name = pairs[0].tasks[0]
        with comparing("the search", WAY_OUT):
            shared.add("scikit-learn's configuration", configuration(function))
            shared.add("scoring", [by_name.get("error_score"), by_name.get("return_train_score")])
        self.common = shared.digest()[:16]

    def _model(self, pair: Pair) -> str:
        contents, model = Contents(), pair.model
        contents.add("estimator", model.estimator)
        contents.add("scoring", pair.tasks[0][2]["scorer"])
        contents.add("versions", versions(model.estimator, model.candidates))
        self.points[model.name] = [f"{model.name}: {label(one, contents)}" for one in model.candidates]
        return contents.digest()

    def datasets(self) -> dict[str, Any]:
        """Keys of the loop of data sets."""
        return {"version": self._datasets}

    def candidates(self) -> dict[str, Any]:
        """Keys of the loop of candidates."""
        return {"version": {point: self._models[name] for name, points in self.points.items() for point in points}}


def label(parameters: Mapping[str, Any], contents: Contents) -> str:
    """A text for a candidate, equal if and only if the parameters are: themselves, with a digest of what no text says."""
    words, is_exact = [], True
    for name, value in parameters.items():
        is_row = type(value) in (list, tuple) and all(type(one) in ATOMS for one in value)
        is_atom = type(value) in ATOMS or type(value) is np.float64  # which is a float of Python's
        text = repr(value.item() if type(value) is np.float64 else value) if is_atom or is_row else type(value).__name__
        words.append(f"{name}={text}")
        is_exact = is_exact and (is_atom or is_row)
    text = ", ".join(words) or "as it is"
    if is_exact and len(text) <= SHORT:
        return text
    return f"{text[:SHORT]} {contents.alone(dict(parameters)).hex()}"
