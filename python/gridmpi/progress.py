"""How far a run is, as numbers and as a bar."""

from __future__ import annotations

import html
import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH = 30
PERIOD = 0.25  # seconds between two looks


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: ``"starting"``, ``"running"``, ``"complete"`` and so on, as ``gridmpi status`` has it.
        tasks: how many calls the whole nest has; 0 until that is known.
        done: how many of them have a result or have failed, with those of earlier runs, which are ``reused``.
        failed: how many have failed.
        skipped: how many are not made, because their points were stopped early.
        seconds_left: how long the rest takes; None if that cannot be said yet.
    """

    state: str = "starting"
    tasks: int = 0
    done: int = 0
    reused: int = 0
    failed: int = 0
    seconds_left: float | None = None
    skipped: int = 0

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, (self.done + self.skipped) / self.tasks) if self.tasks else 0.0

    def words(self) -> str:
        """In a line."""
        if not self.tasks:
            return self.state
        text = f"{self.done}/{self.tasks}"
        text += f", {self.failed} failed" if self.failed else ""
        text += f", {self.skipped} skipped" if self.skipped else ""
        if self.seconds_left is not None and self.done + self.skipped < self.tasks:
            left = round(self.seconds_left)
            text += f", {left // 60}:{left % 60:02} left"
        return text

    def _repr_html_(self) -> str:
        return f'<progress value="{self.done + self.skipped}" max="{max(self.tasks, 1)}"></progress> {html.escape(self.words())}'


def of_folder(folder: Path, since: float = 0.0) -> Progress:
    """How far the run in a results folder is, by the file that rank 0 writes once a second; nothing older than `since`."""
    try:
        found: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Progress()
    if found.get("started", 0.0) < since:
        return Progress()
    return of_status(found)


def of_status(found: dict[str, Any]) -> Progress:
    return Progress(found["state"], found["tasks"], found["done"], found["reused"], found["failed"], found["seconds_left"],
                    found.get("skipped", 0))


def in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


class Bar:
    """A bar in a terminal or in Jupyter; nothing elsewhere, unless it is asked for."""

    def __init__(self, name: str, wanted: bool | None) -> None:
        self._name, self._last, self._begun = name, "", time.monotonic()
        self._handle: Any = None
        self._kind = "none"
        if wanted is not False:
            if in_jupyter():
                self._kind = "jupyter"
            elif sys.stderr is not None and (wanted or sys.stderr.isatty()):
                self._kind = "terminal"

    def show(self, progress: Progress) -> None:
        if time.monotonic() - self._begun < 0.5:
            return  # short runs need none
        self._draw(progress)

    def _draw(self, progress: Progress) -> None:
        if self._kind == "terminal":
            full = round(WIDTH * progress.fraction)
            line = f"{self._name} [{'=' * full}{' ' * (WIDTH - full)}] {progress.words()}"
            if line != self._last:
                sys.stderr.write("\r" + line.ljust(len(self._last)))
                sys.stderr.flush()
            self._last = line
        elif self._kind == "jupyter":
            display: Any = importlib.import_module("IPython.display")
            shown = display.HTML(f"{html.escape(self._name)} {progress._repr_html_()}")
            if self._handle is None:
                self._handle = display.display(shown, display_id=True)
            else:
                self._handle.update(shown)

    def close(self, progress: Progress) -> None:
        if self._last or self._handle is not None:
            self._draw(progress)
        if self._last:
            sys.stderr.write("\n")
            sys.stderr.flush()
