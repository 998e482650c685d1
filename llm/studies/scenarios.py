"""What all cells of a scale share: a reference policy, and for each scenario preferences, a gold and a proxy reward.

Stages in a folder, each made once (`modeseek.llm.runs.length_demo`). The paper's scenarios are judged by length. Its
AlpacaFarm, whose gold reward is a model of human preferences, has a stand-in whose gold reward is known and is not
length: `plain_words`, which prefers common tokens to rare ones.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from modeseek.checks import require
from modeseek.files import read_json
from modeseek.llm.data.scenarios import Gold, id_unit, label_pairs, min_length, mode_length, skew_lengths
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.rewards import reward_model
from modeseek.llm.rewards.functions import RewardFunction, of_ids, without_end
from modeseek.llm.runs.length_data import Corpus, examples_of, read_corpus, samples
from modeseek.llm.runs.length_demo import POLICY, fine_tuned, opened, reward_trained
from modeseek.llm.runs.stages import QUIET, RESULT, Watch, stage
from modeseek.llm.studies.scales import Scale


class Scenario(NamedTuple):
    """Preferences and their rewards.

    Attributes:
        pairs: chosen first; what offline methods are trained on, and whose prompts the others answer.
        held_out: pairs that nothing was trained on, the reward model among it.
        gold: what the preferences were made by.
        proxy: a reward model of the preferences.
        accuracy: of the proxy on held-out pairs.
    """

    pairs: list[Example]
    held_out: list[Example]
    gold: RewardFunction
    proxy: RewardFunction
    accuracy: float


class World(NamedTuple):
    """What all cells of a scale share.

    Attributes:
        corpus: prompts, held-out ones, the tokenizer.
        reference: the SFT policy that every run begins with.
        scenarios: by name.
    """

    corpus: Corpus
    reference: ModelWithParams
    scenarios: dict[str, Scenario]

    @property
    def eos(self) -> int:
        """The id that ends a response."""
        return self.corpus.tokens.eos


def build_world(scale: Scale, folder: Path, names: Sequence[str], watch: Watch = QUIET) -> World:
    """The stages that are not there yet, and what they give.

    Args:
        scale: see there.
        folder: of the stages.
        names: scenarios that are needed.
        watch: told what is done.
    """
    sizes = scale.sizes
    corpus = read_corpus(folder, sizes, watch)
    stage(folder, "sft", lambda own: fine_tuned(own, corpus, sizes, watch), watch)
    reference = opened(folder / "sft" / POLICY)
    draw = lambda own: samples(reference, corpus, sizes, _key(sizes.seed, PAIRS))
    sampled = stage(folder, "samples", draw, watch)
    made = {}
    for name in names:
        gold, home = gold_reward(name, sampled["mean_tokens"], corpus), folder / name
        stage(home, "samples", functools.partial(_samples_of, name, sampled, scale, corpus.tokens.eos), watch)
        make = functools.partial(_pairs, home, gold, corpus.tokens.eos, scale.held_out_pairs + 2)
        found = stage(home, "pairs", lambda own, m=make: m(), watch)["pairs"]
        held_out, training = found[: scale.held_out_pairs], found[scale.held_out_pairs :]
        train = functools.partial(reward_trained, folder, corpus, training, sizes, watch)
        trained = stage(home, "reward_model", train, watch)
        proxy = reward_model.as_reward(opened(home / "reward_model" / POLICY))
        made[name] = Scenario(
            examples_of(corpus, training),
            examples_of(corpus, held_out),
            of_ids(gold, (corpus.tokens.eos,)),
            proxy,
            trained["held_out_accuracy"],
        )
    return World(corpus, reference, made)


def gold_reward(scenario: str, mean_tokens: float, corpus: Corpus) -> Gold:
    """Fewer tokens; nearer to the reference's mean; or commoner tokens. Of a response's ids without EOS."""
    if scenario == "plain_words":
        return plain_words(corpus.training, corpus.tokens.eos, len(load_tokenizer(corpus.tokenizer)))
    return mode_length(mean_tokens, len) if scenario == "mode_length" else min_length(len)


def plain_words(examples: Sequence[Example], eos: int, vocab_size: int) -> Gold:
    """r(y) = mean over a response's tokens of log f(y_t), nats: f a token's frequency in the training responses.

    Common tokens are better than rare ones, and length as such is worth nothing. A response without any token has the
    reward of the rarest.
    """
    counts = np.full(vocab_size, 0.5)
    for example in examples:
        np.add.at(counts, example.responses[0], 1.0)
    counts[eos] = 0.5
    values = np.log(counts / counts.sum())
    return lambda ids: float(values[np.asarray(ids)].mean() if len(ids) else values.min())


def _samples_of(name: str, sampled: dict[str, Any], scale: Scale, eos: int, own: Path) -> dict[str, Any]:
    """The reference's answers as a scenario's preferences are made of them: Skew Length's are truncated."""
    if name != "skew_length":
        return sampled
    groups = sampled["responses"]
    flat = [response for group in groups for response in group]
    cut = iter(skew_lengths(flat, scale=scale.skew_mean, seed=scale.sizes.seed, unit=id_unit((eos,))))
    return {**sampled, "responses": [[next(cut) for _ in group] for group in groups]}


def _pairs(folder: Path, gold: Gold, eos: int, least: int) -> dict[str, Any]:
    """A prompt's best and worst answer by the gold reward; where all are as good as one another, no pair.

    Raises:
        ValueError: there are fewer than `least` pairs.
    """
    answers = read_json(folder / "samples" / RESULT)
    judge: Gold = lambda ids: gold(without_end(ids, (eos,)))
    found = label_pairs(answers["prompts"], answers["responses"], judge, "best and worst")
    count = len(found.pairs)
    require(count >= least, f"{count} of {len(answers['prompts'])} prompts make a pair, not {least}: take more prompts")
    pairs = [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in found.pairs]
    return {"tied": found.tied, "pairs": pairs}


PAIRS, EVALUATION = 2**31, 2**31 + 2
"""What keys are for, beyond all numbers of collections."""


def _key(seed: int, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), np.uint32(purpose))


def evaluation_key(seed: int) -> jax.Array:
    """For samples that measure and train nothing."""
    return _key(seed, EVALUATION)
