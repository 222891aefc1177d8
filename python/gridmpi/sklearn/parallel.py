"""Where scikit-learn's searches hand out their fits: `Parallel`, which for searches of this package runs a nest."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import joblib  # type: ignore[import-untyped,unused-ignore]
import sklearn  # type: ignore[import-untyped,unused-ignore]
from sklearn.model_selection import _search  # type: ignore[import-untyped,unused-ignore]
from sklearn.utils import parallel  # type: ignore[import-untyped,unused-ignore]

from ..errors import Error

pending: ContextVar[Callable[[Iterable[Any]], list[Any] | None] | None] = ContextVar("pending", default=None)
"""What answers the tasks of the next `Parallel`, which a `fit` is about to make. None leaves them to joblib: no task was taken."""


def is_within_another() -> bool:
    """Whether this process or thread is a worker, of gridmpi's or of joblib's: the cores are taken."""
    backend, _ = joblib.parallel.get_active_backend()
    return "GRIDMPI_RANK" in os.environ or bool(getattr(backend, "nesting_level", 0))


class AsNest(joblib.Parallel):  # type: ignore[misc]
    """joblib's, but for tasks that are answered."""

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        self._answer = pending.get()
        if self._answer is not None:
            pending.set(None)
            keys["n_jobs"] = 1  # joblib starts no processes
        super().__init__(*arguments, **keys)

    def __call__(self, tasks: Iterable[Any]) -> Any:
        found = None if self._answer is None else self._answer(tasks)
        return super().__call__(tasks) if found is None else found


class Parallel(parallel.Parallel, AsNest):  # type: ignore[misc]
    """scikit-learn's, which gives each task the configuration and warning filters of the caller, before `AsNest`."""


# scikit-learn's `fit` finds it by this name. Searches of scikit-learn itself get what they had.
if "Parallel" not in inspect.unwrap(_search.BaseSearchCV.fit).__code__.co_names:
    raise Error(f"gridmpi.sklearn does not know the searches of scikit-learn {sklearn.__version__}")
_search.Parallel = Parallel
