"""arXiv 2601.08421, "Coverage Improvement and Fast Convergence of On-policy Preference Learning" (Kim et al., 2026).

**Claim.** In a bandit with Bradley-Terry preferences and linear softmax policies, DPO on pairs of its own converges
exponentially in the number of rounds, if the batch is above a threshold: each update moves to where the policy covers
the target better. Whoever has only pairs of the initial policy learns at the slower minimax rate.

**Set-up.** That bandit, with thirty arms and four features (`preference_rounds`). The reference lies far from the
target, which is spread over all arms. The error is KL(π* ‖ π_θ). Of the paper its abstract was read: which pairs a
round uses, its threshold and its norm of the error are not known to us. So on-policy DPO is run both on the pairs of
the round alone and on all so far.
"""

from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import LineStyle, ladder, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import level
from modeseek.bandit.studies.followups.drawing import common_legend
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell, geometric_mean, log
from modeseek.bandit.studies.followups.preference_rounds import DATA, Rounds, learn
from modeseek.bandit.studies.measures import Measure, Unit

CELL = FollowupCell("dpo-rounds", Rounds(), learn)
OWN, POOLED, OFFLINE = DATA
SMALL, LARGE, HALF = 10, 1000, float(np.log(2))

LOG_KL = Unit("ln KL(π* ‖ π)", 0.1)
LOG_COVERAGE = Unit("ln coverage", 0.1)
SLOPE = Unit("slope of ln KL over ln pairs", 0.1)

EXPONENTIAL = "on-policy DPO converges exponentially in the number of iterations for batch size exceeding a … threshold"
MINIMAX = "any learner restricted to offline samples from the initial policy suffers a slower minimax rate"
SEPARATION = "leading to a sharp separation in total sample complexity"
IMPROVES = "each update moves into a region around the target where coverage is uniformly better"


def log_kl(data: xarray.Dataset, of: str, batch: int, after: int) -> xarray.DataArray:
    """ln KL(π* ‖ π) after so many rounds, `[seed]`."""
    return log(data["kl"].sel(data=of, batch=batch, round=after, drop=True))


def _slope(data: xarray.Dataset) -> xarray.DataArray:
    """By least squares, of offline DPO after all rounds from a thousand pairs a round on."""
    ends = log(data["kl"].sel(data=OFFLINE).isel(round=-1).sel(batch=slice(LARGE, None)))
    x = log(ends["batch"])
    centred = x - x.mean()
    found: xarray.DataArray = (centred * ends).sum("batch") / (centred**2).sum()
    return found


def _claim(
    name: str, text: str, function: Any, kind: Any = "more", quote: str = "", unit: Unit = LOG_KL, **more: Any
) -> Claim:
    measure = Measure(name, function, text, unit)
    contrast = level(measure, CELL, constant=more.get("constant", 0.0))
    return Claim(f"dpo-{name}", text, more.get("source", "abstract"), contrast, kind, quote=quote)


CLAIMS = (
    _claim(
        "halves",
        f"On-policy, {LARGE} pairs a round: each of the first two rounds more than halves the error (geometric mean).",
        lambda d: (log_kl(d, OWN, LARGE, 0) - log_kl(d, OWN, LARGE, 2)) / 2,
        quote=EXPONENTIAL,
        constant=HALF,
    ),
    _claim(
        "keeps-halving",
        f"On-policy, {LARGE} pairs a round: each of rounds 4 to 10 more than halves the error.",
        lambda d: (log_kl(d, OWN, LARGE, 3) - log_kl(d, OWN, LARGE, 10)) / 7,
        quote=EXPONENTIAL,
        constant=HALF,
        source="abstract, read without a floor",
    ),
    _claim(
        "threshold",
        f"On-policy, {SMALL} pairs a round: ten rounds do not halve the error, so there is a threshold.",
        lambda d: log_kl(d, OWN, SMALL, 10) - log_kl(d, OWN, SMALL, 0),
        quote=EXPONENTIAL,
        constant=-HALF,
    ),
    _claim(
        "coverage",
        f"On-policy, {LARGE} pairs: the first update improves the coverage of the target.",
        lambda d: log(
            d["coverage"].sel(data=OWN, batch=LARGE, round=0) / d["coverage"].sel(data=OWN, batch=LARGE, round=1)
        ),
        quote=IMPROVES,
        unit=LOG_COVERAGE,
    ),
    _claim(
        "minimax",
        "Offline, the error falls with the number of pairs to the power of minus one.",
        _slope,
        "equal",
        MINIMAX,
        SLOPE,
        constant=-1.0,
    ),
    _claim(
        "separation",
        f"From three rounds of {LARGE} pairs, on-policy DPO (on the round's pairs alone) has less error than offline.",
        lambda d: log_kl(d, OFFLINE, LARGE, 3) - log_kl(d, OWN, LARGE, 3),
        quote=SEPARATION,
    ),
    _claim(
        "separation-late",
        f"From ten rounds of {LARGE} pairs, on-policy DPO (on the round's pairs alone) has less error than offline.",
        lambda d: log_kl(d, OFFLINE, LARGE, 10) - log_kl(d, OWN, LARGE, 10),
        quote=SEPARATION,
    ),
    _claim(
        "separation-pooled",
        f"From ten rounds of {LARGE} pairs, on-policy DPO on all of them has less error than offline.",
        lambda d: log_kl(d, OFFLINE, LARGE, 10) - log_kl(d, POOLED, LARGE, 10),
        quote=SEPARATION,
    ),
    _claim(
        "separation-small",
        f"From ten rounds of {SMALL} pairs, on-policy DPO on all of them has no less error than offline.",
        lambda d: log_kl(d, POOLED, SMALL, 10) - log_kl(d, OFFLINE, SMALL, 10),
        "at_least",
        source="ours, of the threshold",
    ),
)

STYLES = dict(
    zip(
        DATA,
        (LineStyle("#0072B2", "o"), LineStyle("#009E73", "^", (0, (7, 2))), LineStyle("#E69F00", "D", "--")),
        strict=True,
    )
)


def draw(results: Results) -> Figure:
    """Error over rounds for every batch, error over pairs, and coverage over rounds."""
    data = fresh_runs(results[CELL])
    middle = geometric_mean(data["kl"])
    with style():
        figure, axes = new_figure(1, 3, panel=(4.1, 3.3))
        drawn = [batch for batch in CELL.setup.batches if batch != 30]  # six styles
        for batch, line in zip(drawn, ladder(len(drawn)), strict=True):
            axes[0, 0].plot(data["round"], middle.sel(data=OWN, batch=batch), label=f"n = {batch}", **line.line())
        axes[0, 0].set(
            title="On-policy, pairs of the round alone", xlabel="round", ylabel="KL(π* ‖ π), nats", yscale="log"
        )
        axes[0, 0].set_ylim(bottom=5e-4)
        axes[0, 0].legend(fontsize=7, ncols=2, loc="lower left")
        for name, line in STYLES.items():
            pairs = LARGE * data["round"][1:]
            axes[0, 1].plot(pairs, middle.sel(data=name, batch=LARGE)[1:], label=name, **line.line())
            covered = geometric_mean(data["coverage"].sel(batch=LARGE))
            if name != OFFLINE:
                axes[0, 2].plot(data["round"], covered.sel(data=name), label=name, **line.line())
        axes[0, 1].set(title=f"Rounds of {LARGE} pairs", xlabel="pairs in all", xscale="log", yscale="log")
        axes[0, 2].set(
            title="Coverage of the target (1: as the target)", xlabel=f"round, {LARGE} pairs each", yscale="log"
        )
        common_legend(figure, (axes[0, 1],))
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    middle = geometric_mean(fresh_runs(results[CELL])["kl"]).sel(batch=LARGE)
    parts = [
        f"{name} {float(middle.sel(data=name, round=3)):.3f} and {float(middle.sel(data=name, round=10)):.3f}"
        for name in DATA
    ]
    return f"KL to the target after three and ten rounds of {LARGE} pairs, geometric means: {'; '.join(parts)}."


FOLLOWUP = Followup(
    "2601.08421",
    "DPO on pairs of its own, round by round, against DPO on as many pairs of the reference. "
    '"Coverage Improvement and Fast Convergence of On-policy Preference Learning".',
    (CELL,),
    claims=CLAIMS,
    deviations="The bandit meets the conditions that the abstract names: Bradley-Terry preferences and linear softmax "
    "policies, here without contexts. A round's minimum is exact up to a small ridge. One problem a seed: features, "
    "reference and target are drawn, so that the coverage of the target by the reference differs from seed to seed. "
    "Noisy labels leave an error of the order of d/n in a round of n pairs; the abstract does not say how it is met.",
    draw=draw,
    describe=describe,
)
