"""Responses without EOS: a penalty in their reward, or no part in what is learnt, its normaliser included."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
from llm_cases import CASES, random_params

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training.truncated import with_truncated
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import TuneConfig

MODEL = Model(config_from(CASES["pythia"] | {"num_hidden_layers": 1, "hidden_size": 24}))
EOS = 2
OFFLINE = TuneConfig(
    "offline_rwr", 8, 2, 8, collections=1, length_multiple=16, hyper=HyperParameters(learning_rate=1e-3)
)


def ids(*tokens):
    return np.array(tokens, np.int32)


WHOLE = [Example(ids(5 + p, 6), (ids(10 + p, 11, EOS), ids(20 + p, 21, 22, EOS))) for p in range(4)]
CUT = [Example(e.prompt, (e.responses[0], e.responses[1][:-1])) if p < 2 else e for p, e in enumerate(WHOLE)]
"""The second response of the first two prompts has no EOS."""
LEFT_OUT = [Example(e.prompt, e.responses[:1]) if p < 2 else e for p, e in enumerate(WHOLE)]


def rewards(examples):
    return np.array([[float(r[0]) for r in e.responses] + [0.0] * (2 - len(e.responses)) for e in examples])


@functools.cache
def policy():
    return ModelWithParams(MODEL, random_params(MODEL.config, std=0.15))


def test_which_responses_ended():
    rows = pad_rows([*CUT, Example(ids(EOS), (ids(),))], multiple=8, pad=1)
    ended = np.array([[True, False], [True, False], [True, True], [True, True], [False, False]])
    assert rows.ended([EOS, 3]).tolist() == ended.tolist()  # an EOS that ends the prompt ends no response


def test_a_penalty_is_of_those_that_were_cut_alone():
    rows, given = pad_rows(LEFT_OUT + CUT, multiple=8), np.ones((8, 2), np.float32)
    same, found = with_truncated(dataclasses.replace(OFFLINE, missing_eos_penalty=2.5), rows, given, [EOS])
    assert same is rows
    assert found[:4].tolist() == np.ones((4, 2)).tolist()  # those that are not there were not cut
    assert found[4:].tolist() == [[1, -1.5], [1, -1.5], [1, 1], [1, 1]]
    with pytest.raises(ValueError, match="need an EOS, and there is none"):
        with_truncated(dataclasses.replace(OFFLINE, mask_truncated=True), rows, given, [])
    with pytest.raises(ValueError, match="missing_eos_penalty must be zero or more"):
        dataclasses.replace(OFFLINE, missing_eos_penalty=-1.0)


def learnt(data, config):
    records = []
    how = {"reward": rewards, "eos": [EOS], "optimizer": optax.sgd(0.1), "report": records.append}
    return tune(policy(), data, config, **how).params, records


@pytest.mark.slow  # programs of two shapes
def test_masked_is_as_if_it_had_never_been_there():
    """Standardisation, RWR's normaliser, the loss and its gradient: all of six responses, not of eight."""
    masked, records = learnt(CUT, dataclasses.replace(OFFLINE, mask_truncated=True))
    without, others = learnt(LEFT_OUT, OFFLINE)
    kept, _ = learnt(CUT, OFFLINE)
    loss = lambda found: next(record["loss"] for record in found if "loss" in record)
    assert loss(records) == pytest.approx(loss(others), rel=1e-6)
    for one, other in zip(jax.tree.leaves(masked), jax.tree.leaves(without), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    apart = [float(abs(a - b).max()) for a, b in zip(jax.tree.leaves(masked), jax.tree.leaves(kept), strict=True)]
    assert max(apart) > 1e-4
    assert records[0]["reward"] == rewards(CUT).mean()  # what is told is of all that was collected
    assert records[0]["ended"] == 6 / 8


def test_where_nothing_ended_nothing_is_learnt():
    none = [Example(e.prompt, tuple(r[:-1] for r in e.responses)) for e in WHOLE]
    params, records = learnt(none, dataclasses.replace(OFFLINE, mask_truncated=True))
    assert all(np.isfinite(value) for record in records for value in record.values())
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(policy().params), strict=True):
        assert (one == other).all()
