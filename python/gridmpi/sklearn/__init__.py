"""scikit-learn's searches, whose fits are runs of gridmpi: on this machine or over MPI, and kept, so that they go on.

>>> from gridmpi.sklearn import GridSearchCV
>>> from sklearn.linear_model import Ridge
>>> GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, workers=2)
GridSearchCV(estimator=Ridge(), param_grid={'alpha': [0.1, 1.0]}, workers=2)

This takes scikit-learn: ``pip install 'gridmpi[sklearn]'``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .found import Best, SearchResult
    from .many import search
    from .searches import GridSearchCV, RandomizedSearchCV

PLACES = {"GridSearchCV": "searches", "RandomizedSearchCV": "searches", "search": "many", "SearchResult": "found", "Best": "found"}
__all__ = ["Best", "GridSearchCV", "RandomizedSearchCV", "SearchResult", "search"]


def __getattr__(name: str) -> Any:
    """Each of them, with scikit-learn, when they are asked for: a process that only looks at a run imports neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        importlib.import_module("sklearn")  # before joblib, which it brings along: the error names what to install
        module = importlib.import_module(f".{PLACES[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise ModuleNotFoundError(f"{__name__} takes scikit-learn: pip install scikit-learn", name="sklearn") from None
    globals()[name] = getattr(module, name)
    return globals()[name]
