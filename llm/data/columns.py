"""Recognise the columns of preference data, and bring each row to one of three records.

The known forms are those of TRL and the hub, of AlpacaFarm, and of the paper's own data sets. Extra columns are let
alone; a column that looks like a misspelt one is an error, so that pairs are never silently read as prompts.
"""

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from modeseek.llm.data.records import Completion, Message, PreferencePair, Prompt, PromptText, Record
from modeseek.llm.data.report import Report
from modeseek.llm.data.templates import ASSISTANT_MARK, instruction_within, response_within
from modeseek.llm.data.values import content_of, messages_of, score_of, scores_of, text_of

Row = Mapping[str, Any]

TIED = "neither response is preferred"
TURNS = "the response is not one turn of the assistant"


class Unusable(NamedTuple):
    """A row that says nothing to learn from, though its form is right; it is dropped and counted."""

    reason: str


@dataclass(frozen=True)
class Form:
    """One set of columns.

    Attributes:
        name: how a person chooses it.
        columns: those that must be there.
        distinctive: those whose presence alone shows that this form was meant.
        build: a row → its record; a `ValueError` says what is wrong with the row.
    """

    name: str
    columns: tuple[str, ...]
    distinctive: tuple[str, ...]
    build: Callable[[Row], Record | Unusable]


class Normalized(NamedTuple):
    """Records of one kind, the form that they came in, and what was dropped."""

    records: list[Record]
    form: str
    report: Report


def normalize(
    rows: Iterable[Row], *, form: str | None = None, rename: Mapping[str, str] | None = None, source: str = "the data"
) -> Normalized:
    """Bring rows to records.

    Args:
        rows: columns by their names; every row has the columns of the first.
        form: a name of `FORMS`; recognised by the first row's columns if not given.
        rename: column in the data → known column.
        source: where the rows come from, for errors.

    Raises:
        ValueError: no rows, columns that are no known form, or a row whose values are not what its form needs.
    """
    records: list[Record] = []
    dropped: Counter[str] = Counter()
    matched: Form | None = None
    for number, row in enumerate(rows, 1):
        where = f"row {number} of {source}"
        renamed = _renamed(row, rename or {}, where)
        if matched is None:
            matched = recognize(renamed, source=source) if form is None else _named(form)
        missing = [name for name in matched.columns if name not in renamed]
        if missing:
            raise ValueError(f"{where} has no {_listed(missing)}: {_found(renamed)}{_nearest(missing, renamed)}")
        try:
            record = matched.build(renamed)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if isinstance(record, Unusable):
            dropped[record.reason] += 1
        else:
            records.append(record)
    if matched is None:
        raise ValueError(f"{source} has no rows")
    report = Report(read=len(records) + dropped.total(), kept=len(records), dropped=dict(dropped))
    return Normalized(records, matched.name, report)


def recognize(columns: Iterable[str], *, source: str = "the data") -> Form:
    """The most specific form that has all its columns there.

    Raises:
        ValueError: there is none, or a more specific one was begun or misspelt; the message has the columns found,
            those known, and the near ones.
    """
    found = list(columns)
    known = {name for form in FORMS for name in form.columns}
    for form in FORMS:
        missing = [name for name in form.columns if name not in found]
        if not missing:
            return form
        begun = [name for name in form.distinctive if name in found]
        strange = [name for name in found if name not in known]
        if begun or any(_near(name, strange) for name in form.distinctive if name in missing):
            hint = _nearest(missing, strange)
            raise ValueError(f"{source} has no {_listed(missing)}, as {form.name} needs: {_found(found)}{hint}")
    forms = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in FORMS)
    raise ValueError(
        f"{source} has no columns that are known: {_found(found)}{_nearest(sorted(known), found)}. {forms}"
    )


def _renamed(row: Row, rename: Mapping[str, str], where: str) -> Row:
    absent = [name for name in rename if name not in row]
    if absent:
        raise ValueError(f"{where} has no {_listed(absent)} to rename: {_found(row)}{_nearest(absent, row)}")
    return {
        rename.get(name, name): value for name, value in row.items() if name in rename or name not in rename.values()
    }


def _named(name: str) -> Form:
    for form in FORMS:
        if form.name == name:
            return form
    names = [form.name for form in FORMS]
    raise ValueError(f"form must be one of {', '.join(names)}, got {name!r}{_nearest([name], names)}")


def _listed(names: Iterable[str]) -> str:
    return " and no ".join(f"column {name!r}" for name in names)


def _found(columns: Iterable[str]) -> str:
    return f"found {', '.join(map(repr, columns)) or 'none'}"


def _near(name: str, candidates: Iterable[str]) -> list[str]:
    lowered = {candidate.lower(): candidate for candidate in candidates if isinstance(candidate, str)}
    return [lowered[near] for near in difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.8)]


def _nearest(names: Iterable[str], candidates: Iterable[str]) -> str:
    candidates = list(candidates)
    near = [f"{found!r} is near {name!r}" for name in names for found in _near(name, candidates)]
    return f" ({'; '.join(near)})" if near else ""


def _response(prompt: PromptText, content: PromptText, name: str) -> str | Unusable:
    """The response's text; a conversation that repeats the prompt loses it."""
    if isinstance(content, str):
        return content
    asked = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    if content[: len(asked)] == asked:
        content = content[len(asked) :]
    elif content and content[0].role != "assistant":
        raise ValueError(f"{name} is a conversation that does not begin with its prompt")
    if [turn.role for turn in content] != ["assistant"]:
        return Unusable(TURNS)
    return content[0].content


# Forms


def _pair(row: Row) -> Record | Unusable:
    """Without a prompt of its own, the prompt is what both conversations begin with."""
    chosen, rejected = content_of(row, "chosen"), content_of(row, "rejected")
    scores = scores_of(row, "chosen_reward", "rejected_reward")
    if "prompt" in row:
        return _answered(content_of(row, "prompt"), chosen, rejected, scores)
    if isinstance(chosen, str) or isinstance(rejected, str):
        hint = _nearest(["prompt"], row)
        raise ValueError(f"chosen and rejected are text, so there must be a column 'prompt': {_found(row)}{hint}")
    shared = 0  # the last turn is an answer in any case, even where both are the same
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return _answered(chosen[:shared], chosen, rejected, scores)


def _answered(
    prompt: PromptText, chosen: PromptText, rejected: PromptText, scores: tuple[float, float] | None
) -> Record | Unusable:
    first, second = _response(prompt, chosen, "chosen"), _response(prompt, rejected, "rejected")
    if isinstance(first, Unusable) or isinstance(second, Unusable):
        return Unusable(TURNS)
    return PreferencePair(prompt, first, second, scores)


def _instruction(row: Row) -> str:
    """AlpacaFarm's instruction with its input, if any, on the next line, as the paper joins them."""
    more = text_of(row, "input") if row.get("input") else ""
    return text_of(row, "instruction") + (f"\n{more}" if more else "")


def _alpaca_pair(row: Row) -> Record | Unusable:
    """`preference` is 1 or 2, or between them where judges differ; 0, 1.5, NaN and null are no judgement."""
    preference = row["preference"]
    outputs = text_of(row, "output_1"), text_of(row, "output_2")
    if preference is None or (isinstance(preference, float) and math.isnan(preference)):
        return Unusable(TIED)
    value = score_of(row, "preference")
    if value in (0, 1.5):
        return Unusable(TIED)
    if not 1 <= value <= 2:
        raise ValueError(f"preference must be between 1 and 2, got {preference!r}")
    chosen, rejected = outputs if value < 1.5 else outputs[::-1]
    return PreferencePair(_instruction(row), chosen, rejected)


def _paper_pair(row: Row) -> Record | Unusable:
    """`y_w`, `y_l` and `y_ref` are whole texts: the framed prompt, the response, EOS."""
    prompt = text_of(row, "prompt")

    def response(name: str) -> str:
        whole = text_of(row, name)
        if whole.startswith(prompt):
            return response_within(whole[len(prompt) :])
        _, found, answer = whole.partition(ASSISTANT_MARK)
        if not found:
            raise ValueError(f"{name} does not begin with its prompt, nor is there {ASSISTANT_MARK} in it")
        return response_within(answer)

    return PreferencePair(
        instruction_within(prompt),
        response("y_w"),
        response("y_l"),
        scores_of(row, "y_w_score", "y_l_score"),
        response("y_ref") if row.get("y_ref") is not None else None,
    )


def _completion(prompt: Callable[[Row], PromptText], response: str) -> Callable[[Row], Record | Unusable]:
    """A builder of completions from a reader of prompts and the column of the response."""
    return lambda row: _completed(prompt(row), content_of(row, response), None)


def _prompt(row: Row) -> PromptText:
    return content_of(row, "prompt")


def _labelled(row: Row) -> Record | Unusable:
    label = row["label"]
    if not isinstance(label, int | float) or label not in (0, 1):
        raise ValueError(f"label must be true or false, 1 or 0, got {label!r}")
    return _completed(_prompt(row), content_of(row, "completion"), bool(label))


def _completed(prompt: PromptText, completion: PromptText, label: bool | None) -> Record | Unusable:
    response = _response(prompt, completion, "completion")
    return response if isinstance(response, Unusable) else Completion(prompt, response, label)


def _conversation(row: Row) -> Record | Unusable:
    """The last turn is the completion if it is the assistant's; those before are the prompt."""
    if not isinstance(row["messages"], list | tuple):
        raise ValueError(f"messages must be a list, got {type(row['messages']).__name__}")
    turns = messages_of(row, "messages")
    if not turns or turns[-1].role != "assistant":
        return Unusable(TURNS)
    return Completion(turns[:-1], turns[-1].content)


FORMS = (
    Form("alpaca-pairs", ("instruction", "output_1", "output_2", "preference"), ("output_1", "output_2"), _alpaca_pair),
    Form("paper-pairs", ("prompt", "y_w", "y_l"), ("y_w", "y_l"), _paper_pair),
    Form("pairs", ("chosen", "rejected"), ("chosen", "rejected"), _pair),
    Form("labelled", ("prompt", "completion", "label"), ("label",), _labelled),
    Form("completions", ("prompt", "completion"), ("completion",), _completion(_prompt, "completion")),
    Form("alpaca-completions", ("instruction", "output"), ("output",), _completion(_instruction, "output")),
    Form("instruction-responses", ("instruction", "response"), (), _completion(_instruction, "response")),
    Form("responses", ("prompt", "response"), ("response",), _completion(_prompt, "response")),
    Form("messages", ("messages",), (), _conversation),
    Form("prompts", ("prompt",), (), lambda row: Prompt(_prompt(row))),
    Form("instructions", ("instruction",), (), lambda row: Prompt(_instruction(row))),
)
"""The most specific first; the first whose columns are all there is taken. `pairs` reads a `prompt` if there is one."""
