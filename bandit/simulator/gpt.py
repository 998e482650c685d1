"""GPT-Nano: minGPT's smallest transformer in Flax Linen, with a key/value cache for sampling."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Cache(NamedTuple):
    """Keys and values of every layer and past position, `[layer][S, B, D]`: the position first, so that one
    position is one contiguous write."""

    keys: tuple[Float[Array, "S B D"], ...]
    values: tuple[Float[Array, "S B D"], ...]


def dropout_masks(shapes: Sequence[tuple[int, ...]], rate: float, *, key: jax.Array) -> list[Float[Array, "..."]]:
    """Inverted dropout: for each shape a mask of 0 and 1/(1 - rate), which is 1 on average; the key is consumed.

    One draw for all masks, and 16 bits a number in place of 32: random bits were a fifth of a training step. The rate
    is rounded to a multiple of 2⁻¹⁶.
    """
    sizes = [math.prod(shape) for shape in shapes]
    words = jax.random.bits(key, (-(-sum(sizes) // 2),), jnp.uint32)
    bits = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)
    dropped = min(round(rate * 2**16), 2**16 - 1)
    ends = np.cumsum(sizes)
    return [
        jnp.where(bits[end - size : end].reshape(shape) >= dropped, 2**16 / (2**16 - dropped), 0.0)
        for shape, size, end in zip(shapes, sizes, ends, strict=True)
    ]


class Norm(nn.Module):
    """Layer normalisation over the last axis, with means as products: XLA's CPU backend runs a product with a column
    vectorised, and a reduction of a row's 48 numbers one by one, forwards and backwards."""

    @nn.compact
    def __call__(self, x: Float[Array, "R D"]) -> Float[Array, "R D"]:
        """(x - mean)/√(variance + 1e-5) · scale + bias, as in minGPT."""
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        mean = jnp.full((width, 1), 1 / width, x.dtype)
        exact = jax.lax.Precision.HIGHEST
        centered = x - jnp.matmul(x, mean, precision=exact)
        variance = jnp.matmul(jnp.square(centered), mean, precision=exact)
        return centered * jax.lax.rsqrt(variance + 1e-5) * scale[None] + bias[None]


def product_by_rows(x: Array, kernel: Array, dimensions: Any, **options: Any) -> Array:
    """`x @ kernel` whose gradient in the kernel is computed as its transpose, for kernels with more rows than columns.

    XLA's CPU backend runs `[R, 192]ᵀ @ [R, 48]` at a third of the rate of `[R, 48]ᵀ @ [R, 192]`. The barrier keeps it
    from making the one of the other.
    """
    return jax.lax.dot_general(x, jax.lax.optimization_barrier(kernel.T).T, dimensions, **options)


class Masks(NamedTuple):
    """Dropout of one block: its attention weights, and what attention and MLP add to the residual stream."""

    weights: Float[Array, "B H S S"]
    attention: Float[Array, "R D"]
    mlp: Float[Array, "R D"]


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)). Tokens of all sequences lie in one axis: products of
    `[B·S, D]` with a weight are what a CPU does fastest."""

    width: int
    heads: int

    def setup(self) -> None:
        """minGPT's sizes; `init_params` draws the weights."""
        self.norm_attention = Norm()
        self.norm_mlp = Norm()
        self.qkv = nn.Dense(3 * self.width)
        self.attention_out = nn.Dense(self.width)
        self.expand = nn.Dense(4 * self.width)
        self.contract = nn.Dense(self.width, dot_general=product_by_rows)

    def _mlp(self, x: Float[Array, "R D"]) -> Float[Array, "R D"]:
        return self.contract(nn.gelu(self.expand(self.norm_mlp(x))))

    def __call__(self, x: Float[Array, "R D"], length: int, masks: Masks | None = None) -> Float[Array, "R D"]:
        """All positions at once; R = B · length rows, the positions of a sequence next to each other."""
        heads, size = self.heads, self.width // self.heads
        q, k, v = jnp.split(self.qkv(self.norm_attention(x)), 3, axis=-1)  # [R, D] each
        q, k, v = (a.reshape(-1, length, heads, size) for a in (q, k, v))  # [B, S, H, D/H]
        scores = jnp.einsum("bthd,bshd->bhts", q, k) / math.sqrt(size)  # [B, H, S, S]
        causal = np.tril(np.ones((1, 1, length, length), bool))
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        weights = weights if masks is None else weights * masks.weights
        mixed = self.attention_out(jnp.einsum("bhts,bshd->bthd", weights, v).reshape(x.shape))
        x = x + (mixed if masks is None else mixed * masks.attention)
        added = self._mlp(x)
        return x + (added if masks is None else added * masks.mlp)

    def step(
        self,
        x: Float[Array, "B D"],
        keys: Float[Array, "S B D"],
        values: Float[Array, "S B D"],
        position: Array,
    ) -> tuple[Float[Array, "B D"], Float[Array, "S B D"], Float[Array, "S B D"]]:
        """One position: writes its key and value into the cache and attends to all up to itself.

        Sums over a head's features are products with a 0/1 matrix: XLA's CPU backend runs a product with [D, H]
        vectorised and a reduction of D/H = 16 numbers one by one, which makes sampling 1.7 times as slow.
        """
        heads, size = self.heads, self.width // self.heads
        length = keys.shape[0]
        q, k, v = jnp.split(self.qkv(self.norm_attention(x)), 3, axis=-1)  # [B, D] each
        keys, values = keys.at[position].set(k), values.at[position].set(v)
        head_of = jnp.asarray(np.kron(np.eye(heads), np.ones((size, 1))), x.dtype)  # [D, H]
        scores = ((keys * q[None]).reshape(-1, self.width) @ head_of).reshape(length, -1, heads)
        seen = (jnp.arange(length) <= position)[:, None, None]
        weights = jax.nn.softmax(jnp.where(seen, scores / math.sqrt(size), -jnp.inf), axis=0)  # [S, B, H]
        spread = (weights.reshape(-1, heads) @ head_of.T).reshape(values.shape)
        # Python's sum: ten vectorised additions, where jnp.sum over the first axis would again go one by one.
        mixed = sum((spread[s] * values[s] for s in range(1, length)), start=spread[0] * values[0])
        x = x + self.attention_out(mixed)
        return x + self._mlp(x), keys, values


class GPTNano(nn.Module):
    """Decoder-only transformer over V tokens; gpt-nano is 3 layers, 3 heads, width 48: 94 thousand parameters.

    (The paper says .9 million; minGPT's own count of its gpt-nano with this vocabulary is .09.)
    """

    vocab_size: int
    length: int
    layers: int = 3
    heads: int = 3
    width: int = 48
    dropout: float = 0.0

    def setup(self) -> None:
        """Untied embeddings and head, the head without bias, as in minGPT."""
        self.token_embedding = nn.Embed(self.vocab_size, self.width)
        # Of one row, flax's Embed broadcasts instead of looking up, and wants another shape of index.
        self.position_embedding = nn.Embed(max(self.length, 2), self.width)
        self.blocks = [Block(self.width, self.heads) for _ in range(self.layers)]
        self.norm = Norm()
        self.head = nn.Dense(self.vocab_size, use_bias=False)

    def _masks(self, batch: int, length: int, key: jax.Array) -> tuple[Array, list[Masks]]:
        """Dropout's masks for the embedding, and for each block; the key is consumed."""
        stream = (batch * length, self.width)
        block = ((batch, self.heads, length, length), stream, stream)
        embedding, *rest = dropout_masks([stream, *(block * self.layers)], self.dropout, key=key)
        return embedding, [Masks(*rest[i : i + len(block)]) for i in range(0, len(rest), len(block))]

    def __call__(self, tokens: Int[Array, "B S"], dropout_key: jax.Array | None = None) -> Float[Array, "B S V"]:
        """Next-token logits at every position; with a key, which is consumed, under dropout."""
        batch, length = tokens.shape
        x = self.token_embedding(tokens) + self.position_embedding(jnp.arange(length))[None]
        x = x.reshape(batch * length, self.width)
        masks: list[Masks | None] = [None] * self.layers
        if dropout_key is not None:
            embedding_mask, masks[:] = self._masks(batch, length, dropout_key)
            x = x * embedding_mask
        for block, mask in zip(self.blocks, masks, strict=True):
            x = block(x, length, mask)
        # Without the barrier XLA's CPU backend fuses the norm into the head's product, where it is computed once for
        # every block of tokens of the vocabulary: 1.4 ms for 1000 rows in place of .1.
        normed = jax.lax.optimization_barrier(self.norm(x))
        return self.head(normed).reshape(batch, length, self.vocab_size)

    @nn.nowrap
    def empty_cache(self, batch: int) -> Cache:
        """A cache with room for `length` positions."""
        zeros = tuple(jnp.zeros((self.length, batch, self.width)) for _ in range(self.layers))
        return Cache(keys=zeros, values=zeros)

    def step(self, token: Int[Array, "B"], position: Int[Array, ""], cache: Cache) -> tuple[Array, Cache]:
        """Next-token logits `[B, V]` after one more token, and the cache with it."""
        x = self.token_embedding(token) + self.position_embedding(position)[None]
        keys, values = [], []
        for block, k, v in zip(self.blocks, cache.keys, cache.values, strict=True):
            x, k, v = block.step(x, k, v, position)
            keys.append(k)
            values.append(v)
        return self.head(self.norm(x)), Cache(keys=tuple(keys), values=tuple(values))


def init_params(module: GPTNano, *, key: jax.Array) -> Any:
    """minGPT's start: weights N(0, .02²), those that write into the residual stream N(0, (.02/√(2·layers))²),
    biases 0, norms 1; the key is consumed.

    One draw for all weights, cut up: an initialiser per weight takes a second longer to compile.
    """
    dummy = jnp.zeros((1, module.length), jnp.int32)
    shapes = jax.eval_shape(module.init, key, dummy)["params"]
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    normal = jax.random.normal(key, (sum(leaf.size for _, leaf in leaves),))
    params, used = [], 0
    for path, leaf in leaves:
        names = [entry.key for entry in path]
        if names[-1] in ("bias", "scale"):
            params.append(jnp.full(leaf.shape, float(names[-1] == "scale")))
            continue
        residual = names[-2] in ("attention_out", "contract")
        std = 0.02 / math.sqrt(2 * module.layers) if residual else 0.02
        params.append(std * normal[used : used + leaf.size].reshape(leaf.shape))
        used += leaf.size
    return jax.tree.unflatten(structure, params)
