"""Forgetting's networks, fields and statistics against finite differences and formulas of their own."""

import numpy as np
import pytest

from modeseek.bandit.studies.followups import forgetting
from modeseek.bandit.studies.followups.forgetting import Curves, Network, make_tasks
from modeseek.bandit.studies.protocol import Protocol


@pytest.fixture(scope="module", params=[0, 5], ids=["linear", "hidden"])
def tasks(request):
    """Two problems and their starts."""
    return make_tasks(range(2), features=7, hidden=request.param, pretraining=50)


def softmax(logits):
    """In float64, plainly."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def test_a_networks_gradient_is_a_slope(tasks):
    """Of Σ_p E_p[r] for random r, at a few entries of every layer."""
    rng = np.random.default_rng(0)
    network, rewards = tasks.start, rng.standard_normal((2, forgetting.PROMPTS, forgetting.ANSWERS))

    def value(layers):
        return float((Network(layers)(tasks.new).probs * rewards)[1].sum())

    probs = network(tasks.new).probs
    logits = probs * (rewards - (probs * rewards).sum(-1, keepdims=True))
    gradient = network.gradient(tasks.new, logits)
    for at, layer in enumerate(network.layers):
        for _ in range(4):
            entry = (1, *(int(rng.integers(size)) for size in layer.shape[1:]))
            ends = []
            for by in (1e-5, -1e-5):
                moved = [each.copy() for each in network.layers]
                moved[at][entry] += by
                ends.append(value(tuple(moved)))
            assert gradient.layers[at][entry] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_policies_are_what_their_layers_say(tasks):
    layers = tasks.start.layers
    read = tasks.old if len(layers) == 1 else np.tanh(tasks.old @ layers[0])
    np.testing.assert_allclose(tasks.start(tasks.old).probs, softmax(read @ layers[-1]), atol=1e-12)


def test_the_start_knows_both_tasks_better_than_no_policy_at_all(tasks):
    known = (tasks.known * tasks.start(tasks.old).probs).sum(-1).mean()
    assert known > 2 / forgetting.ANSWERS
    assert (tasks.right.sum(-1) == 5).all()
    assert (tasks.first <= tasks.right).all()
    assert (tasks.new[..., -1] == 1).all()
    assert (tasks.old[..., -1] == -1).all()


def test_the_oracle_is_the_nearest_of_all_that_are_right(tasks):
    """KL(q ‖ start) = -log start(right) at the oracle's target, where its field rests; more for any other right q."""
    start = tasks.start(tasks.new)
    target = np.where(tasks.right, start.probs, 0.0)
    mass = target.sum(-1, keepdims=True)
    field = forgetting.field_of("sft_oracle", tasks, start.log_probs)
    np.testing.assert_allclose(field.gradient(start), start.probs - target / mass, atol=1e-12)
    nearest = -np.log(mass[..., 0])
    other = np.where(tasks.right, np.random.default_rng(0).random(target.shape) + 1e-3, 0.0)
    other /= other.sum(-1, keepdims=True)
    kl = np.where(tasks.right, other * (np.log(np.where(tasks.right, other, 1.0)) - start.log_probs), 0.0).sum(-1)
    assert (kl > nearest).all()


def test_reinforce_climbs_the_probability_of_a_right_answer(tasks):
    start = tasks.start(tasks.new)
    field = forgetting.field_of("on_policy_reinforce", tasks, start.log_probs)
    right = np.where(tasks.right, start.probs, 0.0).sum(-1, keepdims=True)
    expected = -start.probs * (tasks.right - right)  # -∂ p(right)/∂f_j
    np.testing.assert_allclose(field.gradient(start), expected, atol=1e-12)


def test_supervised_targets_are_where_their_fields_point(tasks):
    start = tasks.start(tasks.new)
    for method, target in (("sft_one", tasks.first), ("sft_uniform", tasks.right / 5)):
        field = forgetting.field_of(method, tasks, start.log_probs)
        np.testing.assert_allclose(field.gradient(start), start.probs - target, atol=1e-12)


def test_training_measures_what_it_says(tasks):
    """One step of one method against its own formula."""
    curves = forgetting.train("sft_one", tasks, 0.01, level=1.0, steps=1, every=1)
    start = tasks.start(tasks.new)
    moved = tasks.start.moved(tasks.start.gradient(tasks.new, start.probs - tasks.first), -0.01)
    now = moved(tasks.new).probs
    right = (now * tasks.right).sum(-1).mean(-1)
    np.testing.assert_allclose(curves.reward[:, 1], right)
    np.testing.assert_allclose(
        curves.kl_from_start[:, 1], (start.probs * np.log(start.probs / now)).sum(-1).mean(-1), atol=1e-12
    )
    np.testing.assert_allclose(curves.kl_to_start[:, 1], (now * np.log(now / start.probs)).sum(-1).mean(-1), atol=1e-12)
    distance = sum(((a - b) ** 2).sum((-2, -1)) for a, b in zip(moved.layers, tasks.start.layers, strict=True))
    np.testing.assert_allclose(curves.distance[:, 1] ** 2, distance)
    np.testing.assert_allclose(curves.known[:, 1], (moved(tasks.old).probs * tasks.known).sum(-1).mean(-1))


def test_curves_are_read_at_levels_between_measurements():
    reward = np.array([[0.5, 0.7, 0.6, 0.9]])
    other = np.array([[0.0, 2.0, 3.0, 6.0]])
    read = forgetting.at_reward(Curves(reward, other, other, other, other), np.array([0.4, 0.6, 0.8, 0.95]))
    np.testing.assert_allclose(read.known, [[0.0, 1.0, 5.0, np.nan]])


def test_a_parabola_explains_itself_and_what_is_not_there_is_left_out():
    x = np.linspace(0, 3, 9)
    assert forgetting.explained(x, 1 - x + 2 * x**2) == pytest.approx(1)
    noise = np.random.default_rng(0).standard_normal(9)
    fitted = np.polyval(np.polyfit(x, noise, 2), x)
    share = 1 - ((noise - fitted) ** 2).sum() / ((noise - noise.mean()) ** 2).sum()
    assert forgetting.explained(np.append(x, np.nan), np.append(noise, 5.0)) == pytest.approx(share)


def test_a_study_of_three_seeds_has_a_row_for_each():
    setup = forgetting.Forgetting(features=25, hidden=0, levels=(0.55, 0.6), rates=(0.01,), tuning_seeds=1, steps=200)
    fresh = Protocol("few", (), tuning_seeds=0, fresh_seeds=3, first_fresh_seed=1000)
    data = forgetting.forgetting(setup, fresh)
    assert data["forgotten"].dims == ("seed", "algorithm", "level")
    assert np.isfinite(data["forgotten"].sel(algorithm="on_policy_reinforce").values).all()
    assert ((data["explained"] <= 1) & (data["explained"] >= 0)).all()
    nearest = data["kl_to_start"].sel(algorithm="sft_oracle", level=0.6)
    assert (nearest < data["kl_to_start"].sel(algorithm="sft_one", level=0.6)).all()
