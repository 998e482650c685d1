"""Gradients of sampled estimates of KL(policy ‖ reference), enumerated: three estimates, three places.

With the log-ratios ℓ_t = log π(y_t | y_<t) - log π_ref(y_t | y_<t), the estimates of a token are (Schulman,
*Approximating KL divergence*, 2020)

    k1 = ℓ,    k2 = ℓ²/2,    k3 = e^(-ℓ) - 1 + ℓ,

and k = Σ_t k_t that of a sequence. The gradient of E_π[k] has two terms, and a placement takes one of them or both:

    in the loss:    Σ_t ∇k_t(y_t)  (the sample is held),    in the reward:    k(y) ∇log π(y)  (k is held).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.studies.followups.tabular import Space, scores, space, token_log_probs
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.protocol import Protocol

ESTIMATES = ("k1", "k2", "k3")
PLACES = ("reward", "loss", "both")


def estimate(name: str, log_ratios: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """k1, k2 or k3 of tokens whose log policy - log reference is given, nats."""
    if name == "k1":
        return log_ratios
    return log_ratios**2 / 2 if name == "k2" else np.expm1(-log_ratios) + log_ratios


def slope(name: str, log_ratios: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """dk/dℓ: what a token's ∇log π is multiplied by in the loss."""
    if name == "k1":
        return np.ones_like(log_ratios)
    return log_ratios if name == "k2" else -np.expm1(-log_ratios)


def coefficients(name: str, place: str, log_ratios: Float[np.ndarray, "*B T"]) -> Float[np.ndarray, "*B T"]:
    """c_t of the estimated gradient Σ_t c_t ∇log π(y_t | y_<t), from the log-ratios of a sequence's tokens.

    In the reward c_t = Σ_s k_s, the same for every token; in the loss c_t = dk_t/dℓ_t; in both their sum.
    """
    in_reward = np.broadcast_to(estimate(name, log_ratios).sum(-1, keepdims=True), log_ratios.shape)
    if place == "reward":
        return in_reward
    in_loss = slope(name, log_ratios)
    return in_loss if place == "loss" else in_loss + in_reward


def exact_gradient(
    space: Space, logits: Float[np.ndarray, "rows V"], reference: Float[np.ndarray, "rows V"]
) -> Float[np.ndarray, "rows V"]:
    """∇ KL(π ‖ π_ref) = Σ_y π(y) (log π(y) - log π_ref(y)) ∇log π(y), over all sequences."""
    log_probs, of_reference = (token_log_probs(space, each).sum(-1) for each in (logits, reference))
    weights = np.exp(log_probs) * (log_probs - of_reference)
    return np.asarray(np.einsum("y,ytrv->rv", weights, scores(space, logits)))


class Moments(NamedTuple):
    """What an estimated gradient g is beside the exact one, all in shares of the exact one's norm; `[k, place]` each.

    Attributes:
        bias: ‖E[g] - ∇KL‖.
        size: ‖E[g]‖.
        noise: √(E‖g - E[g]‖²), of one sequence.
    """

    bias: Float[np.ndarray, "*B k place"]
    size: Float[np.ndarray, "*B k place"]
    noise: Float[np.ndarray, "*B k place"]


def moments(
    space: Space,
    logits: Float[np.ndarray, "rows V"],
    reference: Float[np.ndarray, "rows V"],
    behavior: Float[np.ndarray, "rows V"],
    weighted: bool = False,
) -> Moments:
    """Every estimate in every place, from one sequence of the behavior policy.

    Args:
        space: the sequences.
        logits: of the policy.
        reference: its logits.
        behavior: logits of the policy that samples; the policy itself, if on-policy.
        weighted: whether a sequence counts π(y)/behavior(y) times.
    """
    per_token = token_log_probs(space, logits)
    log_ratios = per_token - token_log_probs(space, reference)
    sampled = token_log_probs(space, behavior).sum(-1)
    factor = np.exp(per_token.sum(-1) - sampled) if weighted else np.ones(len(sampled))
    exact, found = exact_gradient(space, logits, reference), scores(space, logits)
    norm = np.linalg.norm(exact)
    result = Moments(*np.zeros((3, len(ESTIMATES), len(PLACES))))
    for i, name in enumerate(ESTIMATES):
        for j, place in enumerate(PLACES):
            gradients = np.einsum("y,yt,ytrv->yrv", factor, coefficients(name, place, log_ratios), found)
            mean = np.einsum("y,yrv->rv", np.exp(sampled), gradients)
            squares = ((gradients - mean) ** 2).sum((-2, -1)) @ np.exp(sampled)
            result.bias[i, j] = np.linalg.norm(mean - exact) / norm
            result.size[i, j] = np.linalg.norm(mean) / norm
            result.noise[i, j] = np.sqrt(squares) / norm
    return result


@dataclasses.dataclass(frozen=True)
class Enumeration:
    """Pairs of a policy and a reference, and how far the policy that samples is from the policy.

    Attributes:
        vocab: V.
        length: T.
        pairs: how many; logits of both are standard normal.
        draws: the seed of NumPy's generator that they are drawn with.
        staleness: standard deviations of what is added to the policy's logits to have the behavior policy's.
    """

    vocab: int = 3
    length: int = 2
    pairs: int = 100
    draws: int = 0
    staleness: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)


def enumerated(setup: Enumeration, protocol: Protocol) -> xarray.Dataset:
    """The moments of every pair and staleness, without weights and with them; no seeds."""
    sequences = space(setup.vocab, setup.length)
    rng = np.random.default_rng(setup.draws)
    found = np.zeros((3, len(setup.staleness), 2, setup.pairs, len(ESTIMATES), len(PLACES)))
    for pair in range(setup.pairs):
        logits, reference, away = rng.standard_normal((3, sequences.prefixes, setup.vocab))
        for i, far in enumerate(setup.staleness):
            for weighted in (0, 1):
                behavior = logits + far * away
                found[:, i, weighted, pair] = moments(sequences, logits, reference, behavior, bool(weighted))
    dims = ("staleness", "weighted", "pair", "estimate", "place")
    return xarray.Dataset(
        {name: (dims, found[i].astype(np.float32)) for i, name in enumerate(Moments._fields)},
        {"staleness": list(setup.staleness), "weighted": [0, 1], "estimate": list(ESTIMATES), "place": list(PLACES)},
    )


NORM = Unit("share of the exact gradient's norm", 0.01)


def gradient(variable: str, over: str, estimate: str, place: str, staleness: float = 0.0, weighted: int = 0) -> Measure:
    """The `max`, `min` or `mean` over pairs of one of the `Moments`."""
    where = {"estimate": estimate, "place": place, "staleness": staleness, "weighted": weighted}
    named = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in where.values())
    return Measure(
        f"{over} {variable} {named}",
        lambda data: getattr(data[variable].sel(where), over)("pair"),
        f"{over} over pairs of the {variable}",
        NORM,
    )
