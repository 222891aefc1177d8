"""What a nest would run."""

from __future__ import annotations

import re
from typing import Any

from .process import in_words


class Plan:
    """What would run: `print` shows it.

    Attributes:
        tasks: how many calls there are.
        done: how many of them are done already.
        left: how many are not.
        failed: how many of those that are done have failed.
        rows: how many rows the result has.
        refused: why the runs that are there would be refused; None if they would not.
        about: all that ``gridmpi plan --format json`` says.
    """

    def __init__(self, about: dict[str, Any], text: str) -> None:
        text = text.partition("\n\n")[2]  # behind the name of a job file that goes away
        self.about, self.text = about, in_words(re.sub(r"gridmpi plan \S+ --pilot (\d+)", r"pilot=\1", text))
        self.tasks: int = about["tasks"]
        self.rows: int = about["rows"]
        self.done: int = about["done"]
        self.left: int = about["left"]
        self.failed: int = about["failed"]
        self.refused: str | None = about["refused"]

    def __repr__(self) -> str:
        return self.text.rstrip()
