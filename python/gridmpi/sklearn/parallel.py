"""Where scikit-learn's searches hand out their fits: `Parallel`, which for searches of this package runs a nest."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import joblib  # type: ignore[import-untyped,unused-ignore]
import sklearn  # type: ignore[import-untyped,unused-ignore]
from sklearn.model_selection import _search  # type: ignore[import-untyped,unused-ignore]
from sklearn.utils import parallel  # type: ignore[import-untyped,unused-ignore]

from ..errors import Error
from .fits import outcomes

pending: ContextVar[Any] = ContextVar("pending", default=None)
"""The search whose `fit` is about to make its `Parallel`; or what has an ``answer`` to its tasks, which are then not run."""


def is_within_another() -> bool:
    """Whether this process or thread is a worker, of gridmpi's or of joblib's: the cores are taken."""
    backend, _ = joblib.parallel.get_active_backend()
    return "GRIDMPI_RANK" in os.environ or bool(getattr(backend, "nesting_level", 0))


class AsNest(joblib.Parallel):  # type: ignore[misc]
    """joblib's, but for the search that is pending, which it takes."""

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        search = pending.get()
        if search is not None:
            pending.set(None)
            keys["n_jobs"] = 1  # joblib starts no processes
        self._nest = None if not hasattr(search, "answer") and (search is None or is_within_another()) else search
        super().__init__(*arguments, **keys)

    def __call__(self, tasks: Iterable[Any]) -> Any:
        search = self._nest
        if search is None:
            return super().__call__(tasks)
        if hasattr(search, "answer"):
            return search.answer(tasks)
        workers = search.workers
        if workers is None and search.n_jobs is not None:
            workers = joblib.effective_n_jobs(search.n_jobs)
        return outcomes(list(tasks), type(search).__name__, search.results, workers, search.mpi)


class Parallel(parallel.Parallel, AsNest):  # type: ignore[misc]
    """scikit-learn's, which gives each task the configuration and warning filters of the caller, before `AsNest`."""


# scikit-learn's `fit` finds it by this name. Searches of scikit-learn itself get what they had.
if "Parallel" not in inspect.unwrap(_search.BaseSearchCV.fit).__code__.co_names:
    raise Error(f"gridmpi.sklearn does not know the searches of scikit-learn {sklearn.__version__}")
_search.Parallel = Parallel
