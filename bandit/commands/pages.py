"""`modeseek pages`: every explorer as one HTML page that opens anywhere."""

import dataclasses
from pathlib import Path

from modeseek.bandit.commands.common import say
from modeseek.files import free_folder
from modeseek.progress import progress


@dataclasses.dataclass(frozen=True)
class Pages:
    """Write every explorer's presets as one self-contained HTML page: scrub, play, predict; no kernel, no network.

    Each page is under 2 MB and holds its pictures; `index.html` lists them. A page that is there already, made from the
    same code and data, is left as it is, so that the same command goes on where it was stopped.

    Attributes:
        out: the folder; without, the first free modeseek-results/pages-N.
        again: make every page, those too that are up to date.
    """

    out: Path | None = None
    again: bool = False

    def run(self) -> int:
        """Write, and say where; 130 if it was stopped.

        Raises:
            ValueError: the folder cannot be written to.
        """
        folder = free_folder(self.out, "pages")
        try:
            from modeseek.bandit.explore.pages.write import write

            paths = write(folder, progress=progress("pages", delay=1), again=self.again)
        except KeyboardInterrupt:
            how = "The same command without --again, and" if self.again else "The same command"
            say(f"stopped; finished pages are in {folder}. {how} with --out {folder}, goes on from here")
            return 130
        for path in paths:
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        print(f"open {folder / 'index.html'}")
        return 0
