"""Three families of models, one fold of a repeat per call, and the fit of the best on all data: for refit.toml."""
import csv
import os
import pickle

import numpy as np
from sklearn import datasets
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import RepeatedKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

FAMILIES = {"ridge": Ridge, "neighbors": KNeighborsRegressor, "tree": DecisionTreeRegressor}
OWN = {"iris": datasets.load_iris, "linnerud": datasets.load_linnerud, "wine": datasets.load_wine}


def load(dataset):
    """Features and target: the last column of a file, or the last measurement of a data set of scikit-learn's."""
    if dataset in OWN:
        table = OWN[dataset]()["data"]
    else:
        with open(dataset, newline="") as file:
            table = np.array(list(csv.reader(file))[1:], dtype=float)
    return table[:, :-1], table[:, -1]


def estimator(model, **parameters):
    """A model of a family; parameters of other families are None."""
    given = {name: value for name, value in parameters.items() if value is not None}
    if model == "tree":
        given["random_state"] = 0
    return make_pipeline(StandardScaler(), FAMILIES[model](**given))


def crunch(dataset, repeat, fold, **parameters):
    """R^2 and the root mean squared error on a held-out fold."""
    features, target = dataset
    splits = list(RepeatedKFold(n_splits=5, n_repeats=3, random_state=0).split(features))
    train, test = splits[repeat * 5 + fold]
    predicted = estimator(**parameters).fit(features[train], target[train]).predict(features[test])
    return {"r2": r2_score(target[test], predicted), "rmse": root_mean_squared_error(target[test], predicted)}


def refit(dataset, summary, folder, **parameters):
    """Fits the best model on all data and saves it."""
    features, target = dataset
    fitted = estimator(**parameters).fit(features, target)
    with open(os.path.join(folder, "model.pickle"), "wb") as file:
        pickle.dump(fitted, file)
    predicted = fitted.predict(features)
    return {
        "r2": r2_score(target, predicted),
        "rmse": root_mean_squared_error(target, predicted),
        "optimism": r2_score(target, predicted) - summary["r2"],
    }
