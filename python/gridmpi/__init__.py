"""gridmpi: nested loops around one expensive function, run as one stream of tasks over threads or MPI.

>>> import gridmpi
>>> nest = gridmpi.Nest("tune").loop("dataset", files="data/*.csv").loop("fold", range(5), reduce=["mean", "std"])
>>> nest.loops
('dataset', 'fold')

`Nest` describes the loops; `Nest.run` calls the function and returns `Results`; `open` reads those of any results folder;
`map` calls a function at each of some values. This is a door to the program gridmpi, which does the work. ``python -m gridmpi`` is
that program.
"""

from .check import Check
from .errors import Error, GridmpiWarning, Interrupted, RunsFailed
from .map import map
from .nest import Nest
from .plan import Plan
from .progress import Progress
from .results import Results, open
from .run import Run
from .tables import Table

from_toml = Nest.from_toml

__all__ = [
    "Check", "Error", "GridmpiWarning", "Interrupted", "Nest", "Plan", "Progress", "Results", "Run", "RunsFailed", "Table",
    "from_toml", "map", "open",
]
