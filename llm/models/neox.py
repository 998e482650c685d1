"""GPT-NeoX (Black et al. 2022), the architecture of every Pythia model: its block and its tensors' names."""

import functools
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from modeseek.llm.models.attention import Attend
from modeseek.llm.models.config import ACTIVATIONS, ModelConfig
from modeseek.llm.models.layers import Dense, LayerNorm
from modeseek.llm.models.names import LayerNames, Names
from modeseek.llm.models.rotary import Rotary, rotate


class GPTNeoXBlock(nn.Module):
    """x + attention(norm(x)) + mlp(norm'(x)), both reading x; without `parallel_residual`, mlp reads the first sum."""

    config: ModelConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B S D"], turn: Rotary, attend: Attend) -> tuple[Float[Array, "B S D"], Any]:
        """The next residual stream, and what `attend` keeps."""
        c = self.config
        dense = functools.partial(Dense, dtype=self.dtype)
        batch, length, _ = x.shape

        normed = LayerNorm(c.norm_epsilon, self.dtype, name="attention_norm")(x)
        qkv = dense(3 * c.heads * c.head_size, use_bias=c.attention_bias, name="query_key_value")(normed)
        # Head by head: a head's query, then its key, then its value.
        apart = qkv.reshape(batch, length, c.heads, 3, c.head_size)
        q, k, v = (apart[:, :, :, part] for part in range(3))
        mixed, kept = attend(rotate(q, turn), rotate(k, turn), v)
        out = dense(c.width, use_bias=c.attention_bias, name="attention_out")
        attended = x + out(mixed.reshape(batch, length, -1))

        read = x if c.parallel_residual else attended
        hidden = dense(c.mlp_width, name="expand")(LayerNorm(c.norm_epsilon, self.dtype, name="mlp_norm")(read))
        return attended + dense(c.width, name="contract")(ACTIVATIONS[c.activation](hidden)), kept


def _layer(config: ModelConfig) -> LayerNames:
    names: LayerNames = {
        "attention_norm/scale": ("input_layernorm.weight", ("embed",)),
        "attention_norm/bias": ("input_layernorm.bias", ("embed",)),
        "mlp_norm/scale": ("post_attention_layernorm.weight", ("embed",)),
        "mlp_norm/bias": ("post_attention_layernorm.bias", ("embed",)),
        "query_key_value/kernel": ("attention.query_key_value.weight", ("embed", "qkv")),
        "query_key_value/bias": ("attention.query_key_value.bias", ("qkv",)),
        "attention_out/kernel": ("attention.dense.weight", ("heads", "embed")),
        "attention_out/bias": ("attention.dense.bias", ("embed",)),
        "expand/kernel": ("mlp.dense_h_to_4h.weight", ("embed", "mlp")),
        "expand/bias": ("mlp.dense_h_to_4h.bias", ("mlp",)),
        "contract/kernel": ("mlp.dense_4h_to_h.weight", ("mlp", "embed")),
        "contract/bias": ("mlp.dense_4h_to_h.bias", ("embed",)),
    }
    if not config.attention_bias:
        del names["query_key_value/bias"], names["attention_out/bias"]
    return names


NAMES = Names(
    embedding="gpt_neox.embed_in.weight",
    layers="gpt_neox.layers",
    layer=_layer,
    norm={"scale": "gpt_neox.final_layer_norm.weight", "bias": "gpt_neox.final_layer_norm.bias"},
    lm="embed_out",
    reward="score",
    value="classifier",
    # The causal mask and the rotary frequencies, which older versions saved with the weights.
    ignored=(".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"),
)
