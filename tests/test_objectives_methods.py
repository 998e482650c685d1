"""Every method of the registry against its formula, finite differences, Table 1, and JAX's transformations."""

import dataclasses
import functools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit.objectives.log_probs import weighted_mean
from bandit.objectives.methods import (
    METHODS,
    Batch,
    HyperParameters,
    ObjectiveOptions,
    pair_weights,
)
from bandit.objectives.pairs import PAIR_SCHEMES, PairScheme

OPTIONS = ObjectiveOptions()
# Chosen so that every one matters on the batches below: some ratios are clipped, some negatives fall below the
# threshold, and the gap drops some pairs.
HYPER = HyperParameters(
    beta=0.3,
    tau=0.2,
    temperature=0.7,
    clip_epsilon=0.2,
    negative_weight=0.8,
    negative_threshold=0.5,
    top_k=2.0,
    reward_gap=0.15,
)
TOKEN_RATIO = ObjectiveOptions(ratio="token")
every_method = pytest.mark.parametrize("name", METHODS)
every_objective = pytest.mark.parametrize(
    ("name", "options"),
    [*(pytest.param(name, OPTIONS, id=name) for name in METHODS), pytest.param("ppo", TOKEN_RATIO, id="ppo-token")],
)


def _batch(seed=0, prompts=3, responses=4, tokens=2):
    """Random log-probs of three policies that are near each other, and rewards without ties."""
    rng = np.random.default_rng(seed)
    shape = (prompts, responses, tokens)
    policy = -rng.uniform(0.2, 1.5, shape)
    behavior, reference = (np.minimum(policy + 0.25 * rng.normal(size=shape), -0.01) for _ in range(2))
    rewards = rng.permuted(np.tile(np.arange(responses) / responses, (prompts, 1)), axis=1)
    rewards = rewards + rng.uniform(0, 0.9 / responses, rewards.shape)
    advantages = (rewards - rewards.mean()) / rewards.std(ddof=1)
    return Batch(*(jnp.asarray(a) for a in (policy, behavior, reference, rewards, advantages)))


@functools.cache
def _compiled(name, options):
    """Loss and its gradient on the batch's five arrays, compiled once for all tests of a method."""

    def loss(arrays, mask, hyper):
        return weighted_mean(*METHODS[name].objective(Batch(*arrays, mask), hyper, options))

    return jax.jit(jax.value_and_grad(loss))


def _loss(name, batch, hyper=HYPER, options=OPTIONS):
    return _compiled(name, options)(tuple(batch[:5]), batch.mask, hyper)[0]


def _slope(name, batch, hyper=HYPER, options=OPTIONS):
    """∂ loss / ∂ token log-probs of the policy."""
    return _compiled(name, options)(tuple(batch[:5]), batch.mask, hyper)[1][0]


class _Formulas:
    """The paper's formulas with plain loops over prompts and responses; one method for each method."""

    def __init__(self, batch):
        self.log_probs, self.behavior, self.reference = (np.asarray(a).sum(axis=-1) for a in batch[:3])
        self.rewards, self.advantages = np.asarray(batch.rewards), np.asarray(batch.advantages)
        self.best = self.rewards.argmax(axis=1)
        self.prompts = range(len(self.rewards))

    def _of_best(self):
        return [-self.log_probs[p, self.best[p]] for p in self.prompts]

    def _pairs(self):
        r = self.rewards
        n = range(r.shape[1])
        return [(p, w, l) for p in self.prompts for w in n for l in n if r[p, w] > r[p, l] + HYPER.reward_gap]

    def _margins(self):
        ratio = self.log_probs - self.reference
        return [ratio[p, w] - ratio[p, l] for p, w, l in self._pairs()]

    def _with_negatives(self, weight):
        losses = self._of_best()
        for p in self.prompts:
            for j, log_prob in enumerate(self.log_probs[p]):
                likely = np.exp(log_prob - self.log_probs[p, self.best[p]]) > HYPER.negative_threshold
                if j != self.best[p] and likely:
                    losses[p] += HYPER.negative_weight * weight(p, j) * log_prob
        return np.mean(losses)

    def best_of_n(self):
        return np.mean(self._of_best())

    def best_of_n_negative(self):
        return self._with_negatives(lambda p, j: 1.0)

    def best_of_n_negative_mean(self):
        return self._with_negatives(lambda p, j: 1 / (self.rewards.shape[1] - 1))

    def best_of_n_negative_worst(self):
        return self._with_negatives(lambda p, j: float(j == self.rewards[p].argmin()))

    def unlikelihood(self):
        losses = self._of_best()
        for p in self.prompts:
            for j in set(range(self.rewards.shape[1])) - {self.best[p]}:
                losses[p] -= HYPER.negative_weight * np.log(1 - np.exp(self.log_probs[p, j]))
        return np.mean(losses)

    def rwr(self):
        weights = np.exp(self.advantages / HYPER.temperature)
        return -(weights * self.log_probs).sum() / weights.sum()

    def rest(self):
        return np.mean([-self.log_probs[p, np.argsort(-self.rewards[p])[: int(HYPER.top_k)]] for p in self.prompts])

    def reinforce(self):
        return np.mean(-self.advantages * self.log_probs)

    def ppo(self):
        ratio, epsilon = np.exp(self.log_probs - self.behavior), HYPER.clip_epsilon
        clipped = np.clip(ratio, 1 - epsilon, 1 + epsilon)
        return np.mean(-np.minimum(ratio * self.advantages, clipped * self.advantages))

    def dpo(self):
        return np.mean([np.log(1 + np.exp(-HYPER.beta * m)) for m in self._margins()])

    def ipo(self):
        return np.mean([(m - 1 / (2 * HYPER.tau)) ** 2 for m in self._margins()])

    def pref_ft(self):
        return np.mean([-self.log_probs[p, w] for p, w, _ in self._pairs()])

    def binary_feedme(self):
        score = np.zeros_like(self.rewards)
        for p, w, l in self._pairs():
            score[p, w] += 1
            score[p, l] -= 1
        return -self.log_probs[score > 0].mean()


@every_method
@pytest.mark.parametrize("seed", [0, 1])
def test_reduced_loss_is_the_papers_formula(name, seed, float64):
    batch = _batch(seed)
    np.testing.assert_allclose(_loss(name, batch), getattr(_Formulas(batch), name)(), rtol=1e-10)


def test_the_batch_reaches_both_sides_of_every_threshold():
    """Otherwise the formulas above would agree without their interesting half; and none sits on a kink."""
    formulas = _Formulas(_batch(0))
    ratio = np.exp(formulas.log_probs - formulas.behavior)
    assert 0 < (np.abs(ratio - 1) > HYPER.clip_epsilon).sum() < 12
    assert np.abs(np.abs(ratio - 1) - HYPER.clip_epsilon).min() > 1e-3
    relative = np.exp(formulas.log_probs - formulas.log_probs[[0, 1, 2], formulas.best][:, None])
    assert 0 < (relative < HYPER.negative_threshold).sum() < 9
    assert np.abs(relative - HYPER.negative_threshold).min() > 1e-3
    assert 0 < len(formulas._pairs()) < 18


@every_objective
def test_gradient_matches_finite_differences(name, options, float64):
    """Central differences of every one of the 24 token log-probs."""
    batch, step = _batch(0), 1e-5
    slope = _slope(name, batch, options=options)
    assert jnp.abs(slope).max() > 1e-3
    for position in np.ndindex(slope.shape):
        moved = np.zeros(slope.shape)
        moved[position] = step
        up, down = (
            _loss(name, batch._replace(token_log_probs=batch.token_log_probs + d), options=options)
            for d in (moved, -moved)
        )
        np.testing.assert_allclose((up - down) / (2 * step), slope[position], rtol=1e-6, atol=1e-8)


@every_objective
def test_only_the_policy_receives_a_gradient(name, options):
    """Behavior, reference, rewards and advantages are constants of every loss."""
    batch = _batch(0)
    _, (_, *on_constants) = _compiled(name, options)(tuple(batch[:5]), None, HYPER)
    for gradient in on_constants:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@functools.cache
def _objective(name):
    return jax.jit(lambda batch, hyper: METHODS[name].objective(batch, hyper, OPTIONS))


@every_method
def test_losses_come_unreduced_with_weights_that_count(name):
    """One loss a prompt, a response or a pair; weights are whole numbers ≥ 0, never the method's coefficients."""
    losses, weights = _objective(name)(_batch(0), HYPER)
    assert losses.shape == weights.shape
    assert losses.shape in {(3,), (3, 4), (3, 4, 4)}
    np.testing.assert_array_equal(weights, np.maximum(np.round(weights), 0))
    assert weights.sum() > 0


@every_method
def test_jit_is_eager(name):
    compiled, eager = _objective(name)(_batch(0), HYPER), METHODS[name].objective(_batch(0), HYPER, OPTIONS)
    np.testing.assert_allclose(compiled.losses, eager.losses, rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(compiled.weights, eager.weights)


# A second and a third set of hyper-parameters, each number changed.
SWEPT = (
    HYPER,
    HyperParameters(1e-2, 0.1, 0.05, 0.2, 0.05, 2.0, 0.9, 1.0, 0.0, 0.5),
    HyperParameters(1e-1, 1.0, 1.0, 5.0, 0.5, 0.1, 0.1, 3.0, 0.4, 0.1),
)


@every_method
def test_vmap_over_hyper_parameters_is_a_loop(name):
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(leaves), *SWEPT)
    together = jax.jit(jax.vmap(lambda hyper: METHODS[name].objective(_batch(0), hyper, OPTIONS)))(stacked)
    for i, hyper in enumerate(SWEPT):
        alone = _objective(name)(_batch(0), hyper)
        np.testing.assert_allclose(together.losses[i], alone.losses, rtol=2e-6, atol=1e-6)
        np.testing.assert_array_equal(together.weights[i], alone.weights)


@every_method
def test_numbers_never_recompile(name):
    traced = []
    count = jax.jit(lambda hyper: (traced.append(name), METHODS[name].objective(_batch(0), hyper, OPTIONS))[1])
    for hyper in SWEPT:
        count(hyper)
    assert traced == [name]


# A second value of each, and the methods whose loss it may change.
WITH_NEGATIVES = {name for name in METHODS if name.startswith("best_of_n_negative")}
READ_BY = {
    "learning_rate": (1.0, set()),
    "beta": (0.1, {"dpo"}),
    "tau": (0.05, {"ipo"}),
    "temperature": (0.2, {"rwr"}),
    "clip_epsilon": (0.01, {"ppo"}),
    "negative_weight": (2.0, WITH_NEGATIVES | {"unlikelihood"}),
    "negative_threshold": (1e-4, WITH_NEGATIVES),
    "top_k": (1.0, {"rest"}),
    "reward_gap": (0.65, {"dpo", "ipo", "pref_ft", "binary_feedme"}),
    "kl_coefficient": (1.0, set()),
}


@every_method
def test_each_method_reads_its_own_hyper_parameters_alone(name):
    batch = _batch(0)
    before = _loss(name, batch)
    moved = {field: _loss(name, batch, dataclasses.replace(HYPER, **{field: v})) for field, (v, _) in READ_BY.items()}
    assert {f for f, loss in moved.items() if loss != before} == {f for f, (_, by) in READ_BY.items() if name in by}


def test_the_list_of_hyper_parameters_is_complete():
    assert list(READ_BY) == [field.name for field in dataclasses.fields(HyperParameters)]


@every_method
def test_negative_gradients_are_where_table_1_says(name):
    """A positive slope on log π pushes a response down: some do under a negative gradient, none without it."""
    slopes = np.concatenate([np.asarray(_slope(name, _batch(seed))) for seed in range(3)])
    assert (slopes < 0).any()
    assert (slopes > 0).any() == METHODS[name].negative_gradient


def test_table_1():
    """Rows of the paper's Table 1: on-policy sampling and negative gradient."""
    rows = {
        "ppo": (True, True),
        "reinforce": (True, True),
        "dpo": (False, True),
        "ipo": (False, True),
        "pref_ft": (False, False),
        "binary_feedme": (False, False),
        "rest": (True, False),
        "rwr": (True, False),
        "best_of_n": (True, False),
    }
    assert {name: (METHODS[name].on_policy, METHODS[name].negative_gradient) for name in rows} == rows
    assert {name for name, method in METHODS.items() if method.policy_gradient} == {"ppo", "reinforce"}


def _extreme(log_probs, rewards):
    """The same four responses to each prompt, near -6 nats under the other policies; rewards are advantages too."""
    tokens = jnp.stack(jnp.broadcast_arrays(jnp.asarray(log_probs), jnp.zeros((3, 4))), axis=-1)
    other = jnp.full((3, 4, 2), -3.0)
    rewards = jnp.broadcast_to(jnp.asarray(rewards), (3, 4))
    return Batch(tokens, other, other, rewards, rewards - rewards.mean())


EQUAL = [0.5, 0.5, 0.5, 0.5]
RISING = [0.0, 0.25, 0.5, 1.0]
EXTREMES = {
    "vanished responses": ([-1e4, -1e4, -1e4, -1e4], RISING),
    "the worst is certain": ([0.0, -1e4, -1e4, -1e4], RISING),
    "the best is certain": ([-1e4, -1e4, -1e4, 0.0], RISING),
    "equal rewards": ([-1.0, -2.0, -3.0, -4.0], EQUAL),
    "equal rewards, vanished": ([-1e4, -1e4, -1e4, -1e4], EQUAL),
}


@every_method
@pytest.mark.parametrize("case", EXTREMES)
def test_value_and_gradient_are_finite_at_extremes(name, case):
    batch = _extreme(*EXTREMES[case])
    assert batch.token_log_probs.dtype == jnp.float32
    assert jnp.isfinite(_loss(name, batch))
    assert jnp.isfinite(_slope(name, batch)).all()


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.policy_gradient or n in {"dpo", "ipo", "pref_ft"}])
def test_equal_rewards_teach_nothing(name):
    """No advantage and no pair: the gradient is zero, not NaN."""
    np.testing.assert_array_equal(_slope(name, _extreme([-1.0, -2.0, -3.0, -4.0], EQUAL)), np.zeros((3, 4, 2)))


PADDED_CASES = [pytest.param(n, OPTIONS, p, id=f"{n} {p}") for n in METHODS for p in (-7.0, -jnp.inf)] + [
    pytest.param("ppo", TOKEN_RATIO, -7.0, id="ppo-token -7.0"),
    pytest.param(
        "ppo",
        TOKEN_RATIO,
        -jnp.inf,
        id="ppo-token -inf",
    ),
]


@pytest.mark.parametrize(("name", "options", "padding"), PADDED_CASES)
def test_padding_changes_nothing(name, options, padding):
    """A third token that the mask hides, -inf or any other: the loss of the batch without it, and no gradient."""
    short = _batch(0)
    mask = jnp.broadcast_to(jnp.asarray([True, True, False]), (3, 4, 3))
    tokens = [jnp.pad(a, ((0, 0), (0, 0), (0, 1)), constant_values=padding) for a in short[:3]]
    padded = Batch(*tokens, short.rewards, short.advantages, mask)
    np.testing.assert_allclose(_loss(name, padded, options=options), _loss(name, short, options=options), rtol=1e-6)
    slope = _slope(name, padded, options=options)
    np.testing.assert_allclose(slope[..., :2], _slope(name, short, options=options), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slope[..., 2], np.zeros((3, 4)))


def _ppo_batch(policy_ratios, advantage):
    tokens = jnp.log(jnp.asarray(policy_ratios))[None, None] - 2.0
    return Batch(tokens, jnp.full_like(tokens, -2.0), tokens, jnp.zeros((1, 1)), jnp.full((1, 1), advantage))


def test_ppo_clips_whole_responses_or_tokens():
    """Token ratios 1.5 and 1/1.5, r̄ = 1, ε = .2: the response's ratio is 1, so -1; tokens: -(1.2 + 1/1.5)."""
    batch = _ppo_batch([1.5, 1 / 1.5], 1.0)
    np.testing.assert_allclose(_loss("ppo", batch), -1.0, rtol=1e-6)
    of_tokens = _loss("ppo", batch, options=TOKEN_RATIO)
    np.testing.assert_allclose(of_tokens, -(1.2 + 1 / 1.5), rtol=1e-6)


@pytest.mark.parametrize("advantage", [-1.0, 2.0])
def test_ppo_on_one_token_responses_does_not_depend_on_the_ratio_option(advantage):
    batch = _ppo_batch([1.3], advantage)
    assert _loss("ppo", batch) == _loss("ppo", batch, options=TOKEN_RATIO)


@pytest.mark.parametrize("options", [OPTIONS, TOKEN_RATIO])
def test_both_ratios_have_reinforces_gradient_before_the_first_step(options):
    batch = _batch(0)
    batch = batch._replace(behavior_token_log_probs=batch.token_log_probs)
    slope = _slope("ppo", batch, options=options)
    np.testing.assert_allclose(slope, _slope("reinforce", batch), rtol=1e-5)


def test_self_normalization_scales_rwr_by_the_mean_weight():
    batch, raw = _batch(0), ObjectiveOptions(self_normalize=False)
    mean_weight = np.exp(np.asarray(batch.advantages) / HYPER.temperature).mean()
    np.testing.assert_allclose(_loss("rwr", batch, options=raw), mean_weight * _loss("rwr", batch), rtol=1e-5)


def test_cold_rwr_on_one_prompt_is_best_of_n():
    batch = _batch(0, prompts=1)
    cold = dataclasses.replace(HYPER, temperature=1e-3)
    np.testing.assert_allclose(_loss("rwr", batch, cold), _loss("best_of_n", batch), rtol=1e-6)


def test_rest_with_one_response_kept_is_best_of_n():
    batch = _batch(0)
    assert _loss("rest", batch, dataclasses.replace(HYPER, top_k=1.0)) == _loss("best_of_n", batch)


@pytest.mark.parametrize(("scheme", "count"), [("all", 6), ("best_worst", 1), ("adjacent", 3)])
def test_the_pair_scheme_decides_how_many_pairs_are_compared(scheme, count):
    options, every_gap = ObjectiveOptions(pair_scheme=scheme), dataclasses.replace(HYPER, reward_gap=0.0)
    for name in ("dpo", "ipo", "pref_ft"):
        weights = METHODS[name].objective(_batch(0), every_gap, options).weights
        np.testing.assert_array_equal(weights.reshape(3, -1).sum(axis=1), [count] * 3)


def test_kept_ties_reach_the_objectives():
    batch = _extreme([-1.0, -2.0, -3.0, -4.0], EQUAL)
    assert pair_weights(batch, HyperParameters(), ObjectiveOptions(ties="keep")).sum() == 18  # 4·3/2 a prompt
    assert pair_weights(batch, HyperParameters(), ObjectiveOptions(ties="skip")).sum() == 0


def test_scheme_names_and_their_type_agree():
    assert set(PAIR_SCHEMES) == set(get_args(PairScheme))


@every_method
def test_min_responses_is_enough(name):
    slope = _slope(name, _batch(0, responses=METHODS[name].min_responses))
    assert jnp.isfinite(slope).all()
    assert jnp.abs(slope).max() > 1e-3


@pytest.mark.parametrize("name", ["dpo", "ipo", "pref_ft", "binary_feedme"])
def test_comparisons_need_two_responses(name):
    assert METHODS[name].min_responses == 2
    assert METHODS[name].objective(_batch(0, responses=1), HYPER, OPTIONS).weights.sum() == 0


def test_batch_log_probs_sum_their_own_tokens():
    batch = _batch(0)
    for summed, tokens in zip(
        (batch.log_probs, batch.behavior_log_probs, batch.reference_log_probs), batch[:3], strict=True
    ):
        np.testing.assert_allclose(summed, np.asarray(tokens).sum(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(batch.log_ratios, batch.log_probs - batch.reference_log_probs, rtol=1e-6)


def test_hyper_parameters_survive_flattening():
    leaves, structure = jax.tree.flatten(HYPER)
    assert len(leaves) == len(dataclasses.fields(HyperParameters))
    assert jax.tree.unflatten(structure, leaves) == HYPER
