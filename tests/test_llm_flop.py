"""The formula of a step's arithmetic against PyTorch's counter of what transformers' module really multiplies."""

import numpy as np
import pytest
from llm_cases import CASES, torch_model

from llm.flop import training_flop
from llm.models.hugging_face import config_from


@pytest.mark.parametrize("case", ["pythia", "mistral", "llama"])
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
