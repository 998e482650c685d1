"""Preferences whose gold reward is known: Min Length, Mode Length and Skew Length (the paper, sections 3.2 and 4).

A gold reward is a function of a response's length. **Min Length** rewards the shorter response, so its peak lies where
the reference policy seldom goes; **Mode Length** rewards the one nearest to a length that the reference policy likes
(203 words in the paper); **Skew Length** is Min Length on data most of which was truncated, so that long responses are
rare in it.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from modeseek.checks import choices, positive, require, whole

PAPER_MODE = 203.0
"""Words of the average response of the paper's reference policy."""

PAPER_SHARE = 0.95
"""Share of the paper's Skew Length data that was truncated."""

P = TypeVar("P")
"""A prompt, in whatever form it comes, as long as equal ones can be told."""

R = TypeVar("R")
"""A response: its text, or its ids."""

Length = Callable[[Any], int]
"""Counts a response: its text in words (`words`), or its ids."""

Cut = Callable[[Any, int], Any]
"""A response and a length → its beginning of that length (`first_words`), or all of it, if it is no longer."""

Gold = Callable[[Any], float]
"""A response's gold reward, by its text or its ids."""

Name = Literal["min_length", "mode_length", "skew_length"]
Which = Literal["all", "best and worst"]


def words(text: str) -> int:
    """Runs of anything but blanks."""
    return len(text.split())


def first_words(text: str, count: int) -> str:
    """The text up to the end of its word number `count`; all of it if it has no more."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    return text if len(ends) <= count else text[: ends[count - 1] if count else 0]


class Unit(NamedTuple):
    """What a length counts, and how a response is cut to one."""

    length: Length
    cut: Cut


WORDS = Unit(words, first_words)
"""Of texts."""


def id_unit(eos: Sequence[int] = ()) -> Unit:
    """Tokens of lists of ids. The EOS that ends a response does not count; one that is cut ends with the same EOS, as
    if it had been so short from the start (with the first of `eos`, if it had none)."""

    def parts(ids: Sequence[int]) -> tuple[Sequence[int], list[int]]:
        ended = len(ids) > 0 and int(ids[-1]) in eos
        return (ids[:-1], [int(ids[-1])]) if ended else (ids, list(eos[:1]))

    def cut(ids: Sequence[int], count: int) -> Sequence[int]:
        content, end = parts(ids)
        return ids if len(content) <= count else [*map(int, content[:count]), *end]

    return Unit(lambda ids: len(parts(ids)[0]), cut)


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


def skew_lengths(
    responses: Sequence[R], *, scale: float, seed: int, share: float = PAPER_SHARE, least: int = 1, unit: Unit = WORDS
) -> list[R]:
    """Responses most of which are truncated to an exponentially distributed length.

    With probability `share` a response keeps its first L words (or tokens), L = least + floor(X) with X ~ Exp of mean
    `scale`; one that is shorter than that stays whole, as do the others.

    Args:
        responses: as the reference policy wrote them.
        scale: the mean of the exponential distribution; the paper does not say its own.
        seed: of both draws.
        share: of responses for which a length is drawn.
        least: the shortest length that may be drawn.
        unit: what lengths count.

    Raises:
        ValueError: `scale` is not positive, or `share` is no probability.
    """
    positive("scale", scale)
    require(0 <= share <= 1, f"share must be between 0 and 1, got {share!r}")
    generator = np.random.default_rng(seed)
    truncated = generator.random(len(responses)) < share
    lengths = least + np.floor(generator.exponential(scale, len(responses))).astype(int)
    return [
        unit.cut(response, int(length)) if cut else response
        for response, length, cut in zip(responses, lengths, truncated, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class Pair(Generic[P, R]):
    """Two responses to a prompt and their gold rewards, the chosen one's first."""

    prompt: P
    chosen: R
    rejected: R
    scores: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Labelled(Generic[P, R]):
    """Pairs, and how many were tied and left out."""

    pairs: list[Pair[P, R]]
    tied: int


def label_pairs(prompts: Sequence[P], responses: Sequence[Sequence[R]], gold: Gold, which: Which) -> Labelled[P, R]:
    """Preference pairs from several responses to each prompt.

    Args:
        prompts: as many as groups of responses.
        responses: of each prompt, two or more; another number for each if need be.
        gold: the reward that decides; equal rewards are no preference.
        which: every two responses of a prompt, or its highest against its lowest.

    Raises:
        ValueError: not as many groups of responses as prompts, or a prompt with fewer than two.
    """
    require(len(prompts) == len(responses), f"{len(prompts)} prompts have {len(responses)} groups of responses")
    pairs: list[Pair[P, R]] = []
    tied = 0
    for number, (prompt, group) in enumerate(zip(prompts, responses, strict=True), 1):
        require(len(group) >= 2, f"prompt {number} needs two responses or more to compare, got {len(group)}")
        ranked = sorted(((gold(response), response) for response in group), key=lambda item: -item[0])
        compared = [(ranked[0], ranked[-1])] if which == "best and worst" else itertools.combinations(ranked, 2)
        for (high, chosen), (low, rejected) in compared:
            if high > low:
                pairs.append(Pair(prompt, chosen, rejected, (high, low)))
            else:
                tied += 1
    return Labelled(pairs, tied)


@dataclasses.dataclass(frozen=True)
class Built(Generic[P, R]):
    """A scenario's data, and what became of the responses.

    Attributes:
        pairs: the chosen response is the one with the higher gold reward.
        tied: comparisons that were left out, since both rewards are equal.
        truncated: responses that lost their end.
        responses: in all.
    """

    pairs: list[Pair[P, R]]
    tied: int
    truncated: int
    responses: int


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A preference data set whose gold reward is known.

    Attributes:
        name: shorter is better (min_length), nearer to `mode` is (mode_length), or shorter is, in data most of which
            was truncated (skew_length).
        mode: the length that mode_length rewards most; the paper's 203 words are its reference policy's average.
        share: of responses, for each of which skew_length draws a length to truncate it to.
        scale: of these lengths, the mean of an exponential distribution, in the unit of lengths; the paper does not
            say its own, so skew_length must be given one.
        which: which responses of a prompt make pairs: every two, or the best with the worst.
        seed: a whole number that the truncation follows from.
    """

    name: Name
    mode: float = PAPER_MODE
    share: float = PAPER_SHARE
    scale: float | None = None
    which: Which = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no scenario has."""
        choices(self)
        positive("mode", self.mode)
        whole("seed", self.seed, 0)
        require(0 <= self.share <= 1, f"share must be between 0 and 1, got {self.share!r}")
        if self.name == "skew_length":
            require(self.scale is not None, "skew_length needs a scale: the mean length that responses are cut to")
        if self.scale is not None:
            positive("scale", self.scale)

    def gold(self, length: Length = words) -> Gold:
        """The reward that decides."""
        return mode_length(self.mode, length) if self.name == "mode_length" else min_length(length)

    def build(self, prompts: Sequence[P], responses: Sequence[Sequence[R]], unit: Unit = WORDS) -> Built[P, R]:
        """Pairs of responses, truncated first where the scenario says so.

        Args:
            prompts: as many as groups of responses.
            responses: of each prompt, two or more.
            unit: what lengths count: `WORDS` of texts, or `id_unit` of ids.

        Raises:
            ValueError: as `label_pairs`.
        """
        flat = [response for group in responses for response in group]
        whole_lengths = [unit.length(response) for response in flat]
        if self.scale is not None and self.name == "skew_length":
            flat = skew_lengths(flat, scale=self.scale, seed=self.seed, share=self.share, unit=unit)
        truncated = sum(unit.length(r) < before for r, before in zip(flat, whole_lengths, strict=True))
        rest = iter(flat)
        groups = [list(itertools.islice(rest, len(group))) for group in responses]
        labelled = label_pairs(prompts, groups, self.gold(unit.length), self.which)
        return Built(labelled.pairs, labelled.tied, truncated, len(flat))


@dataclasses.dataclass(frozen=True)
class Groups(Generic[P, R]):
    """Prompts with two different responses or more each, and how many prompts had fewer."""

    prompts: list[P]
    responses: list[list[R]]
    alone: int


def by_prompt(answered: Iterable[tuple[P, Iterable[str]]]) -> Groups[P, str]:
    """All different responses to each prompt, whichever rows they stand in, in the order in which they come first."""
    found: dict[P, dict[str, None]] = {}
    for prompt, responses in answered:
        found.setdefault(prompt, {}).update(dict.fromkeys(responses))
    kept = {prompt: list(group) for prompt, group in found.items() if len(group) > 1}
    return Groups(list(kept), list(kept.values()), len(found) - len(kept))
