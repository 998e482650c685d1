"""What a follow-up leaves: its figure, and a text with its verdicts."""

from pathlib import Path

from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.document import chapter, deviations
from modeseek.bandit.studies.followups.followup import Followup
from modeseek.bandit.studies.followups.study import STUDY
from modeseek.files import replacing
from modeseek.report import Report


def write_followup(followup: Followup, results: Results, folder: Path, report: Report) -> str:
    """Save a follow-up's figure (PNG and SVG) and its text into a folder; returns the text. The data are its cells.

    Args:
        followup: which.
        results: of all of its cells.
        folder: exists and is writable.
        report: figure and file are its parts; one that fails leaves the others.
    """
    lines = [f"# {followup.name}: {followup.about}", "", *deviations(followup)]
    lines += chapter(STUDY, followup, results, STUDY.assess(followup, results))
    saved: list[Path] = []
    with report.part(f"{followup.name}.md"), replacing(folder / f"{followup.name}.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        saved.append(folder / f"{followup.name}.md")
    with report.part(f"the figure {followup.name}"):
        # The name has a point in it, which would be taken for a suffix.
        saved += save_figure(followup.draw(results), folder / file_stem(followup))
    return "\n".join([*lines, followup.describe(results), f"Saved {', '.join(map(str, saved))}", ""])


def file_stem(followup: Followup) -> str:
    """Name of a follow-up's figure, without its suffix."""
    return f"figure-{followup.name.replace('.', '-')}"
