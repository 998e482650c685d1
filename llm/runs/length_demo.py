"""Length scenarios from nothing: a tokenizer, SFT, preferences, a reward model and methods, each a stage."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from modeseek.bandit.objectives.registry import variant
from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.model_card import ModelCard
from modeseek.llm.checkpoints.save import save
from modeseek.llm.data.scenarios import Name
from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import init
from modeseek.llm.rewards import reward_model
from modeseek.llm.rewards.functions import RewardFunction, of_examples
from modeseek.llm.runs.length_data import (
    Corpus,
    examples_of,
    gold_reward,
    preferences,
    read_corpus,
    samples,
    scenario_of,
)
from modeseek.llm.runs.sizes import DemoSizes, policy_config
from modeseek.llm.runs.stages import QUIET, Record, Watch, stage
from modeseek.llm.training.settings import OptimizerConfig, RewardModelConfig, SFTConfig
from modeseek.llm.training.sft import sft
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import LANGUAGE_HYPER, TuneConfig

POLICY = "policy"
ROWS = 64
"""Rows are padded to a multiple of so many tokens: all stages then share their programs."""

PAIRS, HEAD, EVALUATION = 2**31, 2**31 + 1, 2**31 + 2
"""What keys are for, beyond all numbers of collections: nothing that is trained on is drawn by evaluation's key."""


def _key(sizes: DemoSizes, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(sizes.seed), np.uint32(purpose))


def run(folder: Path, sizes: DemoSizes, watch: Watch = QUIET) -> dict[str, dict[str, dict[str, Any]]]:
    """Every stage in turn.

    Returns:
        Scenario → method → what `tuned` keeps; beside the methods `sft`, the reference.
    """
    for method in sizes.methods:  # what cannot be trained is told before anything is
        tune_config(method, sizes)
    corpus = read_corpus(folder, sizes, watch)
    stage(folder, "sft", lambda own: fine_tuned(own, corpus, sizes, watch), watch)
    drawn = stage(
        folder,
        "samples",
        lambda own: samples(opened(folder / "sft" / POLICY), corpus, sizes, _key(sizes, PAIRS)),
        watch,
    )
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name in sizes.scenarios:
        scenario = scenario_of(cast(Name, name), drawn["mean_tokens"], sizes)
        pairs = stage(folder, f"{name}/pairs", lambda own, s=scenario: preferences(folder, corpus, s), watch)
        reward = functools.partial(reward_trained, folder, corpus, pairs["pairs"], sizes, watch)
        stage(folder, f"{name}/reward_model", lambda own, r=reward: r(own), watch)
        proxy = reward_model.as_reward(opened(folder / name / "reward_model" / POLICY))
        rewards = {"gold": gold_reward(scenario, corpus.tokens), "proxy": proxy}
        results[name] = {}
        for method in ("sft", *sizes.methods):
            work = functools.partial(tuned, folder, corpus, pairs["pairs"], rewards, method, sizes, watch)
            results[name][method] = stage(folder, f"{name}/{method}", lambda own, w=work: w(own), watch)
    return results


def fine_tuned(own: Path, corpus: Corpus, sizes: DemoSizes, watch: Watch = QUIET) -> dict[str, Any]:
    """A GPT-NeoX from scratch, trained on the docstrings: every method's start and reference."""
    config = policy_config(sizes, len(load_tokenizer(corpus.tokenizer)))
    optimizer = OptimizerConfig(
        learning_rate=sizes.sft_rate, schedule="cosine", warmup_steps=min(30, sizes.sft_steps // 10)
    )
    training = SFTConfig(
        epochs=sizes.sft_steps / (len(corpus.training) // sizes.batch),
        batch=sizes.batch,
        optimizer=optimizer,
        evaluate_every=max(1, sizes.sft_steps // 4),
        multiple=ROWS,
        seed=sizes.seed,
    )
    policy = ModelWithParams(Model(config), init(config, key=jax.random.key(sizes.seed)))
    found = sft(
        policy,
        corpus.training,
        corpus.held_out,
        training,
        pad=corpus.tokens.pad,
        report=_named("sft", watch),
        progress=watch.progress("SFT"),
    )
    assert found.before is not None
    assert found.after is not None
    numbers = {"held_out_loss_before": found.before.loss, "held_out_loss": found.after.loss, "steps": found.steps}
    _export(own, config, found.params, corpus, "sft", None, dataclasses.asdict(sizes), numbers)
    return numbers


def reward_trained(
    folder: Path, corpus: Corpus, pairs: Sequence[Mapping[str, Any]], sizes: DemoSizes, watch: Watch, own: Path
) -> dict[str, Any]:
    """The proxy reward: a Bradley-Terry model on the SFT policy's trunk; a tenth of the pairs is held out."""
    checkpoint = open_checkpoint(folder / "sft" / POLICY)
    params = load(checkpoint, ("reward",), key=_key(sizes, HEAD))
    examples = examples_of(corpus, pairs)
    held = max(1, len(examples) // 10)
    config = RewardModelConfig(
        epochs=sizes.reward_epochs,
        batch=min(sizes.batch, len(examples) - held),
        accumulate=1,
        optimizer=OptimizerConfig(learning_rate=sizes.learning_rate, clip_norm=None),
        multiple=ROWS,
        seed=sizes.seed,
    )
    found = reward_model.train(
        ModelWithParams(Model(checkpoint.config), params),
        examples[held:],
        examples[:held],
        config,
        report=_named("reward model", watch),
        progress=watch.progress("reward model"),
    )
    assert found.held_out is not None
    numbers = {
        "held_out_accuracy": found.held_out.accuracy,
        "held_out_calibration_error": found.held_out.calibration_error,
        "pairs": len(examples),
    }
    save(
        own / POLICY,
        checkpoint.config,
        found.params,
        head="reward",
        tokenizer=corpus.tokenizer,
        pad_id=corpus.tokens.pad,
        eos_id=corpus.tokens.eos,
    )
    return numbers


def tune_config(method: str, sizes: DemoSizes) -> TuneConfig:
    """A method's knobs: `batch` samples a collection, one gradient step on each; 4 responses a prompt where the policy
    answers, the pair where the data does."""
    return TuneConfig(
        method=method,
        samples_per_collection=sizes.batch,
        responses_per_prompt=4 if variant(method).on_policy else 2,
        minibatch_size=sizes.batch,
        collections=sizes.collections,
        max_new_tokens=sizes.max_response,
        hyper=dataclasses.replace(LANGUAGE_HYPER, learning_rate=sizes.learning_rate),
        generation_batch=sizes.batch,
        length_multiple=ROWS,
        seed=sizes.seed,
    )


def tuned(
    folder: Path,
    corpus: Corpus,
    pairs: Sequence[Mapping[str, Any]],
    rewards: Mapping[str, RewardFunction],
    method: str,
    sizes: DemoSizes,
    watch: Watch,
    own: Path,
) -> dict[str, Any]:
    """One method from the SFT policy on, evaluated as it goes on held-out prompts by gold and proxy reward.

    Rewards that a method learns from are the proxy's, as in the paper; DPO and Pref-FT offline have the pairs alone.
    `sft` as the method trains nothing: the reference is evaluated.
    """
    reference = opened(folder / "sft" / POLICY)
    prompts = [example.prompt for example in corpus.held_out[: sizes.evaluate_prompts]]
    config = EvaluationConfig(max_new_tokens=sizes.max_response, batch=64)
    records: list[dict[str, Any]] = []
    texts: list[str] = []

    def measure(params: Any, step: int) -> dict[str, float]:
        found = evaluate(
            ModelWithParams(reference.model, params),
            [prompt.tolist() for prompt in prompts],
            key=_key(sizes, EVALUATION),
            eos=(corpus.tokens.eos,),
            reference=reference,
            rewards=rewards,
            tokens=corpus.tokens,
            config=config,
        )
        numbers = {name: number for name, number in found.numbers.items() if np.isfinite(number)}
        records.append({"step": step, **numbers})
        texts[:] = [sample.text or "" for sample in found.samples[:8]]
        return numbers

    if method == "sft":
        measure(reference.params, 0)
    else:
        knobs = tune_config(method, sizes)
        needs_proxy = knobs.variant.on_policy or "advantages" in knobs.variant.method.needs
        found = tune(
            reference,
            examples_of(corpus, pairs),
            knobs,
            reward=of_examples(rewards["proxy"], name="the proxy reward") if needs_proxy else None,
            eos=(corpus.tokens.eos,),
            pad=corpus.tokens.pad,
            evaluate=measure,
            evaluate_every=sizes.evaluate_every,
            report=_named(str(own.relative_to(folder)), watch),
            progress=watch.progress(method),
        )
        settings = {"gradient steps": found.steps, **dataclasses.asdict(sizes)}
        _export(
            own, reference.model.config, found.params, corpus, method, "the SFT policy beside it", settings, records[-1]
        )
    asked = corpus.tokens.decode(prompts[: len(texts)])
    shown = [{"prompt": prompt, "response": text} for prompt, text in zip(asked, texts, strict=True)]
    return {"evaluations": records, "samples": shown}


def opened(folder: Path) -> ModelWithParams:
    """A stage's model."""
    checkpoint = open_checkpoint(folder)
    return ModelWithParams(Model(checkpoint.config), load(checkpoint))


def _named(name: str, watch: Watch) -> Callable[[Record], None]:
    return lambda record: watch.report({"stage": name, **record})


def _export(
    own: Path,
    config: ModelConfig,
    params: Any,
    corpus: Corpus,
    method: str,
    base: str | None,
    settings: Mapping[str, Any],
    numbers: Mapping[str, float | int],
) -> None:
    card = ModelCard(
        title=f"A small model of docstrings, {method}",
        summary="A GPT-NeoX of `modeseek llm demo`: sized down to show methods at work, of no other use.",
        method=method,
        base=base,
        data=["signatures and docstrings of Python's standard library", *str(corpus.report).splitlines()],
        settings=settings,
        numbers=numbers,
    )
    tokens = corpus.tokens
    save(
        own / POLICY,
        config,
        params,
        tokenizer=corpus.tokenizer,
        pad_id=tokens.pad,
        eos_id=tokens.eos,
        card=card.text(),
    )
