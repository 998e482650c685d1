"""Notebook 01: its policies against float64 formulas, finite differences and enumeration."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.explore.first_steps.lessons import LESSONS
from modeseek.bandit.explore.first_steps.mechanics import REUSED, sampled_at
from modeseek.bandit.explore.first_steps.model import FirstStepsModel
from modeseek.bandit.explore.first_steps.presets import PRESETS, STEPS
from modeseek.bandit.explore.first_steps.questions import BETA, GROWN, check_pull, dpo_weight
from modeseek.bandit.explore.first_steps.scene import FirstStepsScene
from modeseek.bandit.explore.toolkit.canvas import Canvas

ROOT = Path(__file__).parents[1]
REFERENCE = np.array([0.45, 0.25, 0.15, 0.1, 0.05])
REWARDS = np.array([-1.0, 0.5, 0.0, -1.5, 1.5])
LOG_REFERENCE = np.log(REFERENCE)
WINS = 1 / (1 + np.exp(REWARDS[None, :] - REWARDS[:, None]))
TRAINED = tuple(name for name in LESSONS if name != "kl")


def log_softmax(logits):
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def regularised(log_p, beta):
    p = np.exp(log_p)
    return p @ REWARDS - beta * p @ (log_p - LOG_REFERENCE)


def pairs(log_p, score):
    """The mean over two draws and their label: either of them may be the preferred one."""
    ratios, mean = log_p - LOG_REFERENCE, 0.0
    for first, second in itertools.product(range(5), repeat=2):
        drawn, margin = REFERENCE[first] * REFERENCE[second], ratios[first] - ratios[second]
        mean += drawn * (WINS[first, second] * score(margin) + WINS[second, first] * score(-margin))
    return mean


def best_of(draws):
    """By enumeration of all ordered draws."""
    share = np.zeros(5)
    for each in itertools.product(range(5), repeat=draws):
        share[max(each, key=lambda k: REWARDS[k])] += np.prod(REFERENCE[list(each)])
    return share


def maximised(name, beta, log_p):
    """What each lesson says that it maximises, by its formula."""
    if name in ("kl", "policy-gradient", "ppo"):
        return regularised(log_p, beta)
    if name == "dpo":
        return pairs(log_p, lambda m: -np.log1p(np.exp(-beta * m)))
    if name == "ipo":
        return pairs(log_p, lambda m: -((m - 1 / (2 * beta)) ** 2))
    weights = REFERENCE * np.exp(REWARDS / beta) / (REFERENCE @ np.exp(REWARDS / beta)) if name == "rwr" else best_of(4)
    return weights @ log_p


def surrogate(log_p, log_mu, beta, epsilon=0.2):
    """PPO's of one collection, with the KL in its rewards."""
    mu, ratio = np.exp(log_mu), np.exp(log_p - log_mu)
    gain = REWARDS - beta * (log_mu - LOG_REFERENCE)
    advantages = gain - mu @ gain
    return mu @ np.minimum(ratio * advantages, np.clip(ratio, 1 - epsilon, 1 + epsilon) * advantages)


def slope(function, logits, eps=1e-6):
    return np.array([(function(logits + eps * e) - function(logits - eps * e)) / (2 * eps) for e in np.eye(5)])


@pytest.mark.parametrize("name", TRAINED)
def test_a_push_is_the_slope_of_what_is_maximised(name: str):
    model = FirstStepsModel(name)
    log_probs, beta = model.result.log_probs, model.values.beta
    for step in (0, 3, 11, 40):
        if name == "ppo":
            log_mu = log_probs[sampled_at(step)]
            expected = slope(lambda f, log_mu=log_mu: surrogate(log_softmax(f), log_mu, beta), log_probs[step])
        else:
            expected = slope(lambda f: maximised(name, beta, log_softmax(f)), log_probs[step])
        np.testing.assert_allclose(model.result.push(step), expected, atol=1e-8)


@pytest.mark.parametrize("name", LESSONS)
def test_the_curve_is_the_formula(name: str):
    model = FirstStepsModel(name)
    expected = [maximised(name, model.values.beta, log_p) for log_p in model.result.log_probs]
    np.testing.assert_allclose(model.result.points[1], expected, rtol=2e-6, atol=1e-7)  # losses are float32's
    np.testing.assert_allclose(model.best(), maximised(name, model.values.beta, np.log(model.result.rest)), rtol=2e-6)


@pytest.mark.parametrize(("name", "start"), [("dpo", -np.log(2)), ("ipo", -((1 / 0.3) ** 2))])
def test_a_mean_over_pairs_is_that_of_labelled_samples(name: str, start: float):
    """At the reference all margins are 0; elsewhere pairs are drawn and labelled, one by one."""
    model = FirstStepsModel(name, step=6)
    assert model.result.points[1, 0] == pytest.approx(start, rel=1e-6)
    rng, beta = np.random.default_rng(0), model.values.beta
    one, other = rng.choice(5, size=(2, 200_000), p=REFERENCE)
    wins = rng.uniform(size=one.size) < 1 / (1 + np.exp(REWARDS[other] - REWARDS[one]))
    ratios = model.result.log_probs[6] - LOG_REFERENCE
    margins = np.where(wins, 1, -1) * (ratios[one] - ratios[other])
    scores = -np.logaddexp(0, -beta * margins) if name == "dpo" else -((margins - 0.5 / beta) ** 2)
    error = scores.std() / np.sqrt(scores.size)
    assert abs(model.result.points[1, 6] - scores.mean()) < 4 * error


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_is_the_learning_rate_times_the_push(name: str):
    model = FirstStepsModel(name)
    result = model.result
    np.testing.assert_allclose(result.log_probs[0], LOG_REFERENCE, atol=1e-15)
    for step in range(STEPS):
        expected = log_softmax(result.log_probs[step] + model.values.learning_rate * result.push(step))
        np.testing.assert_allclose(result.log_probs[step + 1], expected, atol=1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_where_a_policy_rests_nothing_pushes_and_training_leads_there(name: str):
    model = FirstStepsModel(name)
    problem, rest = model.result.problem, model.result.rest
    pulls = LESSONS[name].pull(problem, np.log(rest)[None])[0]
    np.testing.assert_allclose(pulls - rest * pulls.sum(), 0, atol=1e-12)
    apart = np.abs(np.exp(model.result.log_probs) - rest).max(-1)
    assert apart[-1] < 0.1 * apart[0]


def test_where_they_rest_in_closed_form():
    tilted = REFERENCE * np.exp(REWARDS / 0.5)
    for name in ("kl", "policy-gradient", "ppo", "dpo", "rwr"):
        np.testing.assert_allclose(FirstStepsModel(name).result.rest, tilted / tilted.sum(), rtol=1e-12)
    assert LESSONS["dpo"].rest is not LESSONS["policy-gradient"].rest  # a prediction says that they agree
    ipo = REFERENCE * np.exp(WINS @ REFERENCE / 0.15)
    np.testing.assert_allclose(FirstStepsModel("ipo").result.rest, ipo / ipo.sum(), rtol=1e-12)
    np.testing.assert_allclose(FirstStepsModel("best-of-n").result.rest, best_of(4), rtol=1e-12)


def test_the_bent_policy_is_best_half_way():
    model = FirstStepsModel("kl")
    result = model.result
    assert result.points[1].argmax() == STEPS // 2
    np.testing.assert_allclose(np.exp(result.log_probs[STEPS // 2]), result.rest, rtol=1e-12)
    np.testing.assert_allclose(result.shown.values.sum(-1), result.divergence, atol=1e-14)
    assert result.shown.values[20].min() < 0  # a term may be negative, the sum never
    rng = np.random.default_rng(0)
    assert max(regularised(np.log(p), 0.5) for p in rng.dirichlet(np.ones(5), 500)) < model.best()


def test_a_preference_is_the_logistic_of_a_difference():
    for other, reward in (("y1", 1.5), ("y3", -2.0), ("y5", 0.7)):
        model = FirstStepsModel("preference", other=other, reward=reward)
        rewards = np.array([*REWARDS[:4], reward])
        expected = 1 / (1 + np.exp(rewards[int(other[1:]) - 1] - rewards))
        np.testing.assert_allclose(model.result.shown.values[7], expected, rtol=1e-12)
        assert model.result.points[1, 0] == pytest.approx(expected[4])
        x, y = model.result.curve
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-x)), rtol=1e-12)


def test_an_answer_past_the_clip_is_not_pulled_and_one_within_is():
    model = FirstStepsModel("ppo")
    ratios, result = model.result.shown.values, model.result
    clipped = 0
    for step in range(STEPS):
        mu = np.exp(result.log_probs[sampled_at(step)])
        gain = REWARDS - 0.5 * (np.log(mu) - LOG_REFERENCE)
        good = gain - mu @ gain > 0
        past = np.where(good, ratios[step] > 1.2, ratios[step] < 0.8)
        assert ((result.pulls[step] == 0) == past).all()
        clipped += past.sum()
    assert clipped > STEPS
    np.testing.assert_allclose(ratios[::REUSED], 1)


def test_arrows_go_out_where_notebook_01_says():
    pulls = FirstStepsModel("ppo").result.pulls
    gone = [set(np.flatnonzero(pulls[step] == 0)) for step in (6, 7, 8)]
    assert gone == [set(), {0, 1}, {0, 1, 3, 4}]


def test_dpos_pull_is_the_slope_of_its_loss():
    for margin in (0.0, GROWN):
        loss = lambda log_pi, margin=margin: math.log1p(math.exp(-BETA * (margin + log_pi)))
        slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
        assert -slope == pytest.approx(BETA * dpo_weight(BETA * margin), abs=1e-8)
    assert check_pull(0.25, 0.0596).right
    for tau in (0.05, 0.5):
        loss = lambda log_pi, tau=tau: (3.0 + log_pi - 1 / (2 * tau)) ** 2
        assert -(loss(1e-6) - loss(-1e-6)) / 2e-6 == pytest.approx(2 * (1 / (2 * tau) - 3.0), rel=1e-6)


def test_what_notebook_01_says_of_over_optimisation_is_in_the_followups():
    text = " ".join((ROOT / "notebooks" / "src" / "01_first_steps.py").read_text().replace("\n# ", " ").split())
    chapter = (ROOT / "docs" / "followups.md").read_text().partition("## 2210.10760")[2]

    def found(where: str, words: str) -> list[float]:
        return [float(number) for number in re.search(words, where).groups()]

    words = r"rises to (\.\d+) and falls to (\.\d+) by .* still gains (\.\d+): .* \(means of (\d+) seeds\)"
    lost = found(chapter, r"gold reward falls from its peak to the end of training\. \|[^|]*\| \+(\S+) .*? \| (\d+) \|")
    gained = found(chapter, r"Meanwhile the learnt reward rises\. \|[^|]*\| \+(\S+) ")
    plain = found(chapter, r"PPO, 50 comparisons: (\S+) at the peak, (\S+) at the end")
    assert found(text, words) == [*plain, round(gained[0], 2), lost[1]]
    assert plain[0] - plain[1] == pytest.approx(lost[0], abs=0.01)
    penalised = found(chapter, r"50 comparisons, β = 0\.1: (\S+) at the peak, (\S+) at the end")
    assert found(text, r"With β = \.1 .* hardly falls, from (\.\d+) to (\.\d+), but") == penalised
    assert penalised[0] < plain[0]
    assert penalised[1] < plain[1]  # it ends below the run without a price


def test_only_some_methods_pull_down():
    down = {name: bool((FirstStepsModel(name).result.pulls < 0).any()) for name in TRAINED}
    pushing = {"policy-gradient": True, "ppo": True, "dpo": True, "ipo": True}
    assert down == pushing | {"rwr": False, "best-of-n": False}


def test_what_cannot_be_is_said():
    model = FirstStepsModel("ipo")
    with pytest.raises(ValueError, match="IPO diverges at a learning rate of 50: take a smaller one"):
        model.set("learning_rate", 50)
    with pytest.raises(ValueError, match="a softmax has no zeros"):
        model.set("reference", (1, 1, 1, 1, 0))
    with pytest.raises(ValueError, match="nothing is maximised"):
        FirstStepsModel("preference").best()
    rare = (1, 1, 1, 1, 1e-90)
    with pytest.raises(ValueError, match=r"must give every answer at least 1\.4e-87, got 2\.5e-91"):
        FirstStepsModel("dpo", reference=rare)
    assert np.isfinite(FirstStepsModel("kl", reference=rare).result.points).all()  # nothing is descended


def test_captions_say_what_is_drawn_and_a_lesson_leaves_no_trace_in_the_next():
    canvas, seen = Canvas(FirstStepsScene()), {}
    for name in (*PRESETS, *reversed(PRESETS)):
        model = FirstStepsModel(name, step=20)
        pixels = canvas.pixels(model)
        np.testing.assert_array_equal(pixels, seen.setdefault(name, pixels))
        if name == "preference":
            assert "P(y₅ ≻ y₁) = σ(2.50) = 0.924" in model.caption()
            continue
        assert f"y₅ {np.exp(model.result.log_probs[20, 4]):.3g}; " in model.caption()
        assert f"KL(π ‖ π_ref) = {model.result.divergence[20]:.3f} nats" in model.caption()
        assert ("on samples of step 18" in model.caption()) == (name == "ppo")
    assert len({pixels.tobytes() for pixels in seen.values()}) == len(PRESETS)
