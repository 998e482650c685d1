"""The course: order, links, minutes and prerequisites agree wherever they are said; words come before their use."""

import re
from pathlib import Path

import pytest
from notebook_build import build

from modeseek.bandit.explore.course import COURSE, EACH, PATHS, head, reading_time, stop, way

ROOT = Path(__file__).parents[1]
NAMES = [each.name for each in COURSE]
LINK = re.compile(r"\]\((?:\.\./)*(?:notebooks/)?([\w.-]+)\.ipynb\)")
SHOWN = re.compile(r"\w*Explorer\(|Recorded\(|WholeMap\(|tune_live\(")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def texts(name):
    """All text of a notebook, with its frame, and all code."""
    cells = build.source(name).cells
    return ["\n\n".join(cell.source for cell in cells if cell.cell_type == kind) for kind in ("markdown", "code")]


def test_the_course_is_the_notebooks_in_their_order():
    assert build.names() == NAMES
    assert [each.number for each in COURSE] == [f"{i:02d}" for i in range(len(COURSE))]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_where_it_stands_at_head_and_foot(name: str):
    cells = build.source(name).cells
    here = stop(name[:2])
    assert cells[0].source.startswith(f"# {here.title}\n\n{head(name)}\n\n")
    assert cells[-1].source == way(name)
    at = NAMES.index(name)
    assert LINK.findall(cells[-1].source) == NAMES[max(at - 1, 0) : at] + NAMES[at + 1 : at + 2]
    assert all(number < here.number for number in here.needs)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_notebooks_that_there_are_and_numbers_to_their_own(name: str):
    text, _ = texts(name)
    assert set(LINK.findall(text)) <= set(NAMES)
    for shown, target in re.findall(r"\[(\d\d)\b[^\]]*\]\(([\w.-]+)\.ipynb\)", text):
        assert target.startswith(shown)
    mentioned = re.findall(r"\bnotebooks? (\d\d)", text)
    assert {stop(number).name for number in mentioned} <= set(NAMES)


def test_pages_link_to_notebooks_that_there_are():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    links = [found for page in pages if "decisions" not in page.parts for found in LINK.findall(page.read_text())]
    assert set(NAMES) <= set(links) <= set(NAMES)


def test_the_guides_table_is_the_course():
    page = (ROOT / "docs" / "notebooks.md").read_text()
    rows = re.findall(
        r"^\| \[`(\w+)`\]\(\.\./notebooks/(\w+)\.ipynb\) \| (.+) \| (\d+) \| (.+) \|$", page, re.MULTILINE
    )
    expected = [
        (
            each.name,
            each.name,
            each.question,
            str(each.minutes),
            ", ".join([*each.needs, *[each.knows] * bool(each.knows)]),
        )
        for each in COURSE
    ]
    assert rows == expected


@pytest.mark.parametrize("name", NAMES)
def test_minutes_are_those_of_the_rule(name: str):
    text, code = texts(name)
    counted = {
        "prediction": len(re.findall(r"= predict_\w+\(\)", code)),
        "explorer": len(SHOWN.findall(code)),
        "exercise": sum("exercise" in cell.metadata.get("tags", ()) for cell in build.source(name).cells),
    }
    assert stop(name[:2]).minutes % 5 == 0
    assert abs(reading_time(len(text.split()), counted) - stop(name[:2]).minutes) <= 4


def test_a_path_fits_its_time():
    text, _ = texts("00_start_here")
    rows = dict(re.findall(r"^\| (\d+) minutes \| (.+) \|$", text, re.MULTILINE))
    assert {int(minutes): tuple(name[:2] for name in LINK.findall(row)) for minutes, row in rows.items()} == PATHS
    for minutes, numbers in PATHS.items():
        cells = [cell for number in numbers for cell in build.source(stop(number).name).cells]
        exercises = sum("exercise" in cell.metadata.get("tags", ()) for cell in cells)
        assert sum(stop(number).minutes for number in numbers) - EACH["exercise"] * exercises <= minutes
    assert sum(each.minutes for each in COURSE) == 300
    assert "five hours" in text


WORDS = (
    *("policy", "logit", "reference", "reward", "preference", "reward model", "expected reward", "Kullback-Leibler"),
    *("nat", "steps", "gradient", "learning rate", "loss", "policy gradient", "advantage", "on-policy", "behavior"),
    *("ratio", "clipped", "implicit reward", "margin", "offline", "negative gradient"),
)
"""In the order of their explanations."""


def test_the_first_notebook_explains_each_word_where_it_first_stands():
    cells = [cell.source for cell in build.source("01_first_steps").cells if cell.cell_type == "markdown"]
    cells[0] = cells[0].partition(head("01_first_steps"))[2]
    assert cells[0]
    running = "\n".join(line for line in "\n".join(cells).split("\n") if not line.startswith("#"))
    places = []
    for word in WORDS:
        found = re.search(rf"(?<![\w-]){word}(?:e?s)?(?![\w-])", running, re.IGNORECASE)
        assert found, word
        assert running[: found.start()].endswith("**"), word
        places.append(found.start())
    assert places == sorted(places)


def test_a_source_without_a_place_in_the_course_is_refused(tmp_path, monkeypatch):
    (tmp_path / "07_kl_explorer.py").write_text("# %% [markdown]\n# # Something else\n#\n# Text.\n")
    (tmp_path / "99_extra.py").write_text("# %% [markdown]\n# # Extra\n#\n# Text.\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    for name in ("07_kl_explorer", "99_extra"):
        with pytest.raises(ValueError, match="expected a title that modeseek"):
            build.source(name)
