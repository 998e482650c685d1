"""From a source of data to token ids in one call: read, brought to one kind of record, screened, tokenised, counted."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modeseek.llm.data.columns import normalize
from modeseek.llm.data.conversations import each_turn
from modeseek.llm.data.python_docstrings import python_docstrings
from modeseek.llm.data.read import read_rows
from modeseek.llm.data.records import Record, as_completions, as_pairs, as_prompts
from modeseek.llm.data.report import Report
from modeseek.llm.data.screening import Screening, screen
from modeseek.llm.data.split import split_by_prompt
from modeseek.llm.data.templates import PLAIN, Template
from modeseek.llm.data.tokenization import Example, Limits, tokenize
from modeseek.llm.data.tokens import TextTokens

PYTHON_DOCSTRINGS = "python-docstrings"
"""A source that every machine has (`modeseek.llm.data.python_docstrings`)."""

BAD = "the completion is labelled as a bad one"

Kind = Literal["completions", "pairs", "prompts", "as they are"]


@dataclass(frozen=True)
class Source:
    """Where rows come from and what of them is used.

    Attributes:
        data: a file or folder, a data set of the hub, or `python-docstrings`.
        split: of the hub's data set or of a folder.
        configuration: of the hub's data set.
        form: of the columns; recognised if not given (`modeseek.llm.data.columns.FORMS`).
        rename: column in the data → known column.
        turns: of a conversation (`messages`): the assistant's last turn, or a row for each of its turns.
        streaming: the hub's rows come as they are read, and nothing is stored.
        limit: the first rows alone.
        held_out: share of the prompts that is kept out of training.
        seed: of that choice.
    """

    data: str
    split: str | None = None
    configuration: str | None = None
    form: str | None = None
    rename: Mapping[str, str] | None = None
    turns: Literal["last", "all"] = "last"
    streaming: bool = False
    limit: int | None = None
    held_out: float = 0.05
    seed: int = 0


class Examples(NamedTuple):
    """What is trained on and what is held out, and what became of the rows (of both together)."""

    training: list[Example]
    held_out: list[Example]
    report: Report


def examples_from(
    source: Source,
    tokens: TextTokens,
    kind: Kind,
    *,
    template: Template = PLAIN,
    limits: Limits | None = None,
    screening: Screening | None = None,
) -> Examples:
    """Examples of one kind.

    Completions are for SFT: of pairs the chosen response, of judged ones those that were judged good. As they are,
    pairs stay pairs and completions keep their label.

    Args:
        source: of rows.
        tokens: both readings of a tokenizer.
        kind: what the stage needs.
        template: writes the texts.
        limits: of rows.
        screening: what happens to rows that teach nothing.

    Raises:
        ValueError: as the steps do; rows that are not of this kind; nothing to train on is left.
    """
    kept, read = records_from(source, kind, screening=screening)
    split = split_by_prompt(kept, source.held_out, seed=source.seed)
    training = tokenize(split.training, tokens, template, limits)
    training.report.require_rows()
    report = training.report
    held_out: list[Example] = []
    if split.held_out:
        tokenized = tokenize(split.held_out, tokens, template, limits)
        held_out, report = tokenized.examples, _together(report, tokenized.report)
    return Examples(training.examples, held_out, read.then(report))


def records_from(source: Source, kind: Kind, *, screening: Screening | None = None) -> tuple[list[Record], Report]:
    """Records of one kind before they are tokenised, and what became of the rows.

    Raises:
        ValueError: as `examples_from`.
    """
    records, read = _read(source)
    records, judged = _of_kind(records, kind)
    kept, screened = screen(records, screening)
    return kept, read.then(judged).then(screened.require_rows())


def _read(source: Source) -> tuple[list[Record], Report]:
    if source.data == PYTHON_DOCSTRINGS:
        found: list[Record] = [*python_docstrings(first=source.limit)]
        return found, Report(read=len(found), kept=len(found))
    rows = read_rows(
        source.data,
        configuration=source.configuration,
        split=source.split,
        streaming=source.streaming,
        limit=source.limit,
    )
    kept = each_turn(rows) if source.turns == "all" else rows
    normalized = normalize(kept, form=source.form, rename=source.rename, source=source.data)
    normalized.report.require_rows()
    return normalized.records, normalized.report


def _of_kind(records: list[Record], kind: Kind) -> tuple[list[Record], Report]:
    """The records as this kind; a prompt that comes twice is one prompt, and a bad completion is not imitated."""
    read = len(records)
    if kind == "as they are":
        return records, Report(read=read, kept=read)
    if kind == "pairs":
        return list(as_pairs(records)), Report(read=read, kept=read)
    if kind == "prompts":
        prompts: list[Record] = list(as_prompts(records))
        repeated = {"the prompt came before": read - len(prompts)} if read > len(prompts) else {}
        return prompts, Report(read=read, kept=len(prompts), dropped=repeated)
    good: list[Record] = [each for each in as_completions(records) if each.label is not False]
    report = Report(read=read, kept=len(good), dropped={BAD: read - len(good)} if read > len(good) else {})
    return good, report.require_rows()


def _together(one: Report, other: Report) -> Report:
    """The counts of two parts of the rows."""
    sums = {
        field.name: getattr(one, field.name) + getattr(other, field.name)
        for field in dataclasses.fields(Report)
        if field.name != "dropped"
    }
    reasons = {*one.dropped, *other.dropped}
    dropped = {reason: one.dropped.get(reason, 0) + other.dropped.get(reason, 0) for reason in reasons}
    return Report(**sums, dropped=dropped)
