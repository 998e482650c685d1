"""Columns become records: every known form, what is misspelt, what is wrong in a row, what is screened out."""

import math

import pytest

from modeseek.llm.data.columns import FORMS, TIED, TURNS, normalize, recognize
from modeseek.llm.data.records import (
    Completion,
    Message,
    PreferencePair,
    Prompt,
    as_completions,
    as_pairs,
    as_prompts,
)
from modeseek.llm.data.report import Report
from modeseek.llm.data.screening import (
    DUPLICATE,
    EMPTY_PROMPT,
    EMPTY_RESPONSE,
    IDENTICAL,
    Screening,
    screen,
)
from modeseek.llm.data.split import split_by_prompt


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASKED = [turn("system", "be brief"), turn("user", "why?")]
TURNS_ASKED = (Message("system", "be brief"), Message("user", "why?"))
FRAMED = "<|prompter|>why?<|endoftext|><|assistant|>"

KNOWN = {
    "pairs as text": (
        {"prompt": "why?", "chosen": "so", "rejected": "no", "score_chosen": 9.0, "prompt_id": "x"},
        PreferencePair("why?", "so", "no"),
    ),
    "pairs as messages": (
        {"prompt": ASKED, "chosen": [turn("assistant", "so")], "rejected": [turn("assistant", "no")]},
        PreferencePair(TURNS_ASKED, "so", "no"),
    ),
    "pairs whose answers repeat the prompt": (  # UltraFeedback's: the prompt as text, the conversations whole
        {
            "prompt": "why?",
            "chosen": [turn("user", "why?"), turn("assistant", "so")],
            "rejected": [turn("user", "why?"), turn("assistant", "no")],
            "messages": [turn("user", "why?"), turn("assistant", "so")],
        },
        PreferencePair("why?", "so", "no"),
    ),
    "pairs with an implicit prompt": (
        {"chosen": [*ASKED, turn("assistant", "so")], "rejected": [*ASKED, turn("assistant", "no")]},
        PreferencePair(TURNS_ASKED, "so", "no"),
    ),
    "pairs with an implicit prompt and equal answers": (
        {"chosen": [*ASKED, turn("assistant", "so")], "rejected": [*ASKED, turn("assistant", "so")]},
        PreferencePair(TURNS_ASKED, "so", "so"),
    ),
    "prompts": ({"prompt": "why?", "id": 7}, Prompt("why?")),
    "prompts as messages": ({"prompt": ASKED}, Prompt(TURNS_ASKED)),
    "completions": ({"prompt": "why?", "completion": "so"}, Completion("why?", "so")),
    "completions as messages": (
        {"prompt": ASKED, "completion": [turn("assistant", "so")]},
        Completion(TURNS_ASKED, "so"),
    ),
    "responses": ({"prompt": "why?", "response": "so"}, Completion("why?", "so")),
    "labelled": ({"prompt": "why?", "completion": "so", "label": False}, Completion("why?", "so", label=False)),
    "labelled by a number": ({"prompt": "why?", "completion": "so", "label": 1}, Completion("why?", "so", label=True)),
    "messages": ({"messages": [*ASKED, turn("assistant", "so")]}, Completion(TURNS_ASKED, "so")),
    "alpaca pairs": (
        {"instruction": "why?", "input": "it", "output_1": "no", "output_2": "so", "preference": 2},
        PreferencePair("why?\nit", "so", "no"),
    ),
    "alpaca pairs without input": (
        {"instruction": "why?", "input": "", "output_1": "so", "output_2": "no", "preference": 1.2},
        PreferencePair("why?", "so", "no"),
    ),
    "alpaca completions": ({"instruction": "why?", "input": "", "output": "so"}, Completion("why?", "so")),
    "alpaca's responses": ({"instruction": "why?", "response": "so", "source": "x"}, Completion("why?", "so")),
    "alpaca instructions": ({"instruction": "why?", "input": "it"}, Prompt("why?\nit")),
    "the paper's": (
        {
            "prompt": FRAMED,
            "y_w": FRAMED + "so<|endoftext|>",
            "y_l": FRAMED + "no<|endoftext|><|endoftext|>",
            "y_ref": FRAMED + "so so",
            "y_w_score": 2,
            "y_l_score": 0.5,
            "output": "else",
            "y_1": "so",
        },
        PreferencePair("why?", "so", "no", scores=(2.0, 0.5), reference_response="so so"),
    ),
    "the paper's with a bare prompt": (
        {"prompt": "why?", "y_w": FRAMED + "so<|endoftext|>", "y_l": FRAMED + "no"},
        PreferencePair("why?", "so", "no"),
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_known_columns_become_records(case):
    row, record = KNOWN[case]
    normalized = normalize([row, row])
    assert normalized.records == [record, record]
    assert normalized.report == Report(read=2, kept=2)


def test_every_form_is_covered():
    recognised = {recognize(row).name for row, _ in KNOWN.values()}
    assert recognised == {form.name for form in FORMS}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ("prompt", "choosen", "rejected"),
            r"no column 'chosen', as pairs .* found 'prompt', 'choosen', .*'choosen' is",
        ),
        (("prompt", "Chosen", "Rejected"), r"'Chosen' is near 'chosen'; 'Rejected' is near 'rejected'"),
        (("prompt", "chosen"), "no column 'rejected', as pairs needs"),
        (("prompt", "y_w", "y_1"), "no column 'y_l', as paper-pairs needs"),
        (("instruction", "output_1", "output_2"), "no column 'preference', as alpaca-pairs needs"),
        (("prompt", "completion", "labels"), "'labels' is near 'label'"),
        (("prompt", "completions"), "'completions' is near 'completion'"),
        (("prompts",), r"no columns that are known: found 'prompts' \('prompts' is near 'prompt'\)"),
        (("text", "label_id"), r"known: found 'text', 'label_id'\. alpaca-pairs: instruction, output_1"),
        ((), "found none"),
    ],
)
def test_missing_and_misspelt_columns_are_named(columns, message):
    with pytest.raises(ValueError, match=message):
        normalize([dict.fromkeys(columns, "x")])


PAIR = {"prompt": "why?", "chosen": "so", "rejected": "no"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "why?", "chosen": "so"}, "row 2 of the data has no column 'rejected': found 'prompt', 'chosen'"),
        ({**PAIR, "chosen": None}, "row 2 of the data: chosen must be text, got NoneType"),
        ({**PAIR, "chosen": 3}, "chosen must be text, got int"),
        ({**PAIR, "prompt": "\ud800"}, r"prompt is not text: it holds the lone surrogate '\\ud800'"),
        ({**PAIR, "prompt": [{"role": "user"}]}, "prompt must be text or a list of objects with the texts role"),
        ({**PAIR, "chosen": [turn("user", "what?")]}, "chosen is a conversation that does not begin with its prompt"),
    ],
)
def test_wrong_values_name_their_row(row, message):
    with pytest.raises(ValueError, match=message):
        normalize([PAIR, row])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompts": "p", "chosen": "so", "rejected": "no"}, "must be a column 'prompt': found .*'prompts' is near"),
        ({"prompt": "p", "completion": "c", "label": "yes"}, "label must be true or false, 1 or 0, got 'yes'"),
        ({"prompt": "p", "completion": "c", "label": None}, "label must be true or false, 1 or 0, got None"),
        ({"instruction": "i", "output_1": "a", "output_2": "b", "preference": 3}, "between 1 and 2, got 3"),
        ({"instruction": "i", "output_1": "a", "output_2": "b", "preference": "1"}, "must be a finite number, got '1'"),
        ({"prompt": "why?", "y_w": "so", "y_l": "no"}, "y_w does not begin with its prompt"),
        ({"messages": "so"}, "messages must be a list, got str"),
    ],
)
def test_wrong_values_of_other_forms(row, message):
    with pytest.raises(ValueError, match=message):
        normalize([row])


@pytest.mark.parametrize("preference", [None, math.nan, 0, 1.5])
def test_ties_and_missing_judgements_are_counted(preference):
    row = {"instruction": "why?", "output_1": "so", "output_2": "no", "preference": preference}
    normalized = normalize([row, {**row, "preference": 1}])
    assert normalized.records == [PreferencePair("why?", "so", "no")]
    assert normalized.report == Report(read=2, kept=1, dropped={TIED: 1})


def test_answers_of_several_turns_are_counted():
    more = [turn("assistant", "so"), turn("user", "and?"), turn("assistant", "no")]
    row = {"chosen": [*ASKED, *more], "rejected": [*ASKED, turn("assistant", "no")]}
    assert normalize([row]).report.dropped == {TURNS: 1}
    assert normalize([{"messages": ASKED}]).report.dropped == {TURNS: 1}


def test_columns_can_be_renamed_and_the_form_chosen():
    row = {"question": "why?", "answer": "so", "prompt": "not this one"}
    renamed = normalize([row], rename={"question": "prompt", "answer": "completion"})
    assert renamed.records == [Completion("why?", "so")]
    assert normalize([PAIR], form="prompts").records == [Prompt("why?")]
    with pytest.raises(ValueError, match=r"has no column 'questoin' to rename: .*'question' is near"):
        normalize([row], rename={"questoin": "prompt"})
    with pytest.raises(ValueError, match=r"form must be one of .*'pair' is near|got 'pair' \('pairs' is near 'pair'\)"):
        normalize([PAIR], form="pair")
    with pytest.raises(ValueError, match=r"preferences.jsonl has no rows"):
        normalize([], source="preferences.jsonl")


RECORDS = [
    PreferencePair("why?", "so", "no"),
    PreferencePair("why?", "so", "so"),
    PreferencePair("why?", " \n", "no"),
    PreferencePair("", "so", "no"),
    PreferencePair((), "so", "no"),
    PreferencePair("why?", "so", "no", scores=(1.0, 0.0)),
]


def test_screening_drops_and_counts():
    screened = screen(RECORDS)
    assert screened.records == [RECORDS[0], RECORDS[5]]
    assert screened.report == Report(
        read=6, kept=2, dropped={IDENTICAL: 1, EMPTY_RESPONSE: 1, EMPTY_PROMPT: 2}, duplicates=1
    )
    assert screen(RECORDS, Screening(duplicates="drop")).report.dropped[DUPLICATE] == 1
    # A response of EOS alone is what Min Length rewards most.
    assert RECORDS[2] in screen(RECORDS, Screening(empty_responses="keep")).records


def test_an_unpaired_judgement_and_its_opposite_are_no_duplicates():
    records = [Completion("why?", "so", label=True), Completion("why?", "so", label=False)]
    assert screen(records).report.duplicates == 0
    assert screen([*records, records[0]]).report.duplicates == 1


def test_screening_refuses_and_names_the_rows():
    with pytest.raises(ValueError, match=r"row 2: chosen and rejected are identical$"):
        screen(RECORDS, Screening(identical="refuse"))
    with pytest.raises(ValueError, match=r"row 10: the prompt is empty; and 2 more$"):
        screen([Prompt(" ")] * 12, Screening(empty_prompts="refuse"))


def test_reports_add_up_and_read_as_lines():
    first = Report(read=10, kept=7, dropped={"tied": 3}, duplicates=2)
    both = first.then(Report(read=7, kept=5, dropped={"tied": 1, "long": 1}, cut_prompts=4, altered_responses=1))
    assert str(both) == (
        "10 rows read, 5 kept\n1 dropped: long\n4 dropped: tied\n2 repeat an earlier row\n4 prompts cut on the left\n"
        "1 responses that the tokenizer writes otherwise than they were given"
    )
    assert both.kept + sum(both.dropped.values()) == both.read
    assert both.require_rows() is both
    with pytest.raises(ValueError, match="kept 7 rows is not followed by one that read 10"):
        first.then(first)
    with pytest.raises(ValueError, match=r"no usable row is left of 3: tied \(3\)"):
        Report(read=3, kept=0, dropped={"tied": 3}).require_rows()


def test_pairs_give_completions_and_prompts():
    pairs = [PreferencePair("a", "x", "y"), PreferencePair("b", "x", "y"), PreferencePair("a", "y", "z")]
    assert as_pairs(pairs) == pairs
    assert as_completions(pairs) == [Completion("a", "x"), Completion("b", "x"), Completion("a", "y")]
    assert as_completions([Completion("a", "x", label=True)]) == [Completion("a", "x", label=True)]
    assert as_prompts(pairs) == [Prompt("a"), Prompt("b")]


def test_records_of_another_kind_than_needed_are_named():
    with pytest.raises(ValueError, match="preference pairs are needed, but record 2 is a completion"):
        as_pairs([PreferencePair("a", "x", "y"), Completion("a", "x")])
    with pytest.raises(ValueError, match="completions are needed, but record 1 is a prompt alone"):
        as_completions([Prompt("a")])


def test_a_prompt_is_on_one_side_of_a_split():
    records = [PreferencePair(f"prompt {i % 40}", f"so {i}", "no") for i in range(100)]
    split = split_by_prompt(records, 0.1, seed=3)
    assert split == split_by_prompt(records, 0.1, seed=3)
    assert split.held_out != split_by_prompt(records, 0.1, seed=4).held_out
    assert sorted(split.training + split.held_out, key=records.index) == records
    trained, held_out = ({record.prompt for record in side} for side in split)
    assert not trained & held_out
    assert len(held_out) == 4
    assert split_by_prompt(records, 0.0, seed=3).training == records
    assert len(as_prompts(split_by_prompt(records, 0.001, seed=3).held_out)) == 1  # a share above 0 is never nothing
    for share, message in ((1.0, "share must be at least 0 and less than 1, got 1.0"), (0.99, "leaves no prompt to")):
        with pytest.raises(ValueError, match=message):
            split_by_prompt(records, share, seed=3)
