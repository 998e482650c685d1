"""KL-regularised policy gradients on two modes of equal reward: reverse and forward KL, rewards anchored and not."""

import dataclasses

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import log_softmax

from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.followups.mode_targets import (
    CATEGORIES,
    MODES,
    WINDOW,
    anchored,
    reference_of,
    rewards_of,
)
from modeseek.bandit.studies.followups.tabular import draw, less_the_others
from modeseek.bandit.studies.protocol import Protocol


@dataclasses.dataclass(frozen=True)
class ModeTraining:
    """A run.

    Attributes:
        kind: `reverse` or `forward` KL to the reference.
        adjusted: whether rewards are anchored; the anchor is of the batch.
        beta: β.
        log_gap: nats between the reference's log-probabilities at the two peaks.
        width: of the peaks, tokens.
        threshold: of anchored rewards.
        jitter: standard deviation of what a seed adds to every logit of the reference.
        steps: updates of plain gradient ascent on the logits.
        batch: samples an update; forward, as many again of the reference.
        rate: of the ascent.
        interval: updates between evaluations.
    """

    kind: str
    adjusted: bool
    beta: float
    log_gap: float = 1.9
    width: float = 5.0
    threshold: float = 0.95
    jitter: float = 0.3
    steps: int = 4000
    batch: int = 64
    rate: float = 2.0
    interval: int = 200


def train_modes(setup: ModeTraining, protocol: Protocol) -> xarray.Dataset:
    """Runs from the reference, which each seed draws.

    Returns:
        `[seed, step]`: expected `reward` (the given one), and the `share` of the second mode in the mass of both.
    """
    generators = [np.random.default_rng(seed) for seed in seeds_of(protocol)]
    rewards = rewards_of((1.0, 1.0), setup.width)
    base = np.log(reference_of(setup.log_gap))
    reference = log_softmax([base + setup.jitter * rng.standard_normal(CATEGORIES) for rng in generators], axis=-1)
    logits, steps = reference.copy(), range(0, setup.steps + 1, setup.interval)
    found = np.zeros((len(generators), len(steps), 2))
    for step in range(setup.steps + 1):
        if step % setup.interval == 0:
            found[:, step // setup.interval] = evaluate(logits, rewards)
        uniform = np.stack([rng.random((2, setup.batch)) for rng in generators], 1)
        logits = logits + setup.rate * ascent(logits, reference, rewards, uniform, setup)
    curves = {name: (("seed", "step"), found[..., i].astype(np.float32)) for i, name in enumerate(("reward", "share"))}
    return xarray.Dataset(curves, {"seed": list(seeds_of(protocol)), "step": list(steps)})


def ascent(
    logits: Float[np.ndarray, "S K"],
    reference: Float[np.ndarray, "S K"],
    rewards: Float[np.ndarray, "K"],
    uniform: Float[np.ndarray, "2 S B"],
    setup: ModeTraining,
) -> Float[np.ndarray, "S K"]:
    """A sampled ∇ of E_π[r] - β KL(π ‖ π_ref), with k1 in the reward, or of E_π[r] - β KL(π_ref ‖ π).

    The second's regulariser has the gradient β E_ref[∇log π]: a step of maximum likelihood on the reference's samples.

    Args:
        logits: of the policies.
        reference: log-probabilities.
        rewards: of all responses.
        uniform: numbers that draw a batch of the policy, and one of the reference.
        setup: the run.
    """
    log_probs = log_softmax(logits, axis=-1)
    sampled = draw(np.exp(log_probs), uniform[0])
    of_reference = np.take_along_axis(reference, sampled, -1)
    returns = rewards[sampled]
    if setup.adjusted:
        returns = anchored(of_reference, returns, setup.beta, setup.threshold)
    if setup.kind == "reverse":
        returns = returns - setup.beta * (np.take_along_axis(log_probs, sampled, -1) - of_reference)
    pushed = _sums(sampled, less_the_others(returns))
    if setup.kind == "forward":
        pushed = pushed + setup.beta * _sums(draw(np.exp(reference), uniform[1]), np.ones_like(returns))
    return np.asarray((pushed - np.exp(log_probs) * pushed.sum(-1, keepdims=True)) / setup.batch)


def _sums(sampled: np.ndarray, values: Float[np.ndarray, "S B"]) -> Float[np.ndarray, "S K"]:
    """What the samples of each response add up to."""
    cell = np.arange(len(sampled))[:, None] * CATEGORIES + sampled
    return np.bincount(cell.ravel(), values.ravel(), len(sampled) * CATEGORIES).reshape(len(sampled), CATEGORIES)


def evaluate(logits: Float[np.ndarray, "S K"], rewards: Float[np.ndarray, "K"]) -> Float[np.ndarray, "S 2"]:
    """Expected reward and the second mode's share, of every seed."""
    probs = np.exp(log_softmax(logits, axis=-1))
    first, second = (probs[:, mode - WINDOW : mode + WINDOW + 1].sum(-1) for mode in MODES)
    return np.stack([probs @ rewards, second / (first + second)], -1)
