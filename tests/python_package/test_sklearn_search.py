"""A search over data sets and models: equal to scikit-learn's own for each of them to the last bit, one job, and kept."""

import doctest
import importlib
import pickle
import subprocess
import threading
import warnings

import numpy as np
import pytest
import sklearn.model_selection as own
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer_names
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import gridmpi
from gridmpi.sklearn import search
from gridmpi.sklearn.given import pairs_of
from gridmpi.sklearn.stream import Identity

REGRESSION = {"a": make_regression(60, 4, noise=3.0, random_state=1), "b/b": make_regression(50, 6, noise=9.0, random_state=2)}
RIDGE = (Ridge(), {"alpha": np.logspace(-1, 1, 3)})
TREE = (DecisionTreeRegressor(random_state=0), [{"max_depth": [2, 4]}, {"min_samples_leaf": [3], "max_depth": [None]}])
KNN = (make_pipeline(StandardScaler(), KNeighborsRegressor()), {"kneighborsregressor__n_neighbors": [3, 5]})
A, R = {"a": REGRESSION["a"]}, {"ridge": RIDGE}
SCORES = {"r2": "r2", "e": "neg_mean_squared_error"}


def equal(found, theirs):
    """All that is no time."""
    assert list(found) == list(theirs)
    for name, column in theirs.items():
        mine = found[name]
        assert type(mine) is type(column) and (not hasattr(column, "dtype") or mine.dtype == column.dtype), name
        if name.startswith("param_"):
            np.testing.assert_array_equal(mine.mask, column.mask, err_msg=name)
            mine, column = mine.compressed(), column.compressed()
        if not name.endswith("_time"):
            np.testing.assert_array_equal(mine, column, err_msg=name)


def same(found, datasets, models, params=None, **keys):
    """Each data set and model as scikit-learn's own search has them, and the best of them."""
    for name, (X, y, *_) in datasets.items():
        best = None
        for model, (estimator, grid) in models.items():
            theirs = own.GridSearchCV(estimator, grid, **keys).fit(X, y, **(params or {}))
            equal(found.cv_results(name, model), theirs.cv_results_)
            if keys.get("refit", True) and (best is None or theirs.best_score_ > best[1].best_score_):
                best = model, theirs
        if best is not None:
            model, theirs = best
            mine = found.best[name]
            assert (mine.name, mine.parameters, mine.score) == (model, theirs.best_params_, theirs.best_score_)
            np.testing.assert_array_equal(mine.estimator.predict(X), theirs.predict(X))
            assert type(mine.estimator) is type(theirs.best_estimator_)


def test_all_data_sets_and_models_are_as_scikit_learn_has_them(desk):
    models = {"ridge": RIDGE, "tree": TREE, "knn": KNN}
    keys = dict(cv=own.KFold(3, shuffle=True, random_state=0), scoring=SCORES, refit="r2", return_train_score=True)
    found = search(REGRESSION, models, workers=2, **keys)
    same(found, REGRESSION, models, **keys)
    assert not list(desk.folder.iterdir()), "nothing is kept unless it is asked for"
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.best["a"].estimator.predict(REGRESSION["a"][0]), found.best["a"].estimator.predict(REGRESSION["a"][0]))

    together = found.cv_results("a")
    assert list(together["model"]) == ["ridge"] * 3 + ["tree"] * 3 + ["knn"] * 2
    means = np.concatenate([found.cv_results("a", model)["mean_test_r2"] for model in models])
    np.testing.assert_array_equal(together["mean_test_r2"], means)
    assert [int(sum(means > mean)) + 1 for mean in means] == list(together["rank_test_r2"])
    assert together["param_alpha"].mask.tolist() == [False] * 3 + [True] * 5 and together["params"][5] == {"min_samples_leaf": 3, "max_depth": None}
    rows = found.table
    assert len(rows) == 16 and {row["dataset"] for row in rows} == {"a", "b/b"} and set(rows["failed"]) == {0}
    assert rows[3]["params"] == {"max_depth": 2} and rows[3]["mean_test_e"] == together["mean_test_e"][3]
    assert rows[3]["std_test_r2"] == together["std_test_r2"][3] and "mean_train_r2" in rows.names
    assert found.table.to_pandas().shape == (16, len(rows.names)) and "max_depth" in repr(found.table)
    assert "2 data sets, 3 models" in repr(found)


def test_numbers_of_folds_are_stratified_for_classifiers(desk):
    datasets = {"iris": load_iris(return_X_y=True), "two": make_classification(60, random_state=0)}
    models = {"tree": (DecisionTreeClassifier(random_state=0), [{"max_depth": [1, 2]}, {"max_depth": [2]}]), "plain": (KNeighborsClassifier(), {})}
    same(search(datasets, models, workers=1), datasets, models, cv=5)
    mixed = {"knn": (KNeighborsClassifier(), {}), "ridge": RIDGE}
    same(search(datasets, mixed, cv=4, scoring="neg_mean_squared_error", workers=2), datasets, mixed, cv=4, scoring="neg_mean_squared_error")


def test_groups_weights_and_splitters_that_draw(desk):
    (X, y), weights, groups = REGRESSION["a"], np.linspace(1, 2, 60), np.arange(60) % 6
    given = {"groups": groups, "sample_weight": weights}
    models = {"ridge": RIDGE, "tree": TREE}
    found = search({"a": (X, y, given)}, models, cv=own.LeaveOneGroupOut(), scoring=["r2", "neg_mean_absolute_error"], refit="neg_mean_absolute_error", workers=2)
    same(found, {"a": (X, y)}, models, given, cv=own.LeaveOneGroupOut(), scoring=["r2", "neg_mean_absolute_error"], refit="neg_mean_absolute_error")
    # Data sets with different numbers of splits.
    found = search({"a": (X, y, given), "six": (X, y, {"groups": groups % 3})}, {"ridge": RIDGE}, cv=own.LeaveOneGroupOut(), workers=1)
    same(found, {"six": (X, y)}, {"ridge": RIDGE}, {"groups": groups % 3}, cv=own.LeaveOneGroupOut())
    assert "split5_test_score" in found.cv_results("a") and "split3_test_score" not in found.cv_results("six")
    # Both models have the same splits, which are drawn once.
    found = search({"a": (X, y)}, {"one": RIDGE, "two": RIDGE}, cv=own.ShuffleSplit(2), workers=1, refit=False)
    equal(found.cv_results("a", "one"), found.cv_results("a", "two"))


class Noted(Ridge):
    """Notes each fit in the file `calls`."""

    def fit(self, X, y, sample_weight=None):
        with open("calls", "a") as file:
            file.write("x\n")
        return super().fit(X, y, sample_weight)


def test_what_is_kept_is_not_made_again_and_only_what_is_new_is_made(desk):
    (a, b), ridge = REGRESSION.values(), (Noted(), {"alpha": [0.1, 1.0]})

    def made(datasets, models, **keys):
        found = search(datasets, models, cv=2, results="kept", workers=1, **keys)
        for name, (X, y) in datasets.items():
            for model, (estimator, grid) in models.items():
                theirs = own.GridSearchCV(Ridge(**estimator.get_params()), grid, cv=2, **keys).fit(X, y)
                equal(found.cv_results(name, model), theirs.cv_results_)
            np.testing.assert_array_equal(found.best[name].estimator.coef_, Ridge(**found.best[name].estimator.get_params()).fit(X, y).coef_)
        return desk.calls()

    assert made({"a": a}, {"ridge": ridge}) == 5, "four fits and a refit"
    assert made({"b": b, "a": a}, {"ridge": ridge}) == 5, "a new data set"
    assert made({"a": a, "b": b}, {"more": (Noted(tol=1e-5), {"alpha": [50.0]}), "ridge": (Noted(), {"alpha": [99.0, 0.1, 1.0]})}) == 8, "more candidates"
    other = {"a": (a[0], a[1] + np.arange(60))}
    assert made(other, {"ridge": ridge}) == 5, "other data under the same name"
    assert made({"a": a}, {"ridge": ridge}) == 1, "the first runs are there still, and the best is fitted again"
    runs = gridmpi.open(next(desk.folder.glob("kept/*/runs"))).runs
    assert {row["candidate"] for row in runs} == {"ridge: alpha=0.1", "ridge: alpha=1.0"} and set(runs[0]) >= {"dataset", "split", "score"}
    assert not list(desk.folder.glob("kept/*/fits-*"))


def test_what_fits_are_made_of(desk):
    def made_of(datasets=A, models=R, cv=5, **keys):
        keys = {"scoring": None, "refit": False, "error_score": 0.0, "return_train_score": False, **keys}
        found = Identity(pairs_of(datasets, models, cv, keys))
        (dataset, *_), candidates = found.datasets()["version"].values(), found.candidates()["version"]
        return found.common, dataset, list(candidates.values())[0], list(candidates)

    (X, y), first = REGRESSION["a"], made_of()
    assert made_of() == first == made_of(cv=None) and first[3] == ["ridge: alpha=0.1", "ridge: alpha=1.0", "ridge: alpha=10.0"]
    assert made_of({"a": (X.copy(), y.tolist())})[0::2] == first[0::2] and made_of({"a": (X.copy(), y.copy())}) == first
    for part, given in [(0, dict(error_score=1.0)), (0, dict(return_train_score=True)), (1, dict(datasets={"a": (X, y + 1)})), (1, dict(cv=3)),
                        (1, dict(cv=own.KFold(5, shuffle=True, random_state=0))), (1, dict(datasets={"a": (X, y, {"sample_weight": y * y})})),
                        (2, dict(scoring="max_error" if "max_error" in get_scorer_names() else "neg_max_error")),
                        (2, dict(models={"ridge": (Ridge(tol=0.1), RIDGE[1])})), (3, dict(models={"ridge": (Ridge(), {"alpha": [0.1]})}))]:
        found = made_of(**given)
        assert [at for at in range(4) if found[at] != first[at]] == [part], given
    shuffled = own.KFold(5, shuffle=True, random_state=np.random.RandomState(0))
    assert made_of(cv=shuffled)[1] != made_of(cv=shuffled)[1], "it draws anew"
    grid = {"max_depth": [None, 2], "max_features": ["sqrt", 0.5], "min_weight_fraction_leaf": [np.float32(0.1)]}
    labels = made_of(models={"tree": (TREE[0], grid)})[3]
    assert len(set(labels)) == 4 and labels[0].startswith("tree: max_depth=None, max_features='sqrt', min_weight_fraction_leaf=float32 ")


def test_parameters_that_no_text_says_count_by_content(desk):
    models = {"knn": (make_pipeline(StandardScaler(), Noted()), {"standardscaler": [StandardScaler(), StandardScaler(with_mean=False), "passthrough"]})}
    for fits in (7, 0):
        found = search({"a": REGRESSION["a"]}, models, cv=2, results="kept", workers=1)
        found.best["a"].estimator
        assert desk.calls() == fits
    assert found.table[0]["params"] == {"standardscaler": "StandardScaler()"}
    theirs = own.GridSearchCV(*models["knn"], cv=2).fit(*REGRESSION["a"])
    np.testing.assert_array_equal(found.cv_results("a", "knn")["mean_test_score"], theirs.cv_results_["mean_test_score"])


SLOW = """
import os, time
from sklearn.linear_model import Ridge
from sklearn.datasets import make_regression
from gridmpi.sklearn import search

class Slow(Ridge):
    def fit(self, X, y):
        while not os.path.exists("go") and len(open("calls").readlines()) >= 5:
            time.sleep(0.05)
        with open("calls", "a") as file:
            file.write("x\\n")
        return super().fit(X, y)

datasets = {name: make_regression(40, 3, random_state=seed) for seed, name in enumerate("ab")}
found = search(datasets, {"slow": (Slow(), {"alpha": [1.0, 2.0]})}, cv=3, results="kept", workers=1, refit=False)
print({name: one.parameters["alpha"] for name, one in found.best.items()})
"""


def test_a_search_that_was_killed_goes_on(desk):
    pytest.importorskip("cloudpickle")
    desk.search_goes_on_after_a_kill(SLOW, "{'a': 1.0, 'b': 1.0}\n")


class NoSuch(Exception):
    pass


class Bad(Ridge):
    def fit(self, X, y):
        if self.alpha == 1.0 or X.shape[1] == 6:
            raise NoSuch("no such alpha")
        warnings.warn("a word of warning", RuntimeWarning, stacklevel=1)
        return super().fit(X, y)


def test_fits_that_fail(desk):
    models = {"bad": (Bad(), {"alpha": [0.5, 1.0]}), "ridge": RIDGE}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = search(REGRESSION, models, cv=2, workers=1)
        said = [str(one.message) for one in seen if one.category is FitFailedWarning]
        same(found, {"a": REGRESSION["a"]}, models, cv=2)
    assert said[0].startswith("data set 'a', model 'bad': \n2 fits failed out of a total of 4.")
    assert said[1].startswith("data set 'b/b', model 'bad': all 4 fits have failed: ") and said[1].endswith("no such alpha")
    assert "a word of warning" in [str(one.message) for one in seen]
    assert [row["failed"] for row in found.table] == [0, 2, 0, 0, 0, 2, 2, 0, 0, 0] and found.best["b/b"].name == "ridge"
    assert np.isnan(found.cv_results("b/b", "bad")["mean_test_score"]).all() and found.cv_results("b/b")["rank_test_score"][:2].tolist() == [4, 4]
    with pytest.warns(FitFailedWarning), pytest.raises(gridmpi.Error, match="no candidate of data set 'b/b' has a score"):
        search({"b/b": REGRESSION["b/b"]}, {"bad": models["bad"]}, cv=2, workers=1).best["b/b"]
    with pytest.raises(NoSuch, match="^no such alpha$") as raised:
        search(REGRESSION, models, cv=2, workers=1, error_score="raise")
    assert "in fit" in str(raised.value.__cause__)


class Picky(Ridge):
    """Fails only where it is fitted again."""

    def fit(self, X, y):
        if len(X) == 60:
            raise NoSuch("too many")
        return super().fit(X, y)


def test_a_refit_that_fails_is_raised_when_it_is_asked_for(desk):
    with pytest.warns(FitFailedWarning, match="data set 'a', model 'picky': .* on the whole data set: NoSuch: too many"):
        found = search({"a": REGRESSION["a"]}, {"picky": (Picky(), {"alpha": [1.0]})}, cv=2, workers=1)
    assert found.best["a"].parameters == {"alpha": 1.0} and found.table[0]["failed"] == 0
    with pytest.raises(NoSuch, match="too many"):
        found.best["a"].estimator


def test_what_scikit_learn_warns_of_is_said_once_with_names(desk):
    X, y = np.arange(40.0).reshape(-1, 2), np.array([0] * 17 + [1] * 3)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = search({"few": (X, y)}, {"one": (KNeighborsClassifier(), {}), "two": (KNeighborsClassifier(), {})}, workers=1,
                       scoring=lambda estimator, X, y: {"a": 0.5, "b": 1.0})
    assert [str(one.message).split(" in y")[0] for one in seen] == ["data set 'few', model 'one': The least populated class"]
    assert seen[0].filename == __file__ and "mean_test_b" in found.table.names
    with pytest.raises(gridmpi.Error, match="no score 'score': say by refit= which of a, b counts"):
        found.best["few"]


def score_of(estimator, X, y):
    """Of the two candidates that are equally good, means in another order of summation may differ in the last bit."""
    return [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9][len(X) % 9] if estimator.alpha != 2.0 else 0.9


def test_a_score_of_ones_own_and_the_first_of_equals(desk):
    models = {"one": (Ridge(), {"alpha": [1.0, 2.0, 3.0, 2.0]}), "two": (Ridge(), {"alpha": [2.0]})}
    splits = list(own.KFold(9).split(A["a"][0]))
    found = search(A, models, cv=iter(splits), scoring=score_of, workers=1)
    same(found, A, models, cv=splits, scoring=score_of)
    assert (found.best["a"].name, found.best["a"].parameters) == ("one", {"alpha": 2.0})


def within(alpha):
    """A search in a worker: it starts nothing."""
    subprocess.Popen = None
    found = search({"a": REGRESSION["a"]}, {"ridge": (Ridge(), {"alpha": [alpha, 2 * alpha]})}, cv=2, results="never", workers=2)
    return {"score": found.best["a"].score, "coefficient": float(found.best["a"].estimator.coef_[0])}


def test_within_a_worker_it_is_serial(desk):
    value, = gridmpi.map(within, [1.0], workers=1)
    theirs = own.GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(*REGRESSION["a"])
    assert value == {"score": theirs.best_score_, "coefficient": theirs.best_estimator_.coef_[0]}
    assert not (desk.folder / "never").exists()


def test_over_mpi(desk):
    models = {"ridge": RIDGE, "tree": TREE}
    same(search(REGRESSION, models, cv=2, workers=2, mpi=True), REGRESSION, models, cv=2)
    assert not list(desk.folder.iterdir())


WRONG = [
    (dict(datasets={}), "datasets is empty"),
    (dict(datasets=[REGRESSION["a"]]), r"datasets is a dict of \(X, y\)"),
    (dict(datasets={1: REGRESSION["a"]}), "datasets has names that are texts, found 1"),
    (dict(datasets={"a": REGRESSION["a"][0]}), r"data set 'a' is \(X, y\) or .*, found a ndarray"),
    (dict(datasets={"a": load_iris()}), r"found a Bunch; load_iris\(return_X_y=True\) returns one"),
    (dict(datasets={"a": (1, 2, 3, 4)}), "found a tuple of 4"),
    (dict(datasets={"a": (*REGRESSION["a"], np.arange(60))}), "what stands behind X and y is a dict by texts"),
    (dict(datasets={"a": (3, 4)}), "data set 'a': X has no samples, found 3"),
    (dict(datasets={"a": (REGRESSION["a"][0], [1, 2])}), "data set 'a', model 'ridge': .*inconsistent numbers of samples"),
    (dict(datasets={"a": (REGRESSION["a"][0][:3], [1, 2, 3])}), "data set 'a', model 'ridge': .*n_splits=5"),
    (dict(datasets={"a": (*REGRESSION["a"], {"sample_weight": np.ones(60)})}, models={"knn": (KNeighborsRegressor(), {})}),
     "data set 'a' has sample_weight, which fit of model 'knn', KNeighborsRegressor, does not take"),
    (dict(models={}), "models is empty"),
    (dict(models={"ridge": Ridge()}), r"model 'ridge' is \(estimator, grid\), found a Ridge: \(Ridge\(\), {}\) has one candidate"),
    (dict(models={"ridge": (Ridge, {})}), "model 'ridge': the first is an estimator"),
    (dict(models={"ridge": (Ridge(), {"alpa": [1.0]})}), "model 'ridge': Invalid parameter 'alpa'"),
    (dict(models={"ridge": (Ridge(), {"alpha": 1.0})}), "model 'ridge': .*alpha"),
    (dict(models={"ridge": (Ridge(), [])}), "model 'ridge' has no candidates"),
    (dict(models={"ridge": RIDGE, "knn": (KNeighborsClassifier(), {})}), "classifiers and regressors, .* say scoring="),
    (dict(models={"means": (KMeans(), {})}, scoring="nonsense"), "nonsense"),
    (dict(scoring=SCORES), "refit is the name of one of the scores, 'e', 'r2', or False, found True"),
    (dict(scoring=SCORES, refit="mae"), "found 'mae'"),
    (dict(scoring="r2", refit="mae"), "refit='mae' is no score: there is one, 'r2'"),
    (dict(scoring=[]), "scoring is a text, a function"),
    (dict(refit=len), "refit is True, False or the name of a score"),
    (dict(cv="five"), "cv is a number of folds"),
    (dict(cv=1), "data set 'a'.*n_splits=1"),
    (dict(datasets=REGRESSION, cv=[([0, 1], [2, 3])]), "data sets have different numbers of them: 'a' has 60, 'b/b' has 50"),
    (dict(error_score="ignore"), 'error_score is a number or "raise"'),
    (dict(results=5), "results is a folder, found 5"),
    (dict(mpi="yes"), "mpi is True, or a list"),
    (dict(workers=0), "workers is a number, 1 or more, found 0"),
    (dict(scoring=lambda *_, lock=threading.Lock(): 0.0, results="kept"), "whether model 'ridge' is the same .* without results="),
]


@pytest.mark.parametrize("given, said", WRONG)
def test_what_is_wrong_is_refused_before_anything_runs(desk, given, said):
    with pytest.raises(gridmpi.Error, match=said):
        search(**{"datasets": A, "models": R, **given})
    assert not list(desk.folder.iterdir())


def test_what_is_not_there_is_said(desk):
    found = search(A, R, cv=2, scoring=SCORES, refit=False, workers=1)
    for ask, said in [(lambda: found.cv_results("c"), r"no data set 'c' \(data sets: a\)"), (lambda: found.cv_results("a", "c"), "no model 'c'"),
                      (lambda: found.best["a"], "several scores and refit=False"), (lambda: found.best["c"], "no data set 'c'")]:
        with pytest.raises(gridmpi.Error, match=said):
            ask()
    found = search(A, R, cv=2, refit=False, workers=1)
    assert found.best["a"].score == max(found.table["mean_test_score"])
    with pytest.raises(gridmpi.Error, match="refit=False"):
        found.best["a"].estimator


def test_the_example_in_the_docstring_is_true(desk):
    found = doctest.testmod(importlib.import_module("gridmpi.sklearn.many"))
    assert found.failed == 0 and found.attempted > 3


def test_a_classifier_of_another_kind_of_result(desk):
    models = {"logistic": (LogisticRegression(), {"C": [0.1, 1.0]})}
    datasets = {"iris": load_iris(return_X_y=True, as_frame=True)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence
        same(search(datasets, models, scoring="neg_log_loss", workers=1), datasets, models, cv=5, scoring="neg_log_loss")
