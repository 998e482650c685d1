"""Rotary positions (RoFormer, Su et al. 2021): frequencies, how they are scaled for long contexts, and the turning."""

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.checks import positive, require, whole


@dataclasses.dataclass(frozen=True)
class LinearScaling:
    """Position interpolation (Chen et al. 2023): every frequency is divided by `factor`."""

    factor: float

    def __post_init__(self) -> None:
        """Raises ValueError for a factor that is not positive."""
        positive("factor", self.factor)


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """Llama 3.1's scaling: slow frequencies are divided, fast ones kept, those between go over from one to the other.

    Attributes:
        factor: divides the frequencies that turn less than `low_turns` times within `original_context`.
        low_turns: in transformers `low_freq_factor`.
        high_turns: frequencies that turn more often are kept; in transformers `high_freq_factor`.
        original_context: tokens that the model was trained on before it was stretched.
    """

    factor: float
    low_turns: float
    high_turns: float
    original_context: int

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that are not positive, or leave nothing between slow and fast."""
        for name in ("factor", "low_turns", "high_turns"):
            positive(name, getattr(self, name))
        whole("original_context", self.original_context, 1)
        require(
            self.low_turns < self.high_turns,
            f"low_freq_factor ({self.low_turns}) must be less than high_freq_factor ({self.high_turns})",
        )


Scaling = LinearScaling | Llama3Scaling


class Rotary(NamedTuple):
    """Cosines and sines of every position's angles; B is 1 where all rows share their positions."""

    cos: Float[Array, "B S 1 R"]
    sin: Float[Array, "B S 1 R"]


def frequencies(size: int, base: float, scaling: Scaling | None = None) -> Float[Array, "R"]:
    """f_i = base^(-2i/size), i < R = size / 2, in float32 (RoFormer, eq. 15), scaled if `scaling` says so.

    Llama 3.1's: f_i · ((1 - s_i) / factor + s_i), where s_i goes from 0 to 1 between `low_turns` and `high_turns`
    turns of f_i within the original context.
    """
    plain = 1.0 / base ** (jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    if scaling is None:
        return plain
    if isinstance(scaling, LinearScaling):
        return plain / scaling.factor
    turns = scaling.original_context * plain / (2 * math.pi)
    kept = jnp.clip((turns - scaling.low_turns) / (scaling.high_turns - scaling.low_turns), 0.0, 1.0)
    return plain * ((1.0 - kept) / scaling.factor + kept)


def rotary(positions: Int[Array, "B S"], frequencies: Float[Array, "R"]) -> Rotary:
    """The angles p · f_i of every position, in float32."""
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    return Rotary(jnp.cos(angles), jnp.sin(angles))


def rotate(x: Float[Array, "B S N H"], turn: Rotary) -> Float[Array, "B S N H"]:
    """Turn the first 2R features of each head; feature i is paired with feature i + R. Computed in float32."""
    half = turn.cos.shape[-1]
    a, b = x[..., :half].astype(jnp.float32), x[..., half : 2 * half].astype(jnp.float32)
    turned = jnp.concatenate([a * turn.cos - b * turn.sin, b * turn.cos + a * turn.sin], axis=-1).astype(x.dtype)
    return turned if 2 * half == x.shape[-1] else jnp.concatenate([turned, x[..., 2 * half :]], axis=-1)
