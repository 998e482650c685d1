"""Numbers that stand in the notebooks' texts, against the recordings and closed forms that they are taken from."""

import re
from math import comb

import numpy as np
import pytest
from test_spoilers import cells

from modeseek.bandit.categorical.closed_forms import displacement, displacement_turn
from modeseek.bandit.categorical.criteria import inspect_pair
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.budget.claims import by_pushing, by_refreshing
from modeseek.bandit.explore.demo.model import METHODS, DemoModel
from modeseek.bandit.explore.demo.model import recorded as tour
from modeseek.bandit.explore.demo.questions import predict_offline
from modeseek.bandit.explore.displacement.presets import PRESETS
from modeseek.bandit.explore.displacement.questions import predict_prompts
from modeseek.bandit.explore.figure18.model import Figure18Model, recorded
from modeseek.bandit.explore.first_steps.mechanics import sampled_at
from modeseek.bandit.explore.first_steps.model import FirstStepsModel
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.kl.questions import predict_race
from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.phase.model import PhaseModel
from modeseek.bandit.explore.reproduce.model import ReproduceModel, tally
from modeseek.bandit.explore.reproduce.questions import CEILING, remedied
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.intervals import student
from modeseek.bandit.studies.phase_diagram.grid import MINIBATCH
from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase
from modeseek.bandit.studies.phase_diagram.winners import winners
from modeseek.bandit.studies.reproduce.cells import HEADLINES
from modeseek.bandit.studies.reproduce.claims import TABLE3
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD


def said(notebook: str, words: str) -> list[float]:
    """The numbers that a notebook's text has in these words."""
    found = re.search(words, " ".join(cell.text for cell in cells(notebook)))
    assert found, words
    return [float(number.replace("−", "-").replace(" ", "")) for number in found.groups()]


def tuned(method: str, reward: str) -> tuple[float, float]:
    """Mean of the hundred fresh seeds at the tuned rate, tails piled up; the rate."""
    rows = ReproduceModel("fig19").result.rows
    results = next(row.cells for row in rows if row.name == "on-policy-ipo-over-ipo-final-R1")
    cell = HEADLINES[method, reward]
    ends = fresh_values(level(FINAL_REWARD, cell), results)
    assert ends.size == 100
    return round(float(ends.mean()), 2), float(results[cell].attrs["learning_rate"])


def test_the_order_of_offline_ipos_rewards_turns_with_the_rate():
    """Notebook 00 asks for it at one rate, and says below what becomes of it at the tuned one; 05, 08 and 09 too."""
    (far, rate), (near, other) = tuned("ipo", "R1"), tuned("ipo", "R2")
    ppo = [tuned("ppo", reward)[0] for reward in ("R1", "R2")]
    words = (
        r"At the rate (\.\d+), .* ends at (\.\d+) on R1 and at (\.\d+) on R2, and PPO, tuned too, at (\S+) and (\.\d+)"
    )
    assert said("00_start_here", words) == [rate, far, near, *ppo]
    assert rate == other
    ends = {name: DemoModel(name).result.reward[:, -1] for name in ("R1", "R2")}
    lost = {name: each[METHODS.index("ppo")] - each[METHODS.index("ipo")] for name, each in ends.items()}
    assert lost["R1"] > lost["R2"]  # at the rate of the recorded run,
    assert ppo[0] - far < ppo[1] - near  # and at the tuned one
    assert "learning rates 0.003 for IPO and 0.001 for PPO" in predict_offline().question
    assert "at these learning rates, 0.003 and 0.001" in predict_offline().truth().because
    words = r"at the rate \.003: at (\.\d+) offline IPO ends higher on R1, at (\.\d+), than on R2, at (\.\d+)"
    assert said("05_bandit_explorer", words) == [rate, far, near]
    words = r"at the rate \.003; at (\.\d+) it ends higher with the peak at 70, at (\.\d+), than at 20, at (\.\d+)"
    assert said("08_phase_diagram", words) == [rate, far, near]
    three = [DemoModel("R1").result.reward[METHODS.index("ipo"), -1], PhaseModel().result.mean]
    phase = three[1][PhaseModel().result.methods.index("ipo"), -1, -1]
    five = BanditModel("R1-ipo").run.mean("expected_reward")[-1]
    words = r"ended at (\.\d+) on R1 in notebooks 00 and 08 .* and at (\.\d+) in 05 .* it ends at (\.\d+)\."
    assert said("09_reproduce_paper", words) == [round(float(three[0]), 2), round(float(five), 2), far]
    assert round(float(phase), 2) == round(float(three[0]), 2)


def test_a_ratio_moves_without_an_arrow_as_notebook_01_says():
    model = FirstStepsModel("ppo")
    ratios, pulls = model.result.shown.values[:, 1], model.result.pulls[:, 1]
    first, start, last, end = said("01_first_steps", r"goes from ([\d.]+) at step (\d+) back to ([\d.]+) at step (\d+)")
    assert [first, last] == [round(float(ratios[int(start)]), 2), round(float(ratios[int(end)]), 2)]
    assert (pulls[int(start) : int(end) + 1] == 0).all()
    assert sampled_at(int(start)) == sampled_at(int(end))
    assert (np.diff(ratios[int(start) : int(end) + 1]) < 0).all()


def test_what_notebook_01_says_of_its_controls():
    kl, ipo = FirstStepsModel("kl"), FirstStepsModel("ipo")
    assert said("01_first_steps", r"Here β = (\.\d+), and step (\d+) of (\d+) is λ = 1/β") == [
        kl.values.beta,
        int(kl.result.points[1].argmax()),
        kl.result.points.shape[1] - 1,
    ]
    words = r"Here τ = (\.\d+) .* each pair asks for (\d\.\d) nats.* right ends at (−\d\.\d) and not at 0"
    assert said("01_first_steps", words) == [
        ipo.values.beta,
        round(1 / (2 * ipo.values.beta), 1),
        round(float(ipo.result.points[1, -1]), 1),
    ]
    assert said("01_first_steps", r"Here β = (\.\d+), and all arrows") == [FirstStepsModel("rwr").values.beta]
    assert said("01_first_steps", r"\(N = (\d+) here\)") == [FirstStepsModel("best-of-n").values.draws]


def test_ipos_rest_lies_beyond_the_signs_of_the_one_table_model():
    """Notebook 04: the model has figure 18's order and not its sign with 5 prompts."""
    few, some, many = (PRESETS[f"fig18-{prompts}-prompts"].values for prompts in (5, 20, 100))
    rest = 1 / (4 * 0.05)
    at_rest = [
        -round(float(displacement(v.prompts * v.b, v.prompts * v.c, v.length, rest)), 1) for v in (few, some, many)
    ]
    words = (
        r"rests at s = (\d+), .* margins are (\d+) nats.* by ([\d.]+) nats with 5 [^.]*, ([\d.]+) with 20 and ([\d.]+) "
    )
    assert said("04_likelihood_displacement", words) == [rest, 2 * rest, *at_rest]
    result = Figure18Model("gpt", reward="R2").result
    assert np.abs(result.mean[0, :, -1] - result.mean[1, :, -1] - 2 * rest).max() < 0.1
    for preset, values in (("fig18-5-prompts", few), ("fig18-20-prompts", some)):
        turn = float(displacement_turn(values.prompts * values.b, values.prompts * values.c, values.length))
        told = re.search(r"s = ([\d.]+)", PRESETS[preset].shows)
        assert told
        assert float(told[1]) == float(f"{turn:.2g}")


def test_what_three_seeds_of_figure_18_tell():
    runs = recorded()["chosen_implicit_reward"].sel(policy="gpt", pairs="best_worst", reward="R2").isel(step=-1)
    few, _, many = runs.transpose("prompts", "seed").values.astype(np.float64)
    assert (few > 0).all()
    assert (many < 0).all()
    for ends in (few, many):
        low, high = student(ends)
        assert low < 0 < high
    low, high = student(few - many)
    words = r"on R2 by ([\d.]+) nats, 95 % interval ([\d.]+) to ([\d.]+)\)"
    assert said("04_likelihood_displacement", words) == [round(float(x), 1) for x in ((few - many).mean(), low, high)]
    table = Figure18Model("table", reward="R2").result.mean[0, :, -1]
    assert (np.diff(table) < 0).all()
    assert table[-1] > 0
    assert f"{(few - many).mean():.1f} nats ({low:.1f} to {high:.1f})" in predict_prompts().truth().because


def test_nats_after_equally_many_steps():
    """Notebook 05, of notebook 00's run on R1."""
    result = DemoModel("R1").result
    steps, *nats = said(
        "05_bandit_explorer", r"steps, (\d+) in notebook 00, PPO is (\d+) nats away, RWR (\d+) and Best-of-N (\d+)"
    )
    at = list(result.steps).index(int(steps))
    assert nats == [round(float(result.divergence[METHODS.index(name), at])) for name in ("ppo", "rwr", "best_of_n")]


def test_the_same_seeds_end_where_notebook_05_says():
    here = BanditModel("R1-ipo").run.curves["expected_reward"][:3, -1]
    ends = tour()["expected_reward"].isel(algorithm=METHODS.index("ipo"), step=-1).sel(reward="R1")
    words = r"they end at (\.\d+), (\.\d+) and (\.\d+) here and at (\.\d+), (\.\d+) and (\.\d+) there"
    assert said("05_bandit_explorer", words) == [round(float(end), 2) for end in (*here, *ends.values)]
    (steps,) = said("05_bandit_explorer", r"the third run goes apart within (\d+) steps")
    curves = tour()["expected_reward"].isel(algorithm=METHODS.index("ipo")).sel(reward="R1").transpose("seed", "step")
    apart = np.abs(curves.sel(step=[0, steps]).values - BanditModel("R1-ipo").run.curves["expected_reward"][:3, [0, 2]])
    assert apart[:, 0].max() < 1e-6
    assert (apart[:, 1] > 0.01).tolist() == [False, False, True]


def test_a_pair_is_named_in_the_order_that_its_numbers_are_of():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
        first, second = rng.choice(5, 2, replace=False).tolist()
        verdict = inspect_pair(p, q, first, second)
        one, other = verdict.pair
        assert {one, other} == {first, second}
        assert verdict.forward == pytest.approx((q[one] - q[other]) - (p[one] - p[other]))
    for preset in ("R1", "R2", "case-1-fails", "case3", "case-3-fails"):
        model = KLModel(preset)
        found = re.search(r"Categories (\d+) and (\d+) .* Δr = (\S+) [<>=] Δf = ([^\s;]+)", model.pair_sentence())
        assert found, preset
        i, j = int(found[1]), int(found[2])
        forward, reverse = model.result.push[:, 0, i] - model.result.push[:, 0, j]  # of one real step
        assert [float(found[3]), float(found[4])] == pytest.approx([reverse, forward], rel=5e-3, abs=1e-6), preset
        further = re.search(r"\((\w+) KL moves", model.pair_sentence())
        assert not further or (further[1] == "reverse") == (abs(reverse) > abs(forward))
    assert "forward KL moves log(p₁/p₂) further" in KLModel("R1").pair_sentence()


def test_near_the_target_both_pushes_fade_alike_and_on_the_way_reverse_kls_is_stronger():
    """Notebook 07's reasons for who overtakes."""
    model = KLModel("R1")
    q = np.asarray(model.values.target)

    def pushes(p):
        excess = np.log(p / q)
        return q - p, -p * (excess - p @ excess)

    rng = np.random.default_rng(1)
    for size in (1e-2, 1e-3):
        near = q * (1 + size * rng.uniform(-1, 1, q.size))
        forward, reverse = pushes(near / near.sum())
        assert np.linalg.norm(reverse - forward) < 2 * size * np.linalg.norm(forward)
    most = int(model.result.steps_to[0, 2])
    p = np.exp(model.result.log_probs[0, most])
    forward, reverse = pushes(p)
    times = reverse[p > q].sum() / forward[p > q].sum()
    assert f"{times:.1f} times as strongly" in predict_race().truth().because
    assert times > 3
    assert (forward[p > q] / -p[p > q] > 0.8).mean() > 0.5  # "hardly more than -p"
    alike = KLModel("case-1-fails").result.steps_to[:, 2]  # no such category: reverse KL does not overtake
    assert alike[0] <= alike[1]


def test_what_notebook_08_says_of_the_whole_map():
    found = winners(open_phase(STORED))
    methods = list(found.methods)
    on = np.array([variant(name).on_policy for name in methods])
    push = np.array([variant(name).method.negative_gradient for name in methods])
    online, offline = (found.among & on).any(-1), (found.among & ~on).any(-1)
    best = dict(zip(methods, found.among.sum(0).tolist(), strict=True))
    words = (
        r"In (\d+) of the (\d+) cells only on-policy methods may be the best, in (\d+) only offline ones, in (\d+) both"
    )
    counts = [(online & ~offline).sum(), online.size, (offline & ~online).sum(), (online & offline).sum()]
    assert said("08_phase_diagram", words) == counts
    assert said("08_phase_diagram", r"on-policy DPO may be the best in (\d+) cells") == [best["on_policy_dpo"]]
    data = open_phase(STORED)
    steps, drawn, price, rows, all_of_them = said(
        "08_phase_diagram",
        r"used in (\d+) steps, where (\d+) are drawn at once, and where .* costs (\.\d+): (\d+) of their (\d+) cells",
    )
    there = data["inner_steps"].values == steps, data["samples_per_collection"].values == drawn
    costs = np.isclose(data["kl_coefficient"].values, price)
    assert [(offline & (there[0] | there[1] | costs)).sum(), offline.sum()] == [rows, all_of_them]
    for each in there:  # one collection is all of a run
        of = {name: set(data[name].values[each].tolist()) for name in ("samples_per_collection", "inner_steps")}
        assert {b // MINIBATCH * t for b in of["samples_per_collection"] for t in of["inner_steps"]} == {40}
    sizes = found.among.sum(-1)
    lots = [sum(comb(int(n), int(k)) / comb(len(methods), int(k)) for k in sizes) for n in (push.sum(), (~push).sum())]
    words = r"six of the eight push down: if lots were drawn, it would be (\d+) and (\d+)"
    assert said("08_phase_diagram", words) == [round(lot) for lot in lots]
    assert (push.sum(), len(methods)) == (6, 8)
    words = r"PPO may be the best less often \((\d+) cells\) than RWR \((\d+)\).*DPO \((\d+)\) and REINFORCE \((\d+)\)"
    assert said("08_phase_diagram", words) == [best[name] for name in ("ppo", "rwr", "on_policy_dpo", "reinforce")]
    demo = [DemoModel(name).result.reward[:, -1] for name in ("R2", "R1")]
    gains = [each[METHODS.index("on_policy_ipo")] - each[METHODS.index("ipo")] for each in demo]
    words = r"notebook 00, after (\d+), it brought (\.\d+) and (\.\d+)"
    assert said("08_phase_diagram", words) == [DemoModel("R1").result.steps[-1], *(round(float(g), 2) for g in gains)]


def test_claims_that_were_not_run_are_no_verdicts():
    rows = ReproduceModel("fig19").result.rows
    judged = [row.assessment for row in rows if row.assessment and row.assessment.verdict]
    missing = [row for row in rows if row.assessment and not row.assessment.verdict]
    assert missing
    text = tally(rows)
    assert text.endswith(f", {len(missing)} not run")
    assert text.startswith(f"Of {len(judged) + len(missing)} claims ")
    undecided = sum(a.verdict.word == "undecided" for a in judged)
    assert (f"{undecided} undecided" in text) == bool(undecided)


def test_what_notebooks_09_and_11_say_of_ceilings_and_the_paper():
    high, those, ceiling = said(
        "09_reproduce_paper", r"and (\d+) at \.97 or above \((\d+) of them above (\.\d+), the ceiling\)"
    )
    assert ceiling == CEILING
    assert those <= high
    assert said("09_reproduce_paper", r"(\d+) of the hundred reach the ceiling") == [those]
    ppo, offline = said("11_make_your_own", r"PPO and on-policy IPO (\.\d+), offline IPO (\.\d+)\)")
    assert (ppo, ppo, offline) == tuple(TABLE3[name].value for name in ("ppo", "on_policy_ipo", "ipo"))


def test_what_is_to_be_kept_is_what_was_found():
    """The last cell of the course."""
    found = winners(open_phase(STORED))
    on = np.array([variant(name).on_policy for name in found.methods])
    only = ~(found.among & ~on).any(-1)
    words = r"only on-policy methods may be the best in (\d+) of (\d+) cells"
    assert said("11_make_your_own", words) == [only.sum(), only.size]
    ends = remedied()
    words = r"holds on-policy IPO at (\.\d+) on R1, and five times that margin lets it reach (\d\.\d\d)"
    assert said("11_make_your_own", words) == [round(ends[name].reward, 2) for name in ("none", "large-margin")]
    fresh = by_refreshing("far-peak")
    assert {name for name, gap in fresh.items() if gap.word != "more"} == {"dpo", "ipo"}
    assert {fresh[name].word for name in ("dpo", "ipo")} == {"no difference seen"}
    words = r"that pushes down ends (\.\d+) above the best that only pulls up"
    assert said("11_make_your_own", words) == [round(by_pushing("far-peak", "offline").mean, 2)]
    assert by_pushing("far-peak", "refreshed").word == "no difference seen"
    best = OnPolicyModel("R1-best-of-n").result.reward[-1]
    assert (np.diff(best) < 0).all()  # a larger B, so fewer refreshes
