"""scikit-learn's searches, run by gridmpi: equal to scikit-learn's own to the last bit, and kept."""

import os
import pickle
import re
import signal
import subprocess
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn.model_selection as own
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gridmpi
from gridmpi.process import folder_of, in_words
from gridmpi.sklearn import GridSearchCV, RandomizedSearchCV
from gridmpi.sklearn.store import Reader, write

X, y = make_regression(60, 4, noise=3.0, random_state=1)
GRID = {"alpha": [0.1, 1.0, 10.0]}


def equal(mine, theirs):
    """All that is no time."""
    assert list(mine.cv_results_) == list(theirs.cv_results_)
    for name, column in theirs.cv_results_.items():
        found = mine.cv_results_[name]
        assert type(found) is type(column) and (not hasattr(column, "dtype") or found.dtype == column.dtype), name
        if not name.endswith("_time"):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(column), err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "multimetric_"):
        assert getattr(mine, name) == getattr(theirs, name), name


def test_without_scikit_learn_the_import_says_what_to_install(desk):
    ran = desk.python("-S", "-c", "from gridmpi.sklearn import GridSearchCV").ends(1)  # -S: no installed packages
    assert ran.err.endswith("ModuleNotFoundError: gridmpi.sklearn takes scikit-learn: pip install scikit-learn\n"), ran.err


def test_a_search_is_scikit_learns_to_the_last_bit(desk):
    keys = dict(cv=own.KFold(3, shuffle=True, random_state=0), scoring={"r2": "r2", "e": "neg_mean_squared_error"},
                refit="r2", return_train_score=True)
    weights = np.linspace(1, 2, len(y))
    mine = GridSearchCV(Ridge(), GRID, workers=2, **keys).fit(X, y, sample_weight=weights)
    theirs = own.GridSearchCV(Ridge(), GRID, **keys).fit(X, y, sample_weight=weights)
    equal(mine, theirs)
    assert isinstance(mine, own.GridSearchCV) and mine.refit_time_ > 0 and mine.cv_results_["mean_fit_time"].min() > 0
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
    assert not list(desk.folder.iterdir()), "nothing is kept unless it is asked for"
    again = pickle.loads(pickle.dumps(mine))
    np.testing.assert_array_equal(again.predict(X), theirs.predict(X))
    assert clone(mine).get_params()["workers"] == 2


def test_a_random_search_in_a_pipeline_within_a_validation(desk):
    def search(kind, **more):
        inner = make_pipeline(StandardScaler(), Ridge())
        given = {"ridge__alpha": [0.1, 1.0, 10.0, 100.0]}
        return make_pipeline(StandardScaler(), kind(inner, given, n_iter=2, cv=2, random_state=3, **more))

    mine = own.cross_val_score(search(RandomizedSearchCV, n_jobs=1, pre_dispatch=1), X, y, cv=2)
    np.testing.assert_array_equal(mine, own.cross_val_score(search(own.RandomizedSearchCV), X, y, cv=2))


class Noted(Ridge):
    """Notes each fit in the file `calls`."""

    def fit(self, X, y, sample_weight=None):
        with open("calls", "a") as file:
            file.write("x\n")
        return super().fit(X, y, sample_weight)


def test_what_is_kept_is_not_made_again_and_other_data_have_their_own_folder(desk):
    def search(y, grid=GRID, **more):
        found = GridSearchCV(Noted(), grid, cv=2, refit=False, results="kept", workers=1, **more).fit(X, y)
        equal(found, own.GridSearchCV(Ridge(), grid, cv=2, refit=False).fit(X, y))
        return desk.calls()

    folders = lambda: len(list((desk.folder / "kept").iterdir()))  # noqa: E731
    assert (search(y), folders()) == (6, 1)
    assert (search(y, verbose=1), folders()) == (0, 1)
    assert (search(y + 1), folders()) == (6, 2), "other data"
    assert (search(y), folders()) == (0, 2)
    assert (search(y, {"alpha": [0.1, 1.0]}), folders()) == (4, 3), "other candidates"
    assert sorted(path.name for path in desk.folder.glob("kept/*/*")) == ["runs"] * 3
    runs = gridmpi.open(next(desk.folder.glob("kept/*/runs"))).runs
    assert set(runs[0]) >= {"candidate", "split", "score"}


SLOW = """
import os, time
from sklearn.linear_model import Ridge
from sklearn.datasets import make_regression
from gridmpi.sklearn import GridSearchCV

class Slow(Ridge):
    def fit(self, X, y):
        while not os.path.exists("go") and len(open("calls").readlines()) >= 5:
            time.sleep(0.05)
        with open("calls", "a") as file:
            file.write("x\\n")
        return super().fit(X, y)

X, y = make_regression(40, 3, random_state=0)
search = GridSearchCV(Slow(), {"alpha": [1.0, 2.0, 3.0, 4.0]}, cv=3, results="kept", workers=1, refit=False).fit(X, y)
print(search.best_params_["alpha"])
"""


def test_a_search_that_was_killed_goes_on(desk):
    pytest.importorskip("cloudpickle")
    desk.search_goes_on_after_a_kill(SLOW, "1.0\n")


class NoSuch(Exception):
    pass


class Bad(Ridge):
    def fit(self, X, y):
        print(f"alpha {self.alpha}")
        if self.alpha == 1.0:
            raise NoSuch("no such alpha")
        warnings.warn("a word of warning", RuntimeWarning, stacklevel=1)
        return super().fit(X, y)


def test_failures_and_warnings_are_those_of_scikit_learn(desk, capsys):
    def seen(kind, **more):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            search = kind(Bad(), GRID, cv=2, **more).fit(X, y)
        return search, [(one.category, str(one.message).partition("\n")[0]) for one in found], capsys.readouterr().out

    (mine, said, printed), (theirs, their_words, their_print) = seen(GridSearchCV, workers=1), seen(own.GridSearchCV)
    equal(mine, theirs)
    assert said == their_words and FitFailedWarning in [kind for kind, _ in said] and printed == their_print
    with pytest.raises(NoSuch, match="^no such alpha$") as raised:
        GridSearchCV(Bad(), {"alpha": [1.0]}, cv=2, error_score="raise", workers=1).fit(X, y)
    assert "in fit" in str(raised.value.__cause__)


class Ends(Ridge):
    """Ends the process that calls it, or the program that has started this."""

    def fit(self, X, y):
        if self.alpha == 1.0:
            os._exit(3)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(0.5)
        return super().fit(X, y)


def test_messages_name_no_folder_that_is_gone(desk):
    def said(kind, alpha, **more):
        with pytest.raises(kind) as raised:
            GridSearchCV(Ends(), {"alpha": [alpha]}, cv=2, workers=1, **more).fit(X, y)
        assert "errors=" not in str(raised.value) and "job.toml" not in str(raised.value)
        return str(raised.value)

    ended = said(gridmpi.Interrupted, 2.0)
    assert re.fullmatch(r"SIGTERM: \d of 2 runs were made; results=FOLDER keeps what is done", ended), ended
    assert re.search(r"\d of 2 runs are in .*/kept/\w+/runs; start it again", said(gridmpi.Interrupted, 2.0, results="kept"))
    assert said(gridmpi.RunsFailed, 1.0).endswith("the Python child ended (exit status: 3)\n\nNothing is kept: results=FOLDER keeps what is done.")
    assert "\nAll else is kept: the next call makes only these again." in said(gridmpi.RunsFailed, 1.0, results="kept")
    with folder_of("search", os.getcwd()) as folder:  # as over MPI
        for form in (folder, os.path.basename(folder)):
            assert in_words(f"{form}/runs/python/job.toml:3: crunch.x: no") == "x: no"
            assert in_words(f"what is there is in {form}/runs") == "what is there is in the folder of this call"


def within(alpha):
    """A search in a worker: it starts nothing."""
    subprocess.Popen = None
    search = GridSearchCV(Ridge(), {"alpha": [alpha, 2 * alpha]}, cv=2, n_jobs=2, results="never").fit(X, y)
    return {"score": search.best_score_, "best": search.best_params_["alpha"]}


def test_within_a_worker_it_is_serial(desk):
    value, = gridmpi.map(within, [1.0], workers=1)
    theirs = own.GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    assert value == {"score": theirs.best_score_, "best": theirs.best_params_["alpha"]}
    assert not (desk.folder / "never").exists()


def test_searches_in_threads_and_over_mpi_and_those_of_scikit_learn_do_not_meet(desk):
    A, b = make_classification(60, random_state=0)
    grid = {"C": [0.1, 1.0]}
    with ThreadPoolExecutor() as pool:
        mpi = pool.submit(GridSearchCV(LogisticRegression(), grid, cv=2, workers=1, mpi=True).fit, A, b)
        threads = pool.submit(GridSearchCV(Ridge(), GRID, cv=2, workers=1).fit, X, y)
        plain = pool.submit(own.GridSearchCV(Ridge(), GRID, cv=2).fit, X, y)
        equal(threads.result(), plain.result())
        equal(mpi.result(), own.GridSearchCV(LogisticRegression(), grid, cv=2).fit(A, b))
    assert not list(desk.folder.iterdir())


def test_what_mpirun_says_is_in_the_error(desk):
    with pytest.raises(gridmpi.Error, match=r"mpirun ended(.|\n)*\n.*no-such-option"):
        GridSearchCV(Ridge(), GRID, cv=2, workers=1, mpi=["--no-such-option"]).fit(X, y)


def test_wrong_use_is_refused(desk):
    with pytest.raises(ValueError, match="workers"):
        GridSearchCV(Ridge(), GRID, workers=0).fit(X, y)
    with pytest.raises(gridmpi.Error, match="without results="):
        GridSearchCV(Ridge(), GRID, scoring=lambda *_, lock=threading.Lock(): 0.0, results="kept").fit(X, y)
    deep = frozenset()
    for _ in range(2000):
        deep = frozenset([deep, 1])
    with pytest.raises(gridmpi.Error, match="it has too many levels; .*without results="):
        GridSearchCV(Ridge(), GRID, scoring=lambda *_, deep=deep: 0.0, results="kept").fit(X, y)


def test_large_arrays_are_written_once_and_mapped(desk):
    large, small = np.arange(200_000, dtype=float).reshape(-1, 4), np.arange(500)
    words = ["a"] * 2000
    write(desk.folder, [(len, (large, small, words), {"at": at}) for at in range(3)])
    assert sorted(path.name for path in desk.folder.iterdir()) == ["0.npy", "index", "objects"]
    assert (desk.folder / "objects").stat().st_size < 2 * (small.nbytes + 8 * len(words))
    reader = Reader(str(desk.folder))
    (_, (one, small_one, _), _), (_, (other, small_other, found), keys) = reader.task(0), reader.task(2)
    assert one is other and not one.flags.writeable and keys == {"at": 2} and found == words
    np.testing.assert_array_equal(one, large)
    assert small_one is not small_other and small_one.flags.writeable
    np.testing.assert_array_equal(small_one, small)
