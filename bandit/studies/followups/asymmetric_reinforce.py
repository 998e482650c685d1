"""arXiv 2506.20520, "Asymmetric REINFORCE for off-Policy Reinforcement Learning" (Arnal et al., 2025).

**Claim.** From data of a behavior policy μ, REINFORCE with a baseline V below μ's value V^μ improves on μ; from V^μ on
there is a phase transition: the policy collapses onto one arm, too early. So the successes of another policy are worth
more than its failures.

**Set-up.** A bandit with a hundred arms, mean rewards uniform on 0 to 1, and fixed behavior data. The limits of the
exact flow have closed forms (`off_policy_flow`, whose theory is the paper's tabular case); then the same is trained
from samples that pay 0 or 1. The paper's abstract was read, and summaries of its analysis by others.
"""

from typing import Any

import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLUE, GREY, ORANGE, LineStyle, ladder, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, Term, level
from modeseek.bandit.studies.followups.drawing import common_legend, seeds_curve
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.off_policy_flow import Limits, OffPolicy, enumerated, train_off_policy
from modeseek.bandit.studies.measures import Measure, Unit

EXACT = FollowupCell("asymmetric-limits", Limits(), enumerated, enumerated=True)
TRAINED = FollowupCell("asymmetric-training", OffPolicy(), train_off_policy)

REWARD = Unit("expected reward", 0.02)
ARMS = Unit("arms", 0.5)
NATS = Unit("nats of entropy", 0.1)

GUARANTEE = "when the baseline V lower-bounds the expected reward, the algorithm enjoys a policy improvement guarantee"
POSITIVE = "off-policy updates benefit from focusing more on positive rewards than on negative ones"
ABSTRACT, ANALYSIS = "abstract", "its analysis, by summaries of others"
BELOW, ABOVE, NEAR = -0.05, 0.05, -0.001


def gains(data: xarray.Dataset) -> xarray.DataArray:
    """Expected reward of the limits less that of the behavior policy, `[offset, problem]`."""
    return data["reward"] - data["repeated"].sel(round=0)


def _exact(
    name: str, text: str, function: Any, kind: Any, unit: Unit, source: str, quote: str = "", constant: float = 0.0
) -> Claim:
    measure = Measure(name, function, text, unit)
    return Claim(f"asymmetric-{name}", text, source, level(measure, EXACT, constant=constant), kind, quote=quote)


def at(variable: str, offset: float, unit: Unit) -> Measure:
    """A result of training at V = V^μ + offset."""
    return Measure(
        f"{variable} {offset:g}", lambda data: data[variable].sel(offset=offset), f"{variable} at {offset:g}", unit
    )


def _apart(variable: str, higher: float, lower: float, unit: Unit) -> Contrast:
    """Training at one baseline less training at another."""
    return Contrast((Term(1.0, TRAINED, at(variable, higher, unit)), Term(-1.0, TRAINED, at(variable, lower, unit))))


CLAIMS = (
    _exact(
        "improves",
        "For every V < V^μ the limit earns more than μ (the least gain of all problems and baselines).",
        lambda data: gains(data).where(data["offset"] < 0).min(("offset", "problem")),
        "more",
        REWARD,
        ABSTRACT,
        GUARANTEE,
    ),
    _exact(
        "one-arm",
        "From V = V^μ + 0.01 on the limit has one arm (the largest support).",
        lambda data: data["support"].sel(offset=slice(0.01, None)).max(("offset", "problem")),
        "equal",
        ARMS,
        ANALYSIS,
        constant=1.0,
    ),
    _exact(
        "many-arms",
        "At V = V^μ - 0.05 the limit has more than one arm, on average over problems.",
        lambda data: data["support"].sel(offset=BELOW).mean("problem"),
        "more",
        ARMS,
        ANALYSIS,
        constant=1.0,
    ),
    _exact(
        "jump",
        "The support jumps at V^μ: just below it, at V^μ - 0.001, the limit has three arms or more on average.",
        lambda data: data["support"].sel(offset=NEAR).mean("problem"),
        "more",
        ARMS,
        "ours, of a phase transition",
        constant=2.0,
    ),
    _exact(
        "once",
        "One limit: V^μ - 0.05 earns more than V^μ + 0.05, on average over problems.",
        lambda data: (gains(data).sel(offset=BELOW) - gains(data).sel(offset=ABOVE)).mean("problem"),
        "more",
        REWARD,
        ABSTRACT,
        POSITIVE,
    ),
    _exact(
        "once-at-worst",
        "One limit: V^μ - 0.05 earns more than V^μ + 0.05, in the problem in which each gains least.",
        lambda data: gains(data).sel(offset=BELOW).min("problem") - gains(data).sel(offset=ABOVE).min("problem"),
        "more",
        REWARD,
        ABSTRACT,
        POSITIVE,
    ),
    _exact(
        "repeated",
        f"The limit is the next μ, {EXACT.setup.rounds} times: V^μ - 0.05 earns more than V^μ + 0.05, on average.",
        lambda data: (
            (data["repeated"].sel(offset=BELOW) - data["repeated"].sel(offset=ABOVE)).isel(round=-1).mean("problem")
        ),
        "more",
        REWARD,
        ANALYSIS,
    ),
    Claim(
        "asymmetric-trained-improves",
        "Trained at V = V^μ - 0.1 the policy earns more than μ.",
        ABSTRACT,
        level(at("gain", -0.1, REWARD), TRAINED),
        quote=GUARANTEE,
    ),
    Claim(
        "asymmetric-trained-entropy",
        "Trained at V = V^μ - 0.05 the policy keeps more entropy than at V^μ + 0.05.",
        ANALYSIS,
        _apart("entropy", BELOW, ABOVE, NATS),
    ),
    Claim(
        "asymmetric-trained-one-arm",
        "Trained at V = V^μ the policy ends at one arm.",
        ANALYSIS,
        level(at("support", 0.0, ARMS), TRAINED, constant=1.0),
        "equal",
    ),
    Claim(
        "asymmetric-trained-once",
        "Trained at V = V^μ - 0.05 the policy earns more than at V^μ + 0.05.",
        ABSTRACT,
        _apart("gain", BELOW, ABOVE, REWARD),
        quote=POSITIVE,
    ),
)


def draw(results: Results) -> Figure:
    """Gain, entropy and support against V, limits and training; reward over rounds."""
    data, runs = results[EXACT], fresh_runs(results[TRAINED])
    exact, trained = LineStyle(BLUE, "o"), LineStyle(ORANGE, "D", "--")
    with style():
        figure, axes = new_figure(2, 2, panel=(4.6, 2.9))
        curves = {"gain": gains(data), "entropy": data["entropy"], "support": data["support"]}
        names = {"gain": "expected reward - V^μ", "entropy": "entropy, nats", "support": "arms in the support"}
        for panel, (name, values) in zip(axes.ravel(), curves.items(), strict=False):
            panel.fill_between(
                data["offset"], values.min("problem"), values.max("problem"), color=BLUE, alpha=0.12, linewidth=0
            )
            panel.plot(
                data["offset"], values.mean("problem"), label="limit (least to most of 100 problems)", **exact.line()
            )
            seeds_curve(panel, runs[name], trained, "trained from samples", x="offset")
            panel.axvline(0, color=GREY, linewidth=1)
            panel.set(xlabel="V - V^μ", ylabel=names[name])
        chosen = (-0.5, -0.1, BELOW, ABOVE)
        for offset, line in zip(chosen, ladder(len(chosen)), strict=True):
            regret = (data["best"] - data["repeated"].sel(offset=offset)).mean("problem")
            axes[1, 1].plot(data["round"], regret, label=f"V^μ {offset:+g}", **line.line())
        axes[1, 1].set(xlabel="rounds: the limit is the next μ", ylabel="reward below the best arm's", yscale="log")
        axes[1, 1].legend(fontsize=8)
        common_legend(figure, (axes[0, 0],))
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    data = results[EXACT]
    means = {name: values.mean("problem") for name, values in (("gain", gains(data)), ("support", data["support"]))}
    parts = [
        f"at V^μ {offset:+g} {float(means['gain'].sel(offset=offset)):.2f} with "
        f"{float(means['support'].sel(offset=offset)):.0f} arm(s)"
        for offset in (-0.5, -0.1, BELOW, ABOVE)
    ]
    return f"Mean gain of the limit over the behavior policy: {', '.join(parts)}."


FOLLOWUP = Followup(
    "2506.20520",
    "Off-policy REINFORCE with a baseline V, below and above the behavior policy's value. "
    '"Asymmetric REINFORCE for off-Policy Reinforcement Learning: Balancing positive and negative rewards".',
    (EXACT, TRAINED),
    claims=CLAIMS,
    deviations="The limits meet the conditions of the paper's tabular analysis: a softmax policy and the exact flow. "
    "Training has plain gradient ascent at one rate. That the transition is no jump of the limit but the end of a "
    "narrowing follows from the closed form: as V rises to V^μ the support shrinks to one arm. Of limits that are "
    "taken for the next μ, what has less than a millionth is no longer drawn.",
    draw=draw,
    describe=describe,
)
