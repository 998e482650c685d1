"""Noisy preferences, and a reward that is learnt from them: odds, likelihood, its rate, proxy beside gold."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.labels import noisy_labels
from modeseek.bandit.simulator.collect import collect
from modeseek.bandit.simulator.config import PolicyConfig, RewardModelConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.problem import make_problem, token_rewards
from modeseek.bandit.simulator.reward_model import (
    RewardModel,
    comparison_loss,
    expected_proxy,
    fit_reward_model,
    proxy_rewards,
    reward_network,
)
from modeseek.bandit.simulator.run import make_run
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import initial_state
from modeseek.bandit.studies.over_optimization import onset
from modeseek.llm.training.tune_config import TuneConfig

NOISY = HyperParameters(label_temperature=0.5)
GOLD = token_rewards("bump:2:1", 4)


def test_labels_compare_as_bradley_and_terry_and_rank_as_plackett_and_luce():
    """40 000 rankings of three rewards: each pair's odds, and the chance of the ranking 1, 2, 0, in four errors."""
    rewards, temperature, draws = np.array([0.1, 0.9, 0.4]), 0.5, 40_000
    labels = noisy_labels(jnp.broadcast_to(jnp.asarray(rewards), (draws, 3)), temperature, key=jax.random.key(0))

    def near(happened, expected):
        assert abs(np.mean(happened) - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)

    for i, j in itertools.combinations(range(3), 2):
        near(labels[:, i] > labels[:, j], 1 / (1 + np.exp((rewards[j] - rewards[i]) / temperature)))
    weights = np.exp(rewards / temperature)
    ranked = (labels[:, 1] > labels[:, 2]) & (labels[:, 2] > labels[:, 0])
    near(ranked, weights[1] / weights.sum() * weights[2] / (weights[0] + weights[2]))


def test_labels_without_noise_are_the_rewards_to_the_bit():
    rewards = jnp.asarray([0.1, 0.7, 0.7, 1e-30])
    np.testing.assert_array_equal(noisy_labels(rewards, 0.0, key=jax.random.key(3)), rewards)


def one_run(experiment, **changes):
    static = experiment.static
    problem = make_problem(np.full(4, 0.25), GOLD)
    return static, make_run(problem, static, **{"method": "ipo", "hyper": NOISY} | changes)


def test_noise_turns_pairs_round_and_leaves_the_rewards_that_advantages_are_of(tabular):
    static, noisy = one_run(tabular, hyper=HyperParameters(label_temperature=0.1))
    _, exact = one_run(tabular, hyper=HyperParameters())
    state = initial_state({"logits": jnp.zeros((2, 4))}, noisy, static)
    of = jax.jit(
        lambda run: collect(
            make_policy(static), state.params, (), state.prompts, state.moments, run, static, key=jax.random.key(1)
        )[0]
    )
    there, here = of(noisy), of(exact)
    for name in ("tokens", "rewards", "advantages"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    np.testing.assert_array_equal(here.labels, here.rewards)
    gaps = lambda a: np.sign(np.asarray(a)[..., :, None] - np.asarray(a)[..., None, :])
    turned = gaps(there.labels) * gaps(there.rewards)
    assert (turned < 0).any()
    assert (turned > 0).sum() > (turned < 0).sum()


def test_rewards_that_a_group_compares_by_what_they_say_have_no_noise(tabular):
    """GRPO and RLOO read rewards, as PPO's advantages do; SPPO plays by the order of labels, as pairs are made."""
    asked = dataclasses.replace(tabular, methods=("grpo", "rloo", "sppo"))

    @jax.jit
    def labels_less_rewards(run):
        state = initial_state({"logits": jnp.zeros((2, 4))}, run, asked.static)
        policy, moments = make_policy(asked.static), state.moments
        data, _ = collect(policy, state.params, (), state.prompts, moments, run, asked.static, key=jax.random.key(1))
        return data.labels - data.rewards

    for method, ranks in (("grpo", False), ("rloo", False), ("sppo", True)):
        assert (labels_less_rewards(one_run(asked, method=method)[1]) != 0).all() == ranks, method


@pytest.mark.parametrize("kind", ["tabular", "gpt"])
def test_the_loss_is_the_likelihood_and_expectations_are_over_every_next_token(tiny, kind):
    """Each recomputed in NumPy from the rewards of single tokens."""
    static = dataclasses.replace(tiny, reward_model=RewardModelConfig(kind), hyper=NOISY).static
    network = reward_network(static)
    params = jax.jit(network.init)(jax.random.key(0))
    rng = np.random.default_rng(0)
    if kind == "tabular":
        params = jnp.asarray(rng.normal(size=6), jnp.float32)
    pairs = rng.integers(0, 6, (5, 2, 4))
    read = jax.jit(network.token_rewards)(params, jnp.asarray(pairs.reshape(10, 4)[:, :-1]))
    of_tokens = np.asarray(read, np.float64)
    scores = np.array([[of_tokens[2 * p + r, range(3), pairs[p, r, 1:]].mean() for r in (0, 1)] for p in range(5)])
    expected = np.log1p(np.exp(-(scores[:, 0] - scores[:, 1]) / 0.5)).mean()
    tokens = jnp.asarray(pairs, jnp.int32)
    model, flat = RewardModel(params, jnp.float32(0.7)), tokens.reshape(10, 4)
    log_probs = np.log(rng.dirichlet(np.ones(6), size=(10, 3)))
    loss, rewards, means = jax.jit(
        lambda: (
            comparison_loss(params, tokens, jnp.float32(0.5), static),
            proxy_rewards(model, flat, static),
            expected_proxy(model, flat, jnp.asarray(log_probs, jnp.float32), static),
        )
    )()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(rewards, 0.7 + scores.ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(means, 0.7 + (np.exp(log_probs) * of_tokens).sum(-1).mean(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_learnt_reward_converges_to_the_truth_as_its_fisher_information_says(tabular):
    """48 fits each on 200 and 3200 comparisons of uniform responses: the squared error is tr I⁻¹ / n, whatever n.

    I = E[σ(1 - σ) x xᵀ] over the 16 × 16 pairs of responses of two tokens, x the difference of their token counts over
    T · temperature; comparisons do not see a constant, which the pseudo-inverse leaves out.
    """
    counts = np.array([np.bincount(y, minlength=4) for y in itertools.product(range(4), repeat=2)])
    features = (counts[:, None] - counts[None]).reshape(-1, 4) / (2 * 0.5)
    chance = 1 / (1 + np.exp(-features @ GOLD))
    information = (features * (chance * (1 - chance))[:, None]).T @ features / len(features)
    errors = []
    for comparisons in (200, 3200):
        fit = RewardModelConfig("tabular", comparisons, steps=100, minibatch_size=comparisons, learning_rate=0.05)
        static, run = one_run(dataclasses.replace(tabular, reward_model=fit, hyper=NOISY))
        fits = jax.jit(jax.vmap(lambda key, run=run, static=static: fit_reward_model(run, static, key=key)))
        models = fits(jax.random.split(jax.random.key(comparisons), 48))
        learnt = np.asarray(models.params, np.float64)
        error = learnt - learnt.mean(axis=1, keepdims=True) - (GOLD - GOLD.mean())
        errors.append((error**2).sum(axis=1).mean() * comparisons)
        earned = learnt.mean(axis=1) + np.asarray(models.offset)  # of uniform responses, by proxy and by gold
        assert abs(earned.mean() - GOLD.mean()) < 4 * GOLD.std() / np.sqrt(2 * comparisons)
    expected = np.trace(np.linalg.pinv(information))
    np.testing.assert_allclose(errors, expected, rtol=4 * np.sqrt(2 / (3 * 48)))


@pytest.mark.slow
def test_a_network_recovers_the_scores_that_comparisons_were_drawn_by(tabular):
    """All 16 responses behind each prompt, less their mean, in units of the truth's spread; four fits each.

    What comparisons do not see is left out: another constant behind each prompt.
    """
    tokens = jnp.asarray([[x, *y] for x in range(4) for y in itertools.product(range(4), repeat=2)], jnp.int32)
    truth = GOLD[np.asarray(tokens)[:, 1:]].mean(axis=1).reshape(4, 16)
    truth = truth - truth.mean(axis=1, keepdims=True)
    errors = []
    for comparisons in (200, 8000):
        fit = RewardModelConfig("gpt", comparisons, steps=400, minibatch_size=200, learning_rate=0.003)
        sizes = PolicyConfig("tabular", layers=1, heads=2, width=16)
        hyper = HyperParameters(label_temperature=0.1)
        static, run = one_run(dataclasses.replace(tabular, policy=sizes, reward_model=fit, hyper=hyper), hyper=hyper)
        scores = jax.jit(
            jax.vmap(lambda key, s=static, r=run: proxy_rewards(fit_reward_model(r, s, key=key), tokens, s))
        )
        learnt = np.asarray(scores(jax.random.split(jax.random.key(0), 4)), np.float64).reshape(4, 4, 16)
        error = learnt - learnt.mean(axis=-1, keepdims=True) - truth
        errors.append(np.sqrt((error**2).mean() / (truth**2).mean()))
    assert errors[1] < 0.1 < 3 * errors[1] < errors[0]


@pytest.fixture(scope="module")
def learnt(tabular):
    """On few comparisons of responses that never hold token 2, the best."""
    return dataclasses.replace(
        tabular,
        methods=("ppo",),
        behaviors=("between:0:1",),
        hyper=dataclasses.replace(NOISY, learning_rate=0.05),
        reward_model=RewardModelConfig("tabular", comparisons=50, steps=100, learning_rate=0.05),
    )


def test_the_proxy_stands_beside_the_gold_reward_at_every_evaluation(learnt, tabular):
    """It is the fitted table's own expectation; the policy climbs it, and not the gold reward."""
    dataset = run_sweep(learnt, progress=False).dataset
    assert dataset["proxy_reward"].dims == dataset["expected_reward"].dims
    run = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), make_plan(learnt).runs)
    state = jax.jit(lambda run: initial_state({"logits": jnp.zeros((2, 4))}, run, learnt.static))(run)
    model = state.reward_model
    ends = dataset.isel(algorithm=0, seed=0, reward=0)
    probs = ends["token_distribution"].isel(snapshot=-1).values.mean(axis=0)
    np.testing.assert_allclose(ends["proxy_reward"][-1], model.offset + probs @ model.params, rtol=1e-4)
    np.testing.assert_allclose(ends["expected_reward"][-1], probs @ GOLD, rtol=1e-4)
    assert (model.params[2:] == 0).all()  # no comparison holds them
    assert ends["proxy_reward"][-1] > ends["proxy_reward"][0] + 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper": HyperParameters()}, "needs label_temperature above 0"),
        ({"vary": (("label_temperature", (0.0, 0.5)),)}, "needs label_temperature above 0"),
        ({"policy": PolicyConfig(kind="mlp"), "response_length": 1}, "another policy kind than 'mlp'"),
    ],
)
def test_a_reward_model_without_what_it_needs_is_refused(changes, message):
    settings = {"reward_model": RewardModelConfig("tabular"), "hyper": NOISY} | changes
    with pytest.raises(ValueError, match=message):
        Experiment(**settings)


def test_numbers_of_a_reward_model_are_checked():
    with pytest.raises(ValueError, match=r"reward_model\.comparisons must be a whole number of at least 1, got 0"):
        RewardModelConfig("gpt", comparisons=0)
    with pytest.raises(ValueError, match="learning_rate"):
        RewardModelConfig("gpt", learning_rate=0.0)
    with pytest.raises(ValueError, match="label_temperature is of the bandit"):
        TuneConfig("dpo", hyper=NOISY)


def test_a_configuration_without_a_reward_model_is_read_as_one_of_none():
    import json

    older = json.loads(Experiment().to_json())
    del older["reward_model"], older["behaviors"], older["hyper"]["label_temperature"]
    assert Experiment.from_json(json.dumps(older)) == Experiment()


@pytest.mark.parametrize(("best_of_n", "alpha", "beta"), [(True, 1.0, 0.25), (False, 1.0, 0.5), (False, 0.4, 0.3)])
def test_the_onset_of_gaos_laws_is_where_calculus_has_it(best_of_n, alpha, beta):
    """d = √KL. d (α - β d) peaks at α/2β and is α²/4β there; d (α - β log d) at e^(α/β - 1) and is β times that."""
    d = np.linspace(1e-6, 12, 120_001)
    if best_of_n:
        gold, at, height = d * (alpha - beta * d), alpha / (2 * beta), alpha**2 / (4 * beta)
    else:
        gold, at = d * (alpha - beta * np.log(d)), np.exp(alpha / beta - 1)
        height = beta * at
    found = onset(gold, d, d**2)
    np.testing.assert_allclose(found, (at**2, height, height - gold[-1], d[-1] - at), rtol=1e-3)


def test_over_optimisation_begins_at_the_gold_rewards_peak():
    steps = np.linspace(0, 4, 41)
    gold, proxy, nats = steps * np.exp(1 - steps), steps / 4, steps**2  # gold peaks at step 1: reward 1, 1 nat
    found = onset(gold, proxy, nats)
    np.testing.assert_allclose(found, (1.0, 1.0, 1 - 4 * np.exp(-3), 0.75), rtol=1e-12)
    never = [
        (steps / 4, proxy),  # gold rises to the end
        (gold, 1 - proxy),  # the proxy falls too: unlearning
        (1 - 0.01 * steps / 4, proxy),  # a fall that nobody would call one
    ]
    for curves in never:
        assert np.isnan(onset(*curves, nats)).all()
    several = onset(np.stack([gold, steps / 4]), np.stack([proxy, proxy]), np.stack([nats, nats]))
    np.testing.assert_array_equal(np.isnan(several.kl), [False, True])
