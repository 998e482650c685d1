"""Over-optimisation of a learnt reward: from where on the proxy rises and the gold reward falls (Gao et al., 2023)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEAST = 0.02
"""A fall of the gold reward below this is none: the unit that verdicts call a difference of rewards from."""


class Onset(NamedTuple):
    """Where a run begins to over-optimise; NaN where it does not.

    Attributes:
        kl: KL(policy ‖ reference) at the gold reward's peak, nats.
        gold: the gold reward there.
        lost: gold reward from there to the end of the run.
        gained: proxy reward from there to the end of the run.
    """

    kl: Float[np.ndarray, "*B"]
    gold: Float[np.ndarray, "*B"]
    lost: Float[np.ndarray, "*B"]
    gained: Float[np.ndarray, "*B"]


def onset(
    gold: Float[np.ndarray, "*B E"],
    proxy: Float[np.ndarray, "*B E"],
    kl: Float[np.ndarray, "*B E"],
    least: float = LEAST,
) -> Onset:
    """The gold reward's first peak, if from there to the end it falls by `least` or more while the proxy rises.

    Args:
        gold: expected gold reward at each evaluation of a run.
        proxy: expected learnt reward.
        kl: KL(policy ‖ reference), nats.
        least: the smallest fall that counts.
    """
    peak = np.argmax(gold, axis=-1)[..., None]
    best, proxied, nats = (np.take_along_axis(curve, peak, axis=-1)[..., 0] for curve in (gold, proxy, kl))
    lost, gained = best - gold[..., -1], proxy[..., -1] - proxied
    found = (lost >= least) & (gained > 0)
    return Onset(*(np.where(found, value, np.nan) for value in (nats, best, lost, gained)))
