"""What tests of every method share: a batch on which every number matters, compiled losses and their gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.registry import METHODS

OPTIONS = Options()
# Chosen so that every one matters on the batches below: some ratios are clipped, some negatives fall below the
# threshold, the gap drops some pairs, and the bound cuts some margins.
HYPER = HyperParameters(
    beta=0.3,
    tau=0.2,
    temperature=0.7,
    clip_epsilon=0.2,
    negative_weight=0.8,
    negative_threshold=0.5,
    top_k=2.0,
    reward_gap=0.15,
    target_margin=0.4,
    sft_weight=0.6,
    label_noise=0.15,
    positive_weight=2.0,
    reward_bound=0.1,
    kl_coefficient=0.3,
    clip_epsilon_high=0.35,
    eta=3.0,
)
TOKEN_RATIO = Options(ratio="token")
TOKEN_UNITS = Options(ratio="token", margin="token", negatives="token")
every_method = pytest.mark.parametrize("name", METHODS)
SELDOM = pytest.mark.release
"""Of a test that goes over all methods: what repeats it for further options is left to those of a release."""
every_unit = pytest.mark.parametrize(
    "options", [pytest.param(OPTIONS, id="sequence"), pytest.param(TOKEN_UNITS, id="token", marks=SELDOM)]
)


def random_batch(seed=0, prompts=3, responses=4, tokens=2):
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
def compiled(name, options):
    """Loss and its gradient on the batch's five arrays, compiled once for all tests of a method."""

    def loss(arrays, masks, hyper):
        return reduce.loss(METHODS[name], Batch(*arrays, *masks), hyper, options)

    return jax.jit(jax.value_and_grad(loss))


def loss_of(name, batch, hyper=HYPER, options=OPTIONS):
    return compiled(name, options)(tuple(batch[:5]), tuple(batch[5:]), hyper)[0]


def slope_of(name, batch, hyper=HYPER, options=OPTIONS):
    """∂ loss / ∂ token log-probs of the policy."""
    return compiled(name, options)(tuple(batch[:5]), tuple(batch[5:]), hyper)[1][0]
