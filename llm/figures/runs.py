"""Recorded runs: a panel for each kind of number that they have, seeds as bands, seconds by phase."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.style import GREY, ladder, new_figure, style
from modeseek.bandit.objectives.registry import variant
from modeseek.checks import require
from modeseek.llm.runs.recorded import Group, Series, seconds, series


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
        title: of it.
        numbers: name in the records → what a person calls it; the first has solid lines, others are dashed or dotted.
        x: what stands below: the gradient step, or another number of the same records.
        zero: whether a line is drawn at 0.
    """

    title: str
    numbers: dict[str, str]
    x: str = "step"
    zero: bool = False


PANELS = (
    Panel("loss", {"loss": "training", "held_out_loss": "held out"}),
    Panel("gold reward", {"reward_gold": "held-out prompts"}),
    Panel("proxy reward", {"reward_proxy": "held-out prompts"}),
    Panel("gold reward against KL", {"reward_gold": "held-out prompts"}, x="kl"),
    Panel("reward learnt from", {"reward": "collections"}),
    Panel("KL(policy ‖ reference), nats a response", {"kl": "held-out prompts", "kl_to_reference": "collections"}),
    Panel("length, tokens", {"tokens": "held-out prompts", "length": "collections"}),
    Panel("share that ends with EOS", {"share_eos": "held-out prompts", "ended": "collections"}),
    Panel(
        "implicit reward, nats",
        {"chosen_implicit_reward": "chosen", "rejected_implicit_reward": "rejected"},
        zero=True,
    ),
    Panel("margin, nats", {"margin": "chosen less rejected"}, zero=True),
    Panel("accuracy", {"pair_accuracy": "pairs trained on", "held_out_accuracy": "held-out pairs"}),
    Panel("calibration error", {"held_out_calibration_error": "held-out pairs"}),
    Panel("KL(behavior ‖ policy), nats a response", {"kl_from_behavior": "how stale samples are"}),
    Panel("share of ratios clipped", {"fraction_clipped": "of the minibatch"}),
    Panel("entropy, nats a token", {"entropy": "held-out prompts", "sampled_entropy": "collections"}),
    Panel("gradient norm", {"gradient_norm": "before clipping"}),
)
"""Those of which some run has a number are drawn."""

_DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++")
X_LABELS = {"step": "gradient step", "kl": "KL(policy ‖ reference), nats a response"}
EACH = 12
"""Of so few points each has its marker: one alone has no line."""

SFT = "sft"  # tokens of a step's targets there, not of a sampled response


class Pictured(NamedTuple):
    """A figure, and what stands beneath it: a sentence for each panel."""

    figure: Figure
    caption: str


def runs_figure(groups: Sequence[Group]) -> Pictured:
    """Every panel that the groups have numbers for, and the seconds by phase.

    Raises:
        ValueError: there is nothing to draw.
    """
    drawn = [panel for panel in PANELS if any(_numbers(group, panel) for group in groups)]
    timed = {group.label: spent for group in groups if (spent := seconds(group))}
    require(bool(drawn or timed), "the runs have recorded no number that is drawn: have they taken a step?")
    count = len(drawn) + bool(timed)
    columns = min(4, count)
    looks = _looks(groups)
    sentences = []
    with style():
        figure, axes = new_figure(-(-count // columns), columns, panel=(3.5, 2.7))
        flat = axes.ravel()
        for place, panel in zip(flat, drawn, strict=False):
            sentences.append(_draw(place, panel, groups, looks))
        if timed:
            sentences.append(_draw_seconds(flat[len(drawn)], timed))
        for empty in flat[count:]:
            empty.set_visible(False)
        handles = [flat[0].plot([], [], **look)[0] for look in looks]
        figure.legend(handles, [g.label for g in groups], loc="outside lower center", ncols=3, handlelength=3.2)
        seeds = sorted({len(group.runs) for group in groups})
        note = "one seed" if seeds == [1] else f"mean ± standard error over {' or '.join(map(str, seeds))} seeds"
        runs = sum(len(group.runs) for group in groups)
        figure.suptitle(f"{runs} run{'s' if runs > 1 else ''} ({note})", fontsize=10)
    return Pictured(figure, "\n".join([*sentences, *_over_optimised(groups)]))


def _over_optimised(groups: Sequence[Group]) -> list[str]:
    """A sentence on each group whose proxy reward rose to the end while its gold reward fell from its highest."""
    told = []
    for group in groups:
        gold, proxy = series(group, "reward_gold"), series(group, "reward_proxy")
        if gold is None or proxy is None or len(gold.mean) != len(proxy.mean):
            continue
        best = int(gold.mean.argmax())
        if gold.mean[best] > gold.mean[-1] and proxy.mean[best] < proxy.mean[-1]:
            told.append(
                f"{group.label} is over-optimised: from step {gold.steps[best]:g} on its proxy reward rises from "
                f"{proxy.mean[best]:.3g} to {proxy.mean[-1]:.3g} and its gold reward falls from {gold.mean[best]:.3g} "
                f"to {gold.mean[-1]:.3g}."
            )
    return told


def _looks(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A look a group: the method's own where each has another method of the registry, else one after the other."""
    methods = [group.method for group in groups]
    if len(set(methods)) == len(methods) and all(method is not None and _known(method) for method in methods):
        names = [str(method) for method in methods]
        styles = styles_of(names)
        looks = [method_line(name, styles[name]) for name in names]
    else:
        looks = [each.line(every=(0.06, 0.16)) for each in ladder(len(groups))]
    return [look | {"label": group.label} for look, group in zip(looks, groups, strict=True)]


def _known(method: str) -> bool:
    try:
        variant(method)
    except ValueError:
        return False
    return True


def _numbers(group: Group, panel: Panel) -> dict[str, Series]:
    """Those numbers of a panel that a group has; of SFT's records `tokens` are those of a step's rows."""
    left_out = {"tokens"} if group.runs[0].settings.get("stage") == SFT else set()
    names = [name for name in panel.numbers if name not in left_out]
    if panel.x != "step" and series(group, panel.x) is None:
        return {}
    return {name: found for name in names if (found := series(group, name)) is not None}


def _draw(axes: Axes, panel: Panel, groups: Sequence[Group], looks: Sequence[dict[str, Any]]) -> str:
    """The panel, and a sentence on where each line begins and ends."""
    there: dict[str, None] = {}
    told = []
    for group, look in zip(groups, looks, strict=True):
        for name, values in _numbers(group, panel).items():
            there[name] = None
            x = values.steps if panel.x == "step" else _against(group, panel.x)
            several = len(panel.numbers) > 1
            line = look | ({"linestyle": _DASHES[list(panel.numbers).index(name)]} if several else {})
            if len(x) <= EACH:
                line |= {"markevery": None}
            axes.plot(x, values.mean, **line | {"linewidth": 1.4, "markersize": 4})
            if panel.x == "step" and np.isfinite(values.error).all():
                band = values.mean - values.error, values.mean + values.error
                axes.fill_between(x, *band, color=look["color"], alpha=0.18, linewidth=0)
            which = f" ({panel.numbers[name]})" if several else ""
            told.append(f"{group.label}{which} from {values.mean[0]:.3g} to {values.mean[-1]:.3g}")
    if len(there) > 1:
        marks = [axes.plot([], [], color=GREY, linestyle=_DASHES[list(panel.numbers).index(n)])[0] for n in there]
        axes.legend(marks, [panel.numbers[name] for name in there], fontsize=7, handlelength=2.6)
    if panel.zero:
        axes.axhline(0, color=GREY, linewidth=1)
    axes.set(title=panel.title, xlabel=X_LABELS[panel.x])
    against = f" against {X_LABELS[panel.x]}" if panel.x == "step" else ""
    return f"{panel.title[0].upper()}{panel.title[1:]}{against}: {'; '.join(told)}."


def _against(group: Group, name: str) -> np.ndarray:
    found = series(group, name)
    assert found is not None  # `_numbers` has looked
    return found.mean


def _draw_seconds(axes: Axes, timed: dict[str, dict[str, float]]) -> str:
    """Horizontal bars, a part for each phase; hatched, so that they can be told in grey print."""
    phases = list(dict.fromkeys(phase for spent in timed.values() for phase in spent))
    at = np.arange(len(timed))[::-1]
    left = np.zeros(len(timed))
    for phase, look, hatch in zip(phases, ladder(len(phases)), _HATCHES * len(phases), strict=False):
        width = np.array([spent.get(phase, 0.0) for spent in timed.values()])
        axes.barh(at, width, left=left, color=look.color, edgecolor="white", hatch=hatch, label=phase, height=0.6)
        left += width
    axes.set_yticks(at, list(timed), fontsize=7)
    axes.set(title="seconds by phase", xlabel="seconds of a run")
    axes.set_ylim(-0.6, len(timed) - 0.4 + 0.6)
    axes.legend(fontsize=7, ncols=2, loc="upper right")
    told = [
        f"{label} {', '.join(f'{phase} {value:.1f}' for phase, value in spent.items())}"
        for label, spent in timed.items()
    ]
    return f"Seconds by phase: {'; '.join(told)}."
