"""A plugin of pytest's: scikit-learn's tests of its searches meet gridmpi's classes in their place.

It writes how each test that makes one of them has ended into the file that SKLEARN_OUTCOMES names.
"""

import json
import os
from pathlib import Path

import pytest
import sklearn.model_selection

import gridmpi.sklearn

CLASSES = (gridmpi.sklearn.GridSearchCV, gridmpi.sklearn.RandomizedSearchCV)
made, outcomes = set(), {}
current = None


def counted(cls, *_, **__):
    made.add(current)
    return object.__new__(cls)


for cls in CLASSES:
    cls.__new__ = counted
    cls.__init__.__kwdefaults__["workers"] = 1  # a process for each fit is enough here
    setattr(sklearn.model_selection, cls.__name__, cls)


def pytest_collection_modifyitems(config, items):
    if os.environ.get("GRIDMPI_TEST_SKLEARN") == "all":
        return
    long = Path(__file__).with_name("sklearn_long.txt").read_text(encoding="utf-8").splitlines()
    first = {}
    for item in items:
        if item.originalname not in long:
            first.setdefault(item.originalname, item)
    config.hook.pytest_deselected(items=[item for item in items if item not in first.values()])
    items[:] = first.values()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    global current
    current = item.nodeid.rpartition("::")[2]
    return (yield)


def pytest_runtest_logreport(report):
    name = report.nodeid.rpartition("::")[2]
    if report.failed:
        outcomes[name] = "failed"
    elif report.when == "call":
        outcomes[name] = report.outcome


def pytest_sessionfinish():
    concern = {name: outcome for name, outcome in outcomes.items() if name in made}
    with open(os.environ["SKLEARN_OUTCOMES"], "w", encoding="utf-8") as file:
        json.dump(concern, file)
