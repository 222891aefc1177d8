"""Calls of the program gridmpi."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ._program import program
from .errors import Error, GridmpiWarning

# Of the launcher that has started this process: they would make gridmpi one of its ranks.
LAUNCHER = ("OMPI_COMM_", "OMPI_UNIVERSE", "OMPI_APP_", "PMIX_", "PMI_", "PMI2_", "PALS_", "PRTE_", "HYDRA_", "HYDI_", "MPI_LOCAL")
KEPT = ("PRTE_MCA_", "PMIX_MCA_")
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
LINE = re.compile(r"^\[\S+ rank \d+ (ERROR|WARN|INFO|DEBUG|TRACE)\s*\] ?(.*)$")
WORDS = (("--keep-failed", "keep_failed=True"), ("--keep", "keep_changed=True"), ("--fresh", "fresh=True"),
         ("--out", "results="), ("`python` is missing", "a function is missing"))

private: set[str] = set()
"""Folders that go away with the calls that have made them."""


@contextlib.contextmanager
def folder_of(what: str, where: str | None = None) -> Iterator[str]:
    """A folder that goes away with a call, so that no message names it."""
    with tempfile.TemporaryDirectory(prefix=f"gridmpi-{what}-", dir=where, ignore_cleanup_errors=True) as folder:
        private.add(folder)
        try:
            yield folder
        finally:
            private.discard(folder)


def is_private(folder: str) -> bool:
    """Whether a folder goes away."""
    return any(Path(os.path.abspath(folder)).is_relative_to(one) for one in list(private))


def refuse_ranks() -> None:
    """Refuses to be one of several copies of a script, each of which would start the job."""
    for name in SIZES:
        size = os.environ.get(name, "")
        if size.isdigit() and int(size) > 1:
            raise Error(
                f"{name} says that this script runs as {size} processes, each of which would start the job: start the "
                f"script alone, without mpirun, and say run(..., workers={int(size) - 1}, mpi=True), which starts mpirun"
            )
    rank = os.environ.get("PMIX_RANK", "")
    if "OMPI_COMM_WORLD_SIZE" not in os.environ and rank.isdigit() and int(rank) > 0:
        raise Error(
            "PMIX_RANK says that this script is one of several processes, each of which would start the job: start the "
            "script alone, without a launcher, and say run(..., workers=8, mpi=True), which starts mpirun"
        )


def environment() -> dict[str, str]:
    """The environment for gridmpi: without the marks of a launcher."""
    def is_kept(name: str) -> bool:
        return not name.startswith(LAUNCHER) or name.startswith(KEPT)

    kept = {name: value for name, value in os.environ.items() if is_kept(name)}
    kept["GRIDMPI_PARENT"] = str(os.getpid())
    kept.pop("RUST_LOG", None)
    return kept


def in_words(message: str) -> str:
    """A message of the command line's, in terms of Python's keywords, and without the places of folders that go away."""
    forms = {form for folder in list(private) for form in (folder, os.path.realpath(folder), relative(folder))}
    if forms:
        place = f"(?:{'|'.join(map(re.escape, forms))})"
        message = re.sub(rf"{place}/(?:\w+/)?python/job\.toml(?::\d+)?: (?:crunch\.)?", "", message)
        message = re.sub(rf"are in {place}/\w+; start it again to go on", "were made; results=FOLDER keeps what is done", message)
        message = re.sub(rf"{place}(?:/(?:results|runs))?(?![\w-])", "the folder of this call", message)
    for option, keyword in WORDS:
        message = re.sub(rf"(?<![\w-]){option}(?![\w-])", keyword, message)
    return message


def relative(folder: str) -> str:
    """The folder as the program is given it."""
    try:
        return os.path.relpath(folder)
    except OSError:  # the working folder is gone
        return folder


def message_of(lines: Iterable[str]) -> str:
    """What gridmpi has said last about an error; where that is the end of mpirun, also what was said before."""
    found: list[str] = []
    others: list[str] = []
    for line in lines:
        if line.startswith("gridmpi: error: "):
            before = found[:1] or others[-10:]
            found = [line[len("gridmpi: error: "):]]
            found += before if found[0].startswith("mpirun ended") else []
        elif line.startswith("error: "):
            found = [line[len("error: "):]]
        elif (log := LINE.match(line)) is not None:
            if log[1] == "ERROR":
                found = [log[2]]
        else:
            (found or others).append(line)
    return in_words("\n".join(found).strip())


def called(words: Sequence[str], may: Sequence[int] = (0,)) -> bytes:
    """What gridmpi prints on stdout; an error says what it refused."""
    done = subprocess.run([program(), *words], stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False)
    if done.returncode not in may:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        raise Error(message_of(lines) or "\n".join(lines) or f"gridmpi has ended with {done.returncode}")
    return done.stdout


def output(words: Sequence[str]) -> str:
    """What gridmpi prints, as text."""
    return called(words).decode()


def verb(words: Sequence[str], may: Sequence[int] = (0,)) -> Any:
    """What gridmpi prints, as JSON."""
    return json.loads(called(words, may))


class Starter:
    """Starts processes that end with this one: they are told when the thread that has started them ends, so it must
    be one that lasts.
    """

    def __init__(self) -> None:
        self._wanted: queue.Queue[tuple[list[str], queue.Queue[Any]]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()

    def start(self, words: list[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None or self._process != os.getpid():
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._serve, name="gridmpi starter", daemon=True)
                self._thread.start()
        answer: queue.Queue[Any] = queue.Queue()
        self._wanted.put((words, answer))
        started = answer.get()
        if isinstance(started, OSError):
            raise Error(f"{words[0]} cannot be started: {started.strerror}")
        assert isinstance(started, subprocess.Popen)
        return started

    def _serve(self) -> None:
        while True:
            words, answer = self._wanted.get()
            try:
                answer.put(subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(),
                    start_new_session=True,  # Ctrl-C is for Python, which passes it on once
                ))
            except OSError as error:
                answer.put(error)


starter = Starter()


class Log:
    """What a process says on stderr, gathered by a thread."""

    def __init__(self, pipe: IO[bytes], echo: Any = None) -> None:
        self.lines: list[str] = []
        self._pipe, self._echo = pipe, echo
        self._thread = threading.Thread(target=self._read, name="gridmpi log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(text)
            if len(self.lines) > 20_000:
                del self.lines[1000:2000]
            if self._echo is not None:
                print(text, file=self._echo, flush=True)

    def close(self) -> None:
        self._thread.join()
        self._pipe.close()

    def warnings(self) -> list[str]:
        """What was said as a warning, but for what errors and results say anyway."""
        found = [log[2] for log in map(LINE.match, self.lines) if log is not None and log[1] == "WARN"]
        said = re.compile(r"task \d+ \(.*has failed|\d+ of \d+ runs? failed|  |gridmpi (runs|explain) |\d+ final calls? |SIG\w+: ")
        return [in_words(line) for line in found if not said.match(line)]

    def failures(self) -> str:
        """What was said about failures, in short."""
        found = [log[2] for log in map(LINE.match, self.lines) if log is not None and log[1] == "WARN"]
        heads = [line.rstrip(":") for line in found if re.match(r"\d+ of \d+ runs? failed|.*(incomplete|partial|final call)", line)]
        return "; ".join(heads)


def warn(lines: Iterable[str], level: int) -> None:
    for line in lines:
        warnings.warn(line, GridmpiWarning, stacklevel=level)
