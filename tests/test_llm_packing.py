"""Packing: which sequences share a row, and that none of them learns anything of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import CASES, random_params

from modeseek.llm.data.packing import first_fit, pack
from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.settings import SFTConfig
from modeseek.llm.training.sft import sft
from modeseek.llm.training.step import mean_gradients

ROOM = 16


def example(prompt, response, seed=0):
    ids = np.random.default_rng([prompt, response, seed]).integers(3, 53, prompt + response).astype(np.int32)
    return Example(ids[:prompt], (ids[prompt:],))


EXAMPLES = [example(2, 3), example(4, 5), example(1, 1), example(6, 3), example(3, 4), example(1, 6)]


@given(st.lists(st.integers(1, ROOM), min_size=1, max_size=30))
@settings(deadline=None, database=None)
def test_every_sequence_has_its_place_and_rows_are_few(lengths):
    rows = first_fit(lengths, ROOM)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= ROOM for row in rows)
    # At most one row can be half empty or more: two such would have been one.
    assert sum(2 * sum(lengths[number] for number in row) <= ROOM for row in rows) <= 1
    assert len(rows) <= 2 * math.ceil(sum(lengths) / ROOM)


def test_rows_hold_what_was_given():
    packed = pack(EXAMPLES, ROOM, multiple=4, pad=1)
    assert packed.tokens.shape == (4, ROOM)  # 39 tokens need three rows
    found = []
    for tokens, segments, targets in zip(*packed, strict=True):
        for segment in range(1, int(segments.max()) + 1):
            own = segments == segment
            found.append((tokens[own & ~targets].tolist(), tokens[targets & own].tolist()))
    wanted = [(each.prompt.tolist(), each.responses[0].tolist()) for each in EXAMPLES]
    assert sorted(found) == sorted(wanted)
    assert (packed.tokens[packed.segments == 0] == 1).all()
    assert not packed.targets[packed.segments == 0].any()
    with pytest.raises(ValueError, match="sequence 1 has 9 tokens, and a packed row has room for 8"):
        pack(EXAMPLES, 8)
    with pytest.raises(ValueError, match="example 0 has 2 responses"):
        pack([Example(EXAMPLES[0].prompt, EXAMPLES[0].responses * 2)], ROOM)


def batches(examples):
    """The same examples one a row, and packed."""
    rows, packed = pad_rows(examples, multiple=ROOM), pack(examples, ROOM)
    arrays = (jnp.asarray(a) for a in (rows.tokens[:, 0], rows.lengths[:, 0], rows.starts[:, 0]))
    lengths = jnp.full(len(packed.tokens), ROOM)
    parts = {"segments": jnp.asarray(packed.segments), "targets": jnp.asarray(packed.targets)}
    return TokenBatch(*arrays), TokenBatch(jnp.asarray(packed.tokens), lengths, **parts)


@pytest.mark.parametrize("case", [pytest.param("pythia", marks=pytest.mark.slow), "mistral_window"])
def test_packed_and_unpacked_have_one_loss_and_one_gradient(case):
    """A quarter of each head turned; a window of 4, which ends inside sequences and across their borders."""
    model = Model(config_from(CASES[case]))
    params, loss = random_params(model.config, std=0.2), CrossEntropy(model)
    both = [jax.jit(lambda p, b: mean_gradients(loss, p, b))(params, batch) for batch in batches(EXAMPLES)]
    (alone, apart), (together, packed) = both
    assert together == pytest.approx(float(alone), rel=1e-5)
    largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(apart))
    for one, other in zip(jax.tree.leaves(apart), jax.tree.leaves(packed), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * largest)


@pytest.mark.slow
def test_a_run_with_packing_is_the_run_without():
    """Three steps of Adam: the same order, the same losses, the same tokens learnt."""
    model = Model(config_from(CASES["pythia"]))
    found = []
    for how in ({}, {"pack": True}):
        records = []
        params = random_params(model.config, std=0.1)
        config = SFTConfig(epochs=3.0, batch=6, multiple=ROOM, **how)
        sft(ModelWithParams(model, params), EXAMPLES, config=config, report=records.append)
        found.append([(record["loss"], record["tokens"]) for record in records])
    assert np.array(found[1]) == pytest.approx(np.array(found[0]), rel=1e-5)


def test_rows_that_cannot_be_are_refused():
    model = Model(config_from(CASES["pythia"]))
    policy = ModelWithParams(model, random_params(model.config))
    for length, message in ((8, "pack_length is 8, and the longest example has 9 tokens"), (65, "context is 64")):
        with pytest.raises(ValueError, match=message):
            sft(policy, EXAMPLES, config=SFTConfig(batch=6, pack=True, pack_length=length))
    with pytest.raises(ValueError, match="it goes with pack"):
        SFTConfig(pack_length=64)
