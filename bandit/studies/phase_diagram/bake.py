"""The phase diagram that comes with the package: `python -m modeseek.bandit.studies.phase_diagram.bake FOLDER`.

FOLDER is the `--out` of `modeseek phase --full`. Its slices of which every cell is there become `phase.nc` in this
folder, and where the documentation is beside the package (a clone), its page and its figures are written anew.
"""

import sys
from pathlib import Path

from modeseek.bandit.simulator.results import save
from modeseek.bandit.studies.phase_diagram.grid import SLICES
from modeseek.bandit.studies.phase_diagram.grids import full
from modeseek.bandit.studies.phase_diagram.page import write_page
from modeseek.bandit.studies.phase_diagram.stored import STORED, assemble, gather, open_phase


def main(folder: Path, docs: Path) -> int:
    """Gather, store, draw, describe."""
    cells = folder / "cells"
    whole = tuple(
        name for name in SLICES if len(gather(full(slices=(name,)), cells)) == len(full(slices=(name,)).points())
    )
    grid = full(slices=whole)
    save(assemble(grid, gather(grid, cells)), STORED)
    for path in write_page(open_phase(STORED), docs):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs")))
