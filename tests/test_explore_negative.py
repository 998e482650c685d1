"""Notebooks 02 to 04: their view-models against finite differences, brute force and closed forms."""

import numpy as np
import pytest
from test_spoilers import cells

from modeseek.bandit.categorical import closed_forms, lemmas
from modeseek.bandit.categorical.contrast import contrastive, contrastive_path, push_down_gains
from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.explore.displacement import DisplacementExplorer
from modeseek.bandit.explore.displacement.model import DisplacementModel
from modeseek.bandit.explore.figure18.bake import POLICIES, PROMPTS, SEEDS, STEPS
from modeseek.bandit.explore.figure18.model import Figure18Model, recorded
from modeseek.bandit.explore.four_methods.model import FourMethodsModel
from modeseek.bandit.explore.negative.model import NegativeModel
from modeseek.bandit.explore.out_of_distribution import OutOfDistributionExplorer
from modeseek.bandit.explore.out_of_distribution.model import OutOfDistributionModel

P = np.array([0.45, 0.25, 0.15, 0.1, 0.05])


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


# Notebook 03.


@pytest.mark.parametrize("rejected", range(5))
def test_the_gauge_is_the_slope_of_every_log_probability(rejected):
    """Central differences of a real push on the logits; and minus Lemma E.2's inner product of two real gradients."""
    eta, push = 1e-5, P - np.eye(5)[rejected]
    up, down = (np.log(softmax(np.log(P) + sign * eta * push)) for sign in (1, -1))
    np.testing.assert_allclose(push_down_gains(P, rejected), (up - down) / (2 * eta), atol=1e-9)
    gradients = np.eye(5) - P  # row j: ∇ log p_j
    np.testing.assert_allclose(push_down_gains(P, rejected), -gradients @ gradients[rejected], atol=1e-15)


def test_the_contrastive_field_is_the_gradient_of_its_loss_and_a_step_that_of_the_lemmas():
    def loss(logits):
        log_p = np.log(softmax(logits))
        return -(0.7 * log_p[1] - 0.3 * log_p[4])

    eps = 1e-6
    numeric = [(loss(np.log(P) + eps * e) - loss(np.log(P) - eps * e)) / (2 * eps) for e in np.eye(5)]
    np.testing.assert_allclose(contrastive(5, 1, 4, 0.7, 0.3).gradient(policy(np.log(P))), numeric, atol=1e-9)
    with_push, without = (contrastive_path(P, 1, 4, 0.7, c2, 0.2, 1)[1] for c2 in (0.3, 0.0))
    step = lemmas.contrastive_step(P[None], np.array([1]), np.array([4]), np.array([0.7]), np.array([0.3]), 0.2)
    np.testing.assert_allclose((with_push - without)[[1, 4]], [step.chosen[0], step.rejected[0]], atol=1e-14)


def test_equal_coefficients_leave_the_others_odds_alone():
    path = contrastive_path(P, 1, 4, 1.0, 1.0, 0.3, 50)
    others = path[:, [0, 2, 3]]
    np.testing.assert_allclose(others - others[:, :1], (others - others[:, :1])[:1].repeat(51, 0), atol=1e-12)


def test_a_rare_response_that_is_pushed_feeds_the_likeliest_alone():
    model = NegativeModel("push-rare-down")
    assert list(np.flatnonzero(model.result.gains[0] > 0)) == [0]
    assert np.exp(model.result.log_probs[0, -1, 0]) > 0.999
    assert (np.diff(model.result.log_probs[0, :, 1]) < 0).all()  # nobody pushed it
    np.testing.assert_array_equal(model.result.log_probs[1], np.broadcast_to(model.result.log_probs[1, 0], (201, 6)))
    uniform = NegativeModel("uniform").result.log_probs[0, :, :7]
    np.testing.assert_allclose(uniform, uniform[:, :1].repeat(7, 1), atol=1e-12)


def test_lemma_e2_holds_where_the_gauge_says_so_and_not_elsewhere():
    for preset, aligned in (("E2-aligned", True), ("E2-not-aligned", False)):
        model = NegativeModel(preset, step_size=0.01)
        w = model.values.chosen
        assert (model.result.gains[0, w] > 0) == aligned
        assert (model.result.flow[0, w] > 0) == aligned
        assert ("w = 3 holds" in model.caption()) == aligned
    np.testing.assert_allclose(model.result.flow.sum(-1), 0, atol=1e-15)
    # And yet, in the long run, the negative term has helped there too: eq. 8 needs no condition.
    omega = model.result.log_probs[:, :, 3] - model.result.log_probs[:, :, 4]
    assert (omega[0, 1:] > omega[1, 1:]).all()


def test_figure_16_sharpness_changes_the_labels_alone_and_draws_the_best_of_n_alone():
    model = FourMethodsModel("fig16-R1", steps=30, sharpness=1.0)
    before = model.result.reward
    model.set("sharpness", 50.0)
    assert [bool((a == b).all()) for a, b in zip(before, model.result.reward, strict=True)] == [True, True, True, False]
    model.set("draws", 40)
    assert model.result.reward[0, -1] > before[0, -1]
    # RWR's rest is π_ref exp(r/β)/Z, whatever the sharpness: gradient descent for long comes near it.
    slow = FourMethodsModel("fig16-R2", steps=300, beta=0.5)
    weights = slow.result.reference * np.exp(slow.result.rewards / 0.5)
    assert abs(slow.result.reward[1, -1] - weights @ slow.result.rewards / weights.sum()) < 2e-3


def test_the_likeliest_is_safe_to_push_and_another_may_not_be():
    p = np.array([0.6, 0.35, 0.05])
    assert (np.delete(push_down_gains(p, 0), 0) > 0).all()
    assert push_down_gains(p, 1)[2] < 0 < push_down_gains(p, 1)[0]


def test_what_notebook_03_says_of_figure_16():
    one, two = (FourMethodsModel(f"fig16-{name}").result for name in ("R1", "R2"))
    for result in (one, two):
        plain, pushed = ((result.divergence[i], result.reward[i]) for i in (0, 2))
        assert pushed[1][-1] > plain[1][-1]  # the negative gradient helps Best-of-N,
        assert pushed[0][-1] > plain[0][-1]  # and takes it further away,
        nats = np.linspace(0.2, plain[0][-1], 50)
        assert (np.interp(nats, *pushed) < np.interp(nats, *plain)).all()  # but at equal nats it earns less
    more = FourMethodsModel("fig16-R1", draws=60).result.reward[:, -1]
    text = " ".join(cell.text for cell in cells("03_negative_gradient"))
    assert f"at {more[0]:.2f} against {more[2]:.2f}".replace("0.", ".") in text
    assert more[0] > more[2] > more[3]
    assert two.reward[0, -1] > two.reward[3, -1]  # J.3: one token, R2, Best-of-N above IPO
    assert one.reward[3, -1] > one.reward[0, -1]


# Notebook 04.


def brute_displacement(b, c, length, prompts, moved):
    """Log-probabilities of whole responses under a real softmax over A, B₁…, C₁…, before and after."""
    start = np.concatenate([[1 - prompts * (b + c)], np.full(prompts, b), np.full(prompts, c)])
    after = np.log(softmax(np.log(start) + moved * np.concatenate([[0], np.ones(prompts), -np.ones(prompts)])))
    change = after - np.log(start)
    chosen, rejected = (length - 1) * change[0] + change[1], (length - 1) * change[0] + change[-1]
    return np.array([chosen, rejected, length * change[0], length * change[1]])


@pytest.mark.parametrize(("prompts", "tables"), [(1, 1), (20, 1), (60, 3)])
def test_displacement_is_a_real_softmax_over_all_prompts_tokens(prompts, tables):
    model = DisplacementModel("fig18-20-prompts", prompts=prompts, tables=tables, length=7)
    for step in (0, 1, 77, 200):
        expected = brute_displacement(0.006, 0.002, 7, prompts // tables, model.result.moved[step])
        np.testing.assert_allclose(model.result.gains[:, step], expected, atol=1e-11)


@pytest.mark.parametrize(("b", "c", "n"), [(0.2, 0.1, 4), (0.1, 0.4, 10), (0.05, 0.01, 3), (0.4, 0.1, 10)])
def test_the_slope_and_the_turn_are_where_y_w_rises_and_turns(b, c, n):
    eps = 1e-6
    slope = (closed_forms.displacement(b, c, n, eps) - closed_forms.displacement(b, c, n, -eps)) / (2 * eps)
    np.testing.assert_allclose(slope, closed_forms.displacement_slope(b, c, n), atol=1e-8)
    grid = np.linspace(-6, 6, 240_001)
    best = grid[closed_forms.displacement(b, c, n, grid).argmax()]
    np.testing.assert_allclose(closed_forms.displacement_turn(b, c, n), best, atol=1e-4)
    assert np.isinf(closed_forms.displacement_turn(b, c, 1))


def test_the_presets_lie_on_the_side_that_they_are_named_for():
    says = {
        "fig18-5-prompts": "y_w rises at first",
        "fig18-20-prompts": "y_w rises at first",
        "fig18-100-prompts": "falls from the first step",
        "fig18-100-capacity": "y_w rises at first",
        "one-token": "never falls",
        "boundary": "at the boundary",
        "beyond": "falls from the first step",
        "rejected-likelier": "y_w rises at first",
    }
    assert set(says) == set(DisplacementExplorer.presets())
    for name, words in says.items():
        model = DisplacementModel(name)
        assert words in model.caption()
        first = np.diff(model.result.gains[0])[0]
        assert (first > 0) == (("rises" in words) or ("never" in words))


def test_probabilities_that_do_not_fit_are_mended_visibly():
    model = DisplacementModel("boundary")
    model.set("prompts", 50)
    assert 50 * (model.values.b + model.values.c) == pytest.approx(0.98)
    assert "50 prompts share a table" in model.notes[0]
    model.set("tables", 80)
    assert model.values.tables == 50
    model.set("prompts", 10)
    assert model.values.tables == 10
    assert "no more tables than prompts" in model.notes[0]
    start = NegativeModel("uniform")
    with pytest.raises(ValueError, match="softmax has no zeros"):
        start.set("start", (0.5, 0.5, 0.0))
    start.set("rejected", 0)
    assert start.values.chosen != 0
    assert "w and l are two of the 8" in start.notes[0]


def test_figure_18_is_what_was_recorded_and_what_the_notebook_says():
    data = recorded()
    assert data.attrs["command"] == "python -m modeseek.bandit.explore.figure18.bake FOLDER"
    assert (data.sizes["seed"], int(data["step"][-1])) == (SEEDS, STEPS)
    assert tuple(data["prompts"].values) == PROMPTS
    assert tuple(data["policy"].values) == tuple(POLICIES)
    model = Figure18Model("gpt", reward="R2")
    chosen = data["chosen_implicit_reward"].sel(policy="gpt", pairs="best_worst", reward="R2")
    np.testing.assert_allclose(model.result.mean[0], chosen.mean("seed").transpose("prompts", "step"), rtol=1e-6)
    few, many = model.result.mean[0, 0, -1], model.result.mean[0, -1, -1]
    errors = model.result.error[0, [0, -1], -1]
    text = " ".join(cell.text for cell in cells("04_likelihood_displacement"))
    for reward in ("R2", "R1"):
        result = Figure18Model("gpt", reward=reward).result
        for mean, error in zip(result.mean[0, :, -1], result.error[0, :, -1], strict=True):
            said = f"{mean:+.1f} ± {error:.1f}".replace("0.", ".").replace("-", "−")
            assert said in text
    assert (np.diff(Figure18Model("table", reward="R2").result.mean[0, :, -1]) < 0).all()
    assert few > 2 * errors[0]
    assert many < -2 * errors[1]
    assert (model.result.mean[1, :, -1] < 0).all()


# Notebook 02.


@pytest.mark.parametrize("preset", OutOfDistributionExplorer.presets())
def test_dpo_and_ipo_walk_on_the_closed_form_and_rl_to_its_optimum(preset):
    model = OutOfDistributionModel(preset, optimizer="flow", step_size=0.5, steps=400)
    result, p = model.result, np.asarray(model.values.reference)
    for run in (0, 1):
        np.testing.assert_allclose(result.probs[run, :, 2], closed_forms.unseen_mass(*p, result.moved[run]), atol=1e-11)
        assert result.probs[run, :, 2].max() <= result.peak + 1e-12
    rewards = np.array([model.values.gap, 0.0, model.values.unseen])
    optimum = p * np.exp(rewards / model.values.beta)
    np.testing.assert_allclose(result.rests[2], optimum / optimum.sum(), rtol=1e-12)
    # At rest the mean gradient of the comparisons vanishes: β 2s = gap for DPO, 2s = (2P - 1)/(2τ) for IPO.
    s = np.log(result.rests[:2, 0] / result.rests[:2, 1]) / 2 - np.log(p[0] / p[1]) / 2
    likely = 1 / (1 + np.exp(-model.values.gap))
    np.testing.assert_allclose(2 * s[0] * model.values.beta, model.values.gap, rtol=1e-9)
    np.testing.assert_allclose(2 * s[1], (2 * likely - 1) / (2 * model.values.tau), rtol=1e-9)


def test_dpos_rest_is_an_optimum_of_rl_with_the_third_reward_half_way():
    model = OutOfDistributionModel("y1-rare", gap=2.0, beta=0.7)
    half = np.array([1.0, -1.0, 0.0])
    optimum = np.asarray(model.values.reference) * np.exp(half / 0.7)
    np.testing.assert_allclose(model.result.rests[0], optimum / optimum.sum(), rtol=1e-12)


def test_what_notebook_02_says_of_stopping_early():
    model = OutOfDistributionModel("y1-very-rare")
    text = " ".join(cell.text for cell in cells("02_dpo_out_of_distribution"))
    rests = model.values.gap / (2 * model.values.beta)
    assert f"(`y1-very-rare`: at s = {model.result.peak_at:.1f}, and DPO rests at {rests:.1f})" in text
    dpo, rl = model.result.reward[[0, 2]]
    turn = int(dpo.argmin())
    assert (np.diff(dpo)[:turn] < 0).all()
    assert (np.diff(dpo)[turn:] > 0).all()
    assert model.result.rests[0] @ (model.values.gap, 0.0, model.values.unseen) > dpo[-1]
    assert model.result.probs[0, turn, 2] > 0.5
    assert (rl >= rl[0]).all()


def test_runs_end_at_their_rests():
    # η = 2: DPO's slowest rate is β² P (1 - P)/2, here 1/40 a unit of time.
    model = OutOfDistributionModel("noisy-labels", optimizer="flow", step_size=1.0, steps=400, beta=1.0)
    np.testing.assert_allclose(model.result.probs[:, -1], model.result.rests, atol=1e-3)


def test_the_peak_is_reported_only_where_there_is_one():
    assert "it first gains, up to 0.634" in OutOfDistributionModel("y1-rare").caption()
    assert "it falls from the start" in OutOfDistributionModel("y1-common").caption()
