"""The categorical simulator at exact zeros, over long runs, at tiny masses, and with bad input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from categorical_cases import PROBLEM, to_jax
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modeseek.bandit.categorical.dynamics import (
    OBJECTIVES,
    simulate,
    trajectory,
    trajectory_numpy,
)
from modeseek.bandit.categorical.optimizers import OPTIMIZERS, Settings, initial
from modeseek.bandit.categorical.problem import Knobs, dirichlet, from_rewards, from_target


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "offline_dpo"])
def test_the_simplex_is_preserved_over_100_000_steps(name, dtype):
    with jax.enable_x64(True):
        problem = to_jax(PROBLEM, dtype)
        path = trajectory(problem, problem.log_reference, to_jax(Settings(), dtype), objective=name, steps=100_000)
        assert path.dtype == dtype
        sums = np.exp(np.asarray(path[::100], np.float64)).sum(-1)
    assert np.abs(sums - 1).max() < 8 * np.finfo(dtype).eps


@given(st.integers(2, 200), st.integers(0, 2**31), st.sampled_from(["forward_kl", "reverse_kl", "jensen_shannon"]))
@example(68, 389, "forward_kl")  # the reference has subnormal numbers
@settings(max_examples=40, deadline=None)
def test_any_problem_stays_on_the_simplex_and_does_not_climb(k, seed, name):
    rng = np.random.default_rng(seed)
    p, q = dirichlet(k, 10 ** rng.uniform(-2, 1), seed=seed), dirichlet(k, 10 ** rng.uniform(-2, 1), seed=seed + 1)
    p[: k // 3], q[k // 2 :] = 1e-300, np.where(rng.random(k - k // 2) < 0.5, 1e-300, q[k // 2 :])
    p, q = p / p.sum(), q / q.sum()
    if (q[p > 1e-299].sum() == 0) or not (p > 0).all():
        return
    paths, metrics = simulate(from_target(q, p), objectives=(name,), settings=Settings(step_size=0.05), steps=20)
    assert not np.isnan(paths).any()
    np.testing.assert_allclose(np.exp(paths).sum(-1), 1, atol=1e-13)
    if name != "jensen_shannon":
        divergence = getattr(metrics, name)[0]
        assert (np.diff(divergence) <= 1e-12 * (1 + divergence[:-1])).all()


SETTINGS = (
    st.integers(3, 200),
    st.integers(0, 2**31),
    st.sampled_from(sorted(OBJECTIVES)),
    st.sampled_from(list(OPTIMIZERS)),
    st.floats(-2.0, 2.0).map(lambda x: 10.0**x),
    st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0]),
)


def _exact_zeros(k, seed, name, optimizer, step_size, alpha):
    """Twenty steps towards a target half of whose categories are empty: every number is one, or the words are right."""
    rng = np.random.default_rng(seed)
    q = dirichlet(k, 1.0, seed=seed)
    q[1:][rng.random(k - 1) < 0.5] = 0
    q /= q.sum()
    unbounded = name == "offline_ipo" or (name == "alpha" and alpha < 0)
    problem, numbers = from_target(q, knobs=Knobs(alpha=alpha)), Settings(step_size=step_size)
    try:
        paths, metrics = simulate(problem, objectives=(name,), optimizer=optimizer, settings=numbers, steps=20)
    except ValueError as error:
        assert unbounded, error
        assert optimizer != "adam", error
        assert re.fullmatch(rf"{name} diverged at step \d+: expected a smaller step_size", str(error))
        return
    assert not np.isnan(paths).any()
    assert not any(np.isnan(values).any() for values in metrics)
    if name == "reverse_kl":
        # Documented: infinite at the start, then confined to the support of q, where everything is finite.
        assert (np.isinf(metrics.reverse_kl[0, 0])) == bool((q == 0).any())
        assert np.isfinite(metrics.reverse_kl[0, 1:]).all()
        assert (np.exp(paths[0, 1:])[:, q == 0] == 0).all()


@given(*SETTINGS)
@settings(max_examples=60, deadline=None)
@example(136, 541, "alpha", "natural", 1.0, -0.5)  # a step over a category, and its gradient overflows
def test_exact_zeros_make_no_nan_anywhere(k, seed, name, optimizer, step_size, alpha):
    _exact_zeros(k, seed, name, optimizer, step_size, alpha)


@pytest.mark.search
@given(*SETTINGS)
@settings(max_examples=6000, deadline=None, derandomize=False)
def test_exact_zeros_make_no_nan_searched_on(k, seed, name, optimizer, step_size, alpha):
    """Other examples each time, where the default suite's are always the same."""
    _exact_zeros(k, seed, name, optimizer, step_size, alpha)


def test_alpha_below_zero_diverges_by_its_step_alone():
    """The seed of the example above: η = .3 leaps over a category that q has, η = .1 arrives."""
    q = dirichlet(136, 1.0, seed=541)
    q[1:][np.random.default_rng(541).random(135) < 0.5] = 0
    problem = from_target(q / q.sum(), knobs=Knobs(alpha=-0.5))
    with pytest.raises(ValueError, match="alpha diverged at step 4: expected a smaller step_size"):
        simulate(problem, objectives=("alpha",), optimizer="natural", settings=Settings(step_size=0.3), steps=400)
    _, metrics = simulate(
        problem, objectives=("alpha",), optimizer="natural", settings=Settings(step_size=0.1), steps=400
    )
    assert metrics.forward_kl[0, -1] < 0.01 * metrics.forward_kl[0, 0]


def test_masses_of_1e_300_keep_their_digits():
    q = np.array([1e-300, 0.5, 0.5 - 1e-300])
    path = trajectory_numpy(from_target(q), np.log(np.full(3, 1 / 3)), Settings(step_size=20.0), steps=30)
    assert np.isfinite(path).all()
    step = OPTIMIZERS["natural"](
        OBJECTIVES["reverse_kl"](from_target(q)),
        Settings(step_size=1.0, damping=0.0),
        initial(np.log(np.full(3, 1 / 3))),
    )
    np.testing.assert_allclose(step.policy.log_probs[0], np.log(1e-300), rtol=1e-12)  # one natural step lands on q


def test_a_step_too_large_for_ipo_is_reported_as_divergence():
    with pytest.raises(ValueError, match=r"offline_ipo diverged at step .* smaller step_size"):
        simulate(PROBLEM, objectives=("offline_ipo",), settings=Settings(step_size=50.0), steps=2000)


BAD_VECTORS = {
    "sum to 1": [0.5, 0.4],
    "negative": [1.5, -0.5],
    "finite": [0.5, float("nan")],
    "at least 2 categories": [1.0],
    "must be a vector": [[0.5, 0.5]],
}


@pytest.mark.parametrize("message", BAD_VECTORS)
def test_bad_vectors_are_refused(message):
    with pytest.raises(ValueError, match=message):
        from_target(BAD_VECTORS[message])
    with pytest.raises(ValueError, match=message):
        from_rewards(BAD_VECTORS[message], [0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_target([0.5, 0.5], [0.2, 0.3, 0.5]), "reference must have 2 categories .* got 3"),
        (lambda: from_rewards([0.5, 0.5], [1.0, 0.0, 0.0]), "rewards must have 2 categories .* got 3"),
        (lambda: from_rewards([0.5, 0.5], [1.0, np.nan]), "rewards must be finite, got nan for category 1"),
        (lambda: Knobs(beta=0.0), "beta must be a positive number, got 0.0"),
        (lambda: Knobs(tau=-1.0), "tau must be a positive number"),
        (lambda: from_target([0.5, 0.5], [1.0, 0.0]), "reference must have mass where the target has"),
        (lambda: simulate(PROBLEM, settings=Settings(step_size=0.0)), "step_size must be a positive number, got 0.0"),
        (lambda: simulate(PROBLEM, settings=Settings(step_size=-1.0)), "step_size must be a positive"),
        (lambda: simulate(PROBLEM, settings=Settings(decay_1=1.0)), r"decay_1 must be in \[0, 1\)"),
        (lambda: simulate(PROBLEM, settings=Settings(damping=-1.0)), "damping must be"),
        (lambda: simulate(PROBLEM, steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: simulate(PROBLEM, [0.5, 0.5]), "start must have 5 categories"),
        (lambda: simulate(PROBLEM, objectives=("kl",)), "unknown objective 'kl'"),
        (lambda: simulate(PROBLEM, optimizer="sgd"), "unknown optimizer 'sgd'"),
        (lambda: simulate(from_target([0.0, 1.0]), [1.0, 0.0]), "the start has no mass where the target has"),
        (lambda: dirichlet(1, 1.0, seed=0), "at least 2 categories"),
        (lambda: Knobs(beta=1e-320), "beta must be at least 1e-300, got 1e-320"),
        (lambda: dirichlet(3, 1e-320, seed=0), "concentration must be at least 1e-300"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
