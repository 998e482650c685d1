"""arXiv 2503.01067, "All Roads Lead to Likelihood: The Value of Reinforcement Learning in Fine-Tuning" (Swamy et al.).

**Claim.** With isomorphic classes of policies and of rewards, offline and online preference fine-tuning have the same
optima, whatever the data. Online leads where there is a generation-verification gap: a reward that is simpler than the
policies is learnt from less data, and the second stage only returns policies that are optimal for such rewards.

**Set-up.** See `reward_classes`: a table against the position of a peak, as rewards and as policies, each method at its
optimum; a true reward that is a peak (R1 far from the reference, R2 near it), and one that is none. Of the paper its
abstract and the list of its contributions were read.
"""

from matplotlib.figure import Figure

from modeseek.bandit.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILLION,
    LineStyle,
    new_figure,
    style,
)
from modeseek.bandit.simulator.problem import R1, R2
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, Term
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.reward_classes import ROADS, Roads, roads
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.verdicts import Kind

CELLS = {
    "R1": FollowupCell("roads-r1", Roads(R1[0]), roads),
    "R2": FollowupCell("roads-r2", Roads(R2[0]), roads),
    "shuffled": FollowupCell("roads-shuffled", Roads(R1[0], shuffled=True), roads),
}
WORLDS = {"R1": "R1, far from the reference", "R2": "R2, near it", "shuffled": "R1 shuffled: no peak"}
SHARE = Unit("share of what can be gained of E[r] - β KL", 0.02)
PAIRS = 300
"""Where claims compare, unless they say otherwise."""


def _share(road: str, pairs: int) -> Measure:
    return Measure(f"{road}-{pairs}", lambda data: data["share"].sel(road=road, pairs=pairs), "share", SHARE)


def _claim(
    name: str,
    world: str,
    text: str,
    better: str,
    worse: str,
    quote: str = "",
    *,
    kind: Kind = "more",
    source: str = "abstract",
    pairs: int = PAIRS,
) -> Claim:
    cell = CELLS[world]
    contrast = Contrast((Term(1.0, cell, _share(better, pairs)), Term(-1.0, cell, _share(worse, pairs))))
    return Claim(
        f"roads-{world.lower()}-{name}", f"{WORLDS[world]}, {pairs} pairs: {text}", source, contrast, kind, quote=quote
    )


SAME = "the same set of optima when the same function class is used for both policies and reward models"
LESS = "only has to search over a reduced subset of the full space of policies, requiring less data than offline FT"
FIRST = "its introduction, contribution 1"


def _claims(world: str) -> tuple[Claim, ...]:
    """What is claimed of every true reward."""
    return (
        _claim(
            "tables",
            world,
            "with a table for rewards and for policies, online is as good as offline.",
            "online_table_to_table",
            "offline_table",
            SAME,
            kind="equal",
            source=FIRST,
        ),
        _claim(
            "peaks",
            world,
            "with a peak for rewards and for policies, online is as good as offline.",
            "online_peak_to_peak",
            "offline_peak",
            SAME,
            kind="equal",
            source=FIRST,
        ),
        _claim(
            "gap",
            world,
            "with a peak for rewards and a table for policies, online is better than offline.",
            "online_peak_to_table",
            "offline_table",
            LESS,
        ),
        _claim(
            "reverse-gap",
            world,
            "with a table for rewards and a peak for policies, online is better than offline.",
            "online_table_to_peak",
            "offline_peak",
            source="ours: the gap turned round",
        ),
    )


CLAIMS = (
    *(claim for world in CELLS for claim in _claims(world)),
    *(
        _claim(
            "gap-with-much-data",
            world,
            "with a peak for rewards and a table for policies, online is better than offline.",
            "online_peak_to_table",
            "offline_table",
            source="ours: less data is what it needs",
            pairs=3000,
        )
        for world in ("R1", "R2")
    ),
    _claim(
        "simple-policies",
        "R1",
        "online with a peak for rewards and a table for policies is as good as offline with a peak for policies.",
        "online_peak_to_table",
        "offline_peak",
        kind="equal",
        source="ours: it is the simple class, not the second stage",
    ),
)

LINES = {
    "offline_table": LineStyle(BLUE, "o"),
    "online_table_to_table": LineStyle(ORANGE, "X", (0, (1.2, 1.4))),
    "online_peak_to_table": LineStyle(VERMILLION, "s", "--"),
    "offline_peak": LineStyle(GREEN, "^"),
    "online_peak_to_peak": LineStyle(PURPLE, "*", (0, (1.2, 1.4))),
    "online_table_to_peak": LineStyle(BLACK, "D", (0, (5, 1.5, 1, 1.5))),
}


def _named(road: str) -> str:
    """A road in words: offline, or online with the class of rewards; and the class of policies."""
    side, *classes = road.replace("_to_", "_").split("_")
    return f"offline: {classes[0]}" if side == "offline" else f"online: {classes[0]} → {classes[1]}"


def draw(results: Results) -> Figure:
    """Share of the gain against pairs, a curve a road; a panel a true reward."""
    with style():
        figure, axes = new_figure(1, 3, panel=(3.7, 3.0), sharey=True)
        for panel, (world, cell) in zip(axes[0], CELLS.items(), strict=True):
            mean = fresh_runs(results[cell])["share"].mean("seed")
            for road, line in LINES.items():
                panel.plot(mean["pairs"], mean.sel(road=road), label=_named(road), **line.line())
            panel.axhline(0, color="#8C8C8C", linewidth=1)
            panel.set(title=WORLDS[world], xscale="log", xlabel="pairs", ylim=(-0.75, 1.05))
        axes[0, 0].set_ylabel("share of the gain of E[r] - β KL")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3.2, frameon=False)
        figure.suptitle("Classes of rewards → classes of policies (mean of seeds)", fontsize=10)
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    parts = []
    for world, cell in CELLS.items():
        mean = fresh_runs(results[cell])["share"].sel(pairs=PAIRS).mean("seed")
        each = ", ".join(f"{_named(road)} {float(mean.sel(road=road)):.2f}" for road in ROADS)
        parts.append(f"{WORLDS[world]}: {each}")
    return f"Mean share of the gain with {PAIRS} pairs. {'. '.join(parts)}."


FOLLOWUP = Followup(
    "2503.01067",
    "Does the lead of learning in two stages need rewards that are simpler than policies? "
    '"All Roads Lead to Likelihood: The Value of Reinforcement Learning in Fine-Tuning".',
    tuple(CELLS.values()),
    claims=CLAIMS,
    deviations="The paper's conditions are met: the classes are isomorphic where they are said to be, and each method "
    "is at its optimum. Its experiments fine-tune language models, where the second stage has samples and steps that "
    "are counted; here it has as many as it wants.",
    draw=draw,
    describe=describe,
)
