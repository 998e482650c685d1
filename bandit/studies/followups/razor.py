"""arXiv 2509.04259, "RL's Razor: Why Online Reinforcement Learning Forgets Less" (Shenfeld, Pari and Agrawal, 2025).

**Claim.** At equal reward on the new task RL forgets less than supervised fine-tuning; how much is forgotten is a
function of KL(start ‖ policy) on the new task, whatever the method; on-policy methods find solutions that are near in
it.

**Set-up.** See `forgetting`: the smallest case of the paper's toy (digits whose parity is asked for, every digit of
the right parity being right, and a second task that is not trained further), linear and with a hidden layer. Methods
are compared where the reward is .9; one curve through all methods is a parabola, as the paper fits. Of the paper its
abstract was read, its web page, and a replication's description.
"""

from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, LineStyle, new_figure, style
from modeseek.bandit.studies.cells import Results, fresh_runs
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Contrast, Term, level
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.forgetting import METHODS, Forgetting, forgetting
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.verdicts import Kind

CELLS = {
    "linear": FollowupCell("razor-linear", Forgetting(features=21, hidden=0), forgetting),
    "hidden": FollowupCell("razor-hidden", Forgetting(features=11, hidden=16), forgetting),
}
POLICIES = {"linear": "Linear policy", "hidden": "One hidden layer"}

PROBABILITY, NATS, EXPLAINED = Unit("probability", 0.005), Unit("nats", 0.05), Unit("R²", 0.05)


def _at_end(variable: str, method: str, unit: Unit) -> Measure:
    name = f"{variable}-{method}"
    return Measure(name, lambda d: d[variable].sel(algorithm=method).isel(level=-1), f"{variable} at reward .9", unit)


def _explained(predictor: str) -> Measure:
    return Measure(f"explained-{predictor}", lambda d: d["explained"].sel(predictor=predictor), "R²", EXPLAINED)


def _less(policy: str, first: Measure, second: Measure) -> Contrast:
    """By how much the first is less."""
    return Contrast((Term(1.0, CELLS[policy], second), Term(-1.0, CELLS[policy], first)))


def _claims(policy: str) -> tuple[Claim, ...]:
    """What is claimed, about one policy."""
    named = POLICIES[policy]

    def claim(
        name: str, text: str, contrast: Contrast, quote: str = "", kind: Kind = "more", source: str = "abstract"
    ) -> Claim:
        return Claim(f"razor-{policy}-{name}", f"{named}: {text}", source, contrast, kind, quote=quote)

    forgets = lambda first, second: _less(
        policy, _at_end("forgotten", first, PROBABILITY), _at_end("forgotten", second, PROBABILITY)
    )
    kl = lambda method: _at_end("kl_from_start", method, NATS)
    preserves = (
        "despite similar performance at a new task, RL preserves prior knowledge and capabilities significantly better"
    )
    minimal = "on-policy RL is implicitly biased towards KL-minimal solutions among the many that solve the new task"
    determined = "the degree of forgetting is determined by the distributional shift, measured as the KL-divergence"
    toy = "its toy, by summaries of others"
    return (
        claim(
            "one",
            "REINFORCE forgets less than SFT on one right answer.",
            forgets("on_policy_reinforce", "sft_one"),
            preserves,
        ),
        claim(
            "uniform",
            "REINFORCE forgets less than SFT on all right answers alike.",
            forgets("on_policy_reinforce", "sft_uniform"),
            preserves,
        ),
        claim(
            "oracle",
            "SFT on the KL-nearest solution forgets no more than REINFORCE.",
            forgets("sft_oracle", "on_policy_reinforce"),
            kind="at_least",
            source=toy,
        ),
        claim(
            "on-policy",
            "DPO forgets less from its own samples than from the start's.",
            forgets("on_policy_dpo", "offline_dpo"),
            source="ours: whose samples, at one loss",
        ),
        claim(
            "kl-one",
            "REINFORCE ends nearer in KL than SFT on one right answer.",
            _less(policy, kl("on_policy_reinforce"), kl("sft_one")),
            minimal,
        ),
        claim(
            "kl-oracle",
            "REINFORCE ends as near in KL as the KL-nearest solution.",
            _less(policy, kl("on_policy_reinforce"), kl("sft_oracle")),
            minimal,
            "equal",
        ),
        claim(
            "one-curve",
            "One parabola in KL(start ‖ policy) explains at least .9 of what all methods forget.",
            level(_explained("kl_from_start"), CELLS[policy], constant=0.9),
            determined,
            "at_least",
        ),
        claim(
            "distance",
            "KL(start ‖ policy) explains more of it than the distance that the parameters moved.",
            _less(policy, _explained("distance"), _explained("kl_from_start")),
            source=toy,
        ),
    )


CLAIMS = tuple(claim for policy in CELLS for claim in _claims(policy))

LINES = {
    "sft_one": LineStyle(BLUE, "o"),
    "sft_uniform": LineStyle(SKY, "D", "--"),
    "sft_oracle": LineStyle(BLACK, "<", (0, (7, 2))),
    "on_policy_reinforce": LineStyle(ORANGE, "P", (0, (1.2, 1.4))),
    "on_policy_best_of_n": LineStyle(GREEN, "v", (0, (5, 1.5, 1, 1.5))),
    "on_policy_dpo": LineStyle(PURPLE, "*", "--"),
    "offline_best_of_n": LineStyle(GREEN, "v"),
    "offline_dpo": LineStyle(PURPLE, "*"),
}
AXES = {"kl_from_start": "KL(start ‖ policy) on the new task, nats", "distance": "distance of the parameters"}


def draw(results: Results) -> Figure:
    """What is forgotten against KL and against the parameters' distance, a curve a method; a row a policy."""
    with style():
        figure, axes = new_figure(2, 2, panel=(4.4, 2.8))
        for row, (policy, cell) in zip(axes, CELLS.items(), strict=True):
            runs = fresh_runs(results[cell])
            mean = runs.mean("seed")
            for panel, (predictor, label) in zip(row, AXES.items(), strict=True):
                for method in METHODS:
                    line = LINES[method].line() | {"markersize": 4}
                    if method.startswith("offline"):
                        line |= {"markerfacecolor": "white", "markeredgecolor": line["color"], "markeredgewidth": 1.0}
                    of = mean.sel(algorithm=method)
                    panel.plot(of[predictor], of["forgotten"], label=method.replace("_", " "), **line)
                share = float(mean["explained"].sel(predictor=predictor))
                panel.set(title=f"{POLICIES[policy]}: one curve has R² = {share:.2f}", xlabel=label)
            row[0].set_ylabel("forgotten, probability")
            row[1].sharey(row[0])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=3.2, frameon=False)
        figure.suptitle("Forgetting at rewards from .6 to .9 on the new task (mean of seeds)", fontsize=10)
    return figure


def describe(results: Results) -> str:
    """What the picture shows."""
    parts = []
    for policy, cell in CELLS.items():
        mean = fresh_runs(results[cell]).mean("seed")
        end = mean.isel(level=-1)
        each = ", ".join(
            f"{m.replace('_', ' ')} {float(end['forgotten'].sel(algorithm=m)):.3f} at "
            f"{float(end['kl_from_start'].sel(algorithm=m)):.2f} nats"
            for m in METHODS
        )
        shares = ", ".join(
            f"{p.replace('_', ' ')} {float(mean['explained'].sel(predictor=p)):.2f}" for p in mean["predictor"].values
        )
        parts.append(f"{POLICIES[policy]}, forgotten at reward .9: {each}; R² of one curve: {shares}")
    return f"{'. '.join(parts)}."


FOLLOWUP = Followup(
    "2509.04259",
    "At equal reward on a new task, is what is forgotten of an old one a function of KL(start ‖ policy)? "
    '"RL\'s Razor: Why Online Reinforcement Learning Forgets Less".',
    tuple(CELLS.values()),
    claims=CLAIMS,
    deviations="The paper's conditions are met in kind, not in size: many right answers, one set of parameters, a "
    "start that is trained on both tasks. Its networks are larger and are trained on samples; here each method follows "
    "its exact gradient on twenty prompts, so that what differs between methods is where they go and nothing else. A "
    "problem on which a method does not come to .9 within 1500 steps is counted with those that diverged.",
    draw=draw,
    describe=describe,
)
