"""The problem of paper 3.2 and I.1, against its numbers and against the Cauchy distribution itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.simulator.problem import (
    ReferenceRecipe,
    gaussian_bump,
    make_problem,
    parse_reward,
    reference_probs,
    response_rewards,
    sample_prompts,
    token_rewards,
)

LIMIT = ReferenceRecipe(samples=0)


def _entropy(p):
    return -(p * np.log(p)).sum()


@pytest.mark.parametrize(
    ("into", "bin_0", "bin_99", "entropy", "mean_r1", "mean_r2"),
    [
        ("clip", 0.31, 0.07, 3.47, 0.037, 0.25),
        ("discard", 0.017, 0.001, 4.25, 0.056, 0.385),
        ("tanh", 0.077, 0.04, 4.11, 0.042, 0.38),
    ],
)
def test_the_recipes_have_the_measured_numbers(into, bin_0, bin_99, entropy, mean_r1, mean_r2):
    """Masses of the outer bins, entropy in nats and mean rewards, as measured on the recipes."""
    p = reference_probs(ReferenceRecipe(), into, 100)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert p[0] == pytest.approx(bin_0, abs=0.012)
    assert p[99] == pytest.approx(bin_99, abs=0.006)
    assert _entropy(p) == pytest.approx(entropy, abs=0.03)
    assert p @ token_rewards("R1", 100) == pytest.approx(mean_r1, abs=0.005)
    assert p @ token_rewards("R2", 100) == pytest.approx(mean_r2, abs=0.01)


def test_the_clipped_tails_are_the_cauchy_distributions():
    """Bin 0 holds P(X < -.98), bin 99 P(X > .98), a middle bin P(0 < X < .02); P(X < x) = 1/2 + atan((x+.7)/.4)/π."""
    p = reference_probs(LIMIT, "clip", 100)

    def cdf(x):
        return 0.5 + np.arctan((x + 0.7) / 0.4) / np.pi

    assert p[0] == pytest.approx(cdf(-0.98), abs=1e-12)
    assert p[99] == pytest.approx(1 - cdf(0.98), abs=1e-12)
    assert p[50] == pytest.approx(cdf(0.02) - cdf(0.0), abs=1e-12)


@pytest.mark.parametrize("samples", [0, 10_000])
def test_discarding_the_tails_leaves_the_inside_of_clipping(samples):
    """Bins but the outer two are in the same proportions; those hold P(-1 < X < -.98) and P(.98 < X < 1)."""
    clip, discard = (reference_probs(ReferenceRecipe(samples=samples), into, 100) for into in ("clip", "discard"))
    inside = slice(1, -1)
    np.testing.assert_allclose(discard[inside] / discard[inside].sum(), clip[inside] / clip[inside].sum(), rtol=1e-12)
    if not samples:
        angle = np.arctan((np.array([-1.0, -0.98, 0.98, 1.0]) + 0.7) / 0.4)
        np.testing.assert_allclose(discard[[0, -1]], np.diff(angle)[[0, 2]] / (angle[-1] - angle[0]), rtol=1e-9)


def test_a_reference_of_no_sample_is_refused():
    with pytest.raises(ValueError, match=r"none of 3 reference samples lies in \(-1, 1\)"):
        reference_probs(ReferenceRecipe(location=50.0, scale=0.1, samples=3), "discard", 10)


@pytest.mark.parametrize("into", ["clip", "discard", "tanh"])
def test_counting_samples_approaches_the_exact_bins(into):
    """A bin's frequency among n samples lies within 5 standard errors of its probability, in each of 100 bins."""
    exact = reference_probs(LIMIT, into, 100)
    counted = reference_probs(ReferenceRecipe(samples=1_000_000), into, 100)
    # Of a million draws at least 600 000 are counted where tails are discarded.
    assert (np.abs(counted - exact) < 5 * np.sqrt(exact / 600_000)).all()


def test_the_interior_mode_is_near_r2():
    """Every recipe peaks inside near R2's peak; with `clip` the global mode is bin 0, with `discard` it is inside."""
    clip, discard, tanh = (reference_probs(LIMIT, into, 100) for into in ("clip", "discard", "tanh"))
    assert discard.argmax() in (14, 15)
    assert clip.argmax() == 0
    assert clip[1:-1].argmax() + 1 in (14, 15, 16, 17)
    assert tanh[1:-1].argmax() + 1 in range(10, 18)


def test_rewards_are_the_papers():
    np.testing.assert_allclose(token_rewards("R1", 100)[[70, 80, 50]], [1, np.exp(-1), np.exp(-4)])
    np.testing.assert_allclose(token_rewards("R2", 100)[[20, 10]], [1, np.exp(-1)])
    np.testing.assert_array_equal(token_rewards("bump:5:2", 10), gaussian_bump(5.0, 2.0, 10))
    assert parse_reward("r1") == (70, 10)


def test_the_released_codes_ceiling_on_r1():
    """Nine perfect tokens and a uniform prompt, whose mean reward is √π/10 = .177: (9 + .177)/10 = .918."""
    rewards = jnp.asarray(token_rewards("R1", 100), jnp.float32)
    tokens = jnp.concatenate([jnp.arange(100)[:, None], jnp.full((100, 9), 70)], axis=1)
    assert float(response_rewards(tokens, rewards, True).mean()) == pytest.approx(0.918, abs=5e-4)
    assert float(response_rewards(tokens, rewards, False).mean()) == pytest.approx(1.0)


def test_a_floor_fills_empty_tokens_and_renormalises():
    recipe = ReferenceRecipe(probabilities=(0.5, 0.5, 0.0), floor=0.1)
    np.testing.assert_allclose(reference_probs(recipe, "clip", 3), np.array([0.5, 0.5, 0.1]) / 1.1)


def test_prompts_are_uniform_tokens():
    prompts = np.asarray(sample_prompts(50_000, 5, key=jax.random.key(0)))
    counts = np.bincount(prompts, minlength=5)
    assert counts.size == 5
    assert (np.abs(counts - 10_000) < 4 * np.sqrt(50_000 * 0.2 * 0.8)).all()


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        ((0.5, 0.6), "sum to 1"),
        ((1.5, -0.5), "negative"),
        ((0.5, float("nan")), "finite"),
        ((1.0,), "length vocab_size = 2"),
        ((1.0, 0.0), "floor"),
    ],
)
def test_a_bad_reference_is_refused(probs, message):
    with pytest.raises(ValueError, match=message):
        reference_probs(ReferenceRecipe(probabilities=probs), "clip", 2)


def test_a_recipe_that_leaves_tokens_empty_asks_for_a_floor():
    with pytest.raises(ValueError, match=r"no mass to .* floor"):
        reference_probs(ReferenceRecipe(samples=50), "clip", 100)


def test_rewards_with_nan_are_refused():
    with pytest.raises(ValueError, match="rewards must be finite, got nan for token 1"):
        make_problem(np.array([0.5, 0.5]), np.array([1.0, np.nan]))
