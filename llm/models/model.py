"""A model as functions of its parameters: hidden states, heads, and decoding with a cache."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Sharding
from jaxtyping import Array, Float, Int

from modeseek.checks import whole
from modeseek.llm.models import mistral, neox
from modeseek.llm.models.attention import Attend, Implementation, LayerCache, causal, filling, stepping
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.layers import LayerNorm, RMSNorm, wide_product
from modeseek.llm.models.parameters import Params
from modeseek.llm.models.rotary import Rotary, frequencies, rotary

Remat = Literal["none", "dots", "full"]

REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""What a layer keeps for its backward pass, by the way of rematerialisation."""

BLOCKS: dict[str, Any] = {
    "gpt_neox": (neox.GPTNeoXBlock, LayerNorm),
    "mistral": (mistral.MistralBlock, RMSNorm),
    "llama": (mistral.MistralBlock, RMSNorm),
    "qwen2": (mistral.MistralBlock, RMSNorm),
    "qwen3": (mistral.MistralBlock, RMSNorm),
}
"""Each architecture's block and its norm."""


class ActivationShardings(NamedTuple):
    """What the compiler is told on a mesh: it then gathers weights, layer by layer, and never rows.

    Attributes:
        residual: of the residual stream `[B, S, D]`.
        table: of the embedding `[V, D]` while rows are looked up in it.
    """

    residual: Sharding
    table: Sharding


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a model is computed; none of it changes what the model is.

    Attributes:
        dtype: of activations and products ("float32" or "bfloat16"); parameters keep their own, norms, softmax,
            rotary positions and logits are float32.
        remat: what the backward pass computes again: nothing (`none`), all but products with weights (`dots`), or
            everything inside a layer (`full`). `dots` takes less memory than `none`, and on a CPU less time: to write
            what was kept and read it again is slower there than to compute it.
        attention: `auto` takes cuDNN's kernel where a trial shows that it runs, else XLA.
        unroll: layers in one turn of the scan: more is slower to compile and sometimes faster to run.
        shardings: where intermediate results live on a mesh (`modeseek.llm.parallel.mesh.on_mesh` sets it); None leaves
            that to the compiler.
    """

    dtype: str = "float32"
    remat: Remat = "dots"
    attention: Implementation = "auto"
    unroll: int = 1
    shardings: ActivationShardings | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be computed in."""
        if self.dtype not in ("float32", "bfloat16", "float16", "float64"):
            raise ValueError(f"dtype must be float32, bfloat16, float16 or float64, got {self.dtype!r}")
        if self.remat not in ("none", *REMAT_POLICIES):
            raise ValueError(f"remat must be none, {' or '.join(REMAT_POLICIES)}, got {self.remat!r}")
        if self.attention not in ("auto", "xla", "cudnn"):
            raise ValueError(f"attention must be auto, xla or cudnn, got {self.attention!r}")
        whole("unroll", self.unroll, 1)


class KeyValueCache(NamedTuple):
    """Keys and values of every layer, and how many tokens of each row they hold.

    A tuple, not one stacked array: each layer's arrays are then updated in place by a decoding loop.

    Attributes:
        layers: one a layer, `[B, K, S, H]` each, S the room.
        lengths: tokens read so far, `[B]`: the position of each row's next one.
    """

    layers: tuple[LayerCache, ...]
    lengths: Int[Array, "B"]


@dataclasses.dataclass(frozen=True)
class Model:
    """Pure functions of `params` (`models.parameters`); hashable, to be closed over or a static argument."""

    config: ModelConfig
    compute: Compute = Compute()

    def hidden(
        self,
        params: Params,
        tokens: Int[Array, "B S"],
        lengths: Int[Array, "B"] | None = None,
        segments: Int[Array, "B S"] | None = None,
    ) -> Float[Array, "B S D"]:
        """Hidden states after the last norm, all positions at once; the heads read them.

        Args:
            params: with layers stacked, as loaded and trained.
            tokens: ids, padded on the right with any id.
            lengths: real tokens of each row (all S, if not given). Hidden states beyond them are 0, and so is their
                gradient; the others do not depend on the padding.
            segments: of rows that hold several sequences one after the other, the number of each token's; a sequence
                reads itself alone. Its positions need not begin anew: rotary ones only matter by their differences.
        """
        x, turn = self._embed(params, tokens, jnp.arange(tokens.shape[1])[None, :])
        attend = causal(self.config.window, self.compute.attention, segments)

        def layer(x: Array, layer_params: Params) -> tuple[Array, None]:
            return self._block(layer_params, x, turn, attend)[0], None

        if self.compute.remat != "none":
            layer = jax.checkpoint(layer, policy=REMAT_POLICIES[self.compute.remat], prevent_cse=False)
        x, _ = jax.lax.scan(layer, x, params["layers"], unroll=min(self.compute.unroll, self.config.layers))
        return self._finish(params, x, lengths)

    def logits(self, params: Params, hidden: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Next-token logits, float32. Apart from `hidden`, so that they can be made, used and dropped in chunks:
        those of 64 sequences of 384 tokens over 50 304 entries would take 4.9 GB."""
        if self.config.tied:
            return wide_product(hidden, params["embed"]["embedding"].astype(hidden.dtype).T)
        return wide_product(hidden, params["heads"]["lm"]["kernel"].astype(hidden.dtype))

    def reward(self, params: Params, hidden: Float[Array, "B S D"], lengths: Int[Array, "B"]) -> Float[Array, "B"]:
        """One reward a sequence: the score of its last real token's hidden state; float32."""
        return self._label(params["heads"]["reward"], last(hidden, lengths))

    def values(self, params: Params, hidden: Float[Array, "B S D"]) -> Float[Array, "B S"]:
        """The value of every position; float32."""
        return self._label(params["heads"]["value"], hidden)

    def empty_cache(self, batch: int, length: int) -> KeyValueCache:
        """Room for `length` tokens in each of `batch` rows."""
        c = self.config
        zeros = lambda: jnp.zeros((batch, c.kv_heads, length, c.head_size), self.compute.dtype)
        layers = tuple(LayerCache(zeros(), zeros()) for _ in range(c.layers))
        return KeyValueCache(layers, jnp.zeros(batch, jnp.int32))

    def for_decoding(self, params: Params, *, donate: bool = False) -> Params:
        """Parameters as `prefill` and `step` take them: each layer by itself, and in the dtype they are used in.

        To be done once, before a decoding loop: it then reads 16-bit weights in place, where a scan would copy every
        layer out of the stack at every token. Norms stay as they are, so the numbers are those of `hidden`.

        Args:
            params: with layers stacked.
            donate: whether `params` is given up: each stack is then freed as soon as it has been taken apart, so that
                the weights are never there twice.
        """

        def cast(path: Any, leaf: Array) -> Array:
            in_norm = any(str(getattr(entry, "key", "")).endswith("norm") for entry in path)
            return leaf if in_norm else leaf.astype(self.compute.dtype)

        def take_apart(path: Any, stack: Array) -> list[Array]:
            parts = [cast(path, stack[i]) for i in range(self.config.layers)]
            if donate:
                stack.delete()
            return parts

        stacks = params["layers"]
        apart = jax.tree.leaves(jax.tree_util.tree_map_with_path(take_apart, stacks), is_leaf=lambda x: type(x) is list)
        layers = tuple(jax.tree.unflatten(jax.tree.structure(stacks), leaves) for leaves in zip(*apart, strict=True))
        rest = {name: part for name, part in params.items() if name != "layers"}
        return {**jax.tree_util.tree_map_with_path(cast, rest), "layers": layers}

    def prefill(
        self, params: Params, tokens: Int[Array, "B S"], lengths: Int[Array, "B"], cache: KeyValueCache
    ) -> tuple[Float[Array, "B S D"], KeyValueCache]:
        """Read prompts into an empty cache: hidden states as `hidden` gives them, and the cache with the prompts.

        Args:
            params: as `for_decoding` gives them.
            tokens: prompts, padded on the right.
            lengths: real tokens of each row.
            cache: with room for at least S tokens.
        """
        room = cache.layers[0].keys.shape[2]
        if tokens.shape[1] > room:
            raise ValueError(f"the cache has room for {room} tokens, got prompts of {tokens.shape[1]}")
        x, turn = self._embed(params, tokens, jnp.arange(tokens.shape[1])[None, :])
        layers = []
        for layer_params, layer in zip(params["layers"], cache.layers, strict=True):
            x, layer = self._block(layer_params, x, turn, filling(layer, self.config.window, self.compute.attention))
            layers.append(layer)
        return self._finish(params, x, lengths), KeyValueCache(tuple(layers), lengths.astype(jnp.int32))

    def step(
        self, params: Params, token: Int[Array, "B"], cache: KeyValueCache
    ) -> tuple[Float[Array, "B D"], KeyValueCache]:
        """Read one more token of every row, each at its own position: its hidden state, and the cache with it.

        Args:
            params: as `for_decoding` gives them.
            token: one id a row.
            cache: what came before; a row that has no room left writes nothing.
        """
        x, turn = self._embed(params, token[:, None], cache.lengths[:, None])
        layers = []
        for layer_params, layer in zip(params["layers"], cache.layers, strict=True):
            x, layer = self._block(layer_params, x, turn, stepping(layer, cache.lengths, self.config.window))
            layers.append(layer)
        return self._finish(params, x, None)[:, 0], KeyValueCache(tuple(layers), cache.lengths + 1)

    def _embed(self, params: Params, tokens: Array, positions: Array) -> tuple[Array, Rotary]:
        table = params["embed"]["embedding"]
        if self.compute.shardings is not None:
            table = jax.lax.with_sharding_constraint(table, self.compute.shardings.table)
        x = table[tokens].astype(self.compute.dtype)
        turns = frequencies(self.config.rotary_size, self.config.rotary_base, self.config.rotary_scaling)
        return self._stay(x), rotary(positions, turns)

    def _block(self, params: Params, x: Array, turn: Rotary, attend: Attend) -> tuple[Array, Any]:
        block, _ = BLOCKS[self.config.architecture]
        x, kept = block(self.config, jnp.dtype(self.compute.dtype)).apply({"params": params}, x, turn, attend)
        return self._stay(x), kept

    def _stay(self, x: Array) -> Array:
        shardings = self.compute.shardings
        return x if shardings is None else jax.lax.with_sharding_constraint(x, shardings.residual)

    def _finish(self, params: Params, x: Array, lengths: Array | None) -> Array:
        _, norm = BLOCKS[self.config.architecture]
        x = norm(self.config.norm_epsilon, jnp.dtype(self.compute.dtype)).apply({"params": params["norm"]}, x)
        if lengths is None:
            return x
        real = jnp.arange(x.shape[1])[None, :] < lengths[:, None]
        return jnp.where(real[:, :, None], x, jnp.zeros_like(x))

    def _label(self, params: Params, hidden: Array) -> Array:
        score = wide_product(hidden, params["kernel"].astype(hidden.dtype))[..., 0]
        return score + params["bias"][0].astype(score.dtype) if "bias" in params else score


def last(hidden: Float[Array, "B S D"], lengths: Int[Array, "B"]) -> Float[Array, "B D"]:
    """Each row's hidden state at its last real token."""
    return jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
