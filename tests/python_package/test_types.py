"""Types and the examples in docstrings."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest
from conftest import PACKAGE

import gridmpi

USER = """
import gridmpi


def fit(x: float, y: int) -> float:
    return x * y


nest: gridmpi.Nest = gridmpi.Nest("n").loop("x", [1.0, 2.0]).loop("y", range(3), reduce="max")
results: gridmpi.Results = nest.run(fit, workers=2, timeout=3.0, errors="keep")
rows: list[dict[str, object]] = results.summary.rows
best: gridmpi.Table = results.best(top=2)
run: gridmpi.Run = nest.start(fit)
done: int = run.progress.done
values: list[object] = gridmpi.map(abs, [1, 2])
text: str = nest.to_toml("fit.py:fit")
"""


def mypy(*words, folder):
    words = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", str(folder / "cache"), *words]
    done = subprocess.run(words, cwd=folder, env={**__import__("os").environ, "MYPYPATH": str(PACKAGE)}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_package_and_what_uses_it_are_well_typed(desk):
    assert mypy(str(PACKAGE / "gridmpi"), folder=desk.folder)[0] == 0, mypy(str(PACKAGE / "gridmpi"), folder=desk.folder)[1]
    desk.write("user.py", USER)
    code, said = mypy("user.py", folder=desk.folder)
    assert code == 0, said
    desk.write("wrong.py", USER.replace("timeout=3.0", "timout=3.0").replace('errors="keep"', 'errors="no"'))
    code, said = mypy("wrong.py", folder=desk.folder)
    assert code == 1 and "timout" in said and "errors" in said, said


MODULES = [module.name for module in pkgutil.iter_modules(gridmpi.__path__) if module.name not in ("_child", "_cores")]


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_examples_in_docstrings_are_true(desk, name):
    module = importlib.import_module("gridmpi" if name == "__init__" else f"gridmpi.{name}")
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_all_that_is_public_is_documented():
    for name in gridmpi.__all__:
        thing = getattr(gridmpi, name)
        assert thing.__doc__, name
        if isinstance(thing, type):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert value.__doc__, f"{name}.{member}"
