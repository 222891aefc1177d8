"""One fit, in a child of a worker: what it returns, says and raises gets back as it is."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..carry import pickled
from ..functions import write

if TYPE_CHECKING:
    from .store import Reader

ERRORS = "errors"  # in the folder of the tasks


@functools.lru_cache(maxsize=1)
def opened(folder: str) -> Reader:
    """The tasks, with NumPy."""
    from .store import Reader

    cores = os.environ.get("OMP_NUM_THREADS", "")
    if cores.isdigit():
        os.environ.setdefault("LOKY_MAX_CPU_COUNT", cores)  # n_jobs=-1 means the cores of this worker
    return Reader(folder)


class Ready:
    """A function of the tasks in a folder, for a child. What these tasks need is imported when it is loaded, not by its first
    call: a child tells what calls import, and would not be done with that when the next call is there.
    """

    def __init__(self, function: Callable[..., Any], tasks: Sequence[int], folder: str, *more: Any) -> None:
        self._parts = (function, tasks, folder, *more)

    def __reduce__(self) -> tuple[Any, ...]:
        return ready, self._parts

    def __call__(self, **points: Any) -> Any:
        return ready(*self._parts)(**points)


def ready(function: Callable[..., Any], tasks: Sequence[int], folder: str, *more: Any) -> Callable[..., Any]:
    for number in tasks:
        opened(folder).task(number)
    return functools.partial(function, folder, *more)


@contextlib.contextmanager
def within_cores() -> Iterator[None]:
    """Estimators that have processes or threads of their own get none where the worker has one core."""
    import joblib  # type: ignore[import-untyped,unused-ignore]

    with joblib.parallel_config("sequential") if os.environ.get("OMP_NUM_THREADS") == "1" else contextlib.nullcontext():
        yield


def run(folder: str, splits: int, candidate: int, split: int) -> dict[str, Any]:
    """One fit of a search of one data set and estimator."""
    number = candidate * splits + split
    return made(folder, number, opened(folder).task(number))


def made(folder: str, number: int, task: Any) -> dict[str, Any]:
    """What a fit returns; the caller reads `kept`, people the scores beside it."""
    function, by_place, by_name = task
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as seen, contextlib.redirect_stdout(said), within_cores():
        try:
            found = function(*by_place, **by_name)
        except Exception as error:
            (Path(folder) / ERRORS).mkdir(exist_ok=True)
            write(Path(folder) / ERRORS / str(number), raised(error))
            raise
    return {"kept": packed({"found": found, **words(seen, said)}), **scores(found)}


def words(seen: Sequence[warnings.WarningMessage], said: io.StringIO) -> dict[str, Any]:
    """What was warned of and printed, for the caller to say."""
    shown = [[str(one.message), one.category.__module__, one.category.__qualname__, one.filename, one.lineno] for one in seen]
    return {"warnings": shown, "said": said.getvalue()}


def scores(found: Any) -> dict[str, float]:
    """The test scores of a fit, as fields of the run."""
    given = found.get("test_scores") if isinstance(found, dict) else None
    named = given if isinstance(given, dict) else {"score": given}
    return {str(name): float(score) for name, score in named.items()
            if isinstance(score, (int, float)) and abs(score) < float("inf") and name != "kept"}


def is_plain(value: Any) -> bool:
    """Whether JSON holds a value exactly."""
    if type(value) is dict:
        return all(type(name) is str and is_plain(inner) for name, inner in value.items())
    if type(value) is list:
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def packed(value: Any) -> str:
    """A value as a text."""
    if is_plain(value):
        return "json " + json.dumps(value)  # with NaN and Infinity, which only Python reads
    return "pickle " + base64.b64encode(pickled(value, "the result of a fit")).decode()


def unpacked(text: str) -> Any:
    """The value of a text that a child of the caller's run has made."""
    kind, _, data = text.partition(" ")
    return json.loads(data) if kind == "json" else pickle.loads(base64.b64decode(data))


def raised(error: Exception) -> bytes:
    """An exception with its traceback, which does not travel itself."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        data = pickled(error, "an exception")
        pickle.loads(data)
    except Exception:  # its class takes more than its arguments
        data = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return pickle.dumps((data, text))
