"""DPO in rounds on a linear softmax bandit: pairs of the policy's own, or of the reference alone.

    π_θ(y) ∝ π_ref(y) e^(θ·φ(y)),  r(y) = β θ*·φ(y),  P(y ≻ y') = σ(r(y) - r(y')),

so that π_θ* is the optimum of E[r] - β KL(π ‖ π_ref), and DPO's loss, whose normalisers cancel, a logistic regression:

    -log σ(β θ·(φ(chosen) - φ(rejected))).

Each round draws n pairs and minimises the loss on them, or on all pairs so far. Only how often each pair of arms came
and who won matters, so a round costs the same for every n.
"""

import dataclasses

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import expit, log_softmax

from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.protocol import Protocol

DATA = ("on-policy", "on-policy, all so far", "offline")


@dataclasses.dataclass(frozen=True)
class Rounds:
    """A problem a seed, and how it is learnt.

    Attributes:
        batches: n, pairs a round.
        rounds: of each batch.
        arms: K; features are standard normal.
        features: d.
        far: the reference is π ∝ e^(-far v·φ) for a random unit vector v, away from the target.
        near: the target is π ∝ e^(near w·φ) for another, w: it is spread over all arms.
        beta: β.
        ridge: λ of the penalty λ‖θ‖²/2 on the sum of losses: small batches may be separable.
    """

    batches: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000, 10_000)
    rounds: int = 10
    arms: int = 30
    features: int = 4
    far: float = 4.0
    near: float = 0.5
    beta: float = 0.3
    ridge: float = 0.1


def learn(setup: Rounds, protocol: Protocol) -> xarray.Dataset:
    """What is learnt after each round.

    Returns:
        `[seed, data, batch, round]`: `kl`, KL(π* ‖ π_θ) in nats, and the `coverage` of the target by π_θ; offline, as
        many pairs were drawn in all as by the others so far.
    """
    shape = (protocol.fresh_seeds, len(DATA), len(setup.batches), setup.rounds + 1)
    found, covered = np.zeros(shape), np.zeros(shape)
    for i, seed in enumerate(seeds_of(protocol)):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((setup.arms, setup.features))
        away, toward = (v / np.linalg.norm(v) for v in rng.standard_normal((2, setup.features)))
        truth = setup.far * away + setup.near * toward
        reference = log_softmax(-setup.far * features @ away)
        target = log_softmax(reference + features @ truth)
        for b, batch in enumerate(setup.batches):
            for d, data in enumerate(DATA):
                thetas = rounds_of(features, reference, truth, batch, data, setup, rng)
                learnt = log_softmax(reference + thetas @ features.T, axis=-1)
                found[i, d, b] = (np.exp(target) * (target - learnt)).sum(-1)
                covered[i, d, b] = [coverage(features, np.exp(each), np.exp(target)) for each in learnt]
    dims = ("seed", "data", "batch", "round")
    return xarray.Dataset(
        {"kl": (dims, found.astype(np.float32)), "coverage": (dims, covered.astype(np.float32))},
        {
            "seed": list(seeds_of(protocol)),
            "data": list(DATA),
            "batch": list(setup.batches),
            "round": np.arange(setup.rounds + 1),
        },
    )


def coverage(
    features: Float[np.ndarray, "K d"], sampling: Float[np.ndarray, "K"], target: Float[np.ndarray, "K"]
) -> float:
    """The largest x·Σ*x / x·Σx over x, of the features' covariances under target and sampling policy; 1 at the target.

    It is infinite where the sampling policy is, to a float's precision, on too few arms.
    """
    of_sampling, of_target = (covariance(features, probs) for probs in (sampling, target))
    if np.linalg.cond(of_sampling) > 1e14:
        return np.inf
    return float(np.linalg.eigvals(np.linalg.solve(of_sampling, of_target)).real.max())


def covariance(features: Float[np.ndarray, "K d"], probs: Float[np.ndarray, "K"]) -> Float[np.ndarray, "d d"]:
    """Σ π(y) (φ - φ̄)(φ - φ̄)ᵀ."""
    centred = features - probs @ features
    return np.asarray((probs[:, None] * centred).T @ centred)


def rounds_of(
    features: Float[np.ndarray, "K d"],
    reference: Float[np.ndarray, "K"],
    truth: Float[np.ndarray, "d"],
    batch: int,
    data: str,
    setup: Rounds,
    rng: np.random.Generator,
) -> Float[np.ndarray, "rounds d"]:
    """θ at the start, which is zero, and after each round."""
    thetas = [np.zeros(len(truth))]
    won = np.zeros((len(features), len(features)))
    for _ in range(setup.rounds):
        sampled = log_softmax(reference + (0 if data == "offline" else features @ thetas[-1]))
        fresh = wins(np.exp(sampled), setup.beta * features @ truth, batch, rng)
        won = fresh if data == "on-policy" else won + fresh
        thetas.append(dpo(features, won, setup.beta, setup.ridge, thetas[-1]))
    return np.stack(thetas)


def wins(
    probs: Float[np.ndarray, "K"], rewards: Float[np.ndarray, "K"], batch: int, rng: np.random.Generator
) -> Float[np.ndarray, "K K"]:
    """How often each arm (row) won against each (column), of `batch` pairs that are drawn and judged independently."""
    pairs = rng.multinomial(batch, np.outer(probs, probs).ravel()).reshape(len(probs), -1)
    first = rng.binomial(pairs, expit(rewards[:, None] - rewards))
    return np.asarray(first + (pairs - first).T, float)


def dpo(
    features: Float[np.ndarray, "K d"],
    won: Float[np.ndarray, "K K"],
    beta: float,
    ridge: float,
    start: Float[np.ndarray, "d"],
) -> Float[np.ndarray, "d"]:
    """The θ of the least Σ won · -log σ(β θ·(φ - φ')) + ridge ‖θ‖²/2, by Newton's method with halved steps."""
    winner, loser = np.nonzero(won)
    counts, gaps = won[winner, loser], beta * (features[winner] - features[loser])
    loss = lambda theta: counts @ np.logaddexp(0, -gaps @ theta) + ridge * theta @ theta / 2
    theta = start
    for _ in range(100):
        missed = expit(-gaps @ theta)
        gradient = ridge * theta - gaps.T @ (counts * missed)
        curvature = ridge * np.eye(len(theta)) + (gaps.T * (counts * missed * (1 - missed))) @ gaps
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while loss(theta - size * step) > loss(theta) and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(theta)
