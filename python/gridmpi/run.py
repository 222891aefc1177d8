"""A run of a nest: a process of gridmpi's."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from . import functions
from ._program import program
from .digests import WHOLE
from .errors import Error, Interrupted, RunsFailed
from .keys import check_errors
from .process import Log, is_private, message_of, refuse_ranks, starter, warn
from .progress import PERIOD, Bar, Progress, of_folder
from .results import Results

if TYPE_CHECKING:
    from .nest import Nest

COMPLETE, INTERRUPTED, SOME_FAILED = 0, 75, 100
running: set[Run] = set()


def words_of(options: Mapping[str, Any], job: str, results: str) -> list[str]:
    """The command for a run."""
    workers, mpi = options.get("workers"), bool(options.get("mpi"))
    if isinstance(options.get("mpi"), str):
        raise Error(f"mpi is True, or a list of more options for mpirun, found {options['mpi']!r}")
    for name in ("workers", "threads"):
        number = options.get(name)
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise Error(f"{name} is a number, 1 or more, found {number!r}")
    if mpi:
        for name in ("keep_failed", "batch", "strategy"):
            if options.get(name):
                raise Error(f"{name} goes with threads, not with mpi=True")
        words = ["launch", "-n", str((workers or os.cpu_count() or 1) + 1), job]
        more = [] if options["mpi"] is True else ["--", *map(str, options["mpi"])]
        words += ["--threads", str(options["threads"])] if options.get("threads") else []
        words += ["--master-works"] if options.get("master_works") else []
    else:
        if options.get("threads"):
            raise Error("threads says how many calls a rank makes at a time, and goes with mpi=True; say workers=")
        if options.get("master_works"):
            raise Error("master_works goes with mpi=True")
        more = []
        words = ["run", job, "--threads", str(workers or os.cpu_count() or 1), "--format", "csv"]
        words += ["--keep-failed"] if options.get("keep_failed") else []
        words += ["--batch", str(options["batch"])] if options.get("batch") else []
        words += ["--strategy", str(options["strategy"])] if options.get("strategy") else []
    words += ["--out", results]
    words += ["--fresh"] if options.get("fresh") else []
    words += ["--keep"] if options.get("keep_changed") else []
    words += ["--grace", str(options["grace"])] if options.get("grace") is not None else []
    words += ["-v"] if options.get("verbose") else []
    return [*words, *more]


class Run:
    """A run that was started: `Nest.start` gives one."""

    def __init__(self, nest: Nest, options: Mapping[str, Any]) -> None:
        refuse_ranks()
        self.results_folder = nest.results_folder(options.get("results"))
        self._folder = Path(os.path.abspath(self.results_folder))
        self._bar = Bar(nest.name, options.get("progress"))
        self._lock = claim(self._folder)
        self._begun = time.time() - 1.0
        self._signals = 0
        self._taken = threading.Lock()
        self._code: int | None = None
        self._caller = os.getpid()
        try:
            job = nest._write(self._folder)
            words = words_of(options, os.path.relpath(job), self.results_folder)
            self._process: subprocess.Popen[bytes] = starter.start([program(), *words])
        except BaseException:
            self._lock.close()
            raise
        running.add(self)
        assert self._process.stderr is not None
        self._log = Log(self._process.stderr, sys.stderr if options.get("verbose") else None)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return of_folder(self._folder, self._begun)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def results(self) -> Results:
        """What is there by now."""
        return Results(self.results_folder)

    def cancel(self) -> None:
        """Asks it to end: calls that are under way may end within ``grace`` seconds, no other begins, and what is done is
        kept. `wait` then raises `Interrupted`.
        """
        self._signal(signal.SIGINT)

    def wait(self, errors: Literal["raise", "keep"] = "raise") -> Results:
        """Waits until it has ended.

        Args:
            errors: ``"raise"``, or ``"keep"`` to return though calls have failed.

        Raises:
            RunsFailed: calls have failed; the results are in it.
            Interrupted: it was cancelled, or ended by a signal.
            Error: gridmpi refused it; the message says why.
            KeyboardInterrupt: Ctrl-C: it has ended in order, and the next call goes on where it stopped.
        """
        check_errors(errors)
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                self._watch()
                break
            except KeyboardInterrupt as error:
                interrupted = error
                self._signal(signal.SIGINT if self._signals < 2 else signal.SIGKILL)
        self._end()
        if interrupted is not None and self._code != COMPLETE:
            raise interrupted
        return self._outcome(errors)

    def _watch(self) -> None:
        while True:
            try:
                self._process.wait(PERIOD)
                return
            except subprocess.TimeoutExpired:
                self._bar.show(self.progress)

    def _signal(self, number: int) -> None:
        self._signals += 1
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _end(self) -> None:
        with self._taken:
            if self._code is None:
                self._code = self._process.wait()
                self._log.close()
                self._lock.close()
                self._bar.close(self.progress)
                running.discard(self)
                warn(self._log.warnings(), 5)

    def _outcome(self, errors: str) -> Results:
        if self._code in (COMPLETE, SOME_FAILED):
            results = Results(self.results_folder)
            if self._code == SOME_FAILED and errors == "raise":
                raise failed(results, self._log)
            return results
        message = message_of(self._log.lines)
        if self._code == INTERRUPTED:
            raise Interrupted(message or "it was ended before it was complete; the same call goes on with the rest")
        tail = "\n".join(self._log.lines[-20:])
        message = named(message) or f"gridmpi has ended with {self._code}\n{tail}"
        raise Error(message + differences(self._folder, message))

    def __repr__(self) -> str:
        return f"<Run {self.results_folder}: {self.progress.words()}>"


def failed(results: Results, log: Log, way: str = 'errors="keep" returns it, and ') -> RunsFailed:
    """The error for runs that have failed, with the first one's traceback, and what may be done."""
    failures = results.failures
    text = log.failures() or "some results are incomplete"
    if first := next(iter(failures.head(1)), None):
        loops = results.loops
        points = ", ".join(f"{name}={first[name]!r}" for name in first if name.partition(".")[0] in loops and first[name] is not None)
        text += f"\n\ntask {first['task']} ({points}):\n{first['error']}"
    else:
        summary = results.summary
        errors = [str(row["error"]) for row in summary if row.get("error")]
        errors += [str(row["final.error"]) for row in summary if row.get("final.error")]
        text += "".join(f"\n\n{error}" for error in dict.fromkeys(errors))
    if is_private(results.folder):
        return RunsFailed(f"{text}\n\nNothing is kept: results=FOLDER keeps what is done.", None, list(failures))
    return RunsFailed(f"{text}\n\nAll else is kept: {way}the next call makes only these again.", results, failures)


def named(message: str) -> str:
    """A message without the change of a function as a whole, if it names what of it has changed."""
    change = rf"\w+, {WHOLE}, has changed from `[^`]*` to `[^`]*`"
    return re.sub(rf"{change}(?:, and |, )|(?:, and|,) {change}", "", message)


def differences(folder: Path, message: str) -> str:
    """What has changed in the sources that a message names by their digests."""
    found = ""
    for kind, was, now in re.findall(r"from `(code|source) ([0-9a-f]{24})` to `(?:code|source) ([0-9a-f]{24})`", message):
        texts: list[list[str]] = []
        for digest in (was, now):
            with contextlib.suppress(OSError):
                texts.append((folder / functions.FOLDER / "sources" / digest).read_text(encoding="utf-8").splitlines())
        if len(texts) == 2:
            lines = list(difflib.unified_diff(texts[0], texts[1], n=1, lineterm=""))[3:]
            found += "\n" + "\n".join(f"    {line}" for line in lines[:20])
    return found


def claim(folder: Path) -> IO[bytes]:
    """Makes the folder of the functions, and keeps other runs of this host from changing them."""
    place = folder / functions.FOLDER
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = open(place / "lock", "ab")
    except OSError as error:
        raise Error(f"the results folder {folder} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Error(f"another run is under way in {folder}: wait for it, or name another folder with results=") from None
    except OSError:
        pass  # a file system without locks
    return lock


@atexit.register
def end_all() -> None:
    """Runs that nobody waits for end in order with this process."""
    own = [run for run in running if run._caller == os.getpid()]
    for run in own:
        run.cancel()
    for run in own:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run._process.wait(60)
