"""The best of three families of models for each of six data sets: by gridmpi.sklearn.search, or by a loop of
scikit-learn's GridSearchCV with two processes. Prints how long it took, its processor time, and all mean scores.

`searches.py gridmpi|loop FOLDS SMALL`; SMALL leaves out the larger data sets.
"""
import json
import resource
import sys
import time

import numpy as np
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

side, folds, small = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "small"


def halves(found):
    """The targets as two classes, above the median and below."""
    X, y = found
    return X, (y.reshape(len(X), -1)[:, 0] > np.median(y.reshape(len(X), -1)[:, 0])).astype(int)


DATA = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in ("iris", "wine", "breast_cancer", "digits")}
DATA |= {name: halves(getattr(datasets, f"load_{name}")(return_X_y=True)) for name in ("diabetes", "linnerud")}
if small:
    del DATA["digits"], DATA["breast_cancer"]
MODELS = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), {"logisticregression__C": np.logspace(-3, 2, 6).tolist()}),
    "svc": (make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1.0, 10.0], "svc__gamma": [0.001, 0.01, 0.1]}),
    "forest": (RandomForestClassifier(n_estimators=50, random_state=0), {"max_depth": [4, 8, None], "max_features": ["sqrt", 0.5]}),
}


def used():
    """The processor time of this process and of its children that have ended."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)


def gridmpi():
    from gridmpi.sklearn import search

    found = search(DATA, MODELS, cv=folds, workers=2)
    best = {name: found.best[name].estimator for name in DATA}
    return {name: found.cv_results(name)["mean_test_score"].tolist() for name in DATA}, best


def loop():
    scores, best = {}, {}
    for name, (X, y) in DATA.items():
        searches = [GridSearchCV(estimator, grid, cv=folds, n_jobs=2).fit(X, y) for estimator, grid in MODELS.values()]
        scores[name] = [float(score) for one in searches for score in one.cv_results_["mean_test_score"]]
        best[name] = max(searches, key=lambda one: one.best_score_).best_estimator_
    return scores, best


before, begun = used(), time.perf_counter()
scores, best = {"gridmpi": gridmpi, "loop": loop}[side]()
seconds = time.perf_counter() - begun
if side == "loop":  # its processes count when they have ended
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
right = {name: float(np.mean(best[name].predict(DATA[name][0]) == DATA[name][1])) for name in DATA}
fits = folds * sum(map(len, scores.values()))
print(json.dumps({"seconds": seconds, "cpu": used() - before, "fits": fits, "scores": scores, "right": right}))
