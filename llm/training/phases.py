"""Where the seconds of a run go: those of each phase, and those that no phase accounts for."""

import time
from collections.abc import Mapping
from typing import Any

SUFFIX = "_seconds"


class Phases:
    """A clock that runs from when it is made, and the seconds by phase that a run's records tell of."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()

    def add(self, record: Mapping[str, Any]) -> None:
        """Every `PHASE_seconds` of a record."""
        for name, value in record.items():
            if name.endswith(SUFFIX):
                phase = name.removesuffix(SUFFIX)
                self.seconds[phase] = self.seconds.get(phase, 0.0) + value

    def __str__(self) -> str:
        total = time.monotonic() - self._began
        outside = max(0.0, total - sum(self.seconds.values()))
        spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self.seconds.items())
        return f"{spent}; outside of them {outside:.1f} s ({100 * outside / max(total, 1e-9):.1f} %)"
