"""The stored runs of a target, as far as they are there: its picture, and what they say of the paper's claims."""

from collections.abc import Iterable, Set
from typing import Any, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modeseek.bandit.explore.toolkit.canvas import DPI, encode_small
from modeseek.bandit.explore.toolkit.display import Displayed, Still, figure, paragraphs
from modeseek.bandit.figures.style import style
from modeseek.bandit.studies.assess import Assessment, on_most_seeds
from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.document import note_of
from modeseek.bandit.studies.store import Store, missing_cells
from modeseek.bandit.studies.study import Study
from modeseek.checks import require
from modeseek.llm.studies.cells import LanguageCell
from modeseek.llm.studies.document import command
from modeseek.llm.studies.draw import PANELS, figure_of
from modeseek.llm.studies.report import alt_text
from modeseek.llm.studies.scales import LAPTOP
from modeseek.llm.studies.store import STORE
from modeseek.llm.studies.targets import STUDY, TARGETS
from modeseek.markdown import markdown_table

SomeCell = TypeVar("SomeCell", bound=Cell)


def stored(cells: Iterable[LanguageCell]) -> Results:
    """Those cells of the scale `laptop` that come with the package.

    Raises:
        ValueError: one is there, and of another configuration.
    """
    cells, folder = tuple(cells), STORE.folder(LAPTOP.protocol, LAPTOP.name)
    absent = missing_cells(cells, folder)
    return {cell: STORE.read(cell, LAPTOP.protocol, LAPTOP.name, folder) for cell in cells if cell not in absent}


def judged(study: Study[SomeCell], store: Store[SomeCell], condition: str, names: Set[str]) -> dict[str, Assessment]:
    """Claims of a study by name, on what is stored: of a target's fullest protocol, and of more seeds where there are.

    An interval holds for all of the study's claims at once, whichever are asked for.
    """
    found = dict[str, Assessment]()
    for target in study.targets:
        if names & {claim.name for claim in target.claims}:
            stored = [there.results for there in store.fullest(target, condition)]
            for results in stored or [{}]:
                found |= on_most_seeds(found, study.assess(target, results))
    return {name: found[name] for name in names}


def of_language(*names: str) -> list[Assessment]:
    """Claims about language models by name, on the stored cells of the scale `laptop`."""
    found = judged(STUDY, STORE, LAPTOP.name, set(names))
    return [found[name] for name in names]


def effect(assessment: Assessment) -> str:
    """A claim's effect with its interval and its verdict, in words; or that it has not been run."""
    verdict, unit = assessment.verdict, assessment.claim.contrast.unit.name
    if verdict is None:
        return f"**{assessment.word}**"
    bounds = f"{verdict.low:+z.1f} to {verdict.high:+z.1f}" if np.isfinite(verdict.low) else "unbounded"
    return f"{verdict.effect:+z.1f} {unit} ({bounds}): **{assessment.word}**{assessment.mark}"


class Picture(Displayed):
    """A figure with its caption; display it in a notebook.

    Attributes:
        caption: what it shows, in numbers; also its alt text.
    """

    def __init__(self, drawn: Figure, caption: str) -> None:
        super().__init__()
        self._figure, self.caption = drawn, caption

    def png(self) -> bytes:
        """The picture, small."""
        self._figure.set_dpi(DPI)
        agg = FigureCanvasAgg(self._figure)
        with style():
            agg.draw()
        return encode_small(np.asarray(agg.buffer_rgba())[..., :3].copy())

    def still(self) -> Still:
        """The picture with its caption below."""
        return Still(figure(self.png(), self.caption, paragraphs(self.caption)), self.caption)


class Table:
    """Text in Markdown; display it in a notebook."""

    def __init__(self, markdown: str) -> None:
        self.markdown = markdown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


class Recorded:
    """A target of `modeseek llm reproduce` with curves, at the scale `laptop`.

    Attributes:
        target: which.
        results: of those cells that are stored.
        missing: names of the others.
    """

    def __init__(self, name: str) -> None:
        """Read a target by its name, such as `fig10`.

        Raises:
            ValueError: there is none of this name with curves.
        """
        drawn = [target.name for target in PANELS]
        require(name in drawn, f"there is no target {name!r} with curves; there are {', '.join(drawn)}")
        self.target = TARGETS[name]
        self.results = stored(self.target.cells)
        self.missing = tuple(cell.name for cell in self.target.cells if cell not in self.results)

    @property
    def picture(self) -> Picture:
        """Its figure, of those cells that are stored.

        Raises:
            ValueError: none is.
        """
        make = command(self.target, LAPTOP.name)
        require(bool(self.results), f"nothing is stored of {self.target.name}: `{make}` makes it")
        lacking = f" Not stored: {', '.join(self.missing)}; `{make}` makes them." if self.missing else ""
        drawn = figure_of(self.target, self.results, note_of(LAPTOP.protocol, LAPTOP.name, self.results))
        return Picture(drawn, alt_text(self.target, self.results) + lacking)

    @property
    def verdicts(self) -> Table:
        """Its claims, what the fresh seeds say of each, and in what this is not the paper's experiment."""
        assessments = STUDY.assess(self.target, self.results)
        rows = [(a.claim.text, a.claim.source, effect(a)) for a in assessments]
        columns = ("claim", "source", "effect (simultaneous interval): verdict")
        table = markdown_table([(title, "left") for title in columns], rows)
        return Table(f"{table}\n\n{self.target.deviations}")
