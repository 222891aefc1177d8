"""What a search over data sets and models has found."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped,unused-ignore]

from ..errors import Error
from ..tables import Table

PLAIN = (type(None), bool, int, float, str)


@dataclass
class Best:
    """The best model of a data set.

    Attributes:
        name: the model's name.
        parameters: those of the best candidate.
        score: its mean score over the splits.
    """

    name: str
    parameters: dict[str, Any]
    score: float
    _made: Callable[[], Any] | None = field(repr=False, compare=False)

    @functools.cached_property
    def estimator(self) -> Any:
        """The estimator with these parameters, fitted on the whole data set by a worker. It is read when it is asked for.

        Raises:
            Error: the search was made with ``refit=False``, or its folder is gone.
            Exception: that of the fit, if that has failed.
        """
        if self._made is None:
            raise Error("the search was made with refit=False, so no estimator was fitted on the whole data set")
        return self._made()


def read(path: Path) -> Any:
    """The estimator in a file."""
    try:
        kept = path.read_bytes()
    except OSError as error:
        raise Error(f"{path} cannot be read ({error.strerror}): search again") from None
    return pickle.loads(kept)


class Bests(dict[str, Best]):
    """The best models by data sets; those of which no fit has a score are missing."""

    def __init__(self, found: Mapping[str, Best], why: Mapping[str, str]) -> None:
        super().__init__(found)
        self._why = why

    def __missing__(self, name: str) -> Best:
        raise Error(self._why.get(name) or unknown(name, [*self, *self._why]))


class SearchResult:
    """What a search over data sets and models has found.

    Attributes:
        best: by data sets, the best model: its ``name``, ``parameters`` and ``score``, and the ``estimator``, fitted on the
            whole data set.
    """

    def __init__(self, found: Mapping[str, Mapping[str, dict[str, Any]]], failed: Mapping[tuple[str, str], Any], best: Bests) -> None:
        self._found, self._failed = found, failed
        self.best = best

    @property
    def table(self) -> Table:
        """A row for each candidate of each data set and model: ``dataset``, ``model``, ``params``, the mean and the standard deviation
        of each score over the splits (``mean_test_r2``, ``std_test_r2``), its rank among all candidates of the data set, 1 for
        the best (``rank_test_r2``), the mean times of fits and scores in seconds, and how many fits have ``failed``.
        """
        return Table(lambda: [row for name in self._found for row in self._rows(name)])

    def cv_results(self, dataset: str, model: str | None = None) -> dict[str, Any]:
        """The results of a data set in the form of scikit-learn's ``cv_results_``: columns as arrays of shape (n_candidates,).

        Args:
            dataset: its name.
            model: the name of a model. The columns are those of ``GridSearchCV.cv_results_`` then. Without it, they have the
                candidates of all models, one model after another, and a column ``model``; ranks are among all of them, and
                parameters that a model has not are masked.

        Raises:
            Error: there is no such data set or model.

        ``pandas.DataFrame(found.cv_results("a"))`` makes a frame of it.
        """
        if dataset not in self._found:
            raise Error(unknown(dataset, self._found))
        of_models = self._found[dataset]
        if model is None:
            return together(of_models)
        if model not in of_models:
            raise Error(f"there is no model {model!r} (models: {', '.join(of_models)})")
        return dict(of_models[model])

    def _rows(self, dataset: str) -> list[dict[str, Any]]:
        columns = self.cv_results(dataset)
        params = columns["params"]
        shown = {name: column for name, column in columns.items() if name.startswith(("mean_", "std_", "rank_"))}
        scores = {name: column.tolist() for name, column in shown.items() if not name.endswith("_time")}
        times = {name: column.tolist() for name, column in shown.items() if name.startswith("mean_") and name.endswith("_time")}
        failed = [count for model in self._found[dataset] for count in self._failed[dataset, model]]
        return [{"dataset": dataset, "model": str(model), "params": {name: plain(value) for name, value in params[at].items()},
                 **{name: column[at] for name, column in scores.items()}, "failed": failed[at],
                 **{name: column[at] for name, column in times.items()}} for at, model in enumerate(columns["model"])]

    def __repr__(self) -> str:
        best = "".join(f"\n{name}: {one.name} {one.parameters} {one.score:.6g}" for name, one in self.best.items())
        models = next(iter(self._found.values()))
        return f"<SearchResult of {len(self._found)} data sets, {len(models)} models>{best}"


def unknown(dataset: str, known: Any) -> str:
    return f"there is no data set {dataset!r} (data sets: {', '.join(known)})"


def plain(value: Any) -> Any:
    """A parameter as tables can hold it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, PLAIN) else str(value)


def together(of_models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The results of several models as one."""
    counts = {name: len(one["params"]) for name, one in of_models.items()}
    found: dict[str, Any] = {"model": np.array([name for name, count in counts.items() for _ in range(count)], dtype=object)}
    for column in dict.fromkeys(column for one in of_models.values() for column in one):
        parts: list[Any] = [one.get(column) for one in of_models.values()]
        if column == "params":
            found[column] = [params for one in parts if one for params in one]
        elif column.startswith("param_"):
            values: Any = np.ma.MaskedArray(np.empty(sum(counts.values()), dtype=object), mask=True)
            at = 0
            for part, count in zip(parts, counts.values()):
                if part is not None:
                    values[at:at + count] = part.astype(object)
                at += count
            found[column] = values
        elif column.startswith("rank_"):
            found[column] = ranks(np.concatenate([one[column.replace("rank_", "mean_", 1)] for one in of_models.values()]))
        else:
            found[column] = np.concatenate(parts)
    return found


def ranks(means: Any) -> Any:
    """The ranks of mean scores, as scikit-learn has them: where there is none, it is one of the worst."""
    if np.isnan(means).all():
        return np.ones(len(means), dtype=np.int32)
    worst = np.nanmin(means) - 1
    return rankdata(-np.where(np.isnan(means), worst, means), method="min").astype(np.int32)
