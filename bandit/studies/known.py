"""Intervals of results that come with the package, worked out once: a reader of an explorer waits for none of them.

The bootstrap's draws of a hundred seeds alone take a third of a second. An interval follows from the numbers and from
how often it may miss, so it is kept under both: whatever changes in a cell, a measure or a claim, what was kept of
something else is not found, and is worked out. `python -m modeseek.bandit.studies.reproduce.bake` writes the file.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from modeseek.bandit.studies.intervals import Intervals, simultaneous
from modeseek.files import parse_json, replacing

KNOWN = Path(__file__).parent / "intervals.json"
ASKED: dict[str, Intervals] = {}
"""What has been asked for in this process, by its name."""


def intervals_of(values: Float[np.ndarray, "C n"], miss: float) -> Intervals:
    """What `simultaneous` says of these numbers, worked out if it is not known.

    Args:
        values: `[claims, seeds]`; NaN where a seed diverged.
        miss: how often any of the intervals may miss.
    """
    name = name_of(values, miss)
    if name not in ASKED:
        ASKED[name] = _read(KNOWN).get(name) or simultaneous(values, miss)
    return ASKED[name]


def name_of(values: Float[np.ndarray, "C n"], miss: float) -> str:
    """What intervals are kept under."""
    said = f"{values.shape} {values.dtype.str} {miss!r}".encode()
    return hashlib.sha256(said + np.ascontiguousarray(values).tobytes()).hexdigest()[:20]


def forget() -> None:
    """Know nothing, so that all is worked out anew."""
    KNOWN.unlink(missing_ok=True)
    _read.cache_clear()
    ASKED.clear()


def write(found: Mapping[str, Intervals]) -> None:
    """Keep intervals, and nothing else."""
    lines = [f'"{name}": {json.dumps([bound.tolist() for bound in found[name]])}' for name in sorted(found)]
    with replacing(KNOWN) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    _read.cache_clear()


@cache
def _read(path: Path) -> dict[str, Intervals]:
    if not path.exists():
        return {}
    held = parse_json(path.read_text(encoding="utf-8"), "the intervals that are known")
    return {name: Intervals(*(np.array(bound, np.float64) for bound in bounds)) for name, bounds in held.items()}
