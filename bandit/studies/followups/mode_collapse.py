"""arXiv 2510.20817, "KL-Regularized Reinforcement Learning is Designed to Mode Collapse" (GX-Chen et al., 2025).

**Claim.** Which modes survive is decided by the target, through β, the scale of rewards and the reference, and not by
whether the regulariser is reverse or forward KL. Common settings, a low β or equal rewards, ask for one mode. Rewards
that are anchored at the likeliest good response ask for all good ones alike.

**Set-up.** A hundred tokens, two peaks of reward, and a reference that likes the first better by 1.9 nats, as in the
paper's figure 2; `mode_targets` has the formulas. Optima are enumerated. Plain gradient descent goes to the same target
by either divergence. Then the objective is trained by sampled policy gradients (`mode_training`). The paper's abstract
was read, and a summary of its sections 4 and 5 with equations by others.
"""

from typing import Any

import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import FORWARD_KL, REVERSE_KL, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, difference, level
from modeseek.bandit.studies.followups.drawing import common_legend, seeds_curve
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell, log
from modeseek.bandit.studies.followups.mode_targets import KINDS, MODES, WINDOW, Targets, enumerated, second_share
from modeseek.bandit.studies.followups.mode_training import ModeTraining, train_modes
from modeseek.bandit.studies.measures import Measure, Unit

LOW, STRONG = 0.02, 0.3
EXACT = FollowupCell("modes-targets", Targets(), enumerated, enumerated=True)
TRAINED = {
    (kind, adjusted, beta): FollowupCell(
        f"modes-{kind}-{'anchored' if adjusted else 'plain'}-beta-{beta:g}",
        ModeTraining(kind, adjusted, beta),
        train_modes,
    )
    for beta in (LOW, STRONG)
    for kind in KINDS
    for adjusted in (False, True)
}
"""Regulariser, whether rewards are anchored, and β."""

PART = Unit("part of the mass of both modes", 0.02)
BETA = Unit("β", 0.005)
REWARD = Unit("expected reward", 0.02)
OUTSIDE = Unit("probability", 0.02)

GAP, HEIGHTS = EXACT.setup.log_gap, (0.75, 1.0)
DESCENT = f"{EXACT.setup.steps} steps of gradient descent on either divergence to one target end at the same modes"
SECTION_4, SECTION_5 = "section 4, by a summary", "section 5, by a summary"
COVERAGE = "Mode coverage depends primarily on other factors, such as regularization strength"
COMMON = "low regularization strength and equal verifiable rewards tend to specify unimodal target distributions"
BOTH = "works with both forward and reverse KL when using either naively fails"


def shares(data: xarray.Dataset, rewards: str, adjusted: str = "none") -> xarray.DataArray:
    """The second mode's part under the optima, `[kind, beta]`."""
    return second_share(data["target"].sel(rewards=rewards, adjusted=adjusted))


def balance(share: xarray.DataArray) -> xarray.DataArray:
    """The smaller mode's part: a half if both are alike."""
    smaller: xarray.DataArray = share.where(share < 0.5, 1 - share)
    return smaller


def _range(share: xarray.DataArray) -> xarray.DataArray:
    found: xarray.DataArray = share.max("beta") - share.min("beta")
    return found


def _crossing(data: xarray.Dataset) -> xarray.DataArray:
    """β at which both peaks are equally likely: the log-ratio is linear in 1/β."""
    first, second = (
        log(data["target"].sel(rewards="unequal", adjusted="none", kind="reverse", category=c)) for c in MODES
    )
    ratio = (second - first).sel(beta=slice(0.05, None))
    inverse = 1 / ratio["beta"]
    slope = (ratio[0] - ratio[-1]) / (inverse[0] - inverse[-1])
    found: xarray.DataArray = 1 / (inverse[-1] - ratio[-1] / slope)
    return found


def _apart(low: bool) -> Measure:
    """How far the two divergences' ends are apart, at most, at low β or at the others."""
    span = slice(None, 0.04) if low else slice(0.04, None)

    def function(data: xarray.Dataset) -> xarray.DataArray:
        share = second_share(data["descended"]).sel(beta=span)
        found: xarray.DataArray = abs(share.isel(divergence=0) - share.isel(divergence=1)).max("beta")
        return found

    return Measure(f"apart {low}", function, "largest difference of the second mode's part", PART)


def _exact(
    name: str, text: str, function: Any, kind: Any, source: str, quote: str = "", unit: Unit = PART, **more: float
) -> Claim:
    measure = Measure(name, function, text, unit)
    return Claim(
        f"modes-{name}", text, source, level(measure, EXACT, constant=more.get("constant", 0.0)), kind, quote=quote
    )


SHARE = Measure("share", lambda d: d["share"].isel(step=-1), "second mode's part at the end", PART)
BALANCE = Measure("balance", lambda d: balance(d["share"].isel(step=-1)), "smaller mode's part at the end", PART)
EARNED = Measure("reward", lambda d: d["reward"].isel(step=-1), "expected reward at the end", REWARD)


def _trained(name: str, text: str, contrast: Contrast, kind: Any = "more", quote: str = BOTH) -> Claim:
    return Claim(f"modes-{name}", text, "abstract; of language models, carried over by us", contrast, kind, quote=quote)


_LOWEST = {"beta": EXACT.setup.betas[0]}
CLAIMS = (
    _exact(
        "equal-rewards",
        "With equal rewards the optimum keeps the reference's ratio, at every β and with either regulariser.",
        lambda d: _range(shares(d, "equal")).max() + abs(shares(d, "equal") - second_share(d["reference"])).max(),
        "equal",
        f"{SECTION_4}, remark 4.3",
    ),
    _exact(
        "crossing",
        f"Reverse: the peaks are equally likely at β = Δr/Δlog π_ref = {(HEIGHTS[1] - HEIGHTS[0]) / GAP:.3f}.",
        _crossing,
        "equal",
        f"{SECTION_4}, remark 4.4",
        unit=BETA,
        constant=(HEIGHTS[1] - HEIGHTS[0]) / GAP,
    ),
    _exact(
        "strength-over-kind",
        "Unequal rewards: over β the second mode's part varies more than between the regularisers at the same β.",
        lambda d: _range(shares(d, "unequal")).min() - abs(shares(d, "unequal").diff("kind")).max(),
        "more",
        "abstract",
        COVERAGE,
    ),
    _exact(
        "low-beta",
        "Unequal rewards at β = 0.01: the optimum has less than a twentieth in the smaller mode, with either kind.",
        lambda d: 0.05 - balance(shares(d, "unequal").sel(_LOWEST)).max(),
        "more",
        "abstract",
        COMMON,
    ),
    _exact(
        "equal-unimodal",
        "Equal rewards: the optimum has less than a fifth in the smaller mode, with either regulariser.",
        lambda d: 0.2 - balance(shares(d, "equal")).max(),
        "more",
        "abstract",
        COMMON,
    ),
    _exact(
        "narrow",
        "Where the policy is one bump, the classical intuition holds: forward KL leaves more mass outside both modes.",
        lambda d: _outside(d["single"]).diff("divergence")[0] * -1,
        "more",
        f"{SECTION_4}, of restricted families",
        unit=OUTSIDE,
    ),
    Claim(
        "modes-same-end",
        f"{DESCENT} (β ≥ 0.05).",
        "abstract; of its optimum, carried over to descent by us",
        level(_apart(low=False), EXACT),
        "equal",
        quote=COVERAGE,
    ),
    Claim(
        "modes-same-end-low",
        f"{DESCENT} (β ≤ 0.03).",
        "abstract; of its optimum, carried over to descent by us",
        level(_apart(low=True), EXACT),
        "equal",
        quote=COVERAGE,
    ),
    *(
        _exact(
            f"anchored-{kind}{'-reference' * ('reference' in adjusted)}",
            f"Equal rewards, β = {LOW:g}, anchored {adjusted}, {kind} KL: the optimum has half in either mode.",
            lambda d, kind=kind, adjusted=adjusted: shares(d, "equal", adjusted).sel(kind=kind, beta=LOW),
            "equal",
            source,
            quote,
            constant=0.5,
        )
        for kind, adjusted, source, quote in (
            ("reverse", "rewards", f"{SECTION_5}, remark B.3", ""),
            ("forward", "rewards", "abstract", BOTH),
            ("forward", "rewards and reference", "ours, of algorithm 2", ""),
        )
    ),
    *(
        _trained(
            f"{kind}-trained-{beta:g}",
            f"Equal rewards, β = {beta:g}, {kind} KL: trained on anchored rewards, the smaller mode has a larger part.",
            difference(BALANCE, TRAINED[kind, True, beta], TRAINED[kind, False, beta]),
        )
        for beta in (STRONG, LOW)
        for kind in KINDS
    ),
    *(
        _trained(
            f"{kind}-plain-{STRONG:g}",
            f"Equal rewards, β = {STRONG:g}, {kind} KL: trained on plain rewards, the second mode ends below a fifth.",
            level(SHARE, TRAINED[kind, False, STRONG], -1.0, -0.2),
        )
        for kind in KINDS
    ),
    *(
        _trained(
            f"{kind}-reward-{STRONG:g}",
            f"Equal rewards, β = {STRONG:g}, {kind} KL: anchored rewards cost no expected reward.",
            difference(EARNED, TRAINED[kind, True, STRONG], TRAINED[kind, False, STRONG]),
            "at_least",
            "have higher solution quality and diversity",
        )
        for kind in KINDS
    ),
)


def _outside(probs: xarray.DataArray) -> xarray.DataArray:
    """Mass that is in neither mode."""
    first, second = (probs.sel(category=slice(mode - WINDOW, mode + WINDOW)).sum("category") for mode in MODES)
    outside: xarray.DataArray = 1 - first - second
    return outside


def draw(results: Results) -> Figure:
    """The second mode's part: under optima, after descent, under anchored optima, and over training."""
    data, lines = results[EXACT], dict(zip(KINDS, (REVERSE_KL, FORWARD_KL), strict=True))
    with style():
        figure, axes = new_figure(2, 2, panel=(4.6, 3.0))
        for kind, line in lines.items():
            for panel, adjusted in ((axes[0, 0], "none"), (axes[1, 0], "rewards")):
                values = shares(data, "unequal" if adjusted == "none" else "equal", adjusted).sel(kind=kind)
                panel.plot(data["beta"], values, label=f"{kind} KL", **line.line())
            ends = second_share(data["descended"]).sel(divergence=f"{kind}_kl")
            axes[0, 1].plot(data["beta"], ends, label=f"{kind} KL", **line.line())
        axes[1, 0].plot(
            data["beta"], shares(data, "equal").sel(kind="reverse"), color="#8C8C8C", label="plain rewards, either"
        )
        for panel, title in (
            (axes[0, 0], "Optima, rewards 0.75 and 1, exact"),
            (axes[0, 1], f"The reverse optima after {EXACT.setup.steps} steps of descent"),
            (axes[1, 0], "Optima, equal rewards, anchored, exact"),
        ):
            panel.set(title=title, xlabel="β", xscale="log", ylim=(-0.03, 1.03))
        for (kind, anchors, beta), cell in TRAINED.items():
            if beta == STRONG:
                line = lines[kind] if anchors else lines[kind]._replace(dash=":", marker="")
                label = f"{kind} KL, {'anchored' if anchors else 'plain'}"
                seeds_curve(axes[1, 1], fresh_runs(results[cell])["share"], line, label)
        axes[1, 1].set(title=f"Training, equal rewards, β = {STRONG:g}", xlabel="update", ylim=(-0.03, 1.03))
        for panel in axes[:, 0]:
            panel.set_ylabel("second mode's part of both")
        common_legend(figure, (axes[0, 0], axes[1, 0], axes[1, 1]))
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    data = results[EXACT]
    parts = [
        f"{kind} {float(shares(data, 'equal').sel(kind=kind, beta=LOW)):.2f} with plain and "
        f"{float(shares(data, 'equal', 'rewards').sel(kind=kind, beta=LOW)):.2f} with anchored rewards"
        for kind in KINDS
    ]
    return f"The second mode's part under the optimum for equal rewards at β = {LOW:g}: {', '.join(parts)}."


FOLLOWUP = Followup(
    "2510.20817",
    "Which mode KL-regularised RL keeps: the target's doing, or that of reverse or forward KL; and rewards anchored at "
    'the likeliest good response. "KL-Regularized Reinforcement Learning is Designed to Mode Collapse".',
    (EXACT, *TRAINED.values()),
    claims=CLAIMS,
    deviations="The enumeration meets the paper's conditions: any reference and reward, and policies that can be any "
    "distribution. Descent and training are plain gradient steps on the logits from the reference, at one rate; the "
    "paper's own didactic runs may use another optimizer, and its language models do. "
    f"A mode is a peak and the {WINDOW} tokens on either side.",
    draw=draw,
    describe=describe,
)
