"""The fits of a search as a nest: candidates, and splits within."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import pickle
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator  # type: ignore[import-untyped,unused-ignore]

from ..digests import ATOMS, Contents, comparing
from ..errors import Error
from ..exact import STORE
from ..nest import Nest
from ..process import folder_of, verb
from ..results import Results
from ..run import Run, failed
from . import store, task

Task = tuple[Any, tuple[Any, ...], dict[str, Any]]
PASSING = ("verbose", "caller", "callback_ctx", "split_progress", "candidate_progress")  # no score depends on these
SHOWN = ("display", "print_changed_only")  # of scikit-learn's configuration
RUNS, FITS = "runs", "fits-"  # folders of a search: its results, and what its fits are given while it runs
WAY_OUT = "a search that holds it can be made without results=, and then keeps nothing"


class RemoteTraceback(Exception):
    """The traceback of an exception in a worker."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def outcomes(tasks: Sequence[Task], name: str, results: Any, workers: int | None, mpi: Any) -> list[Any]:
    """What each fit returns, in order.

    Raises:
        Exception: that of the first fit that has raised one.
        Error: gridmpi refused the run.
    """
    if not tasks:
        return []
    tasks = [without_context(one) for one in tasks]
    version = digest_of(tasks) if results is not None else "1"
    with folder_for(results, version, mpi) as folder:
        rows = complete(folder, len(tasks)) or made(tasks, name, folder, {"version": version, **options(workers, mpi)})
    kept = [task.unpacked(row["value"]["kept"]) for row in sorted(rows, key=lambda row: int(row["task"]))]
    say(kept)
    return [one["found"] for one in kept]


@contextlib.contextmanager
def folder_for(results: Any, version: str, mpi: Any) -> Iterator[Path]:
    """The folder of a search: one among the results, named by what it is made of; without results, one that goes away."""
    if results is None:
        # Ranks on other hosts see the working folder, but no folder of temporary files.
        with folder_of("search", os.getcwd() if mpi else None) as private:
            yield Path(private)
    else:
        folder = Path(os.path.abspath(results)) / version
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def options(workers: int | None, mpi: Any) -> dict[str, Any]:
    """How a run is started, as keys of `Nest.start`; numbers of NumPy's are none there."""
    return {"workers": None if workers is None else int(workers), "mpi": mpi}


def complete(folder: Path, count: int) -> list[Any] | None:
    """The runs in a folder, if all are there and nobody is at it: then no data are written, and no process is started."""
    if not (folder / RUNS / STORE).is_file() or any(folder.glob(f"{FITS}*")):
        return None
    return rows_of(folder, count)


def rows_of(folder: Path, count: int) -> list[Any] | None:
    """The runs in a folder, if all are there and none has failed."""
    rows: list[Any] = verb(["runs", str(folder / RUNS), "--format", "json"])
    return rows if len(rows) == count and all(row["status"] == "ok" for row in rows) else None


def made(tasks: Sequence[Task], name: str, folder: Path, keys: dict[str, Any]) -> list[Any]:
    """The runs in a folder, with those that were missing."""
    splits = tasks[0][2].get("split_progress", (0, 1))[1]
    nest = Nest(name).loop("candidate", range(len(tasks) // splits)).loop("split", range(splits))
    with tempfile.TemporaryDirectory(prefix=FITS, dir=folder, ignore_cleanup_errors=True) as place:
        store.write(Path(place), tasks)
        run = nest._with(_crunch={"folders": [place]}).start(
            task.Fits(place, splits), results=str(folder / RUNS), on_failure="stop", **keys)
        return finished(run, folder, Path(place), len(tasks))


def finished(run: Run, folder: Path, place: Path, count: int) -> list[Any]:
    """The runs of a search of so many fits, when they have ended; `place` has what they were given."""
    for old in folder.glob(f"{FITS}*"):  # of a process that was killed: this run has the folder for itself
        if old != place:
            shutil.rmtree(old, ignore_errors=True)
    try:
        run.wait("keep")
    except Error:
        raise_first(place)
        raise
    raise_first(place)
    rows = rows_of(folder, count)
    if rows is None:
        raise failed(Results(folder / RUNS), run._log, "")
    return rows


def without_context(one: Task) -> Task:
    """A task without the tree of the search's callbacks, where there are none: each task would carry the whole of it."""
    function, by_place, by_name = one
    context = by_name.get("callback_ctx")
    if context is None:
        return one
    parts = [by_place[0], *by_place[0].get_params().values()]
    if getattr(context, "_callbacks", True) or any(hasattr(part, "_skl_callbacks") for part in parts):
        return one
    return function, by_place, {**by_name, "callback_ctx": None, "caller": None}


def raise_first(place: Path) -> None:
    """Raises what a fit has raised, if one has."""
    found = sorted((int(path.name), path) for path in (place / task.ERRORS).glob("*") if path.name.isdigit())
    for _, path in found[:1]:
        data, text = pickle.loads(path.read_bytes())
        error: BaseException = pickle.loads(data)
        raise error from RemoteTraceback(text)


def say(kept: Sequence[Any]) -> None:
    """What the fits have printed and warned of, as if they had been made here."""
    registry: dict[Any, Any] = {}
    for one in kept:
        if one["said"]:
            print(one["said"], end="")
        for message, module, name, file, line in one["warnings"]:
            try:
                kind: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
            except (ImportError, AttributeError):
                kind = UserWarning
            warnings.warn_explicit(message, kind, file, line, registry=registry)


def digest_of(tasks: Sequence[Task]) -> str:
    """The content of what the fits are given, and the versions of what makes them."""
    given = [[*zip(("estimator", "X", "y"), one[1]), *((name, one[2][name]) for name in one[2] if name not in PASSING)]
             for one in tasks]
    contents = Contents()
    for what, value in (pair for one in given for pair in one):
        if type(value) not in ATOMS:
            with comparing(what, WAY_OUT):
                contents.alone(value)
    with comparing("the search", WAY_OUT):
        contents.add("the search", given)
        contents.add("scikit-learn's configuration", configuration(tasks[0][0]))
        contents.add("versions", versions(tasks[0][1][0], [one[2].get("parameters") or {} for one in tasks]))
    return hashlib.blake2b(contents.digest().encode(), digest_size=8).hexdigest()


def configuration(function: Any) -> dict[str, Any]:
    """Those of scikit-learn's settings that scores may depend on, as the function of a fit has them."""
    config = getattr(function, "config", {})
    return {name: config[name] for name in config if name not in SHOWN}


def versions(estimator: Any, candidates: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Those of the packages that an estimator and the parameters to try are made of."""
    names = {"sklearn", "numpy", "scipy"}
    for one in {id(one): one for one in (estimator, *(value for each in candidates for value in each.values()))}.values():
        parts = [one, *(one.get_params().values() if isinstance(one, BaseEstimator) else ())]
        names.update(type(part).__module__.partition(".")[0] for part in parts)
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(names)}
    return {name: str(version) for name, version in found.items() if version is not None}
