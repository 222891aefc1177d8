"""One fit, in a child of a worker: what it returns, says and raises gets back as it is."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import pickle
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

from ..carry import pickled
from ..functions import write

ERRORS = "errors"  # in the folder of the tasks


class Fits:
    """The fits in a folder, each of which is called by its place. The first one is read when a child gets this, with the
    modules that it needs: they are imported before there is a call, whose time is that of a fit.
    """

    def __init__(self, folder: str, splits: int) -> None:
        self.folder, self.splits = folder, splits

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        from .store import Reader

        self.reader = Reader(self.folder)
        self.reader.task(0)

    def __call__(self, candidate: int, split: int) -> dict[str, Any]:
        """One fit."""
        number = candidate * self.splits + split
        return called(self.folder, number, self.reader.task(number))


def called(folder: str, number: int, task: Any) -> dict[str, Any]:
    """What a fit returns; the caller reads `kept`, people the scores beside it."""
    function, by_place, by_name = task
    with hearing() as heard:
        try:
            found = function(*by_place, **by_name)
        except Exception as error:
            from .store import here

            errors = here(folder) / ERRORS
            errors.mkdir(exist_ok=True)
            write(errors / str(number), raised(error))
            raise
    return {"kept": packed({"found": found, **heard}), **scores(found)}


@contextlib.contextmanager
def hearing() -> Iterator[dict[str, Any]]:
    """What is warned of and printed meanwhile, for the caller to say: it is in the dict at the end."""
    heard, said = dict[str, Any](), io.StringIO()
    with warnings.catch_warnings(record=True) as seen, contextlib.redirect_stdout(said):
        yield heard
    heard["warnings"] = [[str(one.message), one.category.__module__, one.category.__qualname__, one.filename, one.lineno] for one in seen]
    heard["said"] = said.getvalue()


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
