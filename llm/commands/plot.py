"""`modeseek llm plot`: what runs have recorded, as pictures."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from modeseek.checks import require
from modeseek.report import Report


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw what runs of `modeseek llm` have recorded (metrics.jsonl): of SFT, a reward model, `tune`, or `demo`.

    Every number that the runs have is drawn over gradient steps: loss, gold and proxy reward, KL, length, the share
    that ends with EOS, implicit rewards and margin, accuracy; and where the seconds went. Runs that differ in their
    seed alone are one line with a band. What is drawn is also said in words, in a file beside the pictures.

    Attributes:
        runs: folders of runs (their --out).
        out: the pictures' name, without an ending; metrics in the first run's folder, if it is not given.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    out: Path | None = None

    def run(self) -> int:
        """Read, draw, save; 0 on success.

        Raises:
            ValueError: no such run, or nothing that is drawn.
        """
        from modeseek.bandit.figures.style import save_figure
        from modeseek.files import replacing, writable_folder
        from modeseek.llm.figures.runs import runs_figure
        from modeseek.llm.runs.recorded import grouped, read_runs

        require(bool(self.runs), "name the folder of a run (its --out), or of several")
        pictured = runs_figure(grouped([run for path in self.runs for run in read_runs(path)]))
        first = self.runs[0] if self.runs[0].is_dir() else self.runs[0].parent
        stem = first / "metrics" if self.out is None else self.out
        writable_folder(stem.parent)
        report = Report()
        with replacing(stem.with_suffix(".txt")) as temporary:
            temporary.write_text(pictured.caption + "\n", encoding="utf-8")
        print(pictured.caption)
        saved = [stem.with_suffix(".txt")]
        with report.part("the picture"):
            saved += save_figure(pictured.figure, stem)
        print(f"saved {', '.join(map(str, saved))}")
        return report.code
