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
from modeseek.llm.data.scenarios import PAPER_SHARE, Gold, label_pairs, min_length, mode_length
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.rewards import reward_model
from modeseek.llm.rewards.functions import RewardFunction, of_ids, without_end
from modeseek.llm.runs.length_data import Corpus, examples_of, read_corpus, samples
from modeseek.llm.runs.length_demo import POLICY, fine_tuned, opened, reward_trained
from modeseek.llm.runs.stages import QUIET, Watch, stage
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
    key = _key(sizes.seed, PAIRS)
    sampled = stage(folder, "samples", lambda own: samples(reference, corpus, sizes, key), watch)
    made = {}
    for name in names:
        gold, home = gold_of(name, sampled["mean_tokens"], corpus), folder / name
        make = functools.partial(_pairs, name, gold, sampled, corpus, scale)
        found = stage(home, "pairs", lambda own, m=make: m(), watch)["pairs"]
        held_out, training = found[: scale.held_out_pairs], found[scale.held_out_pairs :]
        train = functools.partial(reward_trained, folder, corpus, training, sizes, watch)
        trained = stage(home, "reward_model", train, watch)
        proxy = reward_model.as_reward(opened(home / "reward_model" / POLICY))
        pairs, kept = examples_of(corpus, training), examples_of(corpus, held_out)
        reward = of_ids(gold, (corpus.tokens.eos,))
        made[name] = Scenario(pairs, kept, reward, proxy, trained["held_out_accuracy"])
    return World(corpus, reference, made)


def gold_of(scenario: str, mean_tokens: float, corpus: Corpus) -> Gold:
    """Fewer tokens; nearer to the reference's mean; or commoner tokens: of a response's ids without EOS."""
    if scenario == "plain_words":
        return plain_words(corpus, len(load_tokenizer(corpus.tokenizer)))
    return mode_length(mean_tokens, len) if scenario == "mode_length" else min_length(len)


def plain_words(corpus: Corpus, vocab_size: int) -> Gold:
    """r(y) = mean over a response's tokens of log f(y_t), nats: f a token's frequency in the training responses.

    Common tokens are better than rare ones, and length as such is worth nothing. A response without any token has the
    reward of the rarest.
    """
    counts = np.full(vocab_size, 0.5)
    for example in corpus.training:
        np.add.at(counts, example.responses[0], 1.0)
    counts[corpus.tokens.eos] = 0.5
    values = np.log(counts / counts.sum())
    return lambda ids: float(values[np.asarray(ids, int)].mean() if len(ids) else values.min())


def _pairs(name: str, gold: Gold, sampled: dict[str, Any], corpus: Corpus, scale: Scale) -> dict[str, Any]:
    """Each prompt's better answer and its worse one; Skew Length's are truncated first."""
    eos, answers = corpus.tokens.eos, sampled["responses"]
    if name == "skew_length":
        answers = skewed(answers, scale.skew_mean, eos, seed=scale.sizes.seed)
    whole: Gold = lambda ids: gold(without_end(ids, (eos,)))
    found = label_pairs(sampled["prompts"], answers, whole, "best and worst")
    require(len(found.pairs) > scale.held_out_pairs + 1, f"{len(found.pairs)} pairs are too few: take more prompts")
    pairs = [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in found.pairs]
    return {"tied": found.tied, "pairs": pairs}


def skewed(groups: Sequence[Sequence[Sequence[int]]], mean: float, eos: int, *, seed: int) -> list[list[list[int]]]:
    """Responses of which 95 % keep their first L tokens and an EOS, L = 1 + floor(X) with X ~ Exp(mean).

    A response that is no longer than that stays as it is. The paper truncates words, and does not say its mean.
    """
    generator = np.random.default_rng(seed)

    def cut(ids: Sequence[int]) -> list[int]:
        truncated, length = generator.random() < PAPER_SHARE, 1 + int(generator.exponential(mean))
        words = [token for token in ids if token != eos]
        return [*words[:length], eos] if truncated and length < len(words) else list(ids)

    return [[cut(ids) for ids in group] for group in groups]


PAIRS, EVALUATION = 2**31, 2**31 + 2
"""What keys are for, beyond all numbers of collections, as the demo has it."""


def _key(seed: int, purpose: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), np.uint32(purpose))


def evaluation_key(seed: int) -> jax.Array:
    """For samples that measure and train nothing."""
    return _key(seed, EVALUATION)
