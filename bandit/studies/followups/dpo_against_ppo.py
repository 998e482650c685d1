"""arXiv 2404.10719, "Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study" (Xu et al., 2024).

**Claim.** Whatever PPO ends at by exploiting its reward model, DPO can end at too, but not the other way round: DPO may
give mass to responses that no comparison holds, where PPO's KL to the reference keeps it back. And PPO is better with
advantages that are normalised, with large batches, and with a reference that is an exponential average of the policy;
DPO is better iterated, on fresh data, where its data are not the policy's.

**Set-up.** `policy_classes` has the theorem (4.1), `partial_coverage` the training, `moving_references` that with
references that move. Of the paper its abstract and the
statement of the theorem were read, and summaries by others.
"""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import LineStyle, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, level
from modeseek.bandit.studies.followups.followup import TWENTY, Followup, FollowupCell
from modeseek.bandit.studies.followups.moving_claims import (
    FAR,
    GOLD,
    MOVING,
    MOVING_CLAIMS,
    MOVING_SETUP,
    NEAR,
    SECTION,
    SLOW_AVERAGE,
    at_kl,
    describe_moving,
    draw_moving,
)
from modeseek.bandit.studies.followups.partial_coverage import Training, train
from modeseek.bandit.studies.followups.policy_classes import REFERENCES, Classes, enumerated
from modeseek.bandit.studies.measures import Measure, Unit

PAPER = "2404.10719"
FULL, PARTIAL = REFERENCES


def _cell(name: str, setup: Training) -> FollowupCell:
    return FollowupCell(f"coverage-{name}", setup, train, protocols=frozenset({TWENTY}))


EXACT = FollowupCell("policy-classes", Classes(), enumerated, enumerated=True, protocols=frozenset({TWENTY}))
STRONG, WEAK = 0.5, 0.1
"""β of eq. 2, reward a nat: how strongly KL holds the policy back."""
DPO = _cell("dpo", Training("dpo", kl=STRONG))
PPO = _cell("ppo", Training("ppo", "gpt", kl=STRONG))
FAR_DPO = _cell("dpo-weak-kl", Training("dpo", kl=WEAK))
FAR_PPO = _cell("ppo-weak-kl", Training("ppo", "gpt", kl=WEAK))
TABLE = _cell("ppo-table", Training("ppo", "tabular", kl=STRONG, fit_rate=0.03))
FREE = _cell("ppo-without-kl", Training("ppo", "gpt", kl=0.0))
RAW = _cell("ppo-raw-advantages", Training("ppo", "gpt", kl=STRONG, standardization="none"))
SMALL = _cell("ppo-small-batch", Training("ppo", "gpt", kl=STRONG, samples=20))

MASS = Unit("mass", 0.02)
NATS, VARIATION = Unit("nats of DPO's loss", 1e-6), Unit("total variation", 0.01)

GAINED = Measure(
    "gained",
    lambda d: d["unseen"].isel(step=-1) - d["unseen"].isel(step=0),
    "mass that responses of no pair have gained at the end",
    MASS,
)
EXCESS = Measure("excess", lambda d: d["excess"].max(), "largest excess of PPO's optima in DPO's loss", NATS)


def _farthest(reference: str) -> Measure:
    return Measure(
        f"farthest, reference {reference}",
        lambda d: d["distance"].sel(reference=reference).max(),
        "largest distance of DPO's optima to PPO's",
        VARIATION,
    )


THEOREM = "theorem 4.1"
UNSEEN = "DPO may find biased solutions that exploit out-of-distribution responses"
HELD_BACK = "KL divergence regularization helps PPO alleviate issues with out-of-distribution data"

CLAIMS = (
    Claim(
        "classes-ppo-in-dpo",
        "Every optimum of PPO on a reward that fits the comparisons is an optimum of DPO (largest excess of its loss).",
        THEOREM,
        level(EXCESS, EXACT),
        "equal",
        quote="any solution found by PPO exploiting the reward model can also be found by DPO",
    ),
    Claim(
        "classes-dpo-not-in-ppo",
        f"Not the other way round, where the reference {PARTIAL}: DPO has optima far from PPO's.",
        THEOREM,
        level(_farthest(PARTIAL), EXACT),
    ),
    Claim(
        "classes-equal",
        f"Where the reference {FULL}, each optimum of DPO is PPO's on a reward that fits as well: the classes are one.",
        "ours: rewards may be any number where nothing was compared",
        level(_farthest(FULL), EXACT),
        "equal",
    ),
    *(
        claim
        for beta, end, dpo, ppo in ((STRONG, "", DPO, PPO), (WEAK, "-weak-kl", FAR_DPO, FAR_PPO))
        for claim in (
            Claim(
                f"coverage-dpo{end}",
                f"β = {beta:g}: DPO moves mass to responses of no pair.",
                SECTION,
                level(GAINED, dpo),
                quote=UNSEEN,
            ),
            Claim(
                f"coverage-ppo{end}",
                f"β = {beta:g}: PPO on a learnt reward moves none there.",
                SECTION,
                level(GAINED, ppo, -1.0),
                "at_least",
                quote=HELD_BACK,
            ),
            Claim(
                f"coverage-dpo-ppo{end}",
                f"β = {beta:g}: DPO gives more mass to responses of no pair than PPO does.",
                SECTION,
                difference(GAINED, dpo, ppo),
                quote=UNSEEN,
            ),
        )
    ),
    Claim(
        "coverage-kl",
        "PPO without the KL gives them more mass than with it.",
        SECTION,
        difference(GAINED, FREE, PPO),
        quote=HELD_BACK,
    ),
    Claim(
        "coverage-table",
        "DPO gives them as much as PPO does on a learnt table, which begins at the same reward for all.",
        "ours: such a table has R₃ at the mean, as DPO's implicit reward has",
        difference(GAINED, DPO, TABLE),
        "equal",
    ),
    *(
        Claim(
            f"coverage-gold{end}",
            f"β = {beta:g}: PPO has more gold reward than DPO at the same KL to the reference, {budget:g} nats.",
            "abstract; of language models, carried over by us, at equal KL",
            difference(at_kl(budget), ppo, dpo),
        )
        for beta, budget, end, dpo, ppo in (
            (STRONG, NEAR, "", DPO, PPO),
            (WEAK, NEAR, "-weak-kl", FAR_DPO, FAR_PPO),
            (WEAK, FAR, "-weak-kl-far", FAR_DPO, FAR_PPO),
        )
    ),
    Claim(
        "ppo-normalised",
        "PPO ends with more gold reward where advantages are normalised.",
        SECTION,
        difference(GOLD, PPO, RAW),
        quote="advantage normalization stabilizes PPO training and improves performance",
    ),
    Claim(
        "ppo-batch",
        "PPO ends with more gold reward from 200 responses a collection than from 20.",
        SECTION,
        difference(GOLD, PPO, SMALL),
        quote="large batch size training significantly enhances PPO performance",
    ),
    *MOVING_CLAIMS,
    Claim(
        "ppo-average-kl",
        f"More than by going farther: {FAR:g} nats from the start, PPO with such a reference has more gold reward than "
        f"with a fixed one and β = {WEAK:g}.",
        "ours: a reference that follows holds the policy back less, and so does a smaller β",
        difference(at_kl(FAR), SLOW_AVERAGE, FAR_PPO),
    ),
)

LINES = {
    "DPO": (DPO, LineStyle("#D55E00", "o", "-")),
    "PPO, learnt GPT-Nano": (PPO, LineStyle("#0072B2", "s", "-")),
    f"DPO, β = {WEAK:g}": (FAR_DPO, LineStyle("#F0A070", "o", ":")),
    f"PPO, β = {WEAK:g}": (FAR_PPO, LineStyle("#70A8D8", "s", ":")),
    "PPO, learnt table": (TABLE, LineStyle("#009E73", "^", "--")),
    "PPO without KL": (FREE, LineStyle("#8C8C8C", "x", ":")),
    "PPO, raw advantages": (RAW, LineStyle("#CC79A7", "v", "-.")),
    "PPO, 20 responses": (SMALL, LineStyle("#E69F00", "D", "--")),
}


def draw(results: Results) -> Figure:
    """Mass on what no pair contains and gold reward, over training; how far DPO's optima lie from PPO's; and the gold
    reward over the KL where the reference moves."""
    with style():
        figure, axes = new_figure(2, 2, panel=(4.6, 3.0))
        (left, middle), (right, last) = axes
        for label, (cell, line) in LINES.items():
            runs = fresh_runs(results[cell])
            _curve(left, runs["unseen"], line, label)
            _curve(middle, runs["gold"], line, label)
        left.set(title="Responses that no pair contains", xlabel="gradient step", ylabel="mass of the policy", ylim=0)
        middle.set(title="Gold reward", xlabel="gradient step", ylabel="expected reward")
        lines = LineStyle("#0072B2", "s", "-"), LineStyle("#D55E00", "o", "-")
        for reference, line in zip(REFERENCES, lines, strict=True):
            curve = results[EXACT]["distance"].sel(reference=reference)
            right.plot(curve["unseen_mass"], curve, label=f"reference {reference}", **line.line(every=4))
        right.set(title="DPO's optima, exact", xlabel="their mass on y₃", ylabel="distance to PPO's optima")
        right.legend(loc="upper left", fontsize=8)
        draw_moving(last, results)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3.2, frameon=False)
    return figure


def _curve(axes: Axes, runs: xarray.DataArray, line: LineStyle, label: str) -> None:
    """Mean over the seeds that are finite, and its standard error."""
    mean, error = runs.mean("seed"), runs.std("seed", ddof=1) / np.sqrt(runs.notnull().sum("seed"))
    axes.fill_between(runs["step"], mean - error, mean + error, color=line.color, alpha=0.18, linewidth=0)
    axes.plot(runs["step"], mean, label=label, **line.line(every=(0.05, 0.17)))


def describe(results: Results) -> str:
    """What the picture shows."""
    ends = {label: fresh_runs(results[cell])["unseen"].isel(step=-1).mean() for label, (cell, _) in LINES.items()}
    before = float(fresh_runs(results[DPO])["unseen"].isel(step=0).mean())
    parts = [f"{label} {float(value):.2f}" for label, value in ends.items()]
    mass = f"Mass on responses that no pair contains, {before:.2f} before training, at the end: {', '.join(parts)}."
    return f"{mass} {describe_moving(results)}"


FOLLOWUP = Followup(
    PAPER,
    "where DPO and PPO on a learnt reward put the mass that no comparison decides. "
    '"Is DPO Superior to PPO for LLM Alignment? A Comprehensive Study".',
    (EXACT, SLOW_AVERAGE, *(cell for cell, _ in (*LINES.values(), *MOVING.values()))),
    protocols=(TWENTY,),
    default=TWENTY,
    claims=CLAIMS,
    deviations="The theorem's case is enumerated as it stands. In training a response is one token of a hundred and "
    "the policy a small GPT, where the paper tunes language models; β of eq. 2 is "
    f"{STRONG:g} reward a nat if nothing else is said. The learning rate is {Training('dpo').learning_rate:g}; in "
    f"what has to do with references that move, {MOVING_SETUP}",
    draw=draw,
    describe=describe,
)
