"""The categorical simulator's gradients, methods and optimizers against autodiff, optax and itself in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from categorical_cases import PROBLEM, REFERENCE, REWARDS, to_jax

from modeseek.bandit.categorical import closed_forms
from modeseek.bandit.categorical.divergences import DIVERGENCES
from modeseek.bandit.categorical.dynamics import (
    OBJECTIVES,
    batched,
    begun,
    flow_error,
    simulate,
    trajectories,
    trajectory_numpy,
)
from modeseek.bandit.categorical.metrics import measure
from modeseek.bandit.categorical.optimizers import OPTIMIZERS, Settings, adam, initial
from modeseek.bandit.categorical.paths import KeptPaths
from modeseek.bandit.categorical.problem import dirichlet, from_target
from modeseek.bandit.categorical.simplex import LOG_ZERO, policy
from modeseek.bandit.objectives import divergences

K = 5
START = np.array([0.1, 0.2, 0.3, 0.15, 0.25])


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
    if method == "ppo":
        shaped = rewards - 0.5 * (jnp.log(mu) - log_reference)
        advantages, past = shaped - mu @ shaped, jnp.exp(log_p) / mu
        return -(mu * jnp.minimum(past * advantages, jnp.clip(past, 0.8, 1.2) * advantages)).sum()
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


def test_the_regularised_reward_is_reverse_kl_to_its_optimum():
    # Lemma E.1 along a whole trajectory: E[r] - β KL(p ‖ π_ref) = β log Z - β KL(p ‖ π*).
    _, metrics = simulate(PROBLEM, START, steps=50)
    log_z = np.log(REFERENCE @ np.exp(REWARDS / 0.5))
    np.testing.assert_allclose(metrics.regularized_reward, 0.5 * (log_z - metrics.reverse_kl), atol=1e-14)


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


def test_a_kept_path_goes_on_where_it_ended_and_takes_no_step_twice():
    taken = []

    def counted(steps):
        taken.append(len(steps))
        return steps

    begin = KeptPaths(begun)
    run = {"objectives": ("reverse_kl",), "optimizer": "adam", "settings": Settings(step_size=0.05)}
    for steps in (10, 30, 20, 30, 50):
        mine, _ = simulate(PROBLEM, START, steps=steps, begin=begin, progress=counted, **run)
        plain, _ = simulate(PROBLEM, START, steps=steps, **run)
        np.testing.assert_array_equal(mine, plain)
    assert taken == [10, 20, 0, 0, 20]
    # Another number is another path.
    other, _ = simulate(PROBLEM, START[::-1], steps=50, begin=begin, progress=counted, **run)
    assert taken[-1] == 50
    assert not np.array_equal(mine, other)
