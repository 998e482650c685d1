"""Preferences whose gold reward is known: Min Length, Mode Length and Skew Length (the paper, sections 3.2 and 4).

A gold reward is a function of a response's length. **Min Length** rewards the shorter response, so its peak lies where
the reference policy seldom goes; **Mode Length** rewards the one nearest to a length that the reference policy likes
(203 words in the paper); **Skew Length** is Min Length on data most of which was truncated, so that long responses are
rare in it.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from modeseek.checks import positive, require
from modeseek.llm.data.records import PreferencePair, PromptText

PAPER_MODE = 203.0
"""Words of the average response of the paper's reference policy."""

PAPER_SHARE = 0.95
"""Share of the paper's Skew Length data that was truncated."""

Length = Callable[[Any], int]
"""Counts a response: its text in words (`words`), or its ids (`len`)."""

Gold = Callable[[Any], float]
"""A response's gold reward, by its text or its ids."""


def words(text: str) -> int:
    """Runs of anything but blanks."""
    return len(text.split())


def min_length(length: Length = words) -> Gold:
    """r(y) = -|y|: shorter is better."""
    return lambda response: -float(length(response))


def mode_length(mode: float, length: Length = words) -> Gold:
    """r(y) = -| |y| - mode |: nearer to `mode` is better.

    Args:
        mode: the length with the highest reward, such as `PAPER_MODE`.
        length: counts a response.
    """
    positive("mode", mode)
    return lambda response: -abs(length(response) - mode)


def first_words(text: str, count: int) -> str:
    """The text up to the end of its word number `count`; all of it if it has no more."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    return text if len(ends) <= count else text[: ends[count - 1] if count else 0]


def skew_lengths(
    responses: Sequence[str], *, mean: float, seed: int, share: float = PAPER_SHARE, least: int = 1
) -> list[str]:
    """Responses most of which are truncated to an exponentially distributed number of words.

    With probability `share` a response keeps its first L words, L = least + floor(X) with X ~ Exp(mean); one that is
    shorter than that stays whole, as do the others.

    Args:
        responses: as the reference policy wrote them.
        mean: of the exponential distribution, in words; the paper does not say its own.
        seed: of both draws.
        share: of responses for which a length is drawn.
        least: the shortest length that may be drawn, in words.

    Raises:
        ValueError: `mean` is not positive, or `share` is no probability.
    """
    positive("mean", mean)
    require(0 <= share <= 1, f"share must be between 0 and 1, got {share!r}")
    generator = np.random.default_rng(seed)
    truncated = generator.random(len(responses)) < share
    lengths = least + np.floor(generator.exponential(mean, len(responses))).astype(int)
    return [
        first_words(response, int(length)) if cut else response
        for response, length, cut in zip(responses, lengths, truncated, strict=True)
    ]


class Labelled(NamedTuple):
    """Pairs with the gold rewards of chosen and rejected as `scores`, and how many pairs were tied and left out."""

    pairs: list[PreferencePair]
    tied: int


def label_pairs(
    prompts: Sequence[PromptText],
    responses: Sequence[Sequence[str]],
    gold: Gold,
    *,
    which: Literal["all", "best and worst"] = "all",
) -> Labelled:
    """Preference pairs from several responses to each prompt.

    Args:
        prompts: P of them.
        responses: of each prompt, two or more; another number for each if need be.
        gold: the reward that decides; equal rewards are no preference.
        which: every two responses of a prompt, or its highest against its lowest.

    Raises:
        ValueError: not as many groups of responses as prompts, or a prompt with fewer than two.
    """
    require(len(prompts) == len(responses), f"{len(prompts)} prompts have {len(responses)} groups of responses")
    pairs, tied = [], 0
    for number, (prompt, group) in enumerate(zip(prompts, responses, strict=True), 1):
        require(len(group) >= 2, f"prompt {number} needs two responses or more to compare, got {len(group)}")
        ranked = sorted(((gold(response), response) for response in group), key=lambda item: -item[0])
        compared = [(ranked[0], ranked[-1])] if which == "best and worst" else itertools.combinations(ranked, 2)
        for (high, chosen), (low, rejected) in compared:
            if high > low:
                pairs.append(PreferencePair(prompt, chosen, rejected, scores=(high, low)))
            else:
                tied += 1
    return Labelled(pairs, tied)
