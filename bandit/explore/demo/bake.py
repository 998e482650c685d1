"""The recorded run that notebook 00 opens with: `python -m modeseek.bandit.explore.demo.bake FOLDER/results.nc` after
`modeseek demo --out FOLDER`. Kept small: curves, and token distributions at the end averaged over positions."""

import sys
from pathlib import Path

from modeseek.bandit.explore.toolkit.stored import DATA, curves_and_ends, store
from modeseek.bandit.simulator.results import load

COMMAND = "modeseek demo --out FOLDER && python -m modeseek.bandit.explore.demo.bake FOLDER/results.nc"


def main(path: Path) -> None:
    """Write the part of a demo's results that the tour shows."""
    store(curves_and_ends(load(path), ("position",), COMMAND), DATA / "demo.nc")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
