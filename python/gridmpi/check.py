"""Whether results depend on anything but their points."""

from __future__ import annotations

import json
from typing import Any


class Check:
    """What a check has found: true if that is nothing; `print` shows it.

    Attributes:
        about: all that ``gridmpi check --format json`` says.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about

    def __bool__(self) -> bool:
        return bool(self.about["ok"])

    def __repr__(self) -> str:
        verdict = "each gave the same result in all" if self else "do not believe the results yet"
        found = {name: value for name, value in self.about.items() if isinstance(value, list) and name not in ("tasks", "passes")}
        lines = [f"{len(self.about['tasks'])} points, {self.about['calls']} calls: {verdict}"]
        return "\n".join([*lines, *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in found.items() if value)])
