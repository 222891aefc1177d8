"""The fits of a search in a folder: each is read alone, and what they share is there once.

Large arrays are files that all processes of a host map, read-only. Everything here is pickles, which the caller writes and
only the children of its run load.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..carry import pickled

MAPPED = 1 << 20  # an array of so many bytes is a file, as joblib has it
ONCE = 1 << 10  # and one of so many is written once
COPIES = "GRIDMPI_CARRIED"  # where a host that does not see folders has them


def write(folder: Path, tasks: Sequence[tuple[Any, tuple[Any, ...], dict[str, Any]]]) -> None:
    """Writes the tasks: functions with their arguments."""
    Writer(folder).write(tasks)


class Writer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, tuple[tuple[str, int], Any]] = {}  # with the values, so that no other gets their addresses
        self._shared: set[int] = set()
        self._places: list[tuple[int, int]] = []
        self._arrays = 0

    def write(self, tasks: Sequence[tuple[Any, tuple[Any, ...], dict[str, Any]]]) -> None:
        uses = Counter(id(value) for _, by_place, by_name in tasks for value in (*by_place, *by_name.values()))
        self._shared = {key for key, count in uses.items() if count > 1}
        descriptor = os.open(self._folder / "objects", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as self._file:
            places = [self._append(pickled(task, "a fit", self._persistent)) for task in tasks]
        (self._folder / "index").write_bytes(pickle.dumps((places, self._places)))

    def _append(self, data: bytes) -> tuple[int, int]:
        at = self._file.tell()
        self._file.write(data)
        return at, len(data)

    def _persistent(self, value: Any) -> tuple[str, int] | None:
        key = id(value)
        if key in self._known:
            return self._known[key][0]
        is_array = isinstance(value, np.ndarray) and type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject
        if is_array and value.nbytes >= MAPPED:
            found = ("array", self._arrays)
            self._arrays += 1
            np.save(self._folder / f"{found[1]}.npy", value, allow_pickle=False)
        elif is_array and value.nbytes >= ONCE or key in self._shared and not isinstance(value, (type(None), bool, int, float, str)):
            data = pickled(value, "a fit", lambda inner: None if inner is value else self._persistent(inner))
            found = ("object", len(self._places))
            self._places.append(self._append(data))
        else:
            return None
        self._known[key] = (found, value)
        return found


def here(folder: str) -> Path:
    """Where this host has a folder."""
    return Path(json.loads(os.environ.get(COPIES, "{}")).get(folder, folder))


class Reader:
    """The tasks in a folder, in a child. Each has values of its own, but for the mapped arrays."""

    def __init__(self, folder: str) -> None:
        self._folder = here(folder)
        self._tasks, self._places = pickle.loads((self._folder / "index").read_bytes())
        self._file = (self._folder / "objects").open("rb")
        self._arrays: dict[int, Any] = {}

    def task(self, number: int) -> Any:
        """A function with its arguments."""
        return self.read(self._tasks[number], {})

    def read(self, place: tuple[int, int], known: dict[int, Any]) -> Any:
        """What is at a place of the file; `known` are the objects of the same task that are made by now."""
        self._file.seek(place[0])
        return Unpickler(self._file.read(place[1]), self, known).load()  # a single pread gives no more than 2 GiB

    def object(self, number: int, known: dict[int, Any]) -> Any:
        if number not in known:
            known[number] = self.read(self._places[number], known)
        return known[number]

    def array(self, number: int) -> Any:
        if number not in self._arrays:
            self._arrays[number] = np.load(self._folder / f"{number}.npy", mmap_mode="r").view(np.ndarray)
        return self._arrays[number]


class Unpickler(pickle.Unpickler):
    """Reads a task, or an object of one."""

    def __init__(self, data: bytes, reader: Reader, known: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._reader, self._known = reader, known

    def persistent_load(self, found: Any) -> Any:
        kind, number = found
        return self._reader.array(number) if kind == "array" else self._reader.object(number, self._known)
