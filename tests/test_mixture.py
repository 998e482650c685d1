"""Samples of the geometric mixture of policy and reference, and whose KL is in the loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.behavior import Behavior
from modeseek.bandit.simulator.collect import collect
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.mixture import geometric_mixture
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.sampling import score
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import initial_state


def test_the_mixture_is_the_normalised_geometric_mean(float64):
    rng = np.random.default_rng(0)
    policy, reference = (np.log(rng.dirichlet(np.ones(5), size=n)) for n in (4, 1))
    shares = np.array([0.0, 0.3, 0.8, 1.0])
    product = np.exp((1 - shares[:, None]) * policy + shares[:, None] * reference)
    found = geometric_mixture(jnp.asarray(policy), jnp.asarray(reference[0]), jnp.asarray(shares))
    np.testing.assert_allclose(np.exp(found), product / product.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(found[0], policy[0])


def test_what_one_of_the_two_never_says_the_mixture_does_not_say():
    policy, reference = jnp.log(jnp.asarray([[0.0, 0.5, 0.5]] * 3)), jnp.log(jnp.asarray([0.5, 0.0, 0.5]))
    found = jnp.exp(geometric_mixture(policy, reference, jnp.asarray([0.0, 0.5, 1.0])))
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0, 0, 1], [0.5, 0, 0.5]], atol=1e-7)


METHODS = ("ipo", "ipo_md", "nash_md", "grpo", "rloo")
RESPONSES = 400
SHARE, BETA = 0.4, 0.2


@pytest.fixture(scope="module")
def collected(tabular: Experiment) -> dict:
    """A collection of each method on a policy that has left the reference, all from one key, in one program."""
    asked = dataclasses.replace(
        tabular,
        methods=("on_policy_ipo", *METHODS[1:]),
        seeds=1,
        hyper=HyperParameters(mixture=SHARE, kl_coefficient=BETA),
        vary=(),
        algorithm=AlgorithmConfig(
            samples_per_collection=2 * RESPONSES, responses_per_prompt=RESPONSES, minibatch_size=2 * RESPONSES
        ),
    )
    static, plan, policy = asked.static, make_plan(asked), make_policy(asked.static)
    params = policy.init(jax.random.key(3))

    @jax.jit
    def one(run):
        state = initial_state(params, run, static)
        return collect(policy, params, (), state.prompts, state.moments, run, static, key=jax.random.key(5))[0]

    runs = [jax.tree.map(lambda a, i=i: jnp.asarray(a[i]), plan.runs) for i in range(len(METHODS))]
    still = runs[1]._replace(hyper=jax.tree.map(jnp.float32, HyperParameters(mixture=0.0, kl_coefficient=BETA)))
    logits, _ = policy.step(params, jnp.zeros(1, jnp.int32), jnp.asarray(0), policy.empty_cache(1))
    policy_log_probs = jax.nn.log_softmax(logits[0])
    found = {name: one(run) for name, run in zip(METHODS, runs, strict=True)}
    uniform = Behavior(jnp.full(static.vocab_size, -jnp.log(float(static.vocab_size))), jnp.asarray(True))
    offline = {f"offline_{name}": one(runs[METHODS.index(name)]._replace(behavior=uniform)) for name in METHODS[1:3]}
    scores = {name: score(policy, params, data.tokens.reshape(2 * RESPONSES, -1)) for name, data in found.items()}
    return {
        **found,
        **offline,
        "still": one(still),
        "policy": policy_log_probs,
        "problem": runs[0].problem,
        "scores": {name: np.asarray(a).reshape(2, RESPONSES, -1) for name, a in scores.items()},
    }


def test_ipo_md_at_mixture_0_draws_what_on_policy_ipo_draws(collected):
    for name in ("tokens", "behavior_token_log_probs", "labels"):
        np.testing.assert_array_equal(getattr(collected["still"], name), getattr(collected["ipo"], name))
    assert (np.asarray(collected["ipo_md"].tokens) != np.asarray(collected["ipo"].tokens)).any()


def test_first_tokens_have_the_mixtures_frequencies(collected):
    """Pearson's χ² of 800 first tokens against π^(1-α) π_ref^α/Z; and Nash-MD's learners against π."""
    reference = np.asarray(collected["problem"].reference_log_probs, np.float64)
    policy = np.asarray(collected["policy"], np.float64)
    mixed = np.exp((1 - SHARE) * policy + SHARE * reference)
    mixed /= mixed.sum()
    half = RESPONSES // 2

    def surprise(tokens, probs):
        first = np.asarray(tokens[..., 1]).ravel()
        counts = np.bincount(first, minlength=probs.size)
        expected = first.size * probs
        return ((counts - expected) ** 2 / expected).sum() / probs.size  # about 1

    nash, mass = collected["nash_md"].tokens, np.exp(policy)
    assert surprise(collected["ipo_md"].tokens, mixed) < 2 < surprise(collected["ipo_md"].tokens, mass)
    assert surprise(nash[:, half:], mixed) < 2 < surprise(nash[:, half:], mass)
    assert surprise(nash[:, :half], mass) < 2 < surprise(nash[:, :half], mixed)


def test_opponents_are_nash_mds_last_half(collected):
    expected = np.broadcast_to(np.arange(RESPONSES) >= RESPONSES // 2, (2, RESPONSES))
    np.testing.assert_array_equal(collected["nash_md"].opponents, expected)
    assert not np.asarray(collected["ipo_md"].opponents).any()


def test_ratios_are_to_what_was_sampled(collected):
    """The behavior's log-prob of a first token is the mixture's where it was drawn from it, else the policy's."""
    reference = np.asarray(collected["problem"].reference_log_probs)
    policy = np.asarray(collected["policy"])
    mixed = (1 - SHARE) * policy + SHARE * reference
    mixed -= np.log(np.exp(mixed).sum())
    data, half = collected["nash_md"], RESPONSES // 2
    first, behavior = np.asarray(data.tokens[..., 1]), np.asarray(data.behavior_token_log_probs[..., 0])
    np.testing.assert_allclose(behavior[:, half:], mixed[first[:, half:]], rtol=1e-5)
    np.testing.assert_allclose(behavior[:, :half], policy[first[:, :half]], rtol=1e-5)


@pytest.mark.parametrize(("name", "shaped"), [("rloo", True), ("grpo", False), ("nash_md", False)])
def test_a_method_with_a_kl_of_its_own_has_none_in_its_rewards(collected, name, shaped):
    """r - β log π/π_ref for RLOO; r for the others, whose losses hold the KL."""
    data = collected[name]
    away = np.asarray((data.behavior_token_log_probs - data.reference_token_log_probs).sum(axis=-1))
    expected = np.asarray(data.rewards) - (BETA * away if shaped else 0.0)
    np.testing.assert_allclose(data.labels, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(away).max() > 0.1


def test_the_kl_of_rewards_is_the_policys_whoever_has_sampled(collected):
    """IPO-MD's responses are the mixture's, and eq. 2's KL is KL(policy ‖ reference): r - β log π/π_ref."""
    data = collected["ipo_md"]
    away = (collected["scores"]["ipo_md"] - np.asarray(data.reference_token_log_probs)).sum(axis=-1)
    np.testing.assert_allclose(data.labels, np.asarray(data.rewards) - BETA * away, rtol=1e-5, atol=1e-5)
    sampled = np.asarray(data.behavior_token_log_probs - data.reference_token_log_probs).sum(axis=-1)
    assert np.abs(away - sampled).max() > 0.1


@pytest.mark.parametrize("name", ["ipo_md", "nash_md"])
def test_data_of_another_policy_are_that_policys_whatever_the_method_would_draw_from(collected, name):
    """Offline from a table: uniform tokens and their log-probs, in learners and opponents alike."""
    data = collected[f"offline_{name}"]
    np.testing.assert_allclose(data.behavior_token_log_probs, np.log(0.25), rtol=1e-6)
    counts = np.bincount(np.asarray(data.tokens[..., 1:]).ravel(), minlength=4)
    assert ((counts - counts.sum() / 4) ** 2 / (counts.sum() / 4)).sum() < 20  # χ² of 3 degrees: 20 is one in 5 000
    np.testing.assert_array_equal(data.opponents, collected[name].opponents)


def test_a_mixture_needs_the_references_own_distribution(tiny: Experiment):
    with pytest.raises(ValueError, match=r"ipo_md draws from a mixture .* needs conventions.reference_model 'exact'"):
        dataclasses.replace(tiny, methods=("ipo_md",), conventions=RELEASED_CODE)
    with pytest.raises(ValueError, match=r"mixture must be less than 1, got 1"):
        dataclasses.replace(tiny, methods=("ipo_md",), hyper=HyperParameters(mixture=1.0))


@pytest.mark.slow
def test_every_method_of_groups_and_games_finds_the_peak(tabular: Experiment):
    """Forty collections from a reference of reward .18, all in one sweep: on-policy, all come above .7."""
    asked = dataclasses.replace(
        tabular,
        methods=("on_policy_topr", "rloo", "grpo", "dr_grpo", "dapo", "gspo", "sppo", "nash_md", "ipo_md"),
        algorithm=AlgorithmConfig(
            samples_per_collection=64, responses_per_prompt=8, minibatch_size=64, inner_steps=2, collections=40
        ),
        evaluation=EvaluationConfig(prompts=4, interval=0),
        hyper=HyperParameters(learning_rate=0.03),
    )
    rewards = run_sweep(asked, progress=False).dataset.expected_reward.isel(reward=0, seed=0)
    assert (rewards.isel(step=0) < 0.2).all()
    assert (rewards.isel(step=-1) > 0.7).all()
