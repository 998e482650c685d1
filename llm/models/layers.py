"""The pieces that every architecture shares: products with weights and norms."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def product(x: Float[Array, "*B I"], kernel: Float[Array, "I O"]) -> Float[Array, "*B O"]:
    """x · kernel, all rows below one another.

    The kernel's gradient is then a product of two matrices. Of `[B, S, I]` and `[B, S, O]` XLA would turn one over in
    memory first, which on a CPU takes longer than the product (`benchmarks/llm_results.md`).
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[1])


class Dense(nn.Module):
    """x · kernel + bias, and, where the parameters hold an adapter, + (x · lora_a) · lora_b (`training.lora`)."""

    features: int
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B S I"]) -> Float[Array, "B S O"]:
        """Over the last axis, in `dtype`."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        y = product(x, kernel.astype(self.dtype))
        if self.has_variable("params", "lora_a"):
            down: Array = self.get_variable("params", "lora_a")
            up: Array = self.get_variable("params", "lora_b")
            y = y + product(product(x, down.astype(self.dtype)), up.astype(self.dtype))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)[None, None, :]
        return y


class LayerNorm(nn.Module):
    """(x - mean) / √(variance + ε) · scale + bias, in float32 inside, whatever the model computes in."""

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B S D"]) -> Float[Array, "B S D"]:
        """Over the last axis."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return (normal * _along(x, scale) + _along(x, bias)).astype(self.dtype)


class RMSNorm(nn.Module):
    """x / √(mean of x² + ε) · scale, in float32 inside: a LayerNorm without mean and bias."""

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Over the last axis."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        x = x.astype(jnp.float32)
        normal = x * jax.lax.rsqrt((x**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return (normal * _along(x, scale)).astype(self.dtype)


def _along(x: Array, vector: Float[Array, "D"]) -> Array:
    """The vector along x's last axis, in float32."""
    return vector.astype(jnp.float32).reshape(*(1,) * (x.ndim - 1), -1)


@jax.custom_vjp
def wide_product(x: Float[Array, "*B I"], kernel: Float[Array, "I O"]) -> Float[Array, "*B O"]:
    """x · kernel of 16-bit numbers, summed and returned in float32: a head's output is not rounded to 16 bits.

    Its gradient goes back in 16 bits; JAX's own rule would multiply a float32 cotangent with a kernel that it widens.
    """
    wide = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
    return jnp.einsum("...i,io->...o", x, kernel, preferred_element_type=wide)


def _wide_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return wide_product(x, kernel), (x, kernel)


def _wide_backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = saved
    cotangent = cotangent.astype(x.dtype)
    rows = lambda a: a.reshape(-1, a.shape[-1])  # as in `product`
    return product(cotangent, kernel.T), rows(x).T @ rows(cotangent)


wide_product.defvjp(_wide_forward, _wide_backward)
