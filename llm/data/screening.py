"""Rows that teach nothing or the wrong thing: found, counted, and dropped or refused as was asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modeseek.checks import choices
from modeseek.llm.data.records import Message, PreferencePair, Record
from modeseek.llm.data.report import Report

Action = Literal["keep", "drop", "refuse"]

IDENTICAL = "chosen and rejected are identical"
EMPTY_RESPONSE = "a response is empty"
EMPTY_PROMPT = "the prompt is empty"
DUPLICATE = "repeats an earlier row"


@dataclass(frozen=True)
class Screening:
    """What happens to such rows; each is counted in any case.

    Attributes:
        identical: chosen and rejected are the same text.
        empty_responses: blank text. They may be kept: a response of EOS alone is what Min Length rewards most.
        empty_prompts: blank text, or no turns. Nothing then stands before the response's first token.
        duplicates: rows equal to an earlier one in prompt, responses and label.
    """

    identical: Action = "drop"
    empty_responses: Action = "drop"
    empty_prompts: Literal["drop", "refuse"] = "drop"
    duplicates: Action = "keep"

    def __post_init__(self) -> None:
        choices(self)


class Screened(NamedTuple):
    """The records that are left, and the counts."""

    records: list[Record]
    report: Report


def screen(records: Sequence[Record], screening: Screening | None = None) -> Screened:
    """Keep the records that `screening` lets pass.

    Raises:
        ValueError: a record is of a kind to be refused; the first ten are named.
    """
    screening = screening or Screening()
    actions = {
        EMPTY_PROMPT: screening.empty_prompts,
        EMPTY_RESPONSE: screening.empty_responses,
        IDENTICAL: screening.identical,
        DUPLICATE: screening.duplicates,
    }
    kept: list[Record] = []
    seen: set[tuple[object, ...]] = set()
    dropped: Counter[str] = Counter()
    refused: list[str] = []
    duplicates = 0
    for number, record in enumerate(records, 1):
        content = (record.prompt, *record.responses, getattr(record, "label", None))
        repeated = content in seen
        seen.add(content)
        duplicates += repeated
        faults = _faults(record) + ([DUPLICATE] if repeated else [])
        reason = next((fault for fault in faults if actions[fault] != "keep"), None)
        if reason is None:
            kept.append(record)
        elif actions[reason] == "refuse":
            refused.append(f"row {number}: {reason}")
        else:
            dropped[reason] += 1
    if refused:
        more = f"; and {len(refused) - 10} more" if len(refused) > 10 else ""
        raise ValueError("; ".join(refused[:10]) + more)
    return Screened(kept, Report(read=len(records), kept=len(kept), dropped=dict(dropped), duplicates=duplicates))


def _faults(record: Record) -> list[str]:
    turns = (Message("user", record.prompt),) if isinstance(record.prompt, str) else record.prompt
    found = []
    if not any(turn.content.strip() for turn in turns):
        found.append(EMPTY_PROMPT)
    if not all(response.strip() for response in record.responses):
        found.append(EMPTY_RESPONSE)
    if isinstance(record, PreferencePair) and record.chosen == record.rejected:
        found.append(IDENTICAL)
    return found
