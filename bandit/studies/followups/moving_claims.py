"""arXiv 2404.10719 on references that move and on fresh data: its claims, and how they are drawn."""

from matplotlib.axes import Axes

from modeseek.bandit.figures.style import LineStyle
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference
from modeseek.bandit.studies.followups.followup import TWENTY, FollowupCell
from modeseek.bandit.studies.followups.moving_references import Moving, gold_at, train
from modeseek.bandit.studies.measures import Measure, Unit


def _moving(name: str, setup: Moving) -> FollowupCell:
    return FollowupCell(f"moving-{name}", setup, train, protocols=frozenset({TWENTY}))


FIXED = _moving("ppo-fixed", Moving("ppo", peak=40))
AVERAGE = _moving("ppo-average", Moving("ppo", every=1, decay=0.99, peak=40))
SLOW_AVERAGE = _moving("ppo-average-slow", Moving("ppo", every=1, decay=0.99, peak=40, rates=(1e-3,), tuning_seeds=1))
"""At `partial_coverage`'s rate, so that it can be held against those runs along the way."""
ONE_SHOT = _moving("dpo-one-shot", Moving("one-shot"))
OWN = _moving("dpo-own", Moving("own"))
ROUNDS = _moving("dpo-rounds-fixed", Moving("rounds"))
ITERATED = _moving("dpo-rounds", Moving("rounds", every=1))

REWARD = Unit("expected reward", 0.02)
GOLD = Measure("gold", lambda d: d["gold"].isel(step=-1), "expected gold reward at the end", REWARD)
NEAR, FAR = 0.5, 2.0
"""Nats of KL to the start at which policies are compared that end at other distances from it."""


def at_kl(budget: float) -> Measure:
    """Gold reward on the way, where the KL is so many nats: of runs that all get there."""
    words = f"expected gold reward where the KL is {budget:g} nats"
    return Measure(f"gold at {budget:g} nats", lambda d: gold_at(d, budget), words, REWARD)


SECTION = "its section 4, by a summary of others; of language models, carried over by us"

MOVING_CLAIMS = (
    Claim(
        "ppo-average",
        "PPO ends with more gold reward where its reference is an exponential average of the policy.",
        SECTION,
        difference(GOLD, AVERAGE, FIXED),
        quote="exponential moving average updates of the reference model improve PPO performance",
    ),
    Claim(
        "dpo-rounds",
        "The peak is not in the data: DPO in rounds, with the policy as each round's reference, ends with more gold.",
        SECTION,
        difference(GOLD, ITERATED, ONE_SHOT),
        quote="DPO performed poorly initially but improved after resolving distribution shift issues",
    ),
    Claim(
        "dpo-own-data",
        "One data set of the reference's own samples in that one's place is enough for more gold.",
        "ours: which part of it is coverage",
        difference(GOLD, OWN, ONE_SHOT),
    ),
    Claim(
        "dpo-fresh-data",
        "Rounds of the policy's samples under a fixed reference end with more gold than one data set of the start's.",
        "ours: which part of it is fresh data",
        difference(GOLD, ROUNDS, OWN),
    ),
    Claim(
        "dpo-moving-reference",
        "Rounds end with more gold where the reference moves than where it is fixed.",
        "ours: which part of it is the reference",
        difference(GOLD, ITERATED, ROUNDS),
    ),
)

MOVING = {
    "PPO, fixed reference": (FIXED, LineStyle("#0072B2", "s", "-")),
    "PPO, averaged reference": (AVERAGE, LineStyle("#009E73", "^", "--")),
    "DPO, peak not in the data": (ONE_SHOT, LineStyle("#D55E00", "o", "-")),
    "DPO, the reference's samples": (OWN, LineStyle("#E69F00", "D", "--")),
    "DPO in rounds, fixed reference": (ROUNDS, LineStyle("#CC79A7", "v", "-.")),
    "DPO in rounds, the policy as reference": (ITERATED, LineStyle("#8C8C8C", "x", ":")),
}
"""Of which the gold reward is drawn over the KL."""

MOVING_SETUP = (
    f"it is the one of {', '.join(f'{rate:g}' for rate in ITERATED.setup.rates)} that ends highest on "
    f"{ITERATED.setup.tuning_seeds} other seeds, unless KLs are equal. An averaged reference has decay "
    f"{AVERAGE.setup.decay:g} every other step. DPO in rounds has {ITERATED.setup.rounds} of them, with as many "
    "comparisons and steps in all as one data set has; comparisons are of gold rewards, at the label temperature."
)
"""How that is run, for the chapter's deviations."""


def draw_moving(axes: Axes, results: Results) -> None:
    """Gold reward over the KL, means over the seeds."""
    for label, (cell, line) in MOVING.items():
        mean = fresh_runs(results[cell]).mean("seed")
        axes.plot(mean["kl"], mean["gold"], label=label, **line.line(every=(0.05, 0.17)))
    axes.set(title="A reference that moves", xlabel="KL to the start, nats", ylabel="expected gold reward")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=8)


def describe_moving(results: Results) -> str:
    """Where the arms end."""
    moved = [
        (label, results[cell]["rate"], fresh_runs(results[cell]).isel(step=-1)) for label, (cell, _) in MOVING.items()
    ]
    rewards = [
        f"{label} {float(end['gold'].mean()):.2f} at {float(end['kl'].mean()):.2f} nats (rate {float(rate):g})"
        for label, rate, end in moved
    ]
    return f"Gold reward at the end: {', '.join(rewards)}."
