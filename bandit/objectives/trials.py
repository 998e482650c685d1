"""Small random batches, and what an objective says of one: its value, its gradient, and its slopes by hand."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options
from modeseek.bandit.objectives.method import Objective

SHAPES = ((2, 3, 4), (3, 4, 2), (1, 2, 1))
"""P, N, T of the batches; in the first two no number is another one, so that none is taken for it."""

STEP = 1e-5
"""Nats of a finite difference: the error of a central one is some 1e-10 times the third derivative, and rounding's."""


def small_batch(shape: tuple[int, int, int], seed: int = 0) -> Batch:
    """Random log-probs of three policies that are near each other, rewards without ties, and standardised rewards."""
    rng = np.random.default_rng(seed)
    policy = -rng.uniform(0.2, 1.5, shape)
    behavior, reference = (np.minimum(policy + 0.25 * rng.normal(size=shape), -0.01) for _ in range(2))
    rewards = rng.uniform(0, 1, shape[:2])
    advantages = (rewards - rewards.mean()) / rewards.std()
    return Batch(
        *(jnp.asarray(each) for each in (policy, behavior, reference, rewards, advantages)),
        mask=jnp.ones(shape, bool),
        response_mask=jnp.ones(shape[:2], bool),
    )


def before_training(shape: tuple[int, int, int]) -> Batch:
    """A batch as the first gradient step sees it: the policy is the reference, and has sampled itself."""
    batch = small_batch(shape, seed=1)
    same = batch.token_log_probs
    return batch._replace(behavior_token_log_probs=same, reference_token_log_probs=same)


def far_away(shape: tuple[int, int, int], seed: int = 0) -> Batch:
    """A batch on which the policy is far from the others: margins of tens of nats, to both sides."""
    batch = small_batch(shape, seed)
    return batch._replace(token_log_probs=10.0 * batch.token_log_probs)


class Seen(NamedTuple):
    """What an objective says of a batch.

    Attributes:
        value: L.
        gradient: in the policy's log-probs, by differentiation.
        forward: by finite differences to one side.
        backward: to the other.
        found: the losses and their weights, before they are reduced.
    """

    value: float
    gradient: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    found: Losses


@runtime_checkable
class Look(Protocol):
    """Look at a batch, with finite differences of a step in nats."""

    def __call__(self, batch: Batch, step: float = STEP) -> Seen:
        """See `Seen`."""
        ...


def value_and_gradient(objective: Objective) -> Callable[[jax.Array, Batch, HyperParameters], Any]:
    """`(log_probs, batch, hyper) → ((value, losses), gradient)`: of the batch with these log-probs of the policy."""

    def reduced(log_probs: jax.Array, batch: Batch, hyper: HyperParameters) -> tuple[jax.Array, Losses]:
        found = objective(batch._replace(token_log_probs=log_probs), hyper, Options())
        return reduce.weighted_mean(*found), found

    return jax.value_and_grad(reduced, has_aux=True)


@functools.lru_cache(maxsize=1)
def looking_at(objective: Objective, hyper: HyperParameters) -> Look:
    """One program, compiled once: every batch has one shape, and masks, if only such that leave nothing out."""
    program = jax.jit(jax.vmap(value_and_gradient(objective), in_axes=(0, None, None)))

    def look(batch: Batch, step: float = STEP) -> Seen:
        at = batch.token_log_probs
        moves = jnp.eye(at.size).reshape(at.size, *at.shape) * step
        rows = at[None] + jnp.concatenate([0 * moves[:1], moves, -moves])
        (values, losses), gradients = jax.tree.map(np.asarray, program(rows, batch, hyper))
        value, ahead, behind = values[0], values[1 : 1 + at.size], values[1 + at.size :]
        forward, backward = (ahead - value) / step, (value - behind) / step
        found = Losses(*(each[0] for each in losses))
        return Seen(float(value), gradients[0], forward.reshape(at.shape), backward.reshape(at.shape), found)

    return look
