"""The two searches: scikit-learn's own, whose `fit` hands its fits to gridmpi."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable
from typing import Any

import joblib  # type: ignore[import-untyped,unused-ignore]
import sklearn.model_selection as own  # type: ignore[import-untyped,unused-ignore]
from sklearn.utils._param_validation import Interval  # type: ignore[import-untyped,unused-ignore]

from .fits import outcomes
from .parallel import is_within_another, pending

MORE = {
    "results": [str, os.PathLike, None],
    "workers": [Interval(numbers.Integral, 1, None, closed="left"), None],
    "mpi": ["boolean", list, tuple],
}

KEYWORDS = """

    These keywords are gridmpi's:

    Args:
        results: a folder that keeps what is done. Each fit has a folder of its own in it, named by the content of what
            it was given: the same fit goes on there, a fit with other data, parameters or splits begins another.
        workers: how many fits at a time; ``n_jobs``, unless it is given, and one per core if neither is.
        mpi: start mpirun, as `gridmpi.Nest.run` does; a list has more options for it.
    """


class Search:
    """What both searches share."""

    n_jobs: Any
    results: Any
    workers: Any
    mpi: Any

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Run fit with all sets of parameters, as in scikit-learn, with gridmpi's workers.

        Args:
            X: the samples, of shape (n_samples, n_features), or (n_samples, n_samples) for precomputed kernels.
            y: the targets, of shape (n_samples,) or (n_samples, n_outputs); None where there are none.
            params: what goes to the splitter, to ``fit`` of the estimator and to the scorer.

        Raises:
            Exception: that of a fit or scorer, with ``error_score="raise"``.
            gridmpi.Error: gridmpi refused it; the message says why.
            KeyboardInterrupt: after an orderly end; with ``results``, the next call goes on.
        """
        token = pending.set(self._outcomes)
        try:
            return super().fit(X, y, **params)  # type: ignore[misc]
        finally:
            pending.reset(token)

    def _outcomes(self, tasks: Iterable[Any]) -> list[Any] | None:
        """What the fits return; None within a worker, where they are serial."""
        if is_within_another():
            return None
        workers = self.workers
        if workers is None and self.n_jobs is not None:
            workers = joblib.effective_n_jobs(self.n_jobs)
        return outcomes(list(tasks), type(self).__name__, self.results, workers, self.mpi)


class GridSearchCV(Search, own.GridSearchCV):  # type: ignore[misc]
    __doc__ = "scikit-learn's GridSearchCV, whose fits are runs of gridmpi." + KEYWORDS

    _parameter_constraints = {**own.GridSearchCV._parameter_constraints, **MORE}

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        error_score: Any = float("nan"),
        return_train_score: bool = False,
        results: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        mpi: Any = False,
    ) -> None:
        super().__init__(
            estimator, param_grid, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv, verbose=verbose,
            pre_dispatch=pre_dispatch, error_score=error_score, return_train_score=return_train_score,
        )
        self.results = results
        self.workers = workers
        self.mpi = mpi


class RandomizedSearchCV(Search, own.RandomizedSearchCV):  # type: ignore[misc]
    __doc__ = "scikit-learn's RandomizedSearchCV, whose fits are runs of gridmpi." + KEYWORDS

    _parameter_constraints = {**own.RandomizedSearchCV._parameter_constraints, **MORE}

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = float("nan"),
        return_train_score: bool = False,
        results: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        mpi: Any = False,
    ) -> None:
        super().__init__(
            estimator, param_distributions, n_iter=n_iter, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv,
            verbose=verbose, pre_dispatch=pre_dispatch, random_state=random_state, error_score=error_score,
            return_train_score=return_train_score,
        )
        self.results = results
        self.workers = workers
        self.mpi = mpi


for one in (GridSearchCV, RandomizedSearchCV):
    one.__module__ = "gridmpi.sklearn"
