"""Everything random in a run comes from one seed: the named keys that it is split into."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Int


class RunKeys(NamedTuple):
    """The keys of a run, or of one of its gradient steps; each is consumed once.

    Attributes:
        pretraining: the fresh network, and the prefixes on which it is brought to the reference.
        prompts: the prompt set.
        collections: a collection's prompts and samples.
        minibatches: the order of a collection's prompts.
        dropout: of a gradient step.
        evaluation: the responses along which a policy is measured.
        reward_model: of the data that a learnt reward is fitted to, and of the fit.
    """

    pretraining: jax.Array
    prompts: jax.Array
    collections: jax.Array
    minibatches: jax.Array
    dropout: jax.Array
    evaluation: jax.Array
    reward_model: jax.Array

    def at(self, step: Int[Array, ""]) -> "RunKeys":
        """The keys of the collection, gradient step or evaluation that begins after `step` gradient steps."""
        return RunKeys(*(jax.random.fold_in(key, step) for key in self))


def run_keys(seed: Int[Array, ""]) -> RunKeys:
    """The one split of a run's seed.

    A key that is younger than stored results is folded in, so that the six before it stay what they were.
    """
    root = jax.random.key(seed)
    return RunKeys(*jax.random.split(root, 6), reward_model=jax.random.fold_in(root, 6))
