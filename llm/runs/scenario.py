"""A length scenario's data set from responses to prompts: pairs, their gold rewards, and what became of the rest."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from modeseek.checks import require
from modeseek.files import replacing
from modeseek.llm.data import scenarios
from modeseek.llm.data.records import Message, PromptText
from modeseek.llm.data.scenarios import WORDS, Scenario, id_unit, words
from modeseek.llm.data.tokens import TextTokens
from modeseek.llm.runs.answers import Answered
from modeseek.markdown import markdown_table

PAIRS = "pairs.jsonl"


class Row(NamedTuple):
    """A line of the data set."""

    prompt: PromptText
    chosen: str
    rejected: str
    chosen_reward: float
    rejected_reward: float

    def json(self) -> str:
        """The line."""
        prompt: Any = self.prompt
        if not isinstance(prompt, str):
            prompt = [turn._asdict() for turn in map(Message._make, prompt)]
        return json.dumps({**self._asdict(), "prompt": prompt}, ensure_ascii=False)


class Built(NamedTuple):
    """A data set, and counts of what it was made of."""

    rows: list[Row]
    counts: dict[str, int]


def build(scenario: Scenario, answered: Answered, *, tokens: TextTokens | None = None, unit: str = "words") -> Built:
    """The pairs as texts.

    Args:
        scenario: which responses are better, and what is truncated.
        answered: responses to each prompt.
        tokens: what ids are written by; needed for ids, and to count tokens.
        unit: words, or tokens.

    Raises:
        ValueError: nothing differs in gold reward.
    """
    built: scenarios.Built[PromptText, Any]
    if unit == "words":
        texts = _texts(answered.ids or [], tokens) if answered.texts is None else answered.texts
        built = scenario.build(answered.prompts, texts, WORDS)
        sides = [[pair.chosen, pair.rejected] for pair in built.pairs]
    else:
        require(tokens is not None, "lengths in tokens need a tokenizer: give --tokenizer, or --model")
        assert tokens is not None
        ids = _ids(answered.texts or [], tokens) if answered.ids is None else answered.ids
        built = scenario.build(answered.prompts, ids, id_unit((tokens.eos,)))
        sides = _texts([[pair.chosen, pair.rejected] for pair in built.pairs], tokens)
    require(bool(built.pairs), f"none of {built.tied} comparisons differs in gold reward: there is no preference")
    rows = [
        Row(pair.prompt, chosen, rejected, *pair.scores)
        for pair, (chosen, rejected) in zip(built.pairs, sides, strict=True)
        if chosen != rejected
    ]
    counts = {
        "prompts": len(answered.prompts),
        "responses": built.responses,
        "responses truncated": built.truncated,
        "comparisons": len(built.pairs) + built.tied,
        "comparisons tied, left out": built.tied,
        "comparisons of one text with itself, left out": len(built.pairs) - len(rows),
        "pairs": len(rows),
    }
    return Built(rows, counts)


def _texts(groups: Sequence[Sequence[Sequence[int]]], tokens: TextTokens | None) -> list[list[str]]:
    """Groups of ids as texts, without the EOS at the end."""
    assert tokens is not None  # ids come from a model, which has a tokenizer
    bare = [list(ids[:-1] if len(ids) and ids[-1] == tokens.eos else ids) for group in groups for ids in group]
    texts = iter(tokens.decode_responses(bare))
    return [[next(texts) for _ in group] for group in groups]


def _ids(groups: Sequence[Sequence[str]], tokens: TextTokens) -> list[list[list[int]]]:
    ids = iter(tokens.encode_responses([text for group in groups for text in group]))
    return [[[*next(ids), tokens.eos] for _ in group] for group in groups]


def write(folder: Path, rows: Sequence[Row], card: str) -> None:
    """`pairs.jsonl` and the card."""
    with replacing(folder / PAIRS) as temporary:
        temporary.write_text("".join(row.json() + "\n" for row in rows), encoding="utf-8")
    with replacing(folder / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")


def lengths(rows: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Words of chosen and rejected responses."""
    return [words(row.chosen) for row in rows], [words(row.rejected) for row in rows]


def card(scenario: Scenario, unit: str, notes: Sequence[str], counts: Mapping[str, int], caption: str) -> str:
    """What a person who finds the folder must know, in Markdown.

    Args:
        scenario: with its numbers.
        unit: of lengths.
        notes: on where prompts and responses come from.
        counts: of `build`.
        caption: of the figure of lengths.
    """
    formula = {"mode_length": f"r(y) = -| |y| - {scenario.mode:g} |"}.get(scenario.name, "r(y) = -|y|")
    used = {"mode_length": ("mode",), "skew_length": ("share", "scale", "seed")}.get(scenario.name, ())
    settings = {name: value for name, value in dataclasses.asdict(scenario).items() if name in ("name", "which", *used)}
    about = (
        f"{formula}, |y| the {unit} of a response; of two the one with the higher reward is `chosen`. The scenario is "
        "that of Tajwar et al. (2024), sections 3.2 and 4. A row of `pairs.jsonl` has prompt, chosen, rejected, "
        "chosen_reward and rejected_reward; `modeseek llm reward-model` and `modeseek llm tune` read it."
    )
    title = scenario.name.replace("_", " ").title()
    return (
        "\n\n".join(
            [
                f"# {title}: preferences whose gold reward is known",
                about,
                "## From",
                "\n".join(f"- {note}" for note in notes),
                "## Settings",
                markdown_table([("setting", "left"), ("value", "right")], [*settings.items(), ("unit", unit)]),
                "## Counts",
                markdown_table([("counted", "left"), ("number", "right")], list(counts.items())),
                "## Lengths",
                f"![{caption}](lengths.svg)",
                caption,
            ]
        )
        + "\n"
    )
