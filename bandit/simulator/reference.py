"""A reference that moves: θ_ref ← decay · θ_ref + (1 - decay) · θ, every so many collections.

Decay 0 is a periodic copy of the policy; .99 at every collection is an exponential moving average (of PPO: Xu et al.,
arXiv 2404.10719). The two numbers are those of a language model's `TuneConfig`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.batch import HyperRange
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.checks import require

REFERENCE_RANGES = {
    "reference_every": HyperRange("collections between two moves of the reference", 0.0, 100.0, log=False, zero=True),
    "reference_decay": HyperRange("the reference's share in a move", 0.0, 0.99, log=False, zero=True, below=1.0),
}
"""Its two numbers; they are no objective's, and can be varied as those are."""


class ReferenceMoves(NamedTuple):
    """How the reference follows the policy.

    Attributes:
        every: collections between two moves; 0 for none.
        decay: the reference's own share in a move.
    """

    every: Int[Array, ""]
    decay: Float[Array, ""]


def moved_reference(reference: Any, policy: Any, moves: ReferenceMoves, collections: Int[Array, ""]) -> Any:
    """The reference of the next collection.

    Args:
        reference: its parameters up to now, a pytree of arrays.
        policy: the policy's, after the collection's last step.
        moves: how often, and how far.
        collections: how many have been finished.
    """
    due = (moves.every > 0) & (collections % jnp.maximum(moves.every, 1) == 0)
    return jax.tree.map(
        lambda old, new: jnp.where(due, moves.decay * old + (1.0 - moves.decay) * new, old), reference, policy
    )


def check_reference(every: Sequence[float], decay: Sequence[float], conventions: Conventions) -> None:
    """Refuse numbers of a moving reference that mean nothing, or conventions under which none can move.

    Args:
        every: all values that `reference_every` takes.
        decay: all values that `reference_decay` takes.
        conventions: of the experiment.

    Raises:
        ValueError: says which.
    """
    for name, values in (("reference_every", every), ("reference_decay", decay)):
        for value in values:
            REFERENCE_RANGES[name].check(name, value)
    require(all(value == int(value) for value in every), f"reference_every takes whole numbers, got {tuple(every)}")
    if not any(every):
        require(
            not any(decay), "reference_decay is of a reference that moves: reference_every must be at least 1, got 0"
        )
        return
    require(
        conventions.reference_model == "initial_policy" and conventions.frozen_copies == "whole",
        "a reference that moves is a network of its own: reference_every above 0 needs conventions.reference_model "
        "'initial_policy' and conventions.frozen_copies 'whole'",
    )
    require(
        conventions.kl_placement != "exact",
        "conventions.kl_placement 'exact' is the KL to the exact reference, which does not move: with it, "
        "reference_every must be 0",
    )
