"""The formulas against what is really there: PyTorch's counter of products, and the sizes of weights and cache."""

import jax
import numpy as np
import pytest
from llm_cases import CASES, torch_model

from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import shapes
from modeseek.llm.parallel.roofline import decoding_bytes, training_flop


@pytest.mark.parametrize("case", ["pythia", "mistral", "llama", "qwen3"])
def test_flop_are_those_that_torch_counts(case):
    """Its eager attention multiplies all S² pairs of positions; the formula counts the half that causality leaves."""
    torch = pytest.importorskip("torch", reason="torch is for tests alone")
    from torch.utils.flop_counter import FlopCounterMode

    config, (rows, length) = config_from(CASES[case]), (2, 8)
    module = torch_model(case).train()
    module.set_attn_implementation("eager")
    tokens = torch.tensor(np.random.default_rng(0).integers(0, config.vocab_size, (rows, length)))
    with FlopCounterMode(display=False) as counter:
        module(tokens, use_cache=False).logits.sum().backward()
    half = 3 * 2 * rows * length**2 * config.layers * config.heads * config.head_size
    assert counter.get_total_flops() == training_flop(config, rows, length) + half


def test_a_window_leaves_fewer_pairs():
    """Attention's share is the difference: half of S² pairs, or w²/2 + (S - w) w."""
    config = config_from(CASES["mistral_window"])
    assert config.window is not None
    short, long = config.window, 3 * config.window
    linear = 3 * training_flop(config, 1, short)
    pair = 3 * 2 * 2 * config.layers * config.heads * config.head_size
    assert training_flop(config, 1, long) - linear == pair * (0.5 + 2 - 1.5) * config.window**2


@pytest.mark.parametrize("case", ["pythia", "mistral", "llama", "neox_tied"])
def test_decoding_reads_weights_and_cache_once(case):
    """Counted leaf by leaf: the tree as decoding takes it, the cache of rows that are full; an untied embedding is
    looked up, a tied one is the unembedding as well."""
    config, rows, length = config_from(CASES[case]), 3, 5
    model = Model(config, Compute("bfloat16"))
    weights, cache = shapes(config, dtype="bfloat16"), jax.eval_shape(lambda: model.empty_cache(rows, length))
    size = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    unread = 0 if config.tied else size(weights["embed"]) - 2 * rows * config.width
    assert decoding_bytes(config, rows, length) == size(weights) - unread + size(cache.layers)


def test_decoding_reads_no_more_than_the_window():
    config = config_from(CASES["mistral_window"])
    assert config.window is not None
    assert decoding_bytes(config, 2, 10 * config.window) == decoding_bytes(config, 2, config.window)
