"""Several responses to each prompt, for a scenario to compare: those that data has, or a policy's own."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Array

from modeseek.checks import require
from modeseek.llm.data.records import PromptText, Record
from modeseek.llm.data.scenarios import by_prompt
from modeseek.llm.data.tokens import TextTokens
from modeseek.llm.inference.batched import Progress, Stops, generate_rows
from modeseek.llm.inference.scoring import ModelWithParams


class Answered(NamedTuple):
    """Prompts with several responses each, as texts or as ids, and lines that say where they come from.

    Attributes:
        prompts: as the data has them.
        texts: of the responses; None where they are ids.
        ids: of the responses, EOS included where one ended them; None where they are texts.
        notes: for the card.
    """

    prompts: list[PromptText]
    texts: list[list[str]] | None
    ids: list[list[list[int]]] | None
    notes: list[str]


def answered_by_data(records: Sequence[Record], report: str) -> Answered:
    """The responses that data has: a prompt's different ones, whichever rows they stand in.

    Raises:
        ValueError: no prompt has two.
    """
    groups = by_prompt((record.prompt, record.responses) for record in records)
    require(
        bool(groups.prompts),
        f"none of the data's {groups.alone} prompts has two different responses to compare: take data that has, or let "
        "a model answer (--model FOLDER --samples 4)",
    )
    notes = [*report.splitlines()]
    if groups.alone:
        notes.append(f"{groups.alone} prompts left out: they have no two different responses")
    return Answered(groups.prompts, groups.responses, None, notes)


def sampled(
    policy: ModelWithParams,
    prompts: Sequence[Sequence[int]],
    *,
    key: Array,
    samples: int,
    max_new_tokens: int,
    eos: Sequence[int],
    batch: int = 64,
    progress: Progress = lambda items: items,
) -> list[list[list[int]]]:
    """Several answers of a policy to each prompt, as the ids that were drawn; those without EOS are kept.

    Args:
        policy: its parameters stay.
        prompts: ids of each.
        key: consumed.
        samples: answers to each prompt.
        max_new_tokens: the most that an answer has, EOS included.
        eos: ids that end an answer.
        batch: answers at once.
        progress: wraps the batches.
    """
    responses = generate_rows(
        policy.model,
        policy.model.for_decoding(policy.params),
        prompts,
        max_new_tokens,
        key=key,
        samples=samples,
        batch=batch,
        stops=Stops([[token] for token in eos]),
        progress=progress,
    )
    ids = [response.response_ids for response in responses]
    return [ids[i : i + samples] for i in range(0, len(ids), samples)]


def answered_by_model(
    records: Sequence[Record], groups: Sequence[Sequence[Sequence[int]]], tokens: TextTokens, eos: Sequence[int]
) -> Answered:
    """What `sampled` gave: every answer that ended ends with the EOS that policies are trained on.

    Args:
        records: of the prompts.
        groups: answers to each.
        tokens: that they are written by.
        eos: ids that may have ended them.
    """
    ended = lambda ids: len(ids) > 0 and ids[-1] in eos
    ids = [[[*row[:-1], tokens.eos] if ended(row) else list(row) for row in group] for group in groups]
    flat = [row[:-1] if ended(row) else row for group in ids for row in group]
    again = tokens.encode_responses(tokens.decode_responses(flat))
    notes = [
        f"{sum(not ended(row) for group in groups for row in group)} answers without EOS, cut at their limit",
        f"{sum(a != b for a, b in zip(again, flat, strict=True))} answers whose text the tokenizer writes with other "
        "ids than were sampled",
    ]
    return Answered([record.prompt for record in records], None, ids, notes)
