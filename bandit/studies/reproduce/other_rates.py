"""Cells whose means or peaks are judged at the rate of their end, where another rate is better for these.

Claims on the trade-off and on the first steps have runs of their own, at rates of their own. For the mean over a run
and for its peak, `print(other_rates_table())` shows what that leaves out, on the tuning seeds.
"""

from typing import NamedTuple

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies.measures import Measure
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.measures import MEAN_REWARD, PEAK_REWARD
from modeseek.bandit.studies.reproduce.protocols import FULL, TEN
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import CLAIMS
from modeseek.bandit.studies.store import cell_path
from modeseek.markdown import markdown_table


class OtherRate(NamedTuple):
    """A cell, a measure, and the rate that is best for it on the tuning seeds.

    Attributes:
        conventions: their name.
        cell: its name.
        measure: what is judged.
        tuned: the rate at which it is judged, the best for the end.
        value: the measure there, mean over tuning seeds.
        best: the rate at which the measure is highest, of those at which the most tuning seeds are finite.
        most: the measure there.
    """

    conventions: str
    cell: str
    measure: Measure
    tuned: float
    value: float
    best: float
    most: float

    @property
    def matters(self) -> bool:
        """Whether more is left out than is too small to matter."""
        return self.most - self.value > self.measure.unit.negligible


def other_rates(measure: Measure, conventions: str) -> list[OtherRate]:
    """One for each stored cell that a claim on this measure rests on and whose grid has it."""
    cells = {term.cell for claim in CLAIMS.values() for term in claim.contrast.terms if term.measure == measure}
    found = []
    for cell in sorted((cell for cell in cells if isinstance(cell, BanditCell)), key=lambda cell: cell.name):
        paths = [cell_path(STORE.folder(protocol, conventions), cell) for protocol in (FULL, TEN)]
        path = next((path for path in paths if path.exists()), None)
        if path is None or measure.grid not in (stored := load(path)):
            continue
        grid = stored[measure.grid].sortby("learning_rate")
        finite = grid.notnull().sum("tuning_seed")
        mean = grid.mean("tuning_seed").where(finite == finite.max("learning_rate"))
        tuned = float(stored.attrs["learning_rate"])
        best = float(mean.idxmax("learning_rate"))
        value = float(mean.sel(learning_rate=tuned))
        found.append(OtherRate(conventions, cell.name, measure, tuned, value, best, float(mean.max())))
    return found


def other_rates_table() -> str:
    """The cells where it matters, and how many of each kind it was asked of."""
    rows, counts = [], []
    for measure, name in ((MEAN_REWARD, "mean"), (PEAK_REWARD, "peak")):
        for conventions in PRESETS:
            asked = other_rates(measure, conventions)
            there = [each for each in asked if each.matters]
            counts.append(f"{len(there)} of {len(asked)} for the {name} under `{conventions}`")
            rows += [
                (
                    f"`{o.cell}`",
                    f"`{conventions}`",
                    name,
                    f"{o.tuned:g}",
                    f"{o.value:.2f}",
                    f"{o.best:g}",
                    f"{o.most:.2f}",
                )
                for o in there
            ]
    heads = ("cell", "conventions", "measure", "rate of the end", "there", "best rate", "there")
    table = markdown_table([(head, "left" if i < 3 else "right") for i, head in enumerate(heads)], rows)
    return f"{table}\n\n{'; '.join(counts)}."
