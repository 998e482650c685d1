"""One categorical problem, and conversion to JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.categorical.problem import Knobs, from_rewards

REFERENCE = np.array([0.35, 0.3, 0.2, 0.1, 0.05])
REWARDS = np.array([0.1, 0.7, 0.3, 1.0, 0.2])
KNOBS = Knobs(beta=0.5, tau=0.8, alpha=0.3, negative_weight=0.7, negative_threshold=1.2)
PROBLEM = from_rewards(REFERENCE, REWARDS, KNOBS)


def to_jax(tree, dtype=jnp.float64):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
