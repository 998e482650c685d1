"""Which responses of a prompt are compared: weights `[..., N, N]`, 1 where row i is preferred to column j.

A matrix with zeros instead of a list of pairs: its shape does not depend on ties, so nothing recompiles, and on
N = 10 the 55 unused entries cost less than one gather. Ties are no preference and get weight 0, unless asked for.

`present`, here and in `likelihood`, says which responses are real, `[..., N]`; None says that all are.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Ties = Literal["skip", "keep"]
PairScheme = Literal["all", "best_worst", "best_rest", "adjacent"]


def ranks(rewards: Float[Array, "*B N"], present: Bool[Array, "*B N"] | None = None) -> Float[Array, "*B N"]:
    """How many responses are better: 0 for the best, N-1 for the worst; of equal ones the earlier is better.

    All real responses are better than an absent one.
    """
    n = rewards.shape[-1]
    mine, theirs = rewards[..., :, None], rewards[..., None, :]
    earlier = jnp.tril(jnp.ones((n, n), bool), k=-1)
    earlier = jnp.broadcast_to(earlier, (*rewards.shape, n))
    better = (theirs > mine) | ((theirs == mine) & earlier)
    if present is not None:
        better = present[..., None, :] & (better | ~present[..., :, None])
    return better.sum(axis=-1).astype(rewards.dtype)


def last_rank(
    rewards: Float[Array, "*B N"], present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B 1"] | float:
    """The rank of a prompt's worst response: its real responses less one."""
    if present is None:
        return rewards.shape[-1] - 1.0
    return present.sum(axis=-1, keepdims=True).astype(rewards.dtype) - 1.0


def all_pairs(
    rewards: Float[Array, "*B N"],
    minimal_gap: Float[Array, ""] | float = 0.0,
    ties: Ties = "skip",
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B N N"]:
    """Every pair i, j with r_i > r_j (paper I.2.2): N(N-1)/2 of them when no two rewards are equal.

    Args:
        rewards: `[..., N]`.
        minimal_gap: pairs with r_i - r_j below it are left out.
        ties: `skip` leaves out equal rewards; `keep` counts them, the later response as the preferred one, as the
            released code does.
        present: which responses are real.
    """
    gap = rewards[..., :, None] - rewards[..., None, :]
    preferred = gap > 0
    if ties == "keep":
        n = rewards.shape[-1]
        later = jnp.broadcast_to(jnp.tril(jnp.ones((n, n), bool), k=-1), gap.shape)
        preferred = preferred | ((gap == 0) & later)
    elif ties != "skip":
        raise ValueError(f"ties must be 'skip' or 'keep', got {ties!r}")
    return _both_present(preferred & (gap >= minimal_gap), present).astype(rewards.dtype)


def best_against_worst(
    rewards: Float[Array, "*B N"],
    minimal_gap: Float[Array, ""] | float = 0.0,
    ties: Ties = "skip",
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B N N"]:
    """One pair a prompt: the best response against the worst (as in Rosset et al. 2024 and iterated DPO)."""
    rank = ranks(rewards, present)
    chosen, rejected = rank == 0, rank == last_rank(rewards, present)
    picked = chosen[..., :, None] & rejected[..., None, :]
    return _both_present(picked & _allowed(rewards, minimal_gap, ties), present).astype(rewards.dtype)


def best_against_rest(
    rewards: Float[Array, "*B N"],
    minimal_gap: Float[Array, ""] | float = 0.0,
    ties: Ties = "skip",
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B N N"]:
    """N-1 pairs a prompt: the best response against each of the others (the paper's figure 18, as released)."""
    chosen = ranks(rewards, present) == 0
    picked = chosen[..., :, None] & ~chosen[..., None, :]
    return _both_present(picked & _allowed(rewards, minimal_gap, ties), present).astype(rewards.dtype)


def adjacent(
    rewards: Float[Array, "*B N"],
    minimal_gap: Float[Array, ""] | float = 0.0,
    ties: Ties = "skip",
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B N N"]:
    """N-1 pairs a prompt: each response against the next one down the ranking."""
    rank = ranks(rewards, present)
    picked = rank[..., None, :] == rank[..., :, None] + 1.0
    return _both_present(picked & _allowed(rewards, minimal_gap, ties), present).astype(rewards.dtype)


def _allowed(rewards: Array, minimal_gap: Array | float, ties: Ties) -> Array:
    """Pairs that the gap and the rule for ties let through, in the order that `ranks` gives to equal rewards."""
    if ties not in ("skip", "keep"):
        raise ValueError(f"ties must be 'skip' or 'keep', got {ties!r}")
    gap = rewards[..., :, None] - rewards[..., None, :]
    return (gap >= minimal_gap) & ((gap > 0) | (ties == "keep"))


def _both_present(pairs: Array, present: Array | None) -> Array:
    return pairs if present is None else pairs & present[..., :, None] & present[..., None, :]


PAIR_SCHEMES = {
    "all": all_pairs,
    "best_worst": best_against_worst,
    "best_rest": best_against_rest,
    "adjacent": adjacent,
}
"""Name → function; `PairScheme` lists the same names for type checkers."""
