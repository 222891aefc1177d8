"""What goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import Results


class Error(Exception):
    """Something was asked for in a wrong way, or gridmpi refused it: the message says what, and what to do."""


class Interrupted(Error):
    """A run was ended before it was complete; what is done is kept, and the same call goes on with the rest."""


class GridmpiWarning(UserWarning):
    """What gridmpi says without refusing anything."""


class RunsFailed(Error):
    """Runs have failed, or groups have no result. Everything else is kept: in ``results``.

    Attributes:
        results: the results, as ``errors="keep"`` returns them.
        failures: the failed runs: their points by the names of the loops, ``task`` and ``error``, the traceback.
    """

    def __init__(self, message: str, results: Results | None, failures: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.results = results
        self.failures = failures

    def __reduce__(self) -> tuple[Any, ...]:
        return RunsFailed, (str(self), None, list(self.failures))
