"""A value head beside a policy: its scores, its gradient through accumulation and adapters, PPO's first step, a run."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, random_params

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.policy_gradient import ppo
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.token_advantages import generalized_advantages, token_rewards, whiten
from modeseek.bandit.objectives.value_function import ValueNumbers, value_objective
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training import lora, value_head
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.objective import Labelled, as_batch, make_method_step, make_scorer, target_mask, value_batch
from modeseek.llm.training.optimizer import start
from modeseek.llm.training.trainable import AllParameters
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS, KLControl, TuneConfig, ValueConfig

MODEL = Model(config_from(CASES["pythia"] | {"num_hidden_layers": 2, "hidden_size": 24}))
LOSS, EOS = CrossEntropy(MODEL), 2
ALL = value_head.WithValueHead(AllParameters(MODEL.config), MODEL.config)
NUMBERS = ValueNumbers(0.7, 0.1)
HYPER = HyperParameters()
P, N, S = 2, 4, 12
GRADIENT = optax.trace(decay=0.0)  # keeps the gradient as it comes
PPO = TuneConfig("ppo", 8, 2, 4, inner_steps=2, collections=2, max_new_tokens=6, length_multiple=16, generation_batch=8)


@functools.cache
def policy():
    return ModelWithParams(MODEL, random_params(MODEL.config, std=0.15))


@functools.cache
def trained(seed=0):
    """A policy and a head that are not zero."""
    rng = np.random.default_rng(seed)
    shaken = lambda a: a + jnp.asarray(0.15 * seed * rng.normal(size=a.shape), a.dtype)
    head = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), value_head.init(MODEL.config))
    return {"policy": jax.tree.map(shaken, policy().params), "value": head}


@functools.cache
def scorer():
    return make_scorer(LOSS, ALL)


@functools.cache
def data():
    """Responses of different lengths, one of them missing; scored by another policy, advantages of tokens."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(3, 53, (P, N, S)).astype(np.int32)
    lengths = np.array([[12, 7, 4, 9], [6, 12, 10, 1]], np.int32)
    real = lengths > 1
    starts = np.where(real, np.array([[3], [5]], np.int32), 1).astype(np.int32)
    rows = Labelled(tokens, lengths, starts, real)
    behavior, mask = scorer()(trained(1), rows), target_mask(rows)
    noise = jnp.asarray(rng.normal(size=mask.shape), jnp.float32)
    rewards = jnp.asarray(rng.normal(size=(P, N)), jnp.float32)
    of_tokens = token_rewards(rewards, noise, 0.1, mask)
    found = generalized_advantages(of_tokens, behavior.values, 1.0, 0.95, mask)
    return rows._replace(
        behavior_log_probs=behavior.log_probs,
        reference_log_probs=behavior.log_probs,
        advantages=whiten(found.advantages, mask),
        behavior_values=behavior.values,
        returns=found.returns,
    )


def by_definition(params, given):
    """Log-probs and values of every column, all logits at once, no mask."""
    flat = jnp.asarray(given.tokens).reshape(-1, S)
    hidden = MODEL.hidden(params, flat[:, :-1])
    logits = jax.nn.log_softmax(MODEL.logits(params, hidden), axis=-1)
    picked = jnp.take_along_axis(logits, flat[:, 1:, None], axis=-1)[..., 0]
    head = params["heads"]["value"]
    values = (hidden @ head["kernel"])[..., 0] + head["bias"][0]
    return tuple(a.reshape(P, N, S - 1) for a in (picked, values))


def direct(complete):
    """c L_V and PPO's surrogate, differentiated through the model at once."""
    given = data()

    def loss(trained):
        log_probs, values = by_definition(complete(trained), given)
        batch = as_batch(given, log_probs)
        surrogate = reduce.loss(METHODS["ppo"], batch, HYPER, LANGUAGE_OPTIONS)
        return surrogate + value_objective(value_batch(given, values, target_mask(given)), NUMBERS)

    return jax.jit(jax.grad(loss))


@functools.cache
def gradient(accumulate=1):
    step = make_method_step(METHODS["ppo"], LOSS, ALL, values=NUMBERS, optimizer=GRADIENT, accumulate=accumulate)
    state, numbers = step(start(jax.tree.map(jnp.copy, trained()), GRADIENT), data(), HYPER)
    return state.optimizer.trace, numbers


def test_targets_are_within_real_responses_alone():
    """Whatever lengths stand where there is no response."""
    given = data()._replace(lengths=np.full((P, N), S, np.int32))
    mask = np.asarray(target_mask(given))
    assert mask[given.real].any(axis=-1).all()
    assert not mask[~given.real].any()


def close(ours, theirs, tolerance=1e-5):
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
    assert scale > 0
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert float(jnp.abs(a - b).max()) <= tolerance * scale, jax.tree_util.keystr(path)


def test_the_value_of_a_token_is_read_from_the_state_before_it():
    """Column t is a product with the hidden state after tokens 0 … t, whatever token t + 1 is."""
    given, mask = data(), np.asarray(target_mask(data()))
    found = scorer()(trained(), given)
    log_probs, values = by_definition(ALL.complete(trained(), None), given)
    np.testing.assert_allclose(found.values, np.where(mask, values, 0.0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.log_probs, np.where(mask, log_probs, 0.0), rtol=1e-4, atol=1e-5)
    last = np.array(given.tokens)
    for p, n in np.ndindex(P, N):
        last[p, n, given.lengths[p, n] - 1] = 3 + last[p, n, given.lengths[p, n] - 1] % 40
    other = scorer()(trained(), given._replace(tokens=last))
    np.testing.assert_allclose(other.values, found.values, atol=1e-5)
    assert float(jnp.abs(other.log_probs - found.log_probs).max()) > 0.1


def test_the_gradient_is_that_of_both_losses_together():
    close(gradient()[0], direct(lambda trained: ALL.complete(trained, None))(trained()))


def test_eight_parts_are_one_batch():
    whole, numbers = gradient()
    parts, same = gradient(8)
    close(parts, whole, 3e-6)
    for name in numbers:
        np.testing.assert_allclose(same[name], numbers[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_adapters_have_their_head_in_the_same_way():
    """The gradient in adapters and head is that of direct differentiation; the frozen policy has none."""
    adapters = lora.init(MODEL.config, 2, key=jax.random.key(1))
    adapters = jax.tree.map(lambda a: a + 0.05, adapters)
    frozen = lora.Frozen(trained()["policy"], 2.0)
    both = value_head.WithValueHead(lora.Adapters(MODEL.config), MODEL.config)
    mine = {"policy": adapters, "value": trained()["value"]}
    step = make_method_step(METHODS["ppo"], LOSS, both, values=NUMBERS, optimizer=GRADIENT, accumulate=2)
    state, _ = step(start(jax.tree.map(jnp.copy, mine), GRADIENT), data(), HYPER, frozen)
    close(state.optimizer.trace, direct(lambda t: both.complete(t, frozen))(mine))


def test_the_surrogate_is_a_loop_over_tokens():
    """-mean over responses of Σ_t min(ρ Â, clip(ρ) Â), in float64, and c a value's part of the reported gradient."""
    given, numbers = data(), gradient()[1]
    now = np.asarray(scorer()(trained(), given).log_probs, np.float64)
    old, advantages = (np.asarray(a, np.float64) for a in (given.behavior_log_probs, given.advantages))
    sums, clipped, count = [], 0, 0
    for p, n in np.argwhere(given.real):
        terms = []
        for t in range(given.starts[p, n] - 1, given.lengths[p, n] - 1):
            ratio = np.exp(now[p, n, t] - old[p, n, t])
            bounded = min(max(ratio, 1 - HYPER.clip_epsilon), 1 + HYPER.clip_epsilon)
            terms.append(min(ratio * advantages[p, n, t], bounded * advantages[p, n, t]))
            clipped, count = clipped + (bounded != ratio), count + 1
        sums.append(sum(terms))
    np.testing.assert_allclose(numbers["loss"], -np.mean(sums), rtol=1e-4)
    np.testing.assert_allclose(numbers["fraction_clipped"], clipped / count, rtol=1e-6)
    assert 0 < clipped < count
    of_token = jax.grad(lambda z: ppo(z, jnp.float32(old[0, 0, 4]), jnp.float32(advantages[0, 0, 4]), 0.2))
    assert np.isfinite(of_token(jnp.float32(now[0, 0, 4])))


@pytest.mark.slow
def test_a_fresh_head_moves_nothing_in_the_trunk():
    """V = 0 and a head of zeros: the trunk's gradient is the surrogate's alone, and the head has one."""
    given = data()
    fresh = {"policy": policy().params, "value": value_head.init(MODEL.config)}
    step = make_method_step(METHODS["ppo"], LOSS, ALL, values=NUMBERS, optimizer=GRADIENT)
    plain = make_method_step(METHODS["ppo"], LOSS, ALL.policy, optimizer=GRADIENT)
    state, _ = step(start(jax.tree.map(jnp.copy, fresh), GRADIENT), given, HYPER)
    without, _ = plain(start(jax.tree.map(jnp.copy, policy().params), GRADIENT), given, HYPER)
    close(state.optimizer.trace["policy"], without.optimizer.trace)
    assert float(jnp.abs(state.optimizer.trace["value"]["kernel"]).max()) > 0


def test_a_head_without_returns_is_refused():
    step = make_method_step(METHODS["ppo"], LOSS, ALL, optimizer=GRADIENT)
    with pytest.raises(ValueError, match="trained on returns and on the values of the policy that sampled"):
        step(start(jax.tree.map(jnp.copy, trained()), GRADIENT), data()._replace(returns=None), HYPER)


def prompts(count=8):
    rng = np.random.default_rng(0)
    return [Example(rng.integers(3, 53, rng.integers(2, 5)).astype(np.int32), ()) for _ in range(count)]


def judge(examples):
    return np.array([[float((ids >= 27).mean()) for ids in e.responses] for e in examples])


@pytest.mark.slow
def test_the_first_step_of_ppo_and_what_the_state_carries():
    """Ratio 1, KL 0, values 0; then the coefficient follows the KL, and the head is in the state and not in the policy.

    At first the KL is 0, a fifth of the target's error beyond what counts: β · (1 - .2 · 8 / 80) = .98 β.
    """
    config = dataclasses.replace(
        PPO, hyper=HyperParameters(learning_rate=3e-3, kl_coefficient=0.2), kl=KLControl(target=0.5, horizon=80)
    )
    loop, records = Algorithm1(policy(), prompts(), config, reward=judge, eos=[EOS]), []
    state = loop.turn(loop.start(), records.append)
    collection, first = records[0], records[1]
    assert collection["kl_coefficient"] == pytest.approx(0.2)
    assert abs(collection["sampled_kl"]) < 1e-5
    for name in ("kl_to_reference", "kl_from_behavior", "fraction_clipped", "fraction_values_clipped", "value"):
        assert abs(first[name]) < 1e-5, name
    assert first["explained_variance"] == pytest.approx(0.0, abs=1e-5)
    assert first["value_loss"] > 0
    assert float(state.kl_coefficient) == pytest.approx(0.2 * 0.98)
    assert float(jnp.abs(state.learner.params["value"]["kernel"]).max()) > 0
    assert set(loop.params(state)["heads"]) == {"lm"}
    state = loop.turn(state, records.append)
    later = [record for record in records if "sampled_kl" in record][1]
    assert later["kl_coefficient"] == pytest.approx(0.2 * 0.98)
    assert later["sampled_kl"] != 0
    error = np.clip(later["sampled_kl"] / 0.5 - 1, -0.2, 0.2)
    assert float(state.kl_coefficient) == pytest.approx(0.2 * 0.98 * (1 + error * 0.1), rel=1e-5)


def test_advantages_of_a_collection_are_those_of_a_loop():
    """Standardised rewards, KL at each token, the double sum, whitened over all real tokens: in float64."""
    hyper, value = HyperParameters(kl_coefficient=0.3), ValueConfig(gamma=0.9, lam=0.8)
    config = dataclasses.replace(PPO, hyper=hyper, value=value)
    reference = jax.tree.map(lambda a: a * 0.9, policy().params)
    loop = Algorithm1(policy(), prompts(), config, reward=judge, eos=[EOS], reference=reference)
    state = loop.start()
    state = state._replace(learner=state.learner._replace(params=trained()))
    examples, sampled, _ = loop.collect(state)
    rewards = judge(examples)
    labelled, _ = loop.label(state, examples, sampled, rewards.astype(np.float32))
    now = loop.score(trained(), labelled)
    log_ratios = np.asarray(now.log_probs, np.float64) - np.asarray(labelled.reference_log_probs, np.float64)
    assert np.abs(log_ratios).max() > 0.01
    standardized = (rewards - rewards.mean()) / rewards.std(ddof=1)
    advantages, returns = {}, {}
    for p, n in np.ndindex(4, 2):
        there = range(labelled.starts[p, n] - 1, labelled.lengths[p, n] - 1)
        values = [float(now.values[p, n, t]) for t in there] + [0.0]
        given = [-0.3 * log_ratios[p, n, t] for t in there]
        given[-1] += standardized[p, n]
        deltas = [given[i] + 0.9 * values[i + 1] - values[i] for i in range(len(given))]
        for i, t in enumerate(there):
            advantages[p, n, t] = sum(0.72**k * deltas[i + k] for k in range(len(given) - i))
            returns[p, n, t] = advantages[p, n, t] + values[i]
    plain = np.array(list(advantages.values()))
    for (p, n, t), advantage in advantages.items():
        expected = (advantage - plain.mean()) / plain.std(ddof=1)
        np.testing.assert_allclose(labelled.advantages[p, n, t], expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(labelled.returns[p, n, t], returns[p, n, t], rtol=1e-4, atol=1e-4)
    assert np.count_nonzero(labelled.returns) == len(returns)


@pytest.mark.slow
def test_adapters_and_a_head_are_tuned_and_come_back_as_a_policy():
    tuned = tune(policy(), prompts(), dataclasses.replace(PPO, lora_rank=2), reward=judge, eos=[EOS])
    assert jax.tree.structure(tuned.params) == jax.tree.structure(policy().params)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), tuned.params, policy().params)
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_a_value_function_foresees_and_takes_variance_out_of_the_advantages():
    """A reward that the prompt decides is all advantage before anything is learnt, and then little of it."""

    def of_prompt(examples):
        return np.array([[float(e.prompt[0] >= 27)] * len(e.responses) for e in examples])

    config = dataclasses.replace(
        PPO,
        samples_per_collection=16,
        minibatch_size=16,
        inner_steps=4,
        collections=30,
        hyper=HyperParameters(learning_rate=0.005),
        value=ValueConfig(coefficient=1.0, clip=float("inf"), whiten="none"),
    )
    loop, records = Algorithm1(policy(), prompts(8), config, reward=of_prompt, eos=[EOS]), []
    state, spreads = loop.start(), []
    for _ in range(config.collections):
        examples, sampled, _ = loop.collect(state)
        labelled, _ = loop.label(state, examples, sampled, of_prompt(examples).astype(np.float32))
        spreads.append(float(labelled.advantages[np.asarray(target_mask(labelled))].var()))
        state = loop.turn(state, records.append)
    explained = [record["explained_variance"] for record in records if "explained_variance" in record]
    assert explained[0] == pytest.approx(0.0, abs=1e-5)
    assert explained[-1] > 0.8
    assert spreads[-1] < 0.3 * spreads[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "rwr", "critic": True}, "rwr takes no advantages of tokens"),
        ({"method": "offline_ppo", "critic": True}, "a value function is of the policy that samples"),
        ({"critic": True, "options": dataclasses.replace(LANGUAGE_OPTIONS, ratio="sequence")}, "need ratios of tokens"),
        ({"kl": KLControl(target=6.0)}, "give a kl_coefficient above 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PPO, **change)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ValueConfig(gamma=1.5), "gamma must be between 0 and 1, got 1.5"),
        (lambda: ValueConfig(lam=float("nan")), "lam must be between 0 and 1, got nan"),
        (lambda: ValueConfig(clip=0.0), "clip must be above 0, got 0.0"),
        (lambda: ValueConfig(coefficient=-1.0), "coefficient must be a positive number"),
        (lambda: KLControl(target=0.0), "target must be a positive number"),
        (lambda: KLControl(horizon=0), "horizon must be a whole number of at least 1"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_who_has_a_value_function_unless_told_otherwise():
    changed = functools.partial(dataclasses.replace, PPO)
    assert PPO.valued
    assert not changed(critic=False).valued
    assert not changed(mixing=0.5).valued
    assert not changed(method="offline_ppo").valued
    assert not changed(options=dataclasses.replace(LANGUAGE_OPTIONS, ratio="sequence")).valued
    for method in ("reinforce", "rwr", "best_of_n", "on_policy_dpo"):
        assert not changed(method=method).valued
    assert changed(method="reinforce", critic=True).valued
