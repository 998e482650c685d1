"""arXiv 2210.10760, "Scaling Laws for Reward Model Overoptimization" (Gao, Schulman, Hilton, 2022).

**Claim.** Trained against a learnt reward, a policy gains by it to the end, while the gold reward rises, peaks and
falls; with d = √KL(policy ‖ start) it is d (α - β log d) above its start. More comparisons make the peak higher and
later. A KL penalty gains more of the proxy at a given KL and no more of the gold reward: it is a way to stop early. And
2406.02900 (Rafailov et al., 2024): methods without a reward model over-optimise their comparisons alike.

**Set-up.** `learnt_rewards`; how a run is read, `optimization_measures`. Of the first paper its abstract was read and
summaries by others, of the second its abstract.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLACK, SKY, LineStyle, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, level
from modeseek.bandit.studies.followups.drawing import common_legend
from modeseek.bandit.studies.followups.followup import FOUR_HUNDRED, Followup, FollowupCell
from modeseek.bandit.studies.followups.learnt_rewards import LENGTH, TOKENS, Optimized, train
from modeseek.bandit.studies.followups.optimization_measures import (
    EXPLAINED,
    GAINED,
    KL_AT_PEAK,
    LOST,
    PEAK,
    gold_at_kl,
    onsets,
    proxy_at_kl,
)

PAPER = "2210.10760"


def _cell(name: str, setup: Optimized) -> FollowupCell:
    return FollowupCell(f"optimized-{name}", setup, train, protocols=frozenset({FOUR_HUNDRED}))


FEW, SOME, MANY = (_cell(f"ppo-{n}", Optimized("ppo", n)) for n in (50, 200, 800))
PENALTY = 0.1
"""β of eq. 2, reward a nat."""
PENALISED = _cell("ppo-50-kl", Optimized("ppo", strength=PENALTY))
DPO = _cell("dpo-50", Optimized("dpo", strength=0.01, learning_rate=0.1))
IPO = _cell("ipo-50", Optimized("ipo", strength=0.01, learning_rate=0.1))
NETWORK_SEEDS = 100
"""Of the four hundred, those that are run on a network: a seed takes two seconds of a processor, a table's .15."""
NETWORK_FEW, NETWORK_MANY = (
    _cell(f"ppo-{n}-network", Optimized("ppo", n, proxy="gpt", seeds=NETWORK_SEEDS)) for n in (50, 800)
)
BUDGET = 4.0
"""Nats at which runs with a penalty and without are compared."""

ABSTRACT = "abstract"
DIRECT = "2406.02900, abstract"
BY_SUMMARY = "by a summary of others"
HINDERS = "optimizing its value too much can hinder ground truth performance"
DETERIORATE = "they still commonly deteriorate from over-optimization"

CLAIMS = (
    Claim(
        "optimized-gold",
        "From 50 comparisons: the gold reward falls from its peak to the end of training.",
        ABSTRACT,
        level(LOST, FEW),
        quote=HINDERS,
    ),
    Claim("optimized-proxy", "Meanwhile the learnt reward rises.", ABSTRACT, level(GAINED, FEW)),
    Claim(
        "optimized-law",
        "On the way the gold reward is d (α - β log d) above its start: of its variance more than .9.",
        f"{BY_SUMMARY}: the law of reinforcement learning",
        level(EXPLAINED, FEW, constant=0.9),
    ),
    Claim(
        "optimized-data-some",
        "200 comparisons: the peak is higher than from 50.",
        BY_SUMMARY,
        difference(PEAK, SOME, FEW),
    ),
    Claim(
        "optimized-data-many",
        "800 comparisons: the peak is higher than from 200.",
        BY_SUMMARY,
        difference(PEAK, MANY, SOME),
    ),
    Claim(
        "optimized-data-kl",
        "From 800 comparisons the peak is at a larger KL than from 50.",
        "ours: as a larger reward model's is",
        difference(KL_AT_PEAK, MANY, FEW),
    ),
    Claim(
        "optimized-data-lost",
        "From 800 comparisons less is lost behind it than from 50.",
        "ours",
        difference(LOST, FEW, MANY),
    ),
    Claim(
        "optimized-penalty-gold",
        f"At {BUDGET:g} nats a KL penalty makes no difference to the gold reward.",
        f"{BY_SUMMARY}: the frontier of gold reward and KL",
        difference(gold_at_kl(BUDGET), PENALISED, FEW),
        "equal",
    ),
    Claim(
        "optimized-penalty-proxy",
        f"At {BUDGET:g} nats a KL penalty makes the learnt reward larger.",
        BY_SUMMARY,
        difference(proxy_at_kl(BUDGET), PENALISED, FEW),
    ),
    Claim(
        "optimized-penalty-lost",
        "With the penalty less is lost behind the peak: training stops early.",
        BY_SUMMARY,
        difference(LOST, FEW, PENALISED),
    ),
    *(
        Claim(
            f"optimized-{name.lower()}",
            f"Offline {name}: the gold reward falls from its peak to the end of training.",
            DIRECT,
            level(LOST, cell),
            quote=DETERIORATE,
        )
        for name, cell in (("DPO", DPO), ("IPO", IPO))
    ),
    *(
        Claim(
            f"optimized-network-{cell.setup.comparisons}",
            f"GPT-Nano as reward model, {cell.setup.comparisons} comparisons: the gold reward falls from its peak to "
            "the end of training.",
            ABSTRACT,
            level(LOST, cell),
            quote=HINDERS,
        )
        for cell in (NETWORK_FEW, NETWORK_MANY)
    ),
    Claim(
        "optimized-network-proxy",
        "GPT-Nano, 800 comparisons: meanwhile the learnt reward rises.",
        ABSTRACT,
        level(GAINED, NETWORK_MANY),
    ),
    Claim(
        "optimized-network-data",
        "GPT-Nano: from 800 comparisons the peak is higher than from 50.",
        BY_SUMMARY,
        difference(PEAK, NETWORK_MANY, NETWORK_FEW),
    ),
    Claim(
        "optimized-network-data-kl",
        "GPT-Nano: from 800 comparisons the peak is at a larger KL than from 50.",
        "ours: as a larger reward model's is",
        difference(KL_AT_PEAK, NETWORK_MANY, NETWORK_FEW),
    ),
)

LINES = {
    "PPO, 50 comparisons": (FEW, LineStyle("#0072B2", "s", "-")),
    "PPO, 200 comparisons": (SOME, LineStyle("#009E73", "^", "--")),
    "PPO, 800 comparisons": (MANY, LineStyle("#CC79A7", "v", "-.")),
    f"PPO, 50 comparisons, β = {PENALTY:g}": (PENALISED, LineStyle("#E69F00", "D", ":")),
    "DPO, 50 comparisons": (DPO, LineStyle("#D55E00", "o", "-")),
    "IPO, 50 comparisons": (IPO, LineStyle("#8C8C8C", "x", "--")),
    "PPO on GPT-Nano, 50 comparisons": (NETWORK_FEW, LineStyle(SKY, "P", "-")),
    "PPO on GPT-Nano, 800 comparisons": (NETWORK_MANY, LineStyle(BLACK, "X", "--")),
}


def draw(results: Results) -> Figure:
    """Gold reward, and learnt reward, over √KL; a star is the mean of where those runs begin to over-optimise that do,
    and so lies off the mean of all runs."""
    with style():
        figure, axes = new_figure(1, 2, panel=(4.6, 3.4))
        left, right = axes.ravel()
        for label, (cell, line) in LINES.items():
            _over_kl(left, results, cell, "gold", line, label)
            found = onsets(fresh_runs(results[cell]))
            if found is not None and np.isfinite(found.kl).any():
                at = np.sqrt(np.nanmean(found.kl)), np.nanmean(found.gold)
                left.plot(*at, "*", color=line.color, markersize=13, markeredgecolor="black", zorder=5)
            if "proxy" in results[cell]:
                _over_kl(right, results, cell, "proxy", line, label)
        for panel, title in ((left, "Gold reward"), (right, "Learnt reward")):
            panel.set(title=title, xlabel="√KL(policy ‖ reference), √nat", ylabel="expected reward")
        common_legend(figure, (left,), columns=2)
    return figure


def _over_kl(axes: Axes, results: Results, cell: FollowupCell, name: str, line: LineStyle, label: str) -> None:
    """Means over seeds at each step, the reward's against that of √KL, and the reward's standard error."""
    runs = fresh_runs(results[cell])
    d = (runs["kl"].clip(0) ** 0.5).mean("seed")
    mean, error = runs[name].mean("seed"), runs[name].std("seed", ddof=1) / np.sqrt(runs.sizes["seed"])
    axes.fill_between(d, mean - error, mean + error, color=line.color, alpha=0.18, linewidth=0)
    axes.plot(d, mean, label=label, **line.line(every=(0.05, 0.17)))


def describe(results: Results) -> str:
    """What the picture shows."""
    parts = []
    for label, (cell, _) in LINES.items():
        runs = fresh_runs(results[cell])
        ends = f"{float(PEAK(runs).mean()):.2f} at the peak, {float(runs['gold'].isel(step=-1).mean()):.2f} at the end"
        found = onsets(runs)
        if found is not None:
            begun = np.isfinite(found.kl)
            ends += f", {begun.mean():.0%} of the runs over-optimise"
            if begun.any():
                ends += f", from {np.nanmedian(found.kl):.1f} nats and {np.nanmedian(found.gold):.2f} on (medians)"
        parts.append(f"{label}: {ends}")
    start = float(fresh_runs(results[FEW])["gold"].isel(step=0).mean())
    stars = "Stars are the mean onset of those runs that over-optimise."
    return f"Gold reward and learnt reward over √KL; gold is {start:.2f} at the start. {stars} {'; '.join(parts)}."


FOLLOWUP = Followup(
    PAPER,
    'over-optimisation of a learnt reward. "Scaling Laws for Reward Model Overoptimization".',
    tuple(cell for cell, _ in LINES.values()),
    protocols=(FOUR_HUNDRED,),
    default=FOUR_HUNDRED,
    claims=CLAIMS,
    deviations=f"A response is {LENGTH} tokens of {TOKENS} and the policy a table; the reward model too, the "
    "class that holds the truth, so that what the proxy gets wrong is noise of its comparisons alone: the paper's are "
    f"networks, whose size it varies. Two cells have GPT-Nano in its place, on the first {NETWORK_SEEDS} of the seeds; "
    "its fit is of three the one that loses least on comparisons it has not seen, and the claims about it were written "
    "behind a pilot of ten others, with another fit. A run in which the gold reward never falls has its peak at "
    "its end, and that KL is then its KL at the peak. The claims were written before any seed that judges them was run "
    "but behind pilots on ten others, of PPO, DPO and IPO, on which the temperature of labels, the least number of "
    "comparisons and the strengths were chosen, such that the proxy was wrong at all. A hundred seeds from 1000 on "
    "left eight of the twelve on tables undecided; the claims stayed as they were, and "
    f"{FOUR_HUNDRED.fresh_seeds} others, from {FOUR_HUNDRED.first_judged_seed} on, judge them. "
    "DPO and IPO have one strength and 400 steps; in the pilots their gold reward was still rising "
    "at 9 to 11 nats, so what they might lose later is not seen here. That the law should explain .9 of the variance "
    "is our reading, and it is fitted to single runs, where the paper's is of few large ones.",
    draw=draw,
    describe=describe,
)
