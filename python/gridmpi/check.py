"""Whether results depend on anything but their points."""

from __future__ import annotations

import json
from typing import Any


class Check:
    """What a check has found: true if that is nothing.

    Attributes:
        about: all that ``gridmpi check --format json`` says.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about

    def __bool__(self) -> bool:
        return bool(self.about["ok"])

    def __repr__(self) -> str:
        return json.dumps(self.about, indent=1)
