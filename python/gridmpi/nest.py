"""Nested loops around one expensive function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import job
from .check import Check
from .errors import Error
from .keys import CRUNCH, KINDS, START, Function, check, check_errors
from .loops import Loop, loop
from .plan import Plan
from .process import folder_of, output, verb
from .run import Run, claim

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .keys import CrunchKeys, RunKeys, StartKeys
    from .results import Results

TOP = ("seed", "order", "reduce_on", "report", "slurm", "folder")


def is_no_part(character: str) -> bool:
    """Whether no folder's name has this character: the program's rule, and halves of characters."""
    return character in "/\0" or "\ud800" <= character <= "\udfff"


class Nest:
    """Loops around a function, the outermost one first.

    A nest is not changed: `loop` returns a new one.

    Args:
        name: names the results folder, ``results/NAME``.
        keys: the keys at the top of a job file: ``seed``, ``order``, ``reduce_on``, ``report``, ``slurm``, and
            ``folder``, to which relative paths are relative (the working folder, unless it is given).

    >>> nest = Nest("squares").loop("x", [1, 2, 3], reduce="max")
    >>> print(nest.to_toml("fit.py:square"))
    name = "squares"
    <BLANKLINE>
    [crunch]
    python = "fit.py:square"
    <BLANKLINE>
    [[loop]]
    name = "x"
    values = [1, 2, 3]
    reduce = "max"
    <BLANKLINE>
    """

    __slots__ = ("_crunch", "_final", "_loops", "_top")

    _top: Mapping[str, Any]
    _loops: tuple[Loop, ...]
    _crunch: Mapping[str, Any]
    _final: Mapping[str, Any] | None

    def __init__(self, name: str, **keys: Any) -> None:
        if not isinstance(name, str):
            raise Error(f"a nest has a name that is a text, found {name!r}")
        if not name or name.startswith(".") or any(is_no_part(character) for character in name):
            raise Error(f"the name of a nest names its results folder, results/NAME, and {name!r} names none: use letters, "
                        "digits, '-' or '_'; results= names a folder elsewhere")
        check(keys, TOP, "Nest")
        self._top = {"name": name, **keys}
        self._loops, self._crunch, self._final = (), {}, None

    def _with(self, **changes: Any) -> Nest:
        other = Nest.__new__(Nest)
        for slot in Nest.__slots__:
            setattr(other, slot, changes.get(slot, getattr(self, slot)))
        return other

    @property
    def name(self) -> str:
        """The name of the job."""
        return str(self._top["name"])

    @property
    def loops(self) -> tuple[str, ...]:
        """The names of the loops, outermost first."""
        return tuple(one.name for one in self._loops)

    def loop(self, name: str, points: Any = None, *, reduce: Any = None, **keys: Any) -> Nest:
        """The same nest with one more loop, inside all others.

        Args:
            name: the name by which the function gets the point of this loop.
            points: a list, a ``range``, an array of NumPy's, a frame (its rows); a dict of any objects by name, where the
                names are the points and the function gets the objects; or a function of the points of outer loops, which
                it takes by their names, that returns a list.
            reduce: how the runs of this loop are reduced to one value for the loop around it: ``"max"``, ``["mean",
                "std"]``, ``{"max": "r2"}`` and so on, as in a job file, or a function of the list of runs.
            keys: any other source of points, as in a job file: ``files="data/*.csv"``, ``logspace=(1e-3, 1e3, 7)``,
                ``grid={...}``; and ``where``, ``only_if``, ``require``, ``label``, ``was``, ``exclude``, ``most``,
                ``allow_empty``; and ``stop``, to stop points early that cannot be the best: ``"sure"``, with ``score_range``
                among the keys of the call, or ``{"halve": 3, "from": 1}``.

        Raises:
            Error: the points cannot be kept, or a keyword is none.

        >>> Nest("n").loop("alpha", logspace=(1e-3, 1e3, 7), reduce="max").loop("fold", range(5), reduce="mean").loops
        ('alpha', 'fold')
        """
        if name in self.loops:
            raise Error(f"there is a loop '{name}' already")
        return self._with(_loops=(*self._loops, loop(name, points, reduce, keys)))

    def crunch(self, function: Function | None = None, **keys: Unpack[CrunchKeys]) -> Nest:
        """The same nest with this function, and these keys of ``[crunch]``; `run` and all others do the same with what
        they are given.

        Raises:
            Error: a keyword is none, or there are two functions.
        """
        given = dict(keys)
        check(given, (*CRUNCH, "final"), "[crunch]")
        kinds = [kind for kind in KINDS if kind in given]
        if function is not None:
            if not callable(function) and not isinstance(function, str):
                raise Error(f'expected a function, or "file.py:function", found {function!r}')
            kinds.insert(0, "python")
            given["python"] = function
        if len(kinds) > 1:
            raise Error(f"what is called is said twice, by {' and '.join(kinds)}: keep one of them")
        before = {key: value for key, value in self._crunch.items() if not (kinds and key in (*KINDS, "of_file"))}
        final = given.pop("final", None)
        if final is not None and not isinstance(final, Mapping):
            final = {"python": final}
        return self._with(_crunch={**before, **given}, _final=self._final if final is None else final)

    def run(self, function: Function | None = None, **keys: Unpack[RunKeys]) -> Results:
        """Calls the function at all points and waits for the results. Runs that are there already are not called again.

        Args:
            function: it gets the point of each loop by the loop's name, and the seed of the call, if it has a parameter
                ``seed``. It returns a number, or a dict with a ``score``.
            keys: the keys of ``[crunch]``, and these:

                - ``workers``: how many calls at a time; one per core, unless it is given.
                - ``mpi``: start mpirun, with a rank for each worker and one that hands out the calls; a list has more options
                  for mpirun. ``threads`` says how many calls each rank makes at a time.
                - ``results``: the results folder, ``results/NAME`` unless it is given.
                - ``fresh``: move earlier results aside. ``keep_changed``: use them though the function has changed.
                  ``keep_failed``: do not try failed runs again.
                - ``load``: a function that makes data of a point of the loop ``data`` (the outermost one), once in each
                  process. ``final``: a function that is called for each row when its best point is known.
                - ``version``: what the function is, where that cannot be seen: ``"3"``.
                - ``errors``: ``"raise"`` (the default) raises `RunsFailed` when all is done and kept; ``"keep"`` returns.
                - ``progress``: whether to show a bar; by default in a terminal and in Jupyter.
                - ``grace``: seconds that running calls may take to end when the run is interrupted. ``verbose``: show what
                  gridmpi and the calls print. ``batch``, ``strategy``, ``master_works``: as of ``gridmpi run``.

        Raises:
            RunsFailed: calls have failed; the results are in it.
            Error: gridmpi refused it; the message says why.
            KeyboardInterrupt: after an orderly end; the next call goes on where it stopped.
        """
        given: dict[str, Any] = dict(keys)
        errors = given.pop("errors", "raise")
        check_errors(errors)
        return self.start(function, **given).wait(errors)

    def start(self, function: Function | None = None, **keys: Unpack[StartKeys]) -> Run:
        """Starts the same as `run` does and returns at once: `Run.wait`, `Run.cancel`, `Run.progress`."""
        given: dict[str, Any] = dict(keys)
        check(given, (*CRUNCH, "final", *START), "run and start")
        options = {key: given.pop(key) for key in START if key in given}
        return Run(self.crunch(function, **given), options)

    def plan(self, function: Function | None = None, **keys: Any) -> Plan:
        """What would run, what is done already, and how long the rest takes. Nothing is called but functions that give
        points.

        Args:
            keys: ``results``, ``fresh``, ``workers`` (numbers of workers to predict for), ``pilot`` (how many calls to make
                now, to predict from), and the keys of ``[crunch]``.
        """
        own = {key: keys.pop(key) for key in ("results", "fresh", "workers", "pilot") if key in keys}
        nest = self.crunch(function, **keys)
        if not any(kind in nest._crunch for kind in KINDS):
            nest = nest.crunch(builtin="multiply")
            own.setdefault("fresh", True)  # runs of any function; recorded durations count
        with nest._private() as file:
            words = ["plan", file, "--out", nest.results_folder(own.get("results"))]
            words += ["--fresh"] if own.get("fresh") else []
            pilot = ["--pilot", str(own["pilot"])] if own.get("pilot") else []
            workers = own.get("workers")
            if workers is not None:
                several = workers if isinstance(workers, (list, tuple, range)) else [workers]
                words += ["--workers", ",".join(map(str, several))]
            about = verb([*words, *pilot, "--format", "json"])
            return Plan(about, output(words))  # the pilot's runs are there by now

    def check(self, function: Function | None = None, *, tasks: int = 12, ignore: Sequence[str] = (), **keys: Any) -> Check:
        """Whether results depend on anything but their points: calls a few of them alone, in other orders and at the same
        time, and compares. Nothing is kept.

        Args:
            tasks: how many calls are looked at.
            ignore: fields of results that may differ, such as a time.
        """
        patterns = keys.pop("ignore_files", None)
        nest = self.crunch(function, **keys, **({"ignore": patterns} if patterns else {}))
        with nest._private() as file:
            words = ["check", file, "--tasks", str(tasks)]
            for name in ignore:
                words += ["--ignore", name]
            return Check(verb([*words, "--format", "json"], may=(0, 1, 100)))

    def sbatch(
        self,
        function: Function | None = None,
        *,
        nodes: int | None = None,
        ntasks_per_node: int | None = None,
        threads: int | None = None,
        time: str | None = None,
        partition: str | None = None,
        parts: int | None = None,
        requeues: int | None = None,
        launcher: str | None = None,
        submit: bool = False,
        more: Sequence[str] = (),
        results: str | os.PathLike[str] | None = None,
        **keys: Unpack[CrunchKeys],
    ) -> str:
        """A batch script for Slurm; with ``submit`` it is submitted, and what sbatch says is returned. The job file and
        the functions are put into the results folder, which all nodes have to see.
        """
        nest = self.crunch(function, **keys)
        folder = nest.results_folder(results)
        with claim(Path(os.path.abspath(folder))):
            file = nest._write(Path(folder))
        words = ["sbatch", str(file), "--out", folder]
        options = {"nodes": nodes, "ntasks-per-node": ntasks_per_node, "threads": threads, "time": time,
                   "partition": partition, "parts": parts, "requeues": requeues, "launcher": launcher}
        for name, value in options.items():
            words += [f"--{name}", str(value)] if value is not None else []
        words += ["--submit"] if submit else []
        return output([*words, *(["--", *more] if more else [])])

    def to_toml(self, function: Function | None = None, **keys: Unpack[CrunchKeys]) -> str:
        """The nest as a job file, for ``gridmpi JOB.toml``.

        Raises:
            Error: it has what no file can hold: functions of this session, objects. The message names them.
        """
        return job.portable(self.crunch(function, **keys))

    @staticmethod
    def from_toml(path: str | os.PathLike[str]) -> Nest:
        """The nest of a job file, with its function. Relative paths are relative to the file's folder."""
        return job.read(Path(path))

    def results_folder(self, results: str | os.PathLike[str] | None = None) -> str:
        """Where the results are: ``results/NAME``, unless another folder is given."""
        return os.fspath(results) if results is not None else os.path.join("results", self.name)

    def _write(self, results: Path) -> Path:
        """Puts the job file and the functions into a results folder."""
        return job.write(self, results)

    @contextlib.contextmanager
    def _private(self) -> Iterator[str]:
        """The job file in a folder that goes away."""
        with folder_of("job") as folder:
            yield str(job.write(self, Path(folder)))

    def __repr__(self) -> str:
        loops = "".join(f".loop({one.name!r})" for one in self._loops)
        return f"Nest({self.name!r}){loops}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Nest):
            return NotImplemented
        return all(getattr(self, slot) == getattr(other, slot) for slot in Nest.__slots__)

    __hash__ = None  # type: ignore[assignment]
