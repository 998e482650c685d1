"""The demo's data: docstrings as ids, a policy's answers to them, and the pairs of a length scenario."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from modeseek.checks import require
from modeseek.files import read_json
from modeseek.llm.data.order import order
from modeseek.llm.data.python_docstrings import DocstringLimits, python_docstrings
from modeseek.llm.data.report import Report
from modeseek.llm.data.scenarios import Name, Scenario, id_unit
from modeseek.llm.data.split import split_by_prompt
from modeseek.llm.data.templates import PLAIN
from modeseek.llm.data.tokenization import Example, Limits, tokenize
from modeseek.llm.data.tokens import TextTokens, text_tokens
from modeseek.llm.data.train_tokenizer import train_tokenizer
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.rewards.functions import RewardFunction, of_ids
from modeseek.llm.runs.answers import sampled
from modeseek.llm.runs.sizes import DemoSizes
from modeseek.llm.runs.stages import QUIET, RESULT, Watch, stage


class Corpus(NamedTuple):
    """Signatures with their docstrings, as ids; prompts that are held out are in no stage's training."""

    tokens: TextTokens
    tokenizer: Path
    training: list[Example]
    held_out: list[Example]
    report: Report


def read_corpus(folder: Path, sizes: DemoSizes, watch: Watch = QUIET) -> Corpus:
    """The docstrings of Python's own library, and a byte-pair tokenizer trained on those that are not held out."""
    split = split_by_prompt(python_docstrings(DocstringLimits(most=250)), 0.05, seed=sizes.seed)
    home = folder / "tokenizer"

    def make(own: Path) -> dict[str, Any]:
        texts = (text for record in split.training for text in (record.prompt, *record.responses))
        train_tokenizer((text for text in texts if isinstance(text, str)), own, vocab_size=sizes.vocab_size)
        return {"vocab_size": sizes.vocab_size}

    stage(folder, "tokenizer", make, watch)
    tokens = text_tokens(load_tokenizer(home))
    limits = Limits(sizes.max_prompt, sizes.max_response, "drop", "drop")
    training, held_out = (tokenize(records, tokens, PLAIN, limits) for records in split)
    return Corpus(tokens, home, training.examples, held_out.examples, training.report)


def samples(policy: ModelWithParams, corpus: Corpus, sizes: DemoSizes, key: jax.Array) -> dict[str, Any]:
    """Several answers of the SFT policy to training prompts, as the ids that were drawn; those without EOS are kept."""
    chosen = order(sizes.seed, 1, len(corpus.training))[: sizes.pair_prompts].tolist()
    groups = sampled(
        policy,
        [corpus.training[i].prompt.tolist() for i in chosen],
        key=key,
        samples=sizes.pair_samples,
        max_new_tokens=sizes.max_response,
        eos=(corpus.tokens.eos,),
        batch=256,
    )
    length = id_unit((corpus.tokens.eos,)).length
    return {
        "mean_tokens": float(np.mean([length(ids) for group in groups for ids in group])),
        "prompts": chosen,
        "responses": groups,
    }


def scenario_of(name: Name, mean_tokens: float, sizes: DemoSizes) -> Scenario:
    """A scenario in tokens, of each prompt's best and worst answer.

    The mode is what the reference writes on average, and Skew Length truncates to a quarter of that on average.

    Args:
        name: of the scenario.
        mean_tokens: of the reference's answers.
        sizes: of the demo.
    """
    return Scenario(name, mode=mean_tokens, scale=mean_tokens / 4, which="best and worst", seed=sizes.seed)


def gold_reward(scenario: Scenario, tokens: TextTokens) -> RewardFunction:
    """What the scenario's pairs follow, as a reward function."""
    return of_ids(scenario.gold(len), (tokens.eos,))


def preferences(folder: Path, corpus: Corpus, scenario: Scenario) -> dict[str, Any]:
    """The scenario's pairs of the answers; a prompt whose answers are all as good as one another gives no pair.

    Raises:
        ValueError: there are fewer than two pairs.
    """
    answers = read_json(folder / "samples" / RESULT)
    built = scenario.build(answers["prompts"], answers["responses"], id_unit((corpus.tokens.eos,)))
    require(
        len(built.pairs) >= 2,
        f"of {len(answers['prompts'])} prompts {len(built.pairs)} have answers that differ in gold reward: take more",
    )
    pairs = [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in built.pairs]
    return {"tied": built.tied, "truncated": built.truncated, "pairs": pairs}


def examples_of(corpus: Corpus, pairs: Sequence[Mapping[str, Any]]) -> list[Example]:
    """Chosen first; the ids that were drawn, never tokenised again."""
    ids = lambda row: np.array(row, np.int32)
    return [Example(corpus.training[p["prompt"]].prompt, (ids(p["chosen"]), ids(p["rejected"]))) for p in pairs]
