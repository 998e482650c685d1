"""Which explorers become pages: with which predictions before them, and what is scrubbed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import modeseek.bandit.explore as explore
from modeseek.bandit.explore.bandit import questions as bandit
from modeseek.bandit.explore.budget import questions as budget
from modeseek.bandit.explore.demo import questions as demo
from modeseek.bandit.explore.displacement import questions as displacement
from modeseek.bandit.explore.first_steps import questions as first_steps
from modeseek.bandit.explore.kl import questions as kl
from modeseek.bandit.explore.negative import questions as negative
from modeseek.bandit.explore.on_policy import questions as on_policy
from modeseek.bandit.explore.out_of_distribution import questions as out_of_distribution
from modeseek.bandit.explore.own import questions as own
from modeseek.bandit.explore.phase import questions as phase
from modeseek.bandit.explore.phase.model import centers
from modeseek.bandit.explore.reproduce import questions as reproduce
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.prediction import Prediction

Asks = tuple[Callable[[], Prediction], ...]


@dataclass(frozen=True)
class Shown:
    """One explorer as a page.

    Attributes:
        explorer: its public name.
        notebook: number of the one that it stands in; empty for none.
        predictions: what is asked before it is seen, as in the notebook.
        axis: control that is scrubbed; an explorer without it has one picture a preset.
        even: whether its values are equally far apart; otherwise the early ones, where most happens, are denser.
        stops: the values themselves, where only some were recorded.
        values: of other controls, in every preset.
    """

    explorer: str
    notebook: str = ""
    predictions: Asks = ()
    axis: str = "step"
    even: bool = False
    stops: Callable[[], Sequence[int]] | None = None
    values: tuple[tuple[str, object], ...] = ()

    @property
    def kind(self) -> type[Explorer]:
        """Its class."""
        found: type[Explorer] = getattr(explore, self.explorer)
        return found

    @property
    def name(self) -> str:
        """Its file's name, and the first word of its states."""
        return self.kind.Model.kind


ROWS = (
    Shown("DemoExplorer", "00", (demo.predict_offline,), even=True),
    Shown("FirstStepsExplorer", "01", (first_steps.predict_first, first_steps.predict_end), even=True),
    Shown(
        "OutOfDistributionExplorer", "02", (out_of_distribution.predict_unseen, out_of_distribution.predict_stopping)
    ),
    Shown("NegativeGradientExplorer", "03", (negative.predict_winners,)),
    Shown("FourMethodsExplorer", "03", (negative.predict_figure16,)),
    # Its presets name figure 18's prompts: whoever has seen them knows the second answer too.
    Shown("DisplacementExplorer", "04", (displacement.predict_length, displacement.predict_prompts)),
    Shown("Figure18Explorer", "04", (displacement.predict_prompts,), even=True),
    # One of its presets is what notebook 11 draws.
    Shown("BanditExplorer", "05", (bandit.predict_wave, bandit.predict_price, own.predict_hills), even=True),
    Shown("OnPolicyExplorer", "06", (on_policy.predict_size, on_policy.predict_reuse), even=True),
    Shown("KLExplorer", "07", (kl.predict_separation, kl.predict_race)),
    # At the end of training, where the peak's place decides.
    Shown(
        "PhaseExplorer",
        "08",
        (phase.predict_crossing, phase.predict_offline),
        "center",
        stops=centers,
        values=(("step", 20),),
    ),
    Shown("ReproduceExplorer", "09", (reproduce.predict_discarded, reproduce.predict_remedy), "row", even=True),
    # A page has no controls: its plan refreshes as often as can be, and is scored.
    Shown(
        "BudgetExplorer",
        "11",
        (budget.predict_plan,),
        even=True,
        values=(("collections", "32"), ("scored", "yes")),
    ),
)
"""In the order of the course."""


def catalogue() -> tuple[Shown, ...]:
    """Every explorer that there is; one without a row asks nothing."""
    known = {row.explorer for row in ROWS}
    rest = (name for name in explore.EXPLORERS if name not in known)
    return (*ROWS, *map(Shown, rest))
