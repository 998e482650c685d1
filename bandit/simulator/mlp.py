"""The released code's one-token policy: a small MLP that reads a context of real numbers, in Flax Linen."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

CONTEXT_SIZE, FEATURES = 100, 50
"""Numbers in a context, and features that the first layer takes from it."""
_GAIN = 0.01  # every weight starts a hundredth of Glorot's size, so that the policy starts near uniform
_glorot = nn.initializers.variance_scaling(_GAIN**2, "fan_avg", "uniform")


def contexts(prompts: Int[Array, "B"]) -> Float[Array, "B C"]:
    """The context that a prompt is the number of: independent uniform numbers in [0, 1), always the same ones."""
    key = jax.random.key(0)
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (CONTEXT_SIZE,)))(prompts)


class ContextMLP(nn.Module):
    """Contexts to the logits of one token: features, a norm, then hidden layers, with ReLU after each.

    Attributes:
        vocab_size: V.
        layers: hidden layers.
        width: units of each.
    """

    vocab_size: int
    layers: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "B C"]) -> Float[Array, "B V"]:
        """Logits of each context."""
        x = nn.Dense(FEATURES, kernel_init=_glorot)(x)
        x = nn.relu(nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)(x))
        for _ in range(self.layers):
            x = nn.relu(nn.Dense(self.width, kernel_init=_glorot)(x))
        return nn.Dense(self.vocab_size, kernel_init=_glorot)(x)
