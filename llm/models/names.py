"""How an architecture's tensors are called in Hugging Face's files."""

from collections.abc import Callable
from typing import NamedTuple

from modeseek.llm.models.config import ModelConfig

LayerNames = dict[str, tuple[str, tuple[str, ...]]]
"""Path inside a layer's parameters → the tensor's name after `layers.N.`, and the logical axes of our leaf."""


class Names(NamedTuple):
    """One architecture's names.

    Attributes:
        embedding: of the token embedding.
        layers: prefix of the layers; `.N.` and the layer's own name follow.
        layer: one layer's tensors, given the configuration (which decides on the biases).
        norm: the last norm's leaves.
        lm: module of the unembedding.
        reward: module of the reward head.
        value: module of the value head.
        ignored: ends of names of buffers that older files carry and that are computed here.
    """

    embedding: str
    layers: str
    layer: Callable[[ModelConfig], LayerNames]
    norm: dict[str, str]
    lm: str
    reward: str
    value: str
    ignored: tuple[str, ...]
