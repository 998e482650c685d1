"""Mistral (Jiang et al. 2023), Llama, Qwen2 and Qwen3, which differ in switches alone: block and tensors' names."""

import functools
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from modeseek.llm.models.attention import Attend
from modeseek.llm.models.config import ACTIVATIONS, ModelConfig
from modeseek.llm.models.layers import Dense, RMSNorm
from modeseek.llm.models.names import LayerNames, Names
from modeseek.llm.models.rotary import Rotary, rotate


class MistralBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Beside GPT-NeoX: RMSNorm for LayerNorm, fewer key and value heads than query heads, and an MLP with a gate,
    contract(silu(gate(x)) · expand(x)). Qwen3 norms each head's query and key before they are turned.
    """

    config: ModelConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B S D"], turn: Rotary, attend: Attend) -> tuple[Float[Array, "B S D"], Any]:
        """The next residual stream, and what `attend` keeps."""
        c = self.config
        attention = functools.partial(Dense, dtype=self.dtype, use_bias=c.attention_bias)
        out = Dense(c.width, c.attention_out_bias, self.dtype, name="attention_out")
        mlp = functools.partial(Dense, dtype=self.dtype, use_bias=c.mlp_bias)
        batch, length, _ = x.shape

        normed = RMSNorm(c.norm_epsilon, self.dtype, name="attention_norm")(x)
        q = attention(c.heads * c.head_size, name="query")(normed).reshape(batch, length, c.heads, -1)
        k = attention(c.kv_heads * c.head_size, name="key")(normed).reshape(batch, length, c.kv_heads, -1)
        v = attention(c.kv_heads * c.head_size, name="value")(normed).reshape(batch, length, c.kv_heads, -1)
        if c.head_norms:
            q = RMSNorm(c.norm_epsilon, self.dtype, name="query_norm")(q)
            k = RMSNorm(c.norm_epsilon, self.dtype, name="key_norm")(k)
        mixed, kept = attend(rotate(q, turn), rotate(k, turn), v)
        x = x + out(mixed.reshape(batch, length, -1))

        normed = RMSNorm(c.norm_epsilon, self.dtype, name="mlp_norm")(x)
        gate = ACTIVATIONS[c.activation](mlp(c.mlp_width, name="gate")(normed))
        return x + mlp(c.width, name="contract")(gate * mlp(c.mlp_width, name="expand")(normed)), kept


def _layer(config: ModelConfig) -> LayerNames:
    names: LayerNames = {
        "attention_norm/scale": ("input_layernorm.weight", ("embed",)),
        "mlp_norm/scale": ("post_attention_layernorm.weight", ("embed",)),
    }
    if config.head_norms:
        names["query_norm/scale"] = ("self_attn.q_norm.weight", ("head",))
        names["key_norm/scale"] = ("self_attn.k_norm.weight", ("head",))
    products = {
        "query": ("self_attn.q_proj", "embed", "heads", config.attention_bias),
        "key": ("self_attn.k_proj", "embed", "kv_heads", config.attention_bias),
        "value": ("self_attn.v_proj", "embed", "kv_heads", config.attention_bias),
        "attention_out": ("self_attn.o_proj", "heads", "embed", config.attention_out_bias),
        "gate": ("mlp.gate_proj", "embed", "mlp", config.mlp_bias),
        "expand": ("mlp.up_proj", "embed", "mlp", config.mlp_bias),
        "contract": ("mlp.down_proj", "mlp", "embed", config.mlp_bias),
    }
    for path, (tensor, read, written, bias) in products.items():
        names[f"{path}/kernel"] = (f"{tensor}.weight", (read, written))
        if bias:
            names[f"{path}/bias"] = (f"{tensor}.bias", (written,))
    return names


NAMES = Names(
    embedding="model.embed_tokens.weight",
    layers="model.layers",
    layer=_layer,
    norm={"scale": "model.norm.weight"},
    lm="lm_head",
    reward="score",
    value="score",
    ignored=(".self_attn.rotary_emb.inv_freq",),
)
