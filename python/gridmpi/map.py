"""A function at each of some values."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .digests import contents_of
from .errors import RunsFailed
from .keys import check_errors
from .loops import is_exact
from .nest import Nest
from .process import folder_of, verb

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .keys import RunKeys


def map(function: Callable[[Any], Any], values: Iterable[Any], **keys: Unpack[RunKeys]) -> list[Any]:
    """What a function returns for each of some values, in their order: the nest of one loop.

    Args:
        function: it gets one value, and returns numbers, texts, None, or lists, tuples and dicts of these, which come back
            as they are. Subclasses of these, and numbers and arrays of NumPy's, come back as Python's own.
        values: numbers, texts, lists and dicts by texts are points as they are; if there is anything else in them, such as a
            tuple or -0.0, they are carried, and known by their content.
        keys: as of `Nest.run`. With ``results=FOLDER`` what is done is kept there and not called again; otherwise
            nothing is kept. With ``errors="keep"`` a `RunsFailed` stands in the list for a value that has failed.

    Raises:
        RunsFailed: the function has failed for some values.

    >>> map(abs, [-2, 3, -5], workers=1)
    [2, 3, 5]
    """
    given: dict[str, Any] = dict(keys)
    errors, results = given.pop("errors", "raise"), given.pop("results", None)
    check_errors(errors)
    values = list(values)
    if not values:
        return []
    nest, named = Nest("map"), {}
    if not all(value is not None and is_exact(value) for value in values):
        names = [f"{type(value).__name__} {contents_of({'value': value}).digest()}" for value in values]
        named = dict(zip(names, values))
        nest = nest.loop("x", named)
    else:
        names = [json.dumps(value) for value in values]
        nest = nest.loop("x", list(dict(zip(names, values)).values()))
    task_of = {name: task for task, name in enumerate(dict.fromkeys(names))}  # equal values are called once
    with folder_of("map") as private:
        folder = os.fspath(results) if results is not None else os.path.join(private, "results")
        nest._with(_crunch={"by_place": "x"}).start(function, results=folder, **given).wait(errors)
        runs = {run["task"]: run for run in verb(["runs", folder, "--format", "json"])}

    def of(name: str) -> Any:
        run = runs[task_of[name]]
        if run["status"] != "ok":
            return RunsFailed(str(run["error"]), None, [run])
        kept = run["value"]
        if "tagged" in kept:
            return untagged(json.loads(kept["tagged"]))
        return json.loads(kept["json"]) if "json" in kept else kept["value"]

    return [of(name) for name in names]


def untagged(value: Any) -> Any:
    """A value of which a child has noted what is a list, a tuple and a dict.

    >>> untagged({"dict": [[{"tuple": [1, "a"]}, [{"tuple": []}, None]]]})
    {(1, 'a'): [(), None]}
    """
    if isinstance(value, list):
        return [untagged(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kind, within = next(iter(value.items()))
    if kind == "tuple":
        return tuple(untagged(inner) for inner in within)
    return {untagged(name): untagged(inner) for name, inner in within}
