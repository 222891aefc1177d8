"""What a search over data sets and models is given: each pair of them is a search of scikit-learn's, which is asked for its fits."""

from __future__ import annotations

import inspect
import itertools
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sklearn.model_selection as own  # type: ignore[import-untyped,unused-ignore]
from sklearn.base import clone, is_classifier, is_regressor  # type: ignore[import-untyped,unused-ignore]
from sklearn.utils.validation import _num_samples  # type: ignore[import-untyped,unused-ignore]

from ..errors import Error
from ..loops import brief, inexact
from .fits import Task, without_context
from .parallel import pending

MORE = "(X, y) or (X, y, {\"groups\": ..., \"sample_weight\": ...})"


@dataclass(frozen=True)
class DataSet:
    """A data set: the samples, the targets and what else ``fit`` of a search gets."""

    name: str
    X: Any
    y: Any
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """An estimator, and the parameters to try."""

    name: str
    estimator: Any
    grid: Any
    candidates: Sequence[Mapping[str, Any]]


class Splits:
    """The splits of a data set, made once. A splitter that draws anew each time gives all models the same ones."""

    def __init__(self, cv: Any, folds: int | None) -> None:
        self._cv, self._folds = cv, folds
        self.known: list[Any] | None = None

    @property
    def content(self) -> Any:
        """What the splits are made of besides the data set."""
        return self.known if self._folds is None else self._folds

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Any]:
        if self.known is None:
            self.known = list(self._cv.split(X, y, groups))
        return iter(self.known)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return int(self._cv.get_n_splits(X, y, groups))

    def __getattr__(self, name: str) -> Any:
        if name != "get_metadata_routing":
            raise AttributeError(name)
        return getattr(self._cv, name)


class Asked(BaseException):
    """Ends `fit` of a search when its fits are known."""


@dataclass
class Pair:
    """A data set and a model."""

    dataset: DataSet
    model: Model
    search: Any
    seen: set[Any] = field(default_factory=set)
    tasks: list[Task] = field(default_factory=list)
    """The fits of the first candidate, one for each split, without its parameters."""

    @property
    def name(self) -> str:
        return f"data set '{self.dataset.name}', model '{self.model.name}'"

    def ask(self) -> None:
        """Asks scikit-learn for the fits.

        Raises:
            Error: it refuses them; the message says which data set and model they are of.
        """
        def answer(tasks: Any) -> Any:
            for one in tasks:
                self.tasks.append(one)
                if len(self.tasks) == one[2]["split_progress"][1]:
                    break
            raise Asked

        try:
            self.fit(answer, 7)
        except Asked:
            pass
        except Exception as error:
            raise Error(f"{self.name}: {error}") from error
        self.tasks = [self._without(one) for one in self.tasks]

    def fit(self, answer: Callable[[Any], Any], level: int = 5) -> None:
        """Scikit-learn's own `fit`, whose fits are answered. Its warnings are those of the caller so many levels up."""
        token = pending.set(answer)
        try:
            with self._said(level):
                self.search.fit(self.dataset.X, self.dataset.y, **self.dataset.params)
        finally:
            pending.reset(token)

    @contextmanager
    def _said(self, level: int) -> Iterator[None]:
        """Says once what scikit-learn warns of, with the names of the data set and the model."""
        found: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as found:
                yield
        finally:  # `Asked` ends it, too
            for one in found:
                key = (one.category, str(one.message))
                if key not in self.seen:
                    self.seen.add(key)
                    warnings.warn(f"{self.name}: {one.message}", one.category, stacklevel=level)

    def _without(self, one: Task) -> Task:
        function, by_place, by_name = without_context(one)
        if by_name.get("callback_ctx") is not None:
            raise Error(f"{self.name}: search takes no callbacks of scikit-learn's; GridSearchCV does")
        kept = {name: value for name, value in by_name.items() if name not in ("parameters", "candidate_progress")}
        return function, by_place, kept


def pairs_of(datasets: Any, models: Any, cv: Any, keys: Mapping[str, Any]) -> list[Pair]:
    """All pairs, data sets first, with their fits. `keys` are those of scikit-learn's search.

    Raises:
        Error: what was given is no search; nothing has run.
    """
    of_data = [dataset_of(name, one) for name, one in named(datasets, "datasets", MORE)]
    of_models = [model_of(name, one) for name, one in named(models, "models", "(estimator, grid)")]
    if keys["scoring"] is None and any(map(is_classifier, estimators := [one.estimator for one in of_models])) and any(
            map(is_regressor, estimators)):
        raise Error("there are classifiers and regressors, whose own scores, accuracy and r2, cannot be compared: say scoring=")
    for dataset, model in itertools.product(of_data, of_models):
        takes_all(model, dataset)
    splits = splits_of(of_data, cv)
    pairs = []
    for dataset, model in itertools.product(of_data, of_models):
        try:
            of_pair = splits(dataset, is_classifier(model.estimator))
        except Exception as error:
            raise Error(f"data set '{dataset.name}', model '{model.name}': {error}") from error
        pairs.append(Pair(dataset, model, own.GridSearchCV(model.estimator, model.grid, cv=of_pair, **keys)))
        pairs[-1].ask()
    return pairs


def named(given: Any, what: str, values: str) -> Iterator[tuple[str, Any]]:
    """The pairs of a dict by texts."""
    if not isinstance(given, Mapping):
        raise Error(f"{what} is a dict of {values} by names, found {brief(given)}")
    if not given:
        raise Error(f"{what} is empty: it is a dict of {values} by names")
    for name, value in given.items():
        if type(name) is not str or not name or inexact(name):
            raise Error(f"{what} has names that are texts, found {brief(name)}")
        yield name, value


def dataset_of(name: str, given: Any) -> DataSet:
    found = f"found a {type(given).__name__}"
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        found += f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
        hint = "; load_iris(return_X_y=True) returns one" if hasattr(given, "data") and hasattr(given, "target") else ""
        raise Error(f"data set '{name}' is {MORE}, {found}{hint}")
    X, y, params = (*given, {})[:3]
    if not isinstance(params, Mapping) or not all(type(one) is str for one in params):
        raise Error(f"data set '{name}': what stands behind X and y is a dict by texts of what fit gets, found {brief(params)}")
    if not hasattr(X, "__len__") and not hasattr(X, "shape"):
        raise Error(f"data set '{name}': X has no samples, found {brief(X)}")
    return DataSet(name, X, y, {name: value for name, value in params.items() if value is not None})


def model_of(name: str, given: Any) -> Model:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        found = f"found a {type(given).__name__}" + (f" of {len(given)}" if isinstance(given, (tuple, list)) else "")
        hint = f": ({brief(given)}, {{}}) has one candidate, with the parameters that it has" if hasattr(given, "fit") else ""
        raise Error(f"model '{name}' is (estimator, grid), {found}{hint}")
    estimator, grid = given
    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise Error(f"model '{name}': the first is an estimator, found {brief(estimator)}")
    try:
        candidates = list(own.ParameterGrid(grid))
    except (TypeError, ValueError) as error:
        raise Error(f"model '{name}': {error}") from error
    if not candidates:
        raise Error(f"model '{name}' has no candidates: the grid is {brief(grid)}")
    for one in {tuple(one): one for one in candidates}.values():
        try:
            clone(estimator).set_params(**clone(one, safe=False))
        except Exception as error:
            raise Error(f"model '{name}': {error}") from error
    return Model(name, estimator, grid, candidates)


def takes_all(model: Model, dataset: DataSet) -> None:
    """Refuses what `fit` of an estimator does not take: each fit would fail."""
    try:
        parameters = inspect.signature(model.estimator.fit).parameters
    except (TypeError, ValueError):  # nobody knows
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in dataset.params:
        if name != "groups" and name not in parameters:
            raise Error(f"data set '{dataset.name}' has {name}, which fit of model '{model.name}', "
                        f"{type(model.estimator).__name__}, does not take: search them apart")


def splits_of(datasets: Sequence[DataSet], cv: Any) -> Callable[[DataSet, bool], Splits]:
    """The splits of a data set, for classifiers or for other estimators, which get others if `cv` is a number."""
    is_number = cv is None or isinstance(cv, numbers.Integral) and not isinstance(cv, bool)
    if not is_number and (isinstance(cv, (str, bool)) or not hasattr(cv, "split") and not hasattr(cv, "__iter__")):
        raise Error(f"cv is a number of folds, a splitter of scikit-learn's or a list of splits, found {brief(cv)}")
    if not is_number and not hasattr(cv, "split"):
        cv = list(cv)
        sizes = {one.name: _num_samples(one.X) for one in datasets}
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"'{name}' has {size}" for name, size in list(sizes.items())[:5])
            raise Error(f"cv is a list of splits, which are of so many samples, and data sets have different numbers of them: {found}; "
                        "give a splitter, such as KFold(5)")
    known: dict[Any, Splits] = {}

    def of(dataset: DataSet, for_classifier: bool) -> Splits:
        key = (dataset.name, for_classifier and is_number)
        if key not in known:
            folds = (5 if cv is None else int(cv)) if is_number else None
            known[key] = Splits(own.check_cv(cv, dataset.y, classifier=for_classifier), folds)
        return known[key]

    return of
