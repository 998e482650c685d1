"""arXiv 2510.18874, "Retaining by Doing: The Role of On-Policy Data in Mitigating Forgetting" (Chen et al., 2025).

**Claim.** A language model is taken for a mixture of two distributions, one of prior knowledge and one of the new task.
Learning from its own samples seeks modes, and so keeps the old mode where supervised learning on the new task loses it.
With a policy of one mode it is the other way round.

**Set-up.** The mixtures of the paper's simulation, see `mixtures`. What the abstract calls one thing are three: whose
samples, which divergence, and whether the target holds the old mode; five methods take them apart. Of the paper its
abstract and its released simulation were read, and summaries of its sections by others. There the weight and the old
mode's parameters learn two hundred times slower than the new mode's in every method, and samples come from the new
component alone; here nothing is slowed, and a method samples from the whole of its policy.
"""

from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, LineStyle, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.mixtures import METHODS, Retention, retention
from modeseek.bandit.studies.measures import Measure, Unit

CELLS = {
    (method, 2): FollowupCell(f"retaining-{method.replace('_', '-')}", Retention(method), retention)
    for method in METHODS
} | {
    (method, 1): FollowupCell(f"retaining-{method.replace('_', '-')}-one-mode", Retention(method, modes=1), retention)
    for method in ("sft", "rl_new")
}
"""Method, modes of the policy."""

OVERLAP = Unit("overlap with a mode", 0.02)
KEPT = Measure("kept", lambda data: data["kept"], "change of the old mode's overlap where the new one's is .9", OVERLAP)

SEEKING = (
    "the mode-seeking nature of RL, which stems from its use of on-policy data, enables keeping prior knowledge intact"
)


def _claim(name: str, text: str, better: str, worse: str, source: str, quote: str = "", modes: int = 2) -> Claim:
    contrast = difference(KEPT, CELLS[better, modes], CELLS[worse, modes])
    return Claim(f"retaining-{name}", text, source, contrast, quote=quote)


CLAIMS = (
    _claim(
        "rl-over-sft",
        "Two modes: where the new mode is learnt as well, RL to the whole target keeps more of the old one than "
        "supervised learning of the new mode.",
        "rl",
        "sft",
        "abstract",
        SEEKING,
    ),
    _claim(
        "on-policy-is-enough",
        "Two modes: so does RL that is rewarded for the new mode alone. Own samples and mode seeking are enough.",
        "rl_new",
        "sft",
        "abstract, read strictly",
        SEEKING,
    ),
    _claim(
        "own-samples",
        "Two modes: supervised learning on its own samples, weighted, keeps more than on the new mode's.",
        "self_sft",
        "sft",
        "abstract",
        "mitigating forgetting using approximately on-policy data",
    ),
    _claim(
        "replay",
        "Two modes: supervised learning keeps more with the old mode in its data, at the same divergence.",
        "replay",
        "sft",
        "ours: the target decides",
    ),
    _claim(
        "seeking-at-one-target",
        "Two modes: to one target, that holds both, RL keeps more than supervised learning.",
        "rl",
        "replay",
        "ours: the divergence decides",
    ),
    _claim(
        "one-mode",
        "One mode: supervised learning of the new mode keeps more of the old one than RL rewarded for it.",
        "sft",
        "rl_new",
        "its section on the simulation, by summaries of others",
        modes=1,
    ),
)

LINES = {
    "sft": LineStyle(BLUE, "o"),
    "replay": LineStyle(GREEN, "^", (0, (7, 2))),
    "self_sft": LineStyle(PURPLE, "*", "--"),
    "rl": LineStyle(VERMILLION, "s", "--"),
    "rl_new": LineStyle(ORANGE, "X", (0, (1.2, 1.4))),
}
NAMES = {
    "sft": "SFT on the new mode",
    "replay": "SFT on both",
    "self_sft": "SFT on own samples, both",
    "rl": "RL, target holds both",
    "rl_new": "RL, the new mode alone",
}


def draw(results: Results) -> Figure:
    """Old mode against new mode on the way, a curve a method: policies of two modes and of one."""
    with style():
        figure, axes = new_figure(1, 2, panel=(4.4, 3.2), sharey=True)
        for panel, modes in zip(axes[0], (2, 1), strict=True):
            for (method, of), cell in CELLS.items():
                if of == modes:
                    runs = fresh_runs(results[cell])
                    old, new = (runs[name].median("seed") for name in ("old", "new"))
                    line = LINES[method].line(every=(0.0, 0.14))
                    panel.plot(new, old, label=NAMES[method], **line)
            panel.axvline(0.9, color="#8C8C8C", linewidth=1, linestyle=":")
            panel.set(title="two modes" if modes == 2 else "one mode", xlabel="overlap with the new mode")
            panel.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.05))
        axes[0, 0].set_ylabel("overlap with the old mode")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3.2, frameon=False)
        figure.suptitle("What is kept of the old mode while the new one is learnt (median of seeds)", fontsize=10)
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    parts = []
    for (method, modes), cell in CELLS.items():
        kept = fresh_runs(results[cell])["kept"]
        learnt = int(kept.notnull().sum())
        change = f"{float(kept.mean()):+.2f}" if learnt else "the level is not reached"
        parts.append(f"{NAMES[method]}{', one mode' if modes == 1 else ''}: {change}")
    return f"Mean change of the old mode's overlap where the new mode's first is .9. {'; '.join(parts)}."


FOLLOWUP = Followup(
    "2510.18874",
    "Does a policy that learns from its own samples keep an old mode that supervised learning loses? "
    '"Retaining by Doing: The Role of On-Policy Data in Mitigating Forgetting".',
    tuple(CELLS.values()),
    claims=CLAIMS,
    deviations="The mixtures are those of the paper's released simulation. There the weight and the old mode learn "
    "200 times slower than the new mode, and samples come from the new component alone; here nothing is slowed and a "
    "method samples from all of its policy. Each method has the learning rate that keeps most of the old mode.",
    draw=draw,
    describe=describe,
)
