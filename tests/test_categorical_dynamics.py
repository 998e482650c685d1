"""The categorical simulator against autodiff, against itself in NumPy, at exact zeros and with bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.categorical import closed_forms
from bandit.categorical.divergences import DIVERGENCES
from bandit.categorical.dynamics import (
    OBJECTIVES,
    batched,
    flow_error,
    simulate,
    trajectories,
    trajectory,
    trajectory_numpy,
)
from bandit.categorical.metrics import measure
from bandit.categorical.optimizers import OPTIMIZERS, Settings, adam, initial
from bandit.categorical.problem import Knobs, dirichlet, from_rewards, from_target
from bandit.categorical.simplex import LOG_ZERO, policy
from bandit.objectives import divergences

K = 5
REFERENCE = np.array([0.35, 0.3, 0.2, 0.1, 0.05])
REWARDS = np.array([0.1, 0.7, 0.3, 1.0, 0.2])
KNOBS = Knobs(beta=0.5, tau=0.8, alpha=0.3, negative_weight=0.7, negative_threshold=1.2)
PROBLEM = from_rewards(REFERENCE, REWARDS, KNOBS)
START = np.array([0.1, 0.2, 0.3, 0.15, 0.25])


def to_jax(tree, dtype=jnp.float64):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def gradient(name, start=START, problem=PROBLEM):
    return OBJECTIVES[name](problem).gradient(policy(np.log(start)))


def alpha_value(p, q, a):
    return ((p**a * q ** (1 - a)).sum() - 1) / (a * (a - 1))


VALUES = {
    "forward_kl": lambda log_p, log_q: divergences.kl(log_q, log_p),
    "reverse_kl": lambda log_p, log_q: divergences.kl(log_p, log_q),
    "jensen_shannon": lambda log_p, log_q: (
        0.5 * divergences.kl(log_p, jnp.log(0.5 * (jnp.exp(log_p) + jnp.exp(log_q))))
        + 0.5 * divergences.kl(log_q, jnp.log(0.5 * (jnp.exp(log_p) + jnp.exp(log_q))))
    ),
    "alpha": lambda log_p, log_q: alpha_value(jnp.exp(log_p), jnp.exp(log_q), 0.3),
}


def method_loss(name, log_p, frozen_log_p):
    """The expected loss of a method, from the definitions and not from the flow; data from the frozen policy or μ."""
    side, method = ("on_policy", name[10:]) if name.startswith("on_policy_") else ("offline", name[8:])
    mu = jnp.exp(frozen_log_p) if side == "on_policy" else jnp.asarray(REFERENCE)
    log_reference, rewards = jnp.log(jnp.asarray(REFERENCE)), jnp.asarray(REWARDS)
    ratio = log_p - log_reference
    if method == "reinforce":
        shaped = rewards - 0.5 * (jnp.log(mu) - log_reference)
        return -(mu * (shaped - mu @ shaped) * log_p).sum()
    if method == "rwr":
        weights = jnp.exp(rewards / 0.5)
        return -(mu * weights * log_p).sum() / (mu @ weights)
    if method.startswith("best_of_n"):
        # N = 4 draws enumerated: all 5⁴ of them, the best counted.
        draws = np.stack(np.meshgrid(*[np.arange(K)] * 4, indexing="ij"), -1).reshape(-1, 4)
        best = draws[np.arange(len(draws)), REWARDS[draws].argmax(-1)]
        chance = jnp.prod(mu[draws], axis=-1)
        loss = -(chance * log_p[best]).sum()
        if method == "best_of_n":
            return loss
        # β = .7; of worse draws those are pushed that have more than 1.2 times the best's likelihood.
        likely = np.exp(frozen_log_p)[draws] > 1.2 * np.exp(frozen_log_p)[best][:, None]
        pushed = likely & (REWARDS[draws] < REWARDS[best][:, None])
        assert 0 < pushed.mean() < 0.5
        return loss + 0.7 * (chance[:, None] * jnp.asarray(pushed, log_p.dtype) * log_p[draws]).sum()
    margins = ratio[:, None] - ratio[None, :]
    drawn = mu[:, None] * mu[None, :] * jax.nn.sigmoid(rewards[:, None] - rewards[None, :])
    loss = -jax.nn.log_sigmoid(0.5 * margins) if method == "dpo" else (margins - 0.5 / 0.8) ** 2
    return (drawn * loss).sum()


@pytest.mark.parametrize("name", VALUES)
def test_divergence_gradients_are_those_of_autodiff(name):
    with jax.enable_x64(True):
        log_q = jnp.asarray(PROBLEM.log_target)
        expected = jax.grad(lambda f: VALUES[name](jax.nn.log_softmax(f), log_q))(jnp.log(jnp.asarray(START)))
    np.testing.assert_allclose(gradient(name), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - set(DIVERGENCES)))
def test_method_flows_are_the_expected_gradients_of_their_losses(name):
    with jax.enable_x64(True):
        frozen = jnp.log(jnp.asarray(START))
        expected = jax.grad(lambda f: method_loss(name, jax.nn.log_softmax(f), frozen))(frozen)
    np.testing.assert_allclose(gradient(name), expected, atol=1e-10, rtol=0)


def test_one_draw_has_no_worse_one_to_push_down():
    single = PROBLEM._replace(draws=np.float64(1.0))
    alone, pushed = (gradient(f"offline_best_of_n{kind}", problem=single) for kind in ("", "_negative"))
    np.testing.assert_array_equal(alone, pushed)


def test_reinforce_on_policy_is_beta_times_reverse_kl():
    # Lemma E.1 as gradients.
    np.testing.assert_allclose(gradient("on_policy_reinforce"), 0.5 * gradient("reverse_kl"), atol=1e-15)


@pytest.mark.parametrize(("alpha", "limit"), [(0.0, "forward_kl"), (1.0, "reverse_kl"), (1 + 1e-8, "reverse_kl")])
def test_alpha_family_joins_the_two_divergences(alpha, limit):
    problem = PROBLEM._replace(alpha=np.float64(alpha))
    np.testing.assert_allclose(gradient("alpha", problem=problem), gradient(limit), atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_numpy_and_jax_take_the_same_steps(optimizer):
    # One program for all objectives: the objective is the loop outside, the comparison is to 2e-13 over 30 steps.
    names = ("forward_kl", "reverse_kl", "alpha", "offline_dpo", "on_policy_best_of_n")
    run = Settings(step_size=0.3)
    with jax.enable_x64(True):
        paths, _ = trajectories(
            to_jax(PROBLEM), to_jax(np.log(START)), to_jax(run), objectives=names, optimizer=optimizer, steps=30
        )
    for path, name in zip(np.asarray(paths), names, strict=True):
        mine = trajectory_numpy(PROBLEM, np.log(START), run, objective=name, optimizer=optimizer, steps=30)
        np.testing.assert_allclose(mine, path, atol=2e-13, rtol=0, err_msg=name)


def test_batched_runs_equal_single_runs_and_numbers_do_not_recompile():
    targets = [from_target(dirichlet(K, 1.0, seed=s)) for s in range(3)]
    problems = to_jax(jax.tree.map(lambda *x: np.stack(x), *targets), jnp.float32)
    starts = to_jax(np.stack([np.log(START)] * 3), jnp.float32)
    rates = to_jax(Settings(*(np.full(3, v) for v in Settings())), jnp.float32)
    for factor in (1.0, 0.5):
        chosen = rates._replace(step_size=rates.step_size * factor)
        many = batched(problems, starts, chosen, steps=20)
        assert batched._cache_size() == 1
    seldom = batched(problems, starts, chosen, steps=20, every=5)
    for i, target in enumerate(targets):
        path = trajectory_numpy(target, np.log(START), Settings(step_size=0.5), steps=20)
        one = measure(target, path)
        for mine, theirs, some in zip(one, many, seldom, strict=True):
            np.testing.assert_allclose(theirs[i], mine, rtol=2e-5, atol=2e-6)
            np.testing.assert_allclose(some[i], mine[::5], rtol=2e-5, atol=2e-6)
    with pytest.raises(ValueError, match="every must divide steps, 20, got 3"):
        batched(problems, starts, chosen, steps=20, every=3)


def test_adam_is_optax_adam():
    problem, rate = PROBLEM, 0.05
    field = OBJECTIVES["forward_kl"](problem)
    state, logits = initial(np.log(START)), jnp.asarray(np.log(START), jnp.float32)
    rule = optax.adam(rate)
    memory = rule.init(logits)
    for _ in range(5):
        gradients = jnp.asarray(field.gradient(policy(np.asarray(logits, np.float64))), jnp.float32)
        with jax.numpy_dtype_promotion("standard"):  # optax's own bias correction raises a float to an integer
            updates, memory = rule.update(gradients, memory, logits)
        logits = optax.apply_updates(logits, updates)
        state = adam(field, Settings(step_size=rate), state)
    np.testing.assert_allclose(state.policy.log_probs, policy(np.asarray(logits)).log_probs, atol=5e-6)


def test_natural_gradient_follows_the_closed_form_paths():
    run = Settings(step_size=1e-3, damping=0.0)
    for name, expected in (
        ("forward_kl", closed_forms.natural_forward_path(START, np.exp(PROBLEM.log_target), 1.0)),
        ("reverse_kl", np.exp(closed_forms.natural_reverse_path(np.log(START), PROBLEM.log_target, 1.0))),
    ):
        path = trajectory_numpy(PROBLEM, np.log(START), run, objective=name, optimizer="natural", steps=1000)
        np.testing.assert_allclose(np.exp(path[-1]), expected, atol=2e-4)  # Euler's error, of order η


def test_damped_natural_gradient_solves_its_linear_system():
    damping, p = 0.01, START
    g = gradient("forward_kl")
    direction = np.linalg.solve(np.diag(p) - np.outer(p, p) + damping * np.eye(K), g)
    state = OPTIMIZERS["natural"](
        OBJECTIVES["forward_kl"](PROBLEM), Settings(step_size=1.0, damping=damping), initial(np.log(p))
    )
    np.testing.assert_allclose(state.policy.probs, policy(np.log(p) - direction).probs, atol=1e-13)


def test_the_flow_is_of_fourth_order_and_states_its_accuracy():
    def final(eta, steps):
        return np.exp(
            trajectory_numpy(
                PROBLEM, np.log(START), Settings(step_size=eta), objective="reverse_kl", optimizer="flow", steps=steps
            )[-1]
        )

    exact = final(0.01, 200)
    coarse, fine = np.abs(final(0.5, 4) - exact).max(), np.abs(final(0.25, 8) - exact).max()
    assert 11 < coarse / fine < 23  # 2⁴ = 16
    stated = flow_error(PROBLEM, START, Settings(step_size=0.5), objective="reverse_kl", steps=4)
    assert 0.7 < stated / coarse < 1.4


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "offline_dpo"])
def test_the_simplex_is_preserved_over_100_000_steps(name, dtype):
    with jax.enable_x64(True):
        problem = to_jax(PROBLEM, dtype)
        path = trajectory(problem, problem.log_reference, to_jax(Settings(), dtype), objective=name, steps=100_000)
        assert path.dtype == dtype
        sums = np.exp(np.asarray(path[::100], np.float64)).sum(-1)
    assert np.abs(sums - 1).max() < 8 * np.finfo(dtype).eps


def test_the_regularised_reward_is_reverse_kl_to_its_optimum():
    # Lemma E.1 along a whole trajectory: E[r] - β KL(p ‖ π_ref) = β log Z - β KL(p ‖ π*).
    _, metrics = simulate(PROBLEM, START, steps=50)
    log_z = np.log(REFERENCE @ np.exp(REWARDS / 0.5))
    np.testing.assert_allclose(metrics.regularized_reward, 0.5 * (log_z - metrics.reverse_kl), atol=1e-14)


@given(st.integers(2, 200), st.integers(0, 2**31), st.sampled_from(["forward_kl", "reverse_kl", "jensen_shannon"]))
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


@given(
    st.integers(3, 200), st.integers(0, 2**31), st.sampled_from(sorted(OBJECTIVES)), st.sampled_from(list(OPTIMIZERS))
)
@settings(max_examples=60, deadline=None)
def test_exact_zeros_make_no_nan_anywhere(k, seed, name, optimizer):
    rng = np.random.default_rng(seed)
    q = dirichlet(k, 1.0, seed=seed)
    q[1:][rng.random(k - 1) < 0.5] = 0
    q /= q.sum()
    alpha = rng.choice([-0.5, 0.0, 0.5, 1.0, 2.0])
    problem = from_target(q, knobs=Knobs(alpha=alpha))
    paths, metrics = simulate(problem, objectives=(name,), optimizer=optimizer, steps=5)
    assert not np.isnan(paths).any()
    assert not any(np.isnan(values).any() for values in metrics)
    if name == "reverse_kl":
        # Documented: infinite at the start, then confined to the support of q, where everything is finite.
        assert (np.isinf(metrics.reverse_kl[0, 0])) == bool((q == 0).any())
        assert np.isfinite(metrics.reverse_kl[0, 1:]).all()
        assert (np.exp(paths[0, 1:])[:, q == 0] == 0).all()


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


def test_metrics_are_those_of_the_shared_objectives():
    with jax.enable_x64(True):
        log_p, log_q = jnp.log(jnp.asarray(START)), jnp.asarray(PROBLEM.log_target)
        shared = (divergences.kl(log_q, log_p), divergences.kl(log_p, log_q), divergences.entropy(log_p))
    mine = measure(PROBLEM, np.log(START))
    np.testing.assert_allclose((mine.forward_kl, mine.reverse_kl, mine.entropy), shared, atol=1e-14)
    np.testing.assert_allclose(mine.expected_reward, START @ REWARDS)
    holes = measure(from_target([0.5, 0.5, 0.0]), np.log([0.4, 0.3, 0.3]))
    assert holes.reverse_kl == np.inf
    assert np.isfinite(holes.forward_kl)
    assert measure(from_target([0.5, 0.5]), np.array([0.0, LOG_ZERO])).forward_kl == np.inf


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
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
