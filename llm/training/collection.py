"""A collection of Algorithm 1 as arrays: what data it can have, how it is judged, its rows, its minibatches.

No parameter is looked at here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from modeseek.checks import require
from modeseek.llm.data.order import order
from modeseek.llm.data.rows import MULTIPLE, Rows, padded_length
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.padding import check_ids
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.training.objective import Labelled
from modeseek.llm.training.tune_config import TuneConfig

Reward = Callable[[Sequence[Example]], np.ndarray]
"""Prompts with up to N responses each → a finite reward for each response, `[P, N]`; anything where there is none."""

OTHER_STREAM = 2**32
"""Added to the seed where rows of a collection are shuffled, so that this order is not that of the data."""


def preferences(examples: Sequence[Example]) -> np.ndarray:
    """The data's own word, `[P, N]`: 1 for the first response or a good one, 0 for the others."""
    rewards = np.zeros((len(examples), max(len(example.responses) for example in examples)), np.float32)
    for p, example in enumerate(examples):
        rewards[p, 0] = 1.0 if example.label is None else float(example.label)
    return rewards


def rewards_of(reward: Reward, examples: Sequence[Example], count: int) -> np.ndarray:
    """The rewards of up to `count` responses a prompt, `[P, C]`; 0 where there is no response.

    Raises:
        ValueError: another shape, or a reward that is not finite; the response is named.
    """
    found = np.asarray(reward(examples), np.float32)
    most = max(len(example.responses) for example in examples)
    require(
        found.shape in ((len(examples), most), (len(examples), count)),
        f"the reward must be one number a response, ({len(examples)}, {most}), got the shape {found.shape}",
    )
    rewards = np.zeros((len(examples), count), np.float32)
    for p, example in enumerate(examples):
        for n in range(len(example.responses)):
            require(math.isfinite(found[p, n]), f"the reward of prompt {p}, response {n} is {found[p, n]}")
            rewards[p, n] = found[p, n]
    return rewards


def with_room(rows: Rows, count: int) -> Rows:
    """Rows with room for `count` responses a prompt; those that are not there have one token and no target."""
    missing = count - rows.tokens.shape[1]
    fill = lambda array, value: np.pad(
        array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2), constant_values=value
    )
    return Rows(fill(rows.tokens, 0), fill(rows.lengths, 1), fill(rows.starts, 1), fill(rows.real, False))


def minibatches(config: TuneConfig, collection: int) -> Iterator[np.ndarray]:
    """Prompts of a collection (the first has the number 1), in a new order for each pass."""
    size, prompts = config.prompts_per_minibatch, config.prompts_per_collection
    for number in range(config.inner_steps):
        epoch = (collection - 1) * config.inner_steps + number
        shuffled = order(config.seed + OTHER_STREAM, epoch, prompts)
        if size == prompts:  # one minibatch: order means nothing
            shuffled = np.arange(prompts)
        yield from (shuffled[i : i + size] for i in range(0, prompts, size))


def lengths_and_ends(examples: Sequence[Example], eos: Sequence[int]) -> dict[str, float]:
    """`length` of responses in tokens, EOS included, and the share that an EOS has `ended`: means over all of them."""
    answers = [response for example in examples for response in example.responses]
    ended = [len(ids) > 0 and int(ids[-1]) in eos for ids in answers]
    return {"length": float(np.mean([len(ids) for ids in answers])), "ended": float(np.mean(ended))}


def trimmed(data: Labelled, prompts: np.ndarray, multiple: int = MULTIPLE) -> Labelled:
    """Some prompts of a collection, their rows no longer than they need to be."""
    length = min(padded_length(int(data.lengths[prompts].max()), multiple), data.tokens.shape[-1])

    def cut(name: str, array: Any) -> Any:
        if array is None or array.ndim < 3:  # of responses
            return None if array is None else array[prompts]
        return array[prompts][..., : length if name == "tokens" else length - 1]

    return Labelled(**{name: cut(name, array) for name, array in data._asdict().items()})


def check_data(
    sizes: ModelConfig, data: Sequence[Example], config: TuneConfig, *, judged: bool, eos: Sequence[int]
) -> None:
    """Refuse data that Algorithm 1 cannot run on, before anything is loaded.

    Args:
        sizes: of the model.
        data: as `Algorithm1` takes it.
        config: see there.
        judged: whether there is a reward function.
        eos: ids that end a sampled response.

    Raises:
        ValueError: as `Algorithm1`.
    """
    method, count, size = config.variant.method, config.responses_per_prompt, config.prompts_per_collection
    require(
        len(data) >= size,
        f"a collection takes {size} prompts (samples_per_collection / responses_per_prompt), but there are {len(data)}",
    )
    if config.sampled_prompts:
        require(judged, f"{config.variant.name} samples responses: a reward function must judge them")
        require(len(eos) > 0, "there is no EOS that could end a sampled response")
        check_ids([example.prompt.tolist() for example in data], sizes, new_tokens=config.max_new_tokens)
    if config.sampled_prompts == size:
        return
    for number, example in enumerate(data):
        found = len(example.responses)
        require(
            1 <= found <= count,
            f"prompt {number} has {found} responses, but between 1 and {count} (responses_per_prompt) are needed",
        )
        require(
            found >= method.min_responses,
            f"{method.name} compares responses, and prompt {number} has {found}, not {method.min_responses}",
        )
        require(
            found > 1 or not {"groups", "group rewards"} & method.needs,
            f"{method.name} ranks a prompt's responses: prompt {number} has one, learnt even if it is bad",
        )
        says = judged or found > 1 or example.label is not None or not method.needs
        require(says, f"{method.name} needs rewards: nothing says how good the response to prompt {number} is")
    check_ids([[*e.prompt.tolist(), *ids.tolist()] for e in data for ids in e.responses], sizes, name="row")
