"""arXiv 2512.21852, "A Comedy of Estimators: On KL Regularization in RL Training of LLMs" (Shah et al., 2025).

**Claim.** What is put into the reward or the loss for KL(policy ‖ reference) is an estimate of its value; whether its
gradient is that of KL is another matter. On-policy, k1 in the reward has the right one, k1 in the loss has none on
average, k3 is biased in either place alone and right in both at once. What is biased may be unstable, and does worse.

**Set-up.** The formulas stand in `kl_gradients`, the training in `kl_training`. The paper samples gradients of a binary
autoregressive model (its section 3.3) and trains language models. Here V = 3 and T = 2, so that every expectation is a
sum, and a tabular policy over 100 sequences is trained on verifiable rewards. Of the paper its abstract was read, and
summaries of its sections by others.
"""

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import LineStyle, ladder, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, difference, level
from modeseek.bandit.studies.followups.drawing import common_legend, seeds_curve
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.kl_gradients import ESTIMATES, NORM, PLACES, Enumeration, enumerated, gradient
from modeseek.bandit.studies.followups.kl_training import Training, train
from modeseek.bandit.studies.measures import Measure, Unit

PAPER = "2512.21852"
STALE_UPDATES = 10

EXACT = FollowupCell("kl-gradients", Enumeration(), enumerated, enumerated=True)
TRAINED = {
    (estimate, place, delay): FollowupCell(
        f"kl-training-{estimate}-in-{place}-{delay}" if place != "none" else f"kl-training-without-{delay}",
        Training(estimate, place, delay),
        train,
    )
    for estimate, place, delay in (
        *(("k1", "reward", 0), ("k1", "loss", 0), ("k2", "loss", 0)),
        *(("k3", "reward", 0), ("k3", "loss", 0), ("k3", "both", 0)),
        *((e, p, STALE_UPDATES) for e, p in (("k1", "reward"), ("k3", "reward"), ("k3", "loss"), ("k1", "none"))),
    )
}
"""Estimate, place, and updates between the policy that samples and the one that is trained."""

GAIN = Unit("share of what can be gained of E[r] - β KL", 0.02)
REWARD = Unit("expected reward", 0.02)
RUNS = Unit("share of runs", 0.05)

SHARE_AT_END = Measure("share", lambda d: d["share"].isel(step=-1), "share of the gain at the end", GAIN)
REWARD_AT_END = Measure("reward", lambda d: d["reward"].isel(step=-1), "expected reward at the end", REWARD)
COLLAPSED = Measure(
    "collapsed",
    lambda d: (~(d["share"].isel(step=-1) >= 0)).astype(float),
    "1 of a run that diverged, or ends below the reference in E[r] - β KL",
    RUNS,
)

SECTIONS = "its sections 3 and 4, by summaries of others"
WRONG = "prevailing practices for incorporating KL regularization do not provide correct gradients"
BETTER = "estimator configurations resulting in unbiased gradients leads to better performance"
UNSTABLE = "estimator configurations with biased gradients can result in training instabilities"
OLD = f"From samples {STALE_UPDATES} updates old"
OFF_POLICY = "KL regularization can help stabilize off-policy RL training"


def _exact(name: str, text: str, measure: Measure, kind: Any, source: str = SECTIONS, quote: str = "") -> Claim:
    return Claim(f"kl-{name}", text, source, level(measure, EXACT), kind, quote=quote)


def _trained(
    name: str, text: str, contrast: Contrast, quote: str, kind: Any = "more", source: str = "abstract"
) -> Claim:
    return Claim(f"kl-{name}", text, f"{source}; of language models, carried over by us", contrast, kind, quote=quote)


FAR = 0.8
WEIGHTED = Measure(
    "max bias weighted",
    lambda data: data["bias"].sel(weighted=1, estimate="k1", place="reward").max(("pair", "staleness")),
    "max over pairs and staleness of the bias",
    NORM,
)
RANKING = Contrast(
    (
        *level(gradient("bias", "mean", "k1", "reward", FAR), EXACT).terms,
        *level(gradient("bias", "mean", "k2", "loss", FAR), EXACT, -1.0).terms,
    )
)
RIGHT = TRAINED["k1", "reward", 0]
STALE = {key[:2]: cell for key, cell in TRAINED.items() if key[2]}

CLAIMS = (
    *(
        _exact(name, text, gradient(variable, over, estimate, place), kind, *source)
        for name, text, (variable, over, estimate, place), kind, *source in (
            (
                "k1-reward",
                "k1 in the reward has the exact gradient (largest bias).",
                ("bias", "max", "k1", "reward"),
                "equal",
            ),
            (
                "k1-loss",
                "k1 in the loss has no gradient on average (largest norm).",
                ("size", "max", "k1", "loss"),
                "equal",
            ),
            (
                "k3-reward",
                "k3 in the reward is biased (smallest bias).",
                ("bias", "min", "k3", "reward"),
                "more",
                "abstract",
                WRONG,
            ),
            (
                "k3-loss",
                "k3 in the loss is biased (smallest bias).",
                ("bias", "min", "k3", "loss"),
                "more",
                "abstract",
                WRONG,
            ),
            (
                "k1-both",
                "k1 in reward and loss at once has the exact gradient.",
                ("bias", "max", "k1", "both"),
                "equal",
            ),
            (
                "k3-both",
                "k3 in reward and loss at once has the exact gradient.",
                ("bias", "max", "k3", "both"),
                "equal",
            ),
            (
                "k2-both",
                "k2 in reward and loss at once is biased: its mean is not KL.",
                ("bias", "min", "k2", "both"),
                "more",
                "ours",
            ),
            (
                "k2-loss",
                "k2 in the loss is biased from T = 2 on (mean): it leaves out what a token does to later ones.",
                ("bias", "mean", "k2", "loss"),
                "more",
                "ours",
            ),
        )
    ),
    Claim(
        "kl-off-policy-ranking",
        f"From stale samples (logits moved by {FAR:g}) k2 in the loss is less biased than k1 in the reward.",
        "ours: off-policy the ranking changes",
        RANKING,
    ),
    _exact("weights", "Weights π/behavior of sequences make k1 in the reward exact.", WEIGHTED, "equal", "ours"),
    *(
        _trained(
            f"{measure.name}-{estimate}-{place}",
            f"On-policy, k1 in the reward ends {what} than {estimate} in the {place}.",
            difference(measure, RIGHT, TRAINED[estimate, place, 0]),
            BETTER,
        )
        for measure, what in (
            (SHARE_AT_END, "nearer to the optimum of E[r] - β KL"),
            (REWARD_AT_END, "with more reward"),
        )
        for estimate, place in (("k1", "loss"), ("k3", "reward"), ("k3", "loss"))
    ),
    _trained(
        "gain-both",
        "On-policy, k3 in reward and loss ends nearer to the optimum than k3 in the loss.",
        difference(SHARE_AT_END, TRAINED["k3", "both", 0], TRAINED["k3", "loss", 0]),
        BETTER,
    ),
    _trained(
        "unstable-on-policy",
        "On-policy, more runs collapse with k3 in the reward than with k1 there.",
        difference(COLLAPSED, TRAINED["k3", "reward", 0], RIGHT),
        UNSTABLE,
        "can",
    ),
    _trained(
        "unstable-stale",
        f"{OLD}, more runs collapse with k3 in the reward than with k1 there.",
        difference(COLLAPSED, STALE["k3", "reward"], STALE["k1", "reward"]),
        "",
        "can",
        SECTIONS,
    ),
    _trained(
        "stale-k1-over-k3",
        f"{OLD}, k1 in the reward ends nearer to the optimum than k3 in the loss.",
        difference(SHARE_AT_END, STALE["k1", "reward"], STALE["k3", "loss"]),
        "",
        source=SECTIONS,
    ),
    _trained(
        "stale-kl-stabilises",
        f"{OLD}, fewer runs collapse with k1 in the reward than without KL.",
        difference(COLLAPSED, STALE["k1", "none"], STALE["k1", "reward"]),
        OFF_POLICY,
        "can",
    ),
)

LINES: dict[tuple[str, str], LineStyle] = dict(
    zip(
        (("k1", "reward"), ("k1", "loss"), ("k2", "loss"), ("k3", "loss"), ("k3", "reward"), ("k3", "both")),
        ladder(6),
        strict=True,
    )
)
WITHOUT = LineStyle("#8C8C8C", "x", ":")


def named(estimate: str, place: str) -> str:
    """A configuration in words."""
    return {"none": "no KL", "both": f"{estimate} in both"}.get(place, f"{estimate} in {place}")


def draw(results: Results) -> Figure:
    """Bias and noise by enumeration, on-policy and from stale samples; training on-policy and from stale samples."""
    exact = results[EXACT]
    with style():
        figure, axes = new_figure(2, 2, panel=(4.6, 3.1))
        _bars(axes[0, 0], exact.sel(staleness=0.0, weighted=0).mean("pair"))
        for (estimate, place), line in LINES.items():
            curve = exact["bias"].sel(estimate=estimate, place=place, weighted=0).mean("pair")
            axes[0, 1].plot(exact["staleness"], curve, label=named(estimate, place), **line.line())
        axes[0, 1].set(title="Bias from stale samples, exact", xlabel="behavior: logits moved by (standard deviation)")
        axes[0, 1].set_ylabel("bias / exact gradient")
        for panel, delay in zip(axes[1], (0, STALE_UPDATES), strict=True):
            for (estimate, place, of), cell in TRAINED.items():
                if of == delay and place != "both":
                    seeds_curve(
                        panel,
                        fresh_runs(results[cell])["share"],
                        LINES.get((estimate, place), WITHOUT),
                        named(estimate, place),
                    )
            panel.set(xlabel="update", ylim=(-0.05, 1.05), ylabel="share of the gain of E[r] - β KL")
        axes[1, 0].set_title("Training, on-policy")
        axes[1, 1].set_title(f"Training, samples {STALE_UPDATES} updates old")
        common_legend(figure, (axes[0, 1], axes[1, 1]))
    return figure


def _bars(axes: Axes, means: xarray.Dataset) -> None:
    """Bias (filled) and noise of one sequence (open) of every configuration, a row each."""
    at = np.arange(len(ESTIMATES) * len(PLACES))[::-1]
    axes.barh(at + 0.2, means["bias"].values.ravel(), 0.38, color="#0072B2", label="bias")
    axes.barh(
        at - 0.2, means["noise"].values.ravel(), 0.38, color="white", edgecolor="#8C8C8C", hatch="////", label="noise"
    )
    axes.set_yticks(at, [named(k, place) for k in ESTIMATES for place in PLACES], fontsize=8)
    axes.set(title="On-policy, exact", xlabel="of one sequence, in norms of the exact gradient")
    axes.legend(loc="upper right", fontsize=8)
    axes.grid(axis="y", visible=False)


def describe(results: Results) -> str:
    """What the picture shows."""
    bias = results[EXACT]["bias"].sel(staleness=0.0, weighted=0).mean("pair")
    parts = [f"{named(*key)} {float(bias.sel(estimate=key[0], place=key[1])):.2f}" for key in LINES]
    return f"Mean bias of the gradient, in norms of the exact one: {', '.join(parts)}."


FOLLOWUP = Followup(
    PAPER,
    "k1, k2 and k3 in the reward and in the loss: whose expected gradient is that of KL(policy ‖ reference), and what "
    'that does to training. "A Comedy of Estimators: On KL Regularization in RL Training of LLMs".',
    (EXACT, *TRAINED.values()),
    claims=CLAIMS,
    deviations="The enumeration meets the paper's conditions: any differentiable policy, k summed over tokens. The "
    "training does not: it is of a tabular policy, by plain gradient ascent at one rate, where the paper "
    "fine-tunes language models; stale samples have no importance weights and no clipping. A policy that "
    "cannot generalise has no performance out of domain, so that E[r] - β KL stands for it.",
    draw=draw,
    describe=describe,
)
