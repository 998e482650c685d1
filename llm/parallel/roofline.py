"""What a model cannot do without, counted from its sizes: a training step's arithmetic, a decoding step's reading."""

import math

from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.parameters import parameters


def training_flop(config: ModelConfig, rows: int, length: int) -> int:
    """FLOP of one language-model step: products with weights and attention's, forward and twice that backward.

    2 FLOP a weight and token forward (Kaplan et al. 2020, section 2.1), the embedding's look-up none; attention's two
    products over the positions that causality leaves, S²/2. Nothing that is computed again is counted twice, and no
    norm, softmax or optimizer, so that the count does not depend on how the step is written.

    Args:
        config: of the model.
        rows: sequences in the batch.
        length: S, tokens read of each.
    """
    weights = sum(math.prod(p.shape) for p in parameters(config) if p.path[-1] == "kernel")
    if config.tied:
        weights += config.vocab_size * config.width
    seen = length if config.window is None else min(length, config.window)
    pairs = seen * seen / 2 + (length - seen) * seen  # of a query and a key, in one row and head
    attention = 2 * 2 * pairs * config.layers * config.heads * config.head_size
    return round(3 * rows * (2 * weights * length + attention))


def decoding_bytes(config: ModelConfig, rows: int, length: int, width: int = 2) -> int:
    """Bytes that one more token of every row must read: each weight once for all rows, and each row's keys and values.

    Of the embedding one line a row is read, of the cache the filled part, or the window of it; nothing is written, and
    no activation leaves the chip. Divided by the memory's bandwidth: the time that no decoding step goes below.

    Args:
        config: of the model.
        rows: sequences decoded together.
        length: tokens that each row has in the cache.
        width: bytes a number; 2 of 16 bits.
    """
    numbers = {p.path[0]: 0 for p in parameters(config)}
    for p in parameters(config):
        numbers[p.path[0]] += math.prod(p.shape)
    if not config.tied:
        numbers["embed"] = rows * config.width
    seen = length if config.window is None else min(length, config.window)
    cached = 2 * rows * seen * config.layers * config.kv_heads * config.head_size
    return width * (sum(numbers.values()) + cached)
