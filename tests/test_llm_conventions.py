"""Which tokens are trained: each switch against masks that were written by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import random_params

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.reduce import token_weights
from modeseek.bandit.objectives.registry import METHODS
from modeseek.llm.data.rows import Rows, pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Model
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.conventions import MATHEMATICS, Conventions
from modeseek.llm.training.objective import Labelled, as_batch
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS, TuneConfig

EOS, PAD = 2, 0
ids = lambda *row: np.array(row, np.int32)

# Two prompts: of two tokens with an ended and a cut response, of one token with a response that is EOS alone.
EXAMPLES = [Example(ids(5, 6), (ids(7, 8, EOS), ids(9, 7))), Example(ids(5), (ids(EOS),))]

# Tokens of rows:  5 6 7 8 2 .     5 6 9 7 . .     5 2 . . . .     (no response)
HAND = {
    MATHEMATICS: ["001110", "001100", "010000", "000000"],
    Conventions(train_first_token=False): ["000110", "000100", "000000", "000000"],
    Conventions(train_eos=False): ["001100", "001100", "000000", "000000"],
    Conventions(train_first_token=False, train_eos=False): ["000100", "000100", "000000", "000000"],
    Conventions(train_pads=True): ["001111", "001111", "011111", "000000"],
    Conventions(train_first_token=False, train_pads=True): ["000111", "000111", "001111", "000000"],
    # What stands where a row is filled up is a pad, and there the released code's pad is EOS.
    Conventions(train_eos=False, train_pads=True): ["001111", "001111", "011111", "000000"],
}


def rows() -> Rows:
    return pad_rows(EXAMPLES, pad=PAD, length=6)


@pytest.mark.parametrize("conventions", HAND, ids=str)
def test_targets_are_those_written_by_hand(conventions):
    changed = conventions.targets(rows(), (EOS,))
    found = ["".join("01"[int(bit)] for bit in row) for row in changed.targets().reshape(4, 6)]
    assert found == HAND[conventions]
    np.testing.assert_array_equal(changed.tokens, rows().tokens)
    np.testing.assert_array_equal(changed.real, rows().real)
    assert (changed.starts >= 1).all()
    assert (changed.lengths >= 1).all()


@pytest.mark.parametrize("conventions", HAND, ids=str)
def test_an_objective_sees_the_same_mask(conventions):
    """Column t of a log-prob is of token t + 1."""
    data = Labelled(*conventions.targets(rows(), (EOS,)))
    mask = as_batch(data, jnp.zeros((2, 2, 5))).token_mask
    found = ["0" + "".join("01"[int(bit)] for bit in row) for row in np.asarray(mask).reshape(4, 5)]
    assert found == HAND[conventions]


def test_only_an_eos_at_the_end_is_one():
    """A response that was cut keeps its last token, and one that goes on behind an EOS keeps that."""
    data = pad_rows([Example(ids(5), (ids(EOS, 7), ids(7, 8)))], pad=EOS, length=4)
    left = Conventions(train_eos=False).targets(data, (EOS,))
    np.testing.assert_array_equal(left.lengths, data.lengths)
    np.testing.assert_array_equal(Conventions(train_eos=False).targets(data, (8,)).lengths, [[3, 2]])


def _model() -> ModelWithParams:
    config = ModelConfig(
        architecture="gpt_neox",
        vocab_size=11,
        width=16,
        layers=1,
        heads=2,
        kv_heads=2,
        head_size=8,
        mlp_width=24,
        context=16,
        activation="gelu",
        norm_epsilon=1e-5,
        rotary_fraction=0.25,
        parallel_residual=True,
        attention_bias=True,
        mlp_bias=True,
    )
    return ModelWithParams(Model(config), random_params(config))


def test_algorithm_1_trains_what_the_conventions_say():
    """A step that trains no EOS is one on the same responses without their EOS; the reward still reads them whole."""
    policy, seen = _model(), []
    pairs = [Example(ids(5, 6), (ids(7, 8, EOS), ids(9, EOS))), Example(ids(3, 4), (ids(8, EOS), ids(7, 9, 9, EOS)))]
    cut = [Example(e.prompt, tuple(y[:-1] for y in e.responses)) for e in pairs]
    base = TuneConfig("offline_rwr", 4, 2, 4, collections=1, length_multiple=8, standardization="none")

    def judge(examples):
        seen.append([len(y) for e in examples for y in e.responses])
        return np.array([[1.0, 0.0]] * len(examples))

    def after(data, conventions):
        config = dataclasses.replace(base, conventions=conventions)
        loop = Algorithm1(policy, data, config, reward=judge, eos=(EOS,))
        return jax.device_get(loop.params(loop.turn(loop.start())))

    without, removed = after(pairs, Conventions(train_eos=False)), after(cut, MATHEMATICS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), without, removed)
    whole = after(pairs, MATHEMATICS)
    moved = max(
        float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(without), strict=True)
    )
    assert moved > 1e-6
    assert sorted(seen[0]) == sorted(seen[2]) == [2, 2, 3, 4]


def test_with_all_samples_the_policys_own_ppo_is_reinforce():
    """What lets figure 5 share its cells with figure 11: at ratio 1 the two have one gradient."""
    rng = np.random.default_rng(0)
    log_probs = jnp.asarray(-rng.exponential(1.0, (3, 4, 5)), jnp.float32)
    responses = tuple(ids(*rng.integers(3, 9, length)) for length in (5, 1, 3, 4))
    data = Labelled(*pad_rows([Example(ids(5), responses)] * 3, length=6))
    batch = as_batch(data, log_probs)._replace(
        behavior_token_log_probs=log_probs, advantages=jnp.asarray(rng.standard_normal((3, 4)), jnp.float32)
    )
    found = [token_weights(METHODS[m], batch, HyperParameters(), LANGUAGE_OPTIONS)[1] for m in ("ppo", "reinforce")]
    np.testing.assert_allclose(*found, atol=1e-6)
    assert float(jnp.abs(found[0]).max()) > 0.01
