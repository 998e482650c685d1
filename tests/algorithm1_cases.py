"""A language model of two layers, pairs and a reward, that Algorithm 1 is tried on."""

import functools

import jax
import numpy as np
import optax
from llm_cases import CASES, random_params

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import TuneConfig

MODEL = Model(config_from(CASES["pythia"] | {"num_hidden_layers": 2, "hidden_size": 24}))
EOS = 2
OFFLINE = TuneConfig("dpo", 8, 2, 8, collections=2, length_multiple=16, hyper=HyperParameters(learning_rate=1e-3))
ON_POLICY = TuneConfig(
    "ppo", 8, 2, 4, inner_steps=2, collections=1, max_new_tokens=6, length_multiple=16, generation_batch=8, critic=False
)
SGD = optax.sgd(0.01)


@functools.cache
def policy(std=0.15):
    return ModelWithParams(MODEL, random_params(MODEL.config, std=std))


@functools.cache
def pairs(count=10):
    rng = np.random.default_rng(0)
    ids = lambda low, high: rng.integers(3, 53, rng.integers(low, high)).astype(np.int32)
    end = lambda ids: np.append(ids, np.int32(EOS))
    return [Example(ids(2, 5), (end(ids(1, 8)), end(ids(1, 8)))) for _ in range(count)]


def length_reward(examples):
    """Shorter is better, EOS not counted; of equal lengths, ids that are high: no two samples are tied."""
    rewards = np.full((len(examples), 2), np.nan)  # what stands where there is no response is not read
    for p, example in enumerate(examples):
        for n, ids in enumerate(example.responses):
            rewards[p, n] = ids.mean() / 53 - len(ids) + (ids[-1] == EOS)
    return rewards


def run(config, data=None, **how):
    records = []
    how = {"reward": length_reward, "eos": [EOS]} | how
    tuned = tune(policy(), pairs() if data is None else data, config, report=records.append, **how)
    return tuned, records


def same(ours, theirs):
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), ours, theirs)))
