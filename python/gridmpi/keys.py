"""The keys that a job has, as keywords."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Union

from .errors import Error

Function = Union[Callable[..., Any], str]
"""A function, or where it is: ``"file.py:function"``."""


class CrunchKeys(TypedDict, total=False):
    """The keys of ``[crunch]``, which docs/job-file.md explains, and those of the job around it."""

    builtin: str
    r: str
    command: Sequence[Any]
    shell: str
    serve: Sequence[str]
    score: str
    score_range: Sequence[float]
    require: str | float
    seed_by: Sequence[str]
    retries: int
    isolate: bool
    allow_mixed: bool
    timeout: float
    speculate: bool
    max_failures: int | float
    on_failure: str
    logs: str
    inputs: Sequence[str]
    workdir: bool | Mapping[str, Any]
    ignore: Sequence[str]
    gpus: int | float
    cores: int
    memory: str
    env: Mapping[str, Any]
    keep_env: Sequence[str]
    result: Mapping[str, Any]
    load: Function | bool
    data: str
    keep: int
    data_copy: bool
    reseed: bool
    pass_none: bool
    interpreter: str
    version: str | Mapping[str, str]
    sleep: float | str
    target: str
    features: Sequence[str]
    drop: Sequence[str]
    na: Sequence[str]
    header: bool
    standardize: bool
    final: Function | Mapping[str, Any]


class StartKeys(CrunchKeys, total=False):
    """The keys of ``[crunch]``, and how a run is started."""

    workers: int
    threads: int
    mpi: bool | Sequence[str]
    results: str | os.PathLike[str]
    fresh: bool
    keep_changed: bool
    keep_failed: bool
    master_works: bool
    batch: int
    strategy: str
    grace: float
    progress: bool
    verbose: bool


class RunKeys(StartKeys, total=False):
    """The same, and what to do about runs that fail."""

    errors: Literal["raise", "keep"]


CRUNCH = frozenset(CrunchKeys.__annotations__) - {"final"}
START = frozenset(StartKeys.__annotations__) - frozenset(CrunchKeys.__annotations__)
PRIVATE = ("by_place", "of_file", "beside", "folders")  # beside the keys of [crunch]
KINDS = ("builtin", "python", "r", "command", "shell", "serve")
SOURCES = ("values", "json", "range", "linspace", "logspace", "dates", "files", "folders", "rows", "grid", "grids",
           "zip", "random", "lhs", "sobol", "python")


def check(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuses a keyword that is none, and names the nearest one."""
    known = sorted(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Error(f"{name} is no keyword of {what}{hint} (known: {', '.join(known)})")


def check_errors(errors: Any) -> None:
    """Refuses what says neither that failures are raised nor that they are kept."""
    if errors not in ("raise", "keep"):
        raise Error(f'errors is "raise" or "keep", found {errors!r}')
