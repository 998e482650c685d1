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

from modeseek.llm.data.scenarios import PAPER_SHARE
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.rewards import reward_model
from modeseek.llm.rewards.functions import LengthGold, RewardFunction
from modeseek.llm.runs.length_demo import (
    POLICY,
    QUIET,
    Corpus,
    Watch,
    fine_tuned,
    opened,
    preferences,
    read_corpus,
    reward_trained,
    samples,
    stage,
)
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
    sampled = stage(folder, "samples", lambda own: samples(folder, corpus, sizes), watch)
    made = {}
    for name in names:
        gold = gold_reward(name, sampled["mean_tokens"], corpus)
        home = folder / name
        stage(home, "samples", functools.partial(_samples_of, name, sampled, scale, corpus.tokens.eos), watch)
        found = stage(home, "pairs", lambda own, h=home, g=gold: preferences(h, corpus, g), watch)["pairs"]
        held_out, training = found[: scale.held_out_pairs], found[scale.held_out_pairs :]
        train = functools.partial(reward_trained, folder, corpus, training, sizes, watch)
        trained = stage(home, "reward_model", train, watch)
        proxy = reward_model.as_reward(opened(home / "reward_model" / POLICY))
        made[name] = Scenario(
            _examples(corpus, training), _examples(corpus, held_out), gold, proxy, trained["held_out_accuracy"]
        )
    return World(corpus, opened(folder / "sft" / POLICY), made)


def gold_reward(scenario: str, mean_tokens: float, corpus: Corpus) -> RewardFunction:
    """Fewer tokens; nearer to the reference's mean; or commoner tokens."""
    eos = (corpus.tokens.eos,)
    if scenario == "plain_words":
        return plain_words(corpus, len(load_tokenizer(corpus.tokenizer)))
    if scenario == "mode_length":
        return LengthGold("mode_length", "tokens", mean_tokens).function(eos)
    return LengthGold("min_length", "tokens").function(eos)


def plain_words(corpus: Corpus, vocab_size: int) -> RewardFunction:
    """r(y) = mean over a response's tokens of log f(y_t), nats: f a token's frequency in the training responses.

    Common tokens are better than rare ones, and length as such is worth nothing. EOS does not count; a response
    without any other token has the reward of the rarest.
    """
    counts = np.full(vocab_size, 0.5)
    for example in corpus.training:
        np.add.at(counts, example.responses[0], 1.0)
    eos = corpus.tokens.eos
    counts[eos] = 0.5
    values = np.log(counts / counts.sum())

    def function(prompt_ids: Any, response_ids: np.ndarray, mask: np.ndarray, texts: Any) -> np.ndarray:
        counted = mask & (response_ids != eos)
        total = np.where(counted, values[np.where(counted, response_ids, 0)], 0.0).sum(axis=-1)
        number = counted.sum(axis=-1)
        return np.asarray(np.where(number > 0, total / np.maximum(number, 1), values.min()))

    return function


def _samples_of(name: str, sampled: dict[str, Any], scale: Scale, eos: int, own: Path) -> dict[str, Any]:
    """The reference's answers as a scenario's preferences are made of them: Skew Length's are truncated."""
    if name != "skew_length":
        return sampled
    return {**sampled, "responses": skewed(sampled["responses"], scale.skew_mean, eos, seed=scale.sizes.seed)}


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


def _examples(corpus: Corpus, pairs: Sequence[Any]) -> list[Example]:
    """Chosen first; the ids that were drawn, never tokenised again."""
    ids = lambda row: np.array(row, np.int32)
    return [Example(corpus.training[p["prompt"]].prompt, (ids(p["chosen"]), ids(p["rejected"]))) for p in pairs]


def evaluation_key(seed: int) -> jax.Array:
    """For samples that measure and train nothing, beyond all numbers of collections."""
    return jax.random.fold_in(jax.random.key(seed), np.uint32(2**31 + 2))
