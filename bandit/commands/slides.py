"""`modeseek slides`: figures for a lecture, each with a title and one sentence."""

import dataclasses
from pathlib import Path

from modeseek.bandit.commands.common import say
from modeseek.files import free_folder
from modeseek.progress import progress


@dataclasses.dataclass(frozen=True)
class Slides:
    """Write a lecture's figures: the telling view of every explorer as SVG and PNG, with a title and one sentence.

    An SVG's letters are outlines, so that it looks alike everywhere. `index.html` shows all of them with the state that
    opens each in a notebook, and prints one on a sheet.

    Attributes:
        out: the folder; without, the first free modeseek-results/slides-N.
    """

    out: Path | None = None

    def run(self) -> int:
        """Draw, and say where; 130 if it was stopped.

        Raises:
            ValueError: the folder cannot be written to.
        """
        folder = free_folder(self.out, "slides")
        try:
            from modeseek.bandit.explore.teaching.slides import write

            paths = write(folder, progress=progress("slides", delay=1))
        except KeyboardInterrupt:
            say(f"stopped; finished figures are in {folder}")
            return 130
        print(f"{sum(path.suffix == '.svg' for path in paths)} figures as SVG and PNG; open {paths[-1]}")
        return 0
