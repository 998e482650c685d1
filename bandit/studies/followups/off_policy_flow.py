"""Off-policy REINFORCE with a baseline V, tabular: its exact flow, its limit, and training from samples.

Ascent on E_μ[(r - V) log π] from data of the behavior policy μ moves the logits of π by

    dl(y)/dt = a(y) - b π(y)    with a(y) = μ(y) (r(y) - V), b = Σ a = V^μ - V, V^μ = E_μ[r].

For V < V^μ the objective is concave, and a flow of logits that all move alike is at rest: π(y) = (a(y) - c)₊/b, with
the c that makes it sum to one, whatever it starts from. At V = V^μ the logits move at the constant speeds a, to the arm
with the largest. For V > V^μ what has more mass gains more: one arm is left, and which one depends on the start.
"""

import dataclasses

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import log_softmax, softmax

from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.followups.tabular import draw
from modeseek.bandit.studies.protocol import Protocol

SUPPORTED = 1e-6
"""Probability from which on an arm belongs to a limit's support, and is drawn by it; an arm that has less is gone. The
exact flow would bring it back after ever longer: it starts at μ, where it climbs the expected reward."""
TRAINED_SUPPORT = 1e-3
"""The same of a policy that was trained."""


def pushes(
    behavior: Float[np.ndarray, "*B K"], rewards: Float[np.ndarray, "*B K"], offset: float
) -> Float[np.ndarray, "*B K"]:
    """a(y) = μ(y) (r(y) - V), with V = V^μ + offset."""
    value = (behavior * rewards).sum(-1, keepdims=True)
    return np.asarray(behavior * (rewards - value - offset))


def limit(
    behavior: Float[np.ndarray, "*B K"], rewards: Float[np.ndarray, "*B K"], offset: float
) -> Float[np.ndarray, "*B K"]:
    """Where the flow that starts at μ ends, for V = V^μ + offset; arms that μ never takes stay out."""
    pushed = pushes(behavior, rewards, offset)
    if offset < 0:
        return water_level(pushed / -offset)
    if offset == 0:
        taken = np.where(behavior > 0, pushed, -np.inf)
        return np.asarray(np.eye(behavior.shape[-1])[taken.argmax(-1)])
    with np.errstate(divide="ignore"):
        return flow(np.log(behavior), pushed, offset)


def water_level(values: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "*B K"]:
    """(v - c)₊ with the c at which it sums to one: the Euclidean projection onto the simplex."""
    ordered = -np.sort(-values, axis=-1)
    excess = (np.cumsum(ordered, -1) - 1) / np.arange(1, values.shape[-1] + 1)
    last = (ordered > excess).sum(-1, keepdims=True) - 1
    return np.maximum(values - np.take_along_axis(excess, last, -1), 0)


def flow(
    logits: Float[np.ndarray, "*B K"], pushed: Float[np.ndarray, "*B K"], offset: float, steps: int = 4000
) -> Float[np.ndarray, "*B K"]:
    """The policy after so many Euler steps, in each of which the logits move by a twentieth of a nat at most."""
    for _ in range(steps):
        speed = pushed + offset * softmax(logits, -1)
        if np.abs(speed).max() < 1e-12:  # nothing moves any more: one arm is left, and no other is drawn
            break
        logits = logits + 0.05 * speed / np.maximum(np.abs(speed).max(-1, keepdims=True), 1e-300)
    return np.asarray(softmax(logits, -1))


def problems(generators: list[np.random.Generator], arms: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """A behavior policy (normal logits) and mean rewards (uniform on 0 to 1) of each generator, `[S, K]` each."""
    behavior = np.stack([softmax(spread * rng.standard_normal(arms)) for rng in generators])
    return behavior, np.stack([rng.random(arms) for rng in generators])


@dataclasses.dataclass(frozen=True)
class Limits:
    """Problems whose limits are computed.

    Attributes:
        arms: K.
        spread: standard deviation of the behavior policy's logits.
        problems: how many, drawn by NumPy's generators 0, 1, ….
        offsets: V - V^μ.
        rounds: of taking the limit for the next behavior policy.
    """

    arms: int = 100
    spread: float = 1.0
    problems: int = 100
    offsets: tuple[float, ...] = (
        -1,
        -0.5,
        -0.3,
        -0.2,
        -0.1,
        -0.05,
        -0.02,
        -0.01,
        -0.001,
        0,
        0.001,
        0.01,
        0.05,
        0.1,
        0.2,
    )
    rounds: int = 20


def enumerated(setup: Limits, protocol: Protocol) -> xarray.Dataset:
    """Reward, entropy and support of the limit, and the reward after each round; no seeds."""
    generators = [np.random.default_rng(number) for number in range(setup.problems)]
    behavior, rewards = problems(generators, setup.arms, setup.spread)
    shape = (len(setup.offsets), setup.problems)
    entropy, support, repeated = np.zeros(shape), np.zeros(shape), np.zeros((*shape, setup.rounds + 1))
    for i, offset in enumerate(setup.offsets):
        policy = behavior
        repeated[i, :, 0] = (policy * rewards).sum(-1)
        for turn in range(setup.rounds):
            policy = limit(np.where(policy > SUPPORTED, policy, 0), rewards, offset)
            repeated[i, :, turn + 1] = (policy * rewards).sum(-1)
            if turn == 0:
                entropy[i] = -(policy * np.log(np.where(policy > 0, policy, 1))).sum(-1)
                support[i] = (policy > SUPPORTED).sum(-1)
    dims = ("offset", "problem")
    return xarray.Dataset(
        {
            "reward": (dims, repeated[..., 1].astype(np.float32)),
            "entropy": (dims, entropy.astype(np.float32)),
            "support": (dims, support.astype(np.float32)),
            "repeated": ((*dims, "round"), repeated.astype(np.float32)),
            "best": ("problem", rewards.max(-1).astype(np.float32)),
        },
        {"offset": list(setup.offsets), "round": np.arange(setup.rounds + 1)},
    )


@dataclasses.dataclass(frozen=True)
class OffPolicy:
    """Runs at every offset.

    Attributes:
        arms: K.
        spread: standard deviation of the behavior policy's logits.
        offsets: V - V^μ.
        steps: updates.
        batch: samples of the behavior policy an update; an arm pays 1 with its mean reward's probability, else 0.
        rate: of plain gradient ascent on the logits.
    """

    arms: int = 100
    spread: float = 1.0
    offsets: tuple[float, ...] = (-0.5, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2)
    steps: int = 10_000
    batch: int = 32
    rate: float = 5.0


def train_off_policy(setup: OffPolicy, protocol: Protocol) -> xarray.Dataset:
    """From π = μ; each seed draws the problem and the samples, the same for every offset.

    Returns:
        `[seed, offset]`: `gain`, the expected reward at the end less V^μ, `entropy` in nats and `support`, arms.
    """
    generators = [np.random.default_rng(seed) for seed in seeds_of(protocol)]
    behavior, rewards = problems(generators, setup.arms, setup.spread)
    value = (behavior * rewards).sum(-1)
    baselines = value[:, None] + np.asarray(setup.offsets)
    logits = np.repeat(np.log(behavior)[:, None], len(setup.offsets), 1)
    seed = np.arange(len(generators))[:, None]
    cells, row = logits.size, np.arange(baselines.size).reshape(baselines.shape)
    for _ in range(setup.steps):
        uniform = np.stack([rng.random((2, setup.batch)) for rng in generators], 1)
        sampled = draw(behavior, uniform[0])
        paid = (uniform[1] < rewards[seed, sampled]).astype(float)
        weights = paid[:, None] - baselines[..., None]
        at = row[..., None] * setup.arms + sampled[:, None]
        pushed = np.bincount(at.ravel(), weights.ravel(), cells).reshape(logits.shape)
        logits += setup.rate / setup.batch * (pushed - softmax(logits, -1) * pushed.sum(-1, keepdims=True))
    log_probs = log_softmax(logits, -1)
    probs = np.exp(log_probs)
    found = {
        "gain": (probs * rewards[:, None]).sum(-1) - value[:, None],
        "entropy": -(probs * log_probs).sum(-1),
        "support": (probs > TRAINED_SUPPORT).sum(-1),
    }
    return xarray.Dataset(
        {name: (("seed", "offset"), values.astype(np.float32)) for name, values in found.items()},
        {"seed": list(seeds_of(protocol)), "offset": list(setup.offsets)},
    )
