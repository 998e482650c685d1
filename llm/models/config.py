"""What defines a model: its sizes, checked, whatever file they came from."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn

from modeseek.checks import whole
from modeseek.llm.models.rotary import Scaling

Architecture = Literal["gpt_neox", "mistral", "llama", "qwen2", "qwen3"]
Head = Literal["lm", "reward", "value"]

HEADS: tuple[Head, ...] = ("lm", "reward", "value")
"""A language model's logits; one reward a sequence, read at its last token; one value a position."""

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "gelu_new": nn.gelu,
    "gelu_fast": nn.gelu,
    "gelu_pytorch_tanh": nn.gelu,
    "relu": nn.relu,
    "silu": nn.silu,
}
"""By Hugging Face's names; plain `gelu` is the exact one (erf)."""


LARGEST = 2**31 - 1
MOST_LAYERS = 10_000
"""No model is larger; a configuration that says so is damaged, and would be worked on for ever."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The sizes and switches of a decoder-only transformer; hashable, so that programs are compiled once per model.

    Dropout is not among them: the Pythia and Mistral models have none, and preference fine-tuning uses none.

    Attributes:
        architecture: which family's block and tensor names.
        vocab_size: V, rows of the embedding (a tokenizer may know fewer).
        width: features of the residual stream.
        layers: how many blocks.
        heads: query heads.
        kv_heads: key and value heads; each serves heads / kv_heads query heads.
        head_size: features of one head.
        mlp_width: features inside the MLP.
        context: the longest sequence that the model was made for, in tokens.
        activation: of the MLP, by Hugging Face's name.
        norm_epsilon: added to the variance.
        rotary_fraction: share of a head's features that rotary positions turn, the first ones.
        rotary_base: θ of the rotary frequencies θ^(-2i/d).
        rotary_scaling: how these are scaled for longer contexts; None for not at all.
        window: tokens that a position sees, itself included; None for all.
        parallel_residual: x + attention(norm(x)) + mlp(norm(x)) instead of one after the other (GPT-NeoX).
        attention_bias: whether queries, keys and values have biases.
        mlp_bias: whether the MLP's products have.
        tied: whether the unembedding is the embedding.
        init_std: standard deviation of fresh weights.
    """

    architecture: Architecture
    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    mlp_width: int
    context: int
    activation: str
    norm_epsilon: float
    rotary_fraction: float = 1.0
    rotary_base: float = 10_000.0
    rotary_scaling: Scaling | None = None
    window: int | None = None
    parallel_residual: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    tied: bool = False
    init_std: float = 0.02

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no model can have."""
        for field in ("vocab_size", "width", "layers", "heads", "kv_heads", "head_size", "mlp_width", "context"):
            whole(field, getattr(self, field), 1)
            if getattr(self, field) > LARGEST:
                raise ValueError(f"{field} must be at most {LARGEST}, got {getattr(self, field)}")
        if self.layers > MOST_LAYERS:
            raise ValueError(f"layers must be at most {MOST_LAYERS}, got {self.layers}")
        if self.window is not None:
            whole("window", self.window, 1)
        for field in ("norm_epsilon", "rotary_base"):
            if not 0 < getattr(self, field) < float("inf"):
                raise ValueError(f"{field} must be positive, got {getattr(self, field)}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if not 0 < self.rotary_fraction <= 1 or self.rotary_size % 2 or self.rotary_size == 0:
            raise ValueError(
                f"rotary positions must turn an even number of a head's features: {self.rotary_fraction} of "
                f"{self.head_size} is {self.rotary_size}"
            )

    @property
    def rotary_size(self) -> int:
        """Features of a head that are turned."""
        return int(self.head_size * self.rotary_fraction)

    @property
    def attention_out_bias(self) -> bool:
        """Whether attention's output has a bias: as queries, keys and values do, but for Qwen2."""
        return self.attention_bias and self.architecture != "qwen2"

    @property
    def head_norms(self) -> bool:
        """Whether each head's query and key are normed (Qwen3)."""
        return self.architecture == "qwen3"


def check_heads(heads: tuple[Head, ...]) -> None:
    """Raises ValueError for a head that there is not, or twice the same."""
    unknown = [head for head in heads if head not in HEADS]
    if unknown or len(set(heads)) < len(heads):
        raise ValueError(f"heads must be some of {', '.join(HEADS)}, each once, got {', '.join(heads)}")
