"""A search over many data sets and models, whose fits are one stream."""

from __future__ import annotations

import functools
import math
import numbers
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.exceptions import FitFailedWarning  # type: ignore[import-untyped,unused-ignore]

from ..errors import Error
from ..loops import brief
from . import member
from .found import Best, Bests, SearchResult
from .given import Pair, pairs_of
from .parallel import is_within_another
from .stream import Stream, here, streamed


def search(
    datasets: Mapping[str, Sequence[Any]],
    models: Mapping[str, Sequence[Any]],
    *,
    cv: Any = 5,
    scoring: Any = None,
    refit: bool | str = True,
    error_score: Any = math.nan,
    return_train_score: bool = False,
    results: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    mpi: bool | Sequence[str] = False,
) -> SearchResult:
    """Searches the best model of each of many data sets: all data sets, models, candidates and splits are one stream of fits, which no
    data set or model ends with workers that wait. Scores are those of scikit-learn's GridSearchCV.

    Args:
        datasets: by name, ``(X, y)``, as for ``fit``; or ``(X, y, {"groups": ..., "sample_weight": ...})``, where the dict has what
            ``GridSearchCV.fit`` takes besides.
        models: by name, ``(estimator, grid)``: a dict of lists of parameters, or a list of such dicts. ``{}`` is the estimator
            as it is.
        cv: the number of folds, stratified for classifiers; a splitter; or a list of splits, where all data sets have as many
            samples. The models of a data set have the same splits.
        scoring: a text, a function, a list of texts, or a dict of texts and functions by name; the estimators' own score, if it is
            not given.
        refit: the name of the score that the best model has, if there are several; the best model of each data set is
            fitted again on all of it, by a worker, when its last fit is done. With False it is not.
        error_score: the score of a fit that fails, or ``"raise"``. If all fits of a model fail on a data set, that is a warning.
        return_train_score: whether there are scores on training sets, too.
        results: a folder that keeps what is done. The same fits are not made again there; other data under the same name, another
            estimator, scoring or splits are, and new data sets, models and candidates are added.
        workers: how many fits at a time; one per core, unless it is given.
        mpi: start mpirun, as `gridmpi.Nest.run` does; a list has more options for it.

    Raises:
        gridmpi.Error: something was given in a wrong way: nothing has run. Or gridmpi refused the run; the message says why.
        Exception: that of a fit, with ``error_score="raise"``.
        KeyboardInterrupt: after an orderly end; with ``results``, the next call goes on.

    >>> from sklearn.datasets import load_diabetes, load_linnerud
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> found = search(
    ...     datasets={"diabetes": load_diabetes(return_X_y=True), "linnerud": load_linnerud(return_X_y=True)},
    ...     models={"ridge": (Ridge(), {"alpha": [0.01, 0.1]}), "neighbors": (KNeighborsRegressor(), {"n_neighbors": [5, 15]})},
    ...     scoring="neg_root_mean_squared_error", workers=2)
    >>> found.best["diabetes"].name, found.best["diabetes"].parameters, round(found.best["diabetes"].score, 2)
    ('ridge', {'alpha': 0.01}, -54.74)
    >>> [(row["dataset"], row["model"], row["rank_test_score"]) for row in found.table][:4]
    [('diabetes', 'ridge', 1), ('diabetes', 'ridge', 2), ('diabetes', 'neighbors', 4), ('diabetes', 'neighbors', 3)]
    """
    metric = metric_of(scoring, refit)
    if error_score != "raise" and (not isinstance(error_score, numbers.Real) or isinstance(error_score, bool)):
        raise Error(f'error_score is a number or "raise", found {brief(error_score)}')
    if workers is not None and (not isinstance(workers, numbers.Integral) or isinstance(workers, bool) or workers < 1):
        raise Error(f"workers is a number, 1 or more, found {brief(workers)}")
    if results is not None and not isinstance(results, (str, os.PathLike)):
        raise Error(f"results is a folder, found {brief(results)}")
    if not isinstance(mpi, (bool, list, tuple)):
        raise Error(f"mpi is True, or a list of more options for mpirun, found {brief(mpi)}")
    keys = {"scoring": scoring, "refit": False, "error_score": error_score, "return_train_score": return_train_score}
    pairs = pairs_of(datasets, models, cv, keys)
    stream = here(pairs) if is_within_another() else streamed(pairs, metric if refit else None, results, workers, mpi)
    found: dict[str, dict[str, Any]] = {}
    failed = {}
    for pair in pairs:
        fits = stream.fits[pair.dataset.name, pair.model.name]
        failed[pair.dataset.name, pair.model.name] = failures(fits, len(pair.tasks))
        pair.fit(functools.partial(answered, pair, fits))
        found.setdefault(pair.dataset.name, {})[pair.model.name] = pair.search.cv_results_
    return SearchResult(found, failed, bests(pairs, found, stream, metric, bool(refit)))


def metric_of(scoring: Any, refit: Any) -> str | None:
    """The score that the best model has; None, if none is said.

    Raises:
        Error: `refit` names none.
    """
    several = sorted(scoring) if isinstance(scoring, (list, tuple, set, Mapping)) else None
    if several is not None and (not several or not all(type(name) is str for name in several)):
        raise Error(f"scoring is a text, a function, a list of texts, or a dict of texts and functions by name, found {brief(scoring)}")
    if not isinstance(refit, (bool, str)):
        raise Error(f"refit is True, False or the name of a score, found {brief(refit)}")
    if several is None:
        if isinstance(refit, str) and not callable(scoring) and refit not in ("score", scoring):
            raise Error(f"refit={refit!r} is no score: there is one, {scoring or 'score'!r}; say refit=True")
        return refit if isinstance(refit, str) and callable(scoring) else "score"
    if refit is False:
        return several[0] if len(several) == 1 else None
    if refit not in several:
        raise Error(f"refit is the name of one of the scores, {', '.join(map(repr, several))}, or False, found {refit!r}")
    return str(refit)


def failures(fits: Sequence[Any], splits: int) -> list[int]:
    """How many fits of each candidate have failed."""
    return [sum(one["fit_error"] is not None for one in fits[at:at + splits]) for at in range(0, len(fits), splits)]


def answered(pair: Pair, fits: Sequence[Any], tasks: Any) -> list[Any]:
    """What scikit-learn gets in answer to its tasks. If no fit is left, it refuses all results; here the others count."""
    if any(one["fit_error"] is None for one in fits):
        return list(fits)
    error = str(fits[0]["fit_error"]).strip().splitlines()[-1]
    warnings.warn(f"all {len(fits)} fits have failed: {error}", FitFailedWarning, stacklevel=2)
    return [{**one, "fit_error": None} for one in fits]


def bests(pairs: Sequence[Pair], found: Mapping[str, Mapping[str, Any]], stream: Stream, metric: str | None, refit: bool) -> Bests:
    """The best model of each data set, by scikit-learn's rule: the greatest mean, the first one of equals."""
    best: dict[str, Best] = {}
    why = {}
    for name, of_models in found.items():
        if metric is None:
            why[name] = "the search was made with several scores and refit=False, so none says what is best"
            continue
        score, model, at = -math.inf, None, 0
        for of_model, columns in of_models.items():
            if f"mean_test_{metric}" not in columns:  # a function has returned others
                scores = [column.removeprefix("mean_test_") for column in columns if column.startswith("mean_test_")]
                why[name] = f"data set '{name}', model '{of_model}' has no score '{metric}': say by refit= which of {', '.join(scores)} counts"
                break
            first = int(columns[f"rank_test_{metric}"].argmin())
            mean = float(columns[f"mean_test_{metric}"][first])
            if not math.isnan(mean) and (model is None or mean > score):
                score, model, at = mean, of_model, first
        if name in why:
            continue
        if model is None:
            why[name] = f"no candidate of data set '{name}' has a score in each split: its rows in .table say how many fits have failed"
            continue
        pair = next(one for one in pairs if (one.dataset.name, one.model.name) == (name, model))
        parameters = pair.model.candidates[at]
        _, (estimator, X, y), by_name = pair.tasks[0]
        made = stream.refits.get((name, model, at))
        if made is None and refit:  # the worker could not fit it, or means that differ in the last bit are equal
            made = functools.partial(member.refitted, estimator, X, y, by_name, parameters)
        best[name] = Best(model, dict(parameters), score, made)
    return Bests(best, why)
