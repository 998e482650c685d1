"""Nothing above a prediction gives it away: not in its own notebook, and in none that comes before it in the course."""

import html
import importlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import modeseek.bandit.explore
from modeseek.bandit.explore.toolkit.controls import Choice, plain
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.prediction import Prediction

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

SPOILERS: dict[str, dict[str, tuple[str, ...]]] = {
    "00_start_here": {
        "offline": (r"offline IPO (ends|stays|loses)[^|]{0,40}R1", r"best of a hundred", r"gain it [\d.]+ on R1")
    },
    "01_first_steps": {
        "first": (r"π times the advantage", r"learns little from those", r"how often an answer comes"),
        "end": (r"both rest at", r"most have one goal", r"four of these six"),
    },
    "02_dpo_out_of_distribution": {
        "unseen": (r"feeds the unseen", r"y₃'s not at all", r"what y₂ loses y₁ cannot"),
        "stopping": (r"stops near", r"peak lies on", r"y₃'s mass peaks", r"answers y₃ most of"),
    },
    "03_negative_gradient": {
        "winners": (r"likeliest (response )?takes it all", r"feeds the likeliest", r"who is above Σ"),
        "figure16": (r"RWR[^.|]*(highest|furthest|as far as)", r"weighs by exp\(r/β\)"),
    },
    "04_likelihood_displacement": {
        "length": (r"N \(π_B [-−] π_C\)", r"the (dashed )?boundary", r"1/N\b", r"falls at once"),
        "prompts": (r"many (prompts )?(both fall|it falls)", r"many prompts: it falls", r"few prompts: y_w rises"),
    },
    "05_bandit_explorer": {
        "wave": (r"never hold more", r"knows nothing of token"),
        "price": (
            r"PPO[^.|]*nearer\* to",
            r"nearer[^.|]*than Best-of-N",
            r"push alone",
        ),
    },
    "06_on_policy": {
        "size": (
            r"B = 100[^.|]*(best|highest)",
            r"smaller B, is better",
            r"every refresh is a step",
            r"better already",
        ),
        "reuse": (r"used up PPO", r"PPO ends at [\d.]+, Best-of-N at", r"ends the push on a response|stops pushing"),
    },
    "07_kl_explorer": {
        "separation": (r"case[-_ ]?1[-_ ]fails", r"separates the pair less", r"the factor p\b", r"strong only where"),
        "race": (r"forward KL is ahead at half", r"as p comes near q", r"the factor p\b", r"aggressive one \*where"),
    },
    "08_phase_diagram": {
        "crossing": (r"at 50 and 60 some do", r"on-policy IPO's( seeds)? after 200", r"where the peak is far"),
        "offline": (r"order of neighbours", r"0\.57 at 30", r"0\.44 at 70"),
    },
    "09_reproduce_paper": {
        "tails_discarded": (
            r"tails discarded[^.|]*(get there|seeds do|ends|goes much further|reach)",
            r"87 of (100|the hundred)",
        ),
        "remedy": (r"margin 50 nats", r"(margin|its) target is", r"DPO instead \(1", r"margin[^.|]*reach the ceiling"),
    },
    "10_llm_length": {
        "where": (
            r"as shares",
            r"differ less, or not at all",
        ),
        "on_policy": (r"on-policy pairs learn faster", r"on-policy DPO[^.|]*(shorter|faster)[^.|]*(Min Length|tokens)"),
        "negative_gradient": (r"final gold reward less Pref-FT's", r"offline DPO -[\d.]+ and"),
    },
    "11_make_your_own": {
        "hills": (r"crosses to the high", r"has lost it does not see", r"pushes on its tokens", r"never loses"),
        "plans": (
            r"DPO, one collection, offline, 16 passes",
            r"learns from every sample",
            r"copies the best of",
        ),
    },
}
"""Notebook → prediction → words that would answer it, or give the reason; upper and lower case are alike."""


class Cell(NamedTuple):
    """A cell of a source.

    Attributes:
        code: whether it is one.
        text: its lines joined, and of a text without the signs of a comment.
    """

    code: bool
    text: str


@cache
def cells(notebook: str) -> tuple[Cell, ...]:
    """The source of a notebook, from its first cell on."""
    parts = re.split(r"^# %%(.*)$", (NOTEBOOKS / "src" / f"{notebook}.py").read_text(), flags=re.MULTILINE)[1:]
    found = []
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        lines = [line.removeprefix("#") if "[markdown]" in kind else line for line in text.splitlines()]
        found.append(Cell("[markdown]" not in kind, " ".join(" ".join(lines).split())))
    return tuple(found)


def outputs(notebook: str) -> str:
    """Every text that the built notebook shows: captions, answers, tables."""
    whole = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text())
    shown = [output for cell in whole["cells"] for output in cell.get("outputs", ())]
    texts = ["".join(text) for each in shown for kind, text in each.get("data", {}).items() if kind.startswith("text/")]
    texts += ["".join(each.get("text", ())) for each in shown]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", " ".join(texts))).split())


def explorers(shown: Iterable[Cell]) -> list[type[Explorer]]:
    """The classes that cells make explorers of."""
    names = {name for cell in shown if cell.code for name in re.findall(r"\b(\w+Explorer)\(", cell.text)}
    return [getattr(modeseek.bandit.explore, name) for name in sorted(names)]


def spoken(kinds: Iterable[type[Explorer]]) -> str:
    """What explorers' controls say: their labels, their sentences on hover, their menus, the names of their bars."""
    texts = []
    for control in (each for kind in kinds for each in kind.Model.controls):
        texts += [control.label, control.help]
        texts += control.options.values() if isinstance(control, Choice) else getattr(control, "names", ())
    return " | ".join(texts)


def waits(cell: Cell, name: str) -> bool:
    """Whether what a cell shows waits for that prediction."""
    return re.search(rf"\.after\([\w, ]*\b{name}\b[\w, ]*\)$", cell.text) is not None


def place(notebook: str, words: str) -> int:
    """The first cell of code with these words."""
    return next(i for i, cell in enumerate(cells(notebook)) if cell.code and words in cell.text)


def asked(notebook: str, name: str) -> Prediction:
    """The prediction of that name, as its cell makes it."""
    code = " ".join(cell.text for cell in cells(notebook) if cell.code)
    made = re.search(rf"\b{name} = (predict_\w+)\(\)", code)
    assert made, f"{notebook} makes no prediction {name}"
    module = next(
        module
        for module, names in re.findall(r"from ([\w.]+) import ([\w, ]+)", code)
        if made[1] in re.split(r"\W+", names)
    )
    prediction = getattr(importlib.import_module(module), made[1])()
    assert isinstance(prediction, Prediction)
    return prediction


@cache
def whole(notebook: str) -> str:
    """All that a reader has seen who has been through a notebook."""
    return " ".join([*(cell.text for cell in cells(notebook)), outputs(notebook), spoken(explorers(cells(notebook)))])


def below(notebook: str, name: str) -> str:
    """All that is seen once a prediction is committed: its answer, what follows, and what waited in its notebook."""
    order = sorted(path.stem for path in (NOTEBOOKS / "src").glob("*.py"))
    reveal = place(notebook, f"{name}.reveal")
    return " ".join(
        [
            asked(notebook, name).reveal.text(),
            *(cell.text for cell in cells(notebook)[reveal:]),
            outputs(notebook),
            spoken(explorers(cells(notebook))),
            *(whole(later) for later in order[order.index(notebook) + 1 :]),
        ]
    )


def above(notebook: str, name: str) -> str:
    """All that is seen before a prediction is committed, its question and its options included.

    What waits behind a gate is not: of the notebook's own cells only the sources count, down to the reveal, and the
    controls of explorers that do not wait for it. A page without a kernel asks below its explorer's title and question.
    """
    order = sorted(path.stem for path in (NOTEBOOKS / "src").glob("*.py"))
    reveal = place(notebook, f"{name}.reveal")
    prediction = asked(notebook, name)
    return " ".join(
        [
            *(whole(earlier) for earlier in order[: order.index(notebook)]),
            *(cell.text for cell in cells(notebook)[:reveal]),
            spoken(explorers(cell for cell in cells(notebook)[:reveal] if not waits(cell, name))),
            *(f"{kind.Model.title} {kind.Model.__doc__}" for kind in modeseek.bandit.explore.explorer_classes()),
            prediction.question,
            *prediction.options,
        ]
    )


EACH = [(notebook, name) for notebook, names in SPOILERS.items() for name in names]


@pytest.mark.parametrize(("notebook", "name"), EACH, ids=[f"{n[:2]}-{name}" for n, name in EACH])
def test_nothing_above_a_prediction_gives_it_away(notebook: str, name: str):
    text = above(notebook, name)
    found = [re.search(f".{{0,60}}{words}.{{0,60}}", text, re.IGNORECASE) for words in SPOILERS[notebook][name]]
    assert [each.group() for each in found if each] == []


def test_every_prediction_has_words_that_would_give_it_away():
    for notebook in (path.stem for path in (NOTEBOOKS / "src").glob("*.py")):
        code = " ".join(cell.text for cell in cells(notebook) if cell.code)
        made = re.findall(r"\b(\w+) = predict_\w+\(\)", code)
        assert sorted(made) == sorted(SPOILERS.get(notebook, {})), notebook


@pytest.mark.parametrize(("notebook", "name"), EACH, ids=[f"{n[:2]}-{name}" for n, name in EACH])
def test_what_stands_between_a_prediction_and_its_reveal_waits_for_it(notebook: str, name: str):
    first, last = place(notebook, f"{name} = predict_"), place(notebook, f"{name}.reveal")
    between = [cell for cell in cells(notebook)[first + 1 : last] if cell.code]
    shown = [cell for cell in between if not re.search(r"= predict_\w+\(\)|\.reveal$", cell.text)]
    assert [cell for cell in shown if not waits(cell, name)] == []


@pytest.mark.parametrize(("notebook", "name"), EACH, ids=[f"{n[:2]}-{name}" for n, name in EACH])
def test_the_answers_themselves_are_noticed(notebook: str, name: str):
    """What the words look for is there, where it may be: words that no text has could give nothing away."""
    told = below(notebook, name)
    assert [words for words in SPOILERS[notebook][name] if not re.search(words, told, re.IGNORECASE)] == []


@pytest.mark.parametrize("notebook", sorted(SPOILERS))
def test_a_preset_that_a_text_names_is_on_the_menu(notebook: str):
    """By the word that the menu begins its line with; a second name is read, and shown nowhere."""
    controls = [control for kind in explorers(cells(notebook)) for control in kind.Model.controls]
    menus = [each for each in controls if isinstance(each, Choice) and each.name == "preset"]
    shown = {label.partition(":")[0] for menu in menus for label in menu.options.values()}
    known = {plain(name): name for menu in menus for name in (*menu.options, *menu.also)}
    text = " ".join(cell.text for cell in cells(notebook) if not cell.code)
    listed = re.findall(r"\bpresets? ((?:`[^`]+`(?:, and |, | and )?)+)", text)
    named = {name for name in re.findall(r"`([^`]+)`", text) if plain(name) in known}
    named |= {name for names in listed for name in re.findall(r"`([^`]+)`", names)}
    assert named <= shown
    if notebook[:2] in ("02", "03", "04"):
        assert named
