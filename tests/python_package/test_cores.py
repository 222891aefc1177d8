"""What tasks start within themselves gets the cores of the task: estimators with n_jobs, joblib, BLAS and OpenMP."""

import json
import os

import pytest

NOTED = """
import os, threading, time

import joblib, numpy, threadpoolctl
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier, _forest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_classification(60, random_state=0)
seen = set()


def job(_=None):
    "Where a job runs, how many threads BLAS and OpenMP have there, and how many jobs a job within it would get."
    time.sleep(0.02)
    threads = {one["user_api"]: one["num_threads"] for one in threadpoolctl.threadpool_info()}
    return [os.getpid(), threading.get_ident(), threads["blas"], threads["openmp"], joblib.effective_n_jobs(4)]


def most(jobs):
    "How many jobs run at a time; how many threads they have together; and the jobs within one."
    return len({tuple(one[:2]) for one in jobs}), max(max(one[2:4]) for one in jobs), max(one[4] for one in jobs)


class Probe(ClassifierMixin, BaseEstimator):
    "It is parallel within its fit, as a forest is."

    def __init__(self, n_jobs=None):
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
        self.classes_, self.job_ = numpy.unique(y), job()
        inner = joblib.Parallel(self.n_jobs, prefer="threads")(joblib.delayed(job)() for _ in range(4))
        self.job_[4] = most(inner)[0]
        return self

    def predict(self, X):
        return numpy.zeros(len(X), int)


build = _forest._parallel_build_trees


def noting(*given, **keys):
    seen.add(tuple(job()))
    return build(*given, **keys)


_forest._parallel_build_trees = noting


def look(n_jobs):
    found = {}
    for name in ("loky", "threading", "multiprocessing"):
        with joblib.parallel_config(name):
            found[name] = most(joblib.Parallel(n_jobs)(joblib.delayed(job)() for _ in range(6)))
    bagging = BaggingClassifier(Probe(n_jobs), n_estimators=6, n_jobs=n_jobs).fit(X, y)
    found["bagging"] = most([one.job_ for one in bagging.estimators_])
    voting = VotingClassifier([(str(at), make_pipeline(Probe(n_jobs))) for at in range(6)], n_jobs=n_jobs)
    found["voting"] = most([one[-1].job_ for one in make_pipeline(StandardScaler(), voting).fit(X, y)[-1].estimators_])
    for name, wrapped in (("forest", lambda one: one), ("pipeline", lambda one: make_pipeline(StandardScaler(), one))):
        seen.clear()
        wrapped(RandomForestClassifier(8, n_jobs=n_jobs)).fit(X, y).predict(X)
        found[name] = most(seen)
    found["after"] = most([job()])
    return found
"""

SCRIPT = """
import json, sys
import gridmpi
from noted import look

print(json.dumps(gridmpi.map(look, [-1, 4], workers=1, **json.loads(sys.argv[1]))))
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_what_is_parallel_within_a_task_has_the_cores_of_the_task(desk, cores):
    if cores > len(os.sched_getaffinity(0)):
        pytest.skip("this machine has one core")
    desk.write("noted.py", NOTED)
    for found in json.loads(desk.script(SCRIPT, json.dumps({"cores": cores})).ends().out):
        assert found.pop("after") == [1, cores, cores], "BLAS and OpenMP have all cores where nothing else is parallel"
        for name, (jobs, threads, within) in found.items():
            assert jobs <= cores and jobs * threads <= cores and within == 1, (name, found)


def test_omp_num_threads_of_the_user_counts_as_the_cores(desk):
    desk.write("noted.py", NOTED)
    found = json.loads(desk.script(SCRIPT, "{}", OMP_NUM_THREADS="1").ends().out)
    assert all(numbers == [1, 1, 1] for one in found for numbers in one.values()), found


def test_processes_that_are_not_forked_begin_and_have_their_threads(desk):
    desk.write("noted.py", NOTED)
    ran = desk.script("""
import json, os
import gridmpi
import joblib
from noted import job, most


def look(n_jobs):
    before = dict(os.environ)
    with joblib.parallel_config("multiprocessing"):
        jobs = joblib.Parallel(n_jobs)(joblib.delayed(job)() for _ in range(6))
    assert os.environ == before
    return [*most(jobs), os.getpid() in {one[0] for one in jobs}]


if __name__ == "__main__":
    print(json.dumps(gridmpi.map(look, [4], workers=1, timeout=120)))
""", OMP_NUM_THREADS="2", JOBLIB_START_METHOD="spawn").ends()
    (jobs, threads, within, is_here), = json.loads(ran.out)
    assert jobs <= 2 and threads == 1 and within == 1 and not is_here, ran.out


def test_fits_of_a_search_have_the_cores_of_a_worker(desk):
    desk.write("noted.py", NOTED)
    ran = desk.script("""
from noted import Probe, X, y
from gridmpi.sklearn import GridSearchCV
search = GridSearchCV(Probe(), {"n_jobs": [-1, 4]}, cv=2, workers=1, refit=False, scoring=lambda one, X, y: one.job_[4])
print(search.fit(X, y).cv_results_["mean_test_score"].tolist())
""", OMP_NUM_THREADS="1").ends()
    assert ran.out == "[1.0, 1.0]\n"
