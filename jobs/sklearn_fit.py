"""Support vector regression, scored by cross-validation: the functions of sklearn.toml."""
import csv

import numpy as np
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR


def load(dataset):
    """The features and the standardised target of a CSV file."""
    with open(dataset, newline="") as file:
        rows = list(csv.reader(file))
    table = np.array(rows[1:], dtype=float)
    target = table[:, -1]
    return table[:, :-1], (target - target.mean()) / target.std()


def crunch(dataset, model, repeat, seed):
    """Mean and spread of R^2 over five shuffled folds."""
    features, target = dataset
    estimator = make_pipeline(StandardScaler(), SVR(**model))
    folds = KFold(5, shuffle=True, random_state=seed)
    scores = cross_val_score(estimator, features, target, cv=folds)
    return {"score": scores.mean(), "spread": scores.std()}
