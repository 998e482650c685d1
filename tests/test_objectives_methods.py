"""Every method of the registry against its formula, finite differences, Table 1, and JAX's transformations."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import (
    HYPER,
    OPTIONS,
    TOKEN_UNITS,
    compiled,
    every_method,
    every_unit,
    loss_of,
    random_batch,
    slope_of,
)
from policy_gradient_formulas import PolicyGradientFormulas
from preference_formulas import PreferenceFormulas

from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters, Options
from modeseek.bandit.objectives.method import SAMPLER_HYPER
from modeseek.bandit.objectives.registry import METHODS

every_objective = pytest.mark.parametrize(
    ("name", "options"),
    [
        *(pytest.param(name, OPTIONS, id=name) for name in METHODS),
        *(pytest.param(name, TOKEN_UNITS, id=f"{name}-token") for name in METHODS),
    ],
)


class _Formulas(PreferenceFormulas, PolicyGradientFormulas):
    """The paper's formulas with plain loops over prompts and responses; one method for each method."""

    def __init__(self, batch):
        self.log_probs, self.behavior, self.reference = (np.asarray(a).sum(axis=-1) for a in batch[:3])
        self.tokens = batch[0].shape[-1]
        self.token_log_probs, self.behavior_tokens, self.reference_tokens = (np.asarray(a) for a in batch[:3])
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
    batch = random_batch(seed)
    np.testing.assert_allclose(loss_of(name, batch), getattr(_Formulas(batch), name)(), rtol=1e-10)


def test_the_batch_reaches_both_sides_of_every_threshold():
    """Otherwise the formulas above would agree without their interesting half; and none sits on a kink."""
    formulas = _Formulas(random_batch(0))
    ratio = np.exp(formulas.log_probs - formulas.behavior)
    assert 0 < (np.abs(ratio - 1) > HYPER.clip_epsilon).sum() < 12
    assert np.abs(np.abs(ratio - 1) - HYPER.clip_epsilon).min() > 1e-3
    relative = np.exp(formulas.log_probs - formulas.log_probs[[0, 1, 2], formulas.best][:, None])
    assert 0 < (relative < HYPER.negative_threshold).sum() < 9
    assert np.abs(relative - HYPER.negative_threshold).min() > 1e-3
    assert 0 < len(formulas._pairs()) < 18
    ratios = formulas._ratios
    margins = np.array(
        [ratios[p, w] - ratios[p, l] + np.exp(ratios[p, w]) - np.exp(ratios[p, l]) for p, w, l in formulas._pairs()]
    )
    own = np.array([formulas.log_probs[p, w] - formulas.log_probs[p, l] for p, w, l in formulas._pairs()])
    kinks = [
        HYPER.beta * np.abs(margins) - 2 * HYPER.reward_bound,
        own - HYPER.target_margin,
        ratios,
    ]  # χPO, SLiC, DPOP
    for distance in kinks:
        assert distance.min() < -1e-3 and distance.max() > 1e-3 and np.abs(distance).min() > 1e-3


@every_objective
def test_gradient_matches_finite_differences(name, options, float64):
    """Central differences of every one of the 24 token log-probs."""
    batch, step = random_batch(0), 1e-5
    slope = slope_of(name, batch, options=options)
    assert jnp.abs(slope).max() > 1e-3
    for position in np.ndindex(slope.shape):
        moved = np.zeros(slope.shape)
        moved[position] = step
        up, down = (
            loss_of(name, batch._replace(token_log_probs=batch.token_log_probs + d), options=options)
            for d in (moved, -moved)
        )
        np.testing.assert_allclose((up - down) / (2 * step), slope[position], rtol=1e-6, atol=1e-8)


@every_method
@every_unit
def test_only_the_policy_receives_a_gradient(name, options):
    """Behavior, reference, rewards and advantages are constants of every loss."""
    batch = random_batch(0)
    _, (_, *on_constants) = compiled(name, options)(tuple(batch[:5]), (None, None), HYPER)
    for gradient in on_constants:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@functools.cache
def _objective(name):
    return jax.jit(lambda batch, hyper: METHODS[name].objective(batch, hyper, OPTIONS))


@every_method
def test_losses_come_unreduced_with_weights_that_count(name):
    """One loss a prompt, a response or a pair; weights are whole numbers ≥ 0, never the method's coefficients."""
    losses, weights = _objective(name)(random_batch(0), HYPER)
    assert losses.shape == weights.shape
    assert losses.shape in {(3,), (3, 4), (3, 4, 4)}
    np.testing.assert_array_equal(weights, np.maximum(np.round(weights), 0))
    assert weights.sum() > 0


@every_method
def test_jit_is_eager(name):
    compiled, eager = _objective(name)(random_batch(0), HYPER), METHODS[name].objective(random_batch(0), HYPER, OPTIONS)
    np.testing.assert_allclose(compiled.losses, eager.losses, rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(compiled.weights, eager.weights)


# A second and a third set of hyper-parameters, each number changed.
SWEPT = (
    HYPER,
    HyperParameters(1e-2, 0.1, 0.05, 0.2, 0.05, 2.0, 0.9, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 2.0, 0.1, 1.0, 0.5),
    HyperParameters(1e-1, 1.0, 1.0, 5.0, 0.5, 0.1, 0.1, 3.0, 0.4, 0.1, 2.0, 3.0, 0.4, 5.0, 0.02, 0.7, 20.0, 0.9),
)


@every_method
def test_vmap_over_hyper_parameters_is_a_loop(name):
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(leaves), *SWEPT)
    together = jax.jit(jax.vmap(lambda hyper: METHODS[name].objective(random_batch(0), hyper, OPTIONS)))(stacked)
    for i, hyper in enumerate(SWEPT):
        alone = _objective(name)(random_batch(0), hyper)
        np.testing.assert_allclose(together.losses[i], alone.losses, rtol=2e-6, atol=1e-6)
        np.testing.assert_array_equal(together.weights[i], alone.weights)


@every_method
def test_numbers_never_recompile(name):
    traced = []
    count = jax.jit(lambda hyper: (traced.append(name), METHODS[name].objective(random_batch(0), hyper, OPTIONS))[1])
    for hyper in SWEPT:
        count(hyper)
    assert traced == [name]


SECOND_VALUES = {
    "learning_rate": 1.0,
    "beta": 0.1,
    "tau": 0.05,
    "temperature": 0.2,
    "clip_epsilon": 0.01,
    "negative_weight": 2.0,
    "negative_threshold": 1e-4,
    "top_k": 1.0,
    "reward_gap": 0.65,
    "kl_coefficient": 1.0,
    "target_margin": 1.1,
    "sft_weight": 0.0,
    "label_noise": 0.3,
    "positive_weight": 0.5,
    "reward_bound": 1.0,
    "clip_epsilon_high": 0.01,
    "eta": 1.0,
    "mixture": 0.5,
    "label_temperature": 0.3,
}


@every_method
def test_a_row_says_which_hyper_parameters_its_loss_reads(name):
    """Loss and gradient of each one's second value: different if the row names it, to the bit the same if not."""
    batch = random_batch(0)
    before = loss_of(name, batch), slope_of(name, batch)
    moved = {f: dataclasses.replace(HYPER, **{f: v}) for f, v in SECOND_VALUES.items()}
    assert {f for f, h in moved.items() if loss_of(name, batch, h) != before[0]} == set(METHODS[name].hyper)
    assert {f for f, h in moved.items() if (slope_of(name, batch, h) != before[1]).any()} == set(METHODS[name].hyper)


def test_the_list_of_hyper_parameters_is_complete():
    assert list(SECOND_VALUES) == [field.name for field in dataclasses.fields(HyperParameters)] == list(HYPER_RANGES)


def test_the_loops_hyper_parameters_are_every_methods():
    """Those that no loss reads are the loop's, the labels' or the sampler's, and a row reads its own and the loop's.

    The KL coefficient is the loop's and, where a loss has the KL itself, that loss's instead.
    """
    assert set(HYPER_RANGES) - {h for m in METHODS.values() for h in m.own_hyper} == {
        "learning_rate",
        "label_temperature",
    }
    in_losses = {h for m in METHODS.values() for h in m.hyper}
    assert set(SAMPLER_HYPER).isdisjoint(in_losses)
    assert {n for n, m in METHODS.items() if m.has_kl_in_its_loss} == {"grpo", "nash_md"}
    assert METHODS["ipo_md"].reads("mixture")
    assert not METHODS["ipo"].reads("mixture")
    assert [h for h in HYPER_RANGES if METHODS["ppo"].reads(h)] == ["learning_rate", "clip_epsilon", "kl_coefficient"]
    with pytest.raises(ValueError, match="'clip' is not a hyper-parameter; they are learning_rate, beta"):
        METHODS["ppo"].reads("clip")


FIELDS = {
    "behavior_token_log_probs": {"behavior"},
    "reference_token_log_probs": {"reference"},
    "rewards": {"groups", "group rewards", "pairs", "unpaired labels"},
    "advantages": {"advantages"},
}
"""Each array of a batch, and the needs of a method that reads it."""


@every_method
@every_unit
@pytest.mark.parametrize("field", FIELDS)
def test_a_row_says_which_arrays_its_loss_reads(name, options, field):
    """Another array in a needed one's place is another loss; one that is not needed may be anything, or missing."""
    batch, needed = random_batch(0), bool(FIELDS[field] & METHODS[name].needs)
    other = getattr(random_batch(5), field)
    before, after = (slope_of(name, b, options=options) for b in (batch, batch._replace(**{field: other})))
    assert bool((before != after).any()) == needed
    lost = batch._replace(**{field: jnp.full_like(other, jnp.nan)})
    assert np.array_equal(slope_of(name, lost, options=options), before) != needed
    missing = batch._replace(**{field: None})
    if needed:
        with pytest.raises(ValueError, match=f"this batch has no {field}"):
            loss_of(name, missing, options=options)
    else:
        np.testing.assert_array_equal(slope_of(name, missing, options=options), before)


BY_DIFFERENCES = {"rloo", "grpo", "dr_grpo", "dapo", "gspo"}
"""Methods of groups that ask how far rewards are apart; to the others their order is all."""


@every_method
def test_needs_of_pairs_groups_and_advantages(name):
    """Pairs: the pair scheme matters. Groups: rewards within a prompt alone, by their order or, for some, by how far
    they are apart. Advantages: across prompts too."""
    batch, row = random_batch(0), METHODS[name]
    scheme = slope_of(name, batch, options=Options(pair_scheme="adjacent"))
    assert bool((scheme != slope_of(name, batch)).any()) == ("pairs" in row.needs)
    one = jnp.asarray([[0.0], [5.0], [0.0]])
    shifted = batch._replace(rewards=batch.rewards + one, advantages=batch.advantages + one)
    no_gap = dataclasses.replace(HYPER, reward_gap=0.0)
    before = slope_of(name, batch, no_gap)
    moved = not np.allclose(slope_of(name, shifted, no_gap), before, rtol=1e-4, atol=1e-6)
    assert moved == ("advantages" in row.needs)
    squeezed = batch._replace(rewards=jnp.exp(batch.rewards))
    assert bool((slope_of(name, squeezed, no_gap) != before).any()) == (name in BY_DIFFERENCES)
    assert ("group rewards" in row.needs) == (name in BY_DIFFERENCES)
    kinds = ("pairs", "groups", "group rewards", "advantages", "unpaired labels")
    assert sum(need in row.needs for need in kinds) == 1


@every_method
def test_negative_gradients_are_where_table_1_says(name):
    """A positive slope on log π pushes a response down: some do under a negative gradient, none without it."""
    slopes = np.concatenate([np.asarray(slope_of(name, random_batch(seed))) for seed in range(3)])
    assert (slopes < 0).any()
    assert (slopes > 0).any() == METHODS[name].negative_gradient


def test_table_1():
    """The paper's Table 1: on-policy sampling, sample reuse, negative gradient."""
    rows = {
        "ppo": (True, True, True),
        "reinforce": (True, False, True),
        "dpo": (False, None, True),
        "ipo": (False, None, True),
        "pref_ft": (False, None, False),
        "binary_feedme": (False, None, False),
        "rest": (True, True, False),
        "rwr": (True, True, False),
        "best_of_n": (True, True, False),
    }
    table = {n: (m.on_policy, m.sample_reuse, m.negative_gradient) for n, m in METHODS.items()}
    assert {name: table[name] for name in rows} == rows
    assert {name for name, method in METHODS.items() if method.policy_gradient} == {
        *("reinforce", "ppo", "topr", "nash_md"),
        *BY_DIFFERENCES,
    }
    assert {name for name, method in METHODS.items() if method.token_advantages} == {"reinforce", "ppo", "topr"}
    assert all((method.sample_reuse is None) == (not method.on_policy) for method in METHODS.values())
