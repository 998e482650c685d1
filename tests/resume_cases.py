"""Small runs that can be stopped and go on, in this process or, as a program, in one that is killed."""

import dataclasses
import functools
import itertools
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from llm_cases import CASES, random_params

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.rewards.reward_model import train
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.settings import OptimizerConfig, RewardModelConfig, SFTConfig
from modeseek.llm.training.sft import sft
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import TuneConfig

MODEL = Model(config_from(CASES["pythia"] | {"num_hidden_layers": 2, "hidden_size": 24}))
EOS = 2
OFFLINE = TuneConfig(
    "dpo", 4, 2, 4, collections=6, length_multiple=16, chunk=64, hyper=HyperParameters(learning_rate=1e-2)
)
ON_POLICY = dataclasses.replace(
    OFFLINE,
    method="ppo",
    minibatch_size=2,
    inner_steps=2,
    max_new_tokens=6,
    generation_batch=4,
    standardization="running",
)
"""Running moments, passes in orders of their own, samples: all that a resumed run could get wrong."""


@functools.cache
def policy():
    return ModelWithParams(MODEL, random_params(MODEL.config, std=0.15))


@functools.cache
def pairs(count=5):
    """As many as two and a half collections take: a run is in the middle of an epoch most of the time."""
    rng = np.random.default_rng(0)
    ids = lambda low, high: rng.integers(3, 53, rng.integers(low, high)).astype(np.int32)
    end = lambda ids: np.append(ids, np.int32(EOS))
    return [Example(ids(2, 5), (end(ids(1, 8)), end(ids(1, 8)))) for _ in range(count)]


def shorter(examples):
    return np.array([[-float(len(ids)) for ids in example.responses] for example in examples])


def tuned(folder, config=ON_POLICY, *, reward=shorter, evaluate=lambda params, step: {"seen": step}, report=None):
    """Algorithm 1 with a checkpoint every second collection, the last two kept."""
    with RunFolder(folder, dataclasses.asdict(config)) as run, RunCheckpoints(run, every=2, keep=2) as checkpoints:

        def write(record):
            if report is not None:
                report(record)
            run.append(record)

        how = {"evaluate": evaluate, "evaluate_every": 3, "checkpoints": checkpoints, "report": write}
        return tune(policy(), pairs(), config, reward=reward, eos=[EOS], **how).params


EPOCHS: dict[str, Any] = {
    "epochs": 1.5,
    "batch": 2,
    "optimizer": OptimizerConfig(learning_rate=1e-2, schedule="cosine"),
    "evaluate_every": 2,
    "multiple": 16,
}


def finetuned(folder, stop=lambda record: None):
    """SFT: four steps an epoch, one and a half of them, with a checkpoint every step."""
    completions = [Example(pair.prompt, pair.responses[:1]) for pair in pairs(9)]
    return _stage(sft, policy(), completions, SFTConfig(**EPOCHS), folder, stop)


def scorer(folder, stop=lambda record: None):
    """A reward model, likewise."""
    start = ModelWithParams(MODEL, random_params(MODEL.config, heads=("reward",)))
    return _stage(train, start, pairs(9), RewardModelConfig(**EPOCHS, accumulate=1), folder, stop)


def _stage(stage, start, examples, config, folder, stop):
    start = ModelWithParams(MODEL, jax.tree.map(jnp.copy, start.params))  # given up
    with RunFolder(folder, dataclasses.asdict(config)) as run, RunCheckpoints(run, every=1, keep=2) as checkpoints:

        def write(record):
            stop(record)
            run.append(record)

        return stage(start, examples[:8], examples[8:], config, checkpoints=checkpoints, report=write)


def program(folder, cache):
    """Tune, saying where it is, and write down the parameters' bytes."""
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    said = itertools.count()
    say = lambda what: print(next(said), what, flush=True)

    def judge(examples):
        say("sampled")
        return shorter(examples)

    def evaluate(params, step):
        say("evaluates")
        return {"seen": step}

    params = tuned(Path(folder), reward=judge, evaluate=evaluate, report=lambda record: say("reports"))
    Path(folder, "params").write_bytes(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)))


if __name__ == "__main__":
    program(*sys.argv[1:])
