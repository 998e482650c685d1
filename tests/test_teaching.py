"""The teacher's pack: every view opens and shows what is said of it; every answer is right, worked out another way."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pages import explorers, teaching

from modeseek.bandit.commands.slides import Slides
from modeseek.bandit.explore.pages.catalogue import catalogue
from modeseek.bandit.explore.teaching import assessment, slides
from modeseek.bandit.explore.teaching.misconceptions import MISCONCEPTIONS

ROOT = Path(__file__).parents[1]


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"(?<![\w.])[-+]?\d+\.?\d*", text)]


@pytest.mark.parametrize("view", MISCONCEPTIONS, ids=lambda view: view.name)
def test_a_view_opens_and_shows_what_is_said_of_it(view):
    explorer = view.kind.from_state(view.state)
    assert explorer.to_state() == view.state
    assert explorer.model.notes == []
    holds, says = view.finds(explorer.model)
    assert holds
    assert numbers(says)
    assert says.endswith((".", ".)"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("old-data", {"preset": "R1"}),
        ("unseen-answer", {"preset": "y1-common"}),
        ("early-stopping", {"preset": "y1-common"}),
        ("pushed-mass", {"preset": "push-likely-down"}),
        ("helpful-push", {"preset": "E2-aligned"}),
        ("pushing-wins", {"steps": 10}),
        ("chosen-rises", {"preset": "one-token"}),
        ("aggressive-reverse", {"preset": "case-1-holds"}),
        ("other-optimum", {"steps": 10}),
        ("same-samples", {"inner_steps": "1"}),
        ("claims", {"preset": "fig18"}),
        ("clip", {"beta": 3.0}),
        ("fresh-for-all", {"preset": "near-peak"}),
    ],
)
def test_a_view_of_something_else_does_not_hold(name, change):
    view = next(each for each in MISCONCEPTIONS if each.name == name)
    model = view.kind.Model.from_state(view.state)
    for control, value in change.items():
        model.set(control, value)
    assert not view.finds(model).holds


def test_views_have_names_of_their_own_and_reach_every_explorer():
    assert len({view.name for view in MISCONCEPTIONS}) == len(MISCONCEPTIONS)
    assert {view.kind.Model.kind for view in MISCONCEPTIONS} >= {row.name for row in catalogue() if row.notebook}


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def numeric_push(loss, p: np.ndarray) -> np.ndarray:
    """Change of log p per unit of step size, relative to category 0, of descent on the logits; by differences."""
    logits, h = np.log(p), 1e-6
    gradient = np.array([(loss(softmax(logits + h * e)) - loss(softmax(logits - h * e))) / (2 * h) for e in np.eye(3)])
    return -(gradient - gradient[0])


def test_pushes_are_those_of_descent_on_the_logits():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    forward = numeric_push(lambda x: float((q * np.log(q / x)).sum()), p)
    reverse = numeric_push(lambda x: float((x * np.log(x / q)).sum()), p)
    question = assessment.pushes(tuple(p), tuple(q))
    found = numbers(question.answer.partition("reverse: ")[2])[:4]
    assert found == pytest.approx([forward[1], reverse[1], forward[2], reverse[2]], abs=0.0051)
    assert ("Forward KL moves category 2 more" in question.answer) == (forward[2] > reverse[2])


@pytest.mark.parametrize(("p", "which"), [(0.15, "Forward"), (0.3, "Reverse")])
def test_separation_changes_sides_at_the_logarithmic_mean(p, which):
    answer = assessment.separation(p, 0.4, 0.1).answer
    assert answer.startswith(which)
    assert (p * math.log(4.0) > 0.3) == (which == "Reverse")
    assert f"{0.3 / math.log(4.0):.4f}" in answer


@pytest.mark.parametrize(("p", "rejected"), [((0.5, 0.3, 0.15, 0.05), 3), ((0.4, 0.3, 0.2, 0.1), 1)])
def test_winners_of_a_push_are_those_of_a_small_real_step(p, rejected):
    before = np.array(p)
    gradient = np.eye(len(p))[rejected] - before
    after = softmax(np.log(before) - 1e-4 * gradient)
    winners = [k for k in range(len(p)) if after[k] > before[k]]
    assert assessment.push_down(p, rejected).answer.startswith(f"{', '.join(map(str, winners))}: ")


def test_an_unseen_answer_that_only_falls_has_its_most_at_the_start():
    for p in ((0.64, 0.04, 0.32), (0.5, 0.2, 0.3), (0.3, 0.3, 0.4)):
        s = np.linspace(0, 5, 1001)
        mass = p[2] / (p[2] + p[0] * np.exp(s) + p[1] * np.exp(-s))
        assert mass.argmax() == 0
        assert assessment.unseen(p).answer.startswith(f"{mass.max():.3f}, at the start: ")


@pytest.mark.parametrize(
    ("maker", "values", "says"),
    [
        (assessment.pushes, ((0.1, 0.3, 0.6), (0.6, 0.3, 0.1)), "another category than 0"),
        (assessment.pushes, ((7.0, 2.0, 1.0), (0.1, 0.3, 0.6)), "start must sum to 1"),
        (assessment.separation, (0.6, 0.4, 0.1), "must sum to at most 1"),
        (assessment.separation, (math.nan, 0.4, 0.1), "p must be a positive number"),
        (assessment.separation, (0.2, 0.3, 0.3), "q1 and q2 must differ"),
        (assessment.push_down, ((5.0, 3.0, 1.5, 0.5), 3), "p must sum to 1"),
        (assessment.push_down, ((0.5, 0.3, 0.15, 0.05), -1), "rejected must be a whole number of at least 0"),
        (assessment.push_down, ((0.5, 0.3, 0.15, 0.05), 4), "rejected must be from 0 to 3, got 4"),
        (assessment.unseen, ((0.0, 0.7, 0.3),), "p must be positive everywhere"),
        (assessment.displaced, (0.05, 0.25), "b - c must be .002 at least"),
        (assessment.displaced, (0.251, 0.25), "b - c must be .002 at least"),
        (assessment.steps, (1000, 300, 4, 50), "collection must divide samples"),
        (assessment.steps, (900, 300, 4, 70), "minibatch must divide collection"),
        (assessment.clip, (-0.2, 20), "epsilon must be a positive number"),
        (assessment.clip, (0.2, 0), "tokens must be a whole number of at least 1"),
        (assessment.at_the_reference, (0.0,), "beta must be a positive number"),
    ],
)
def test_numbers_that_make_no_question_are_refused(maker, values, says):
    with pytest.raises(ValueError, match=says):
        maker(*values)


def test_the_unseen_answer_peaks_where_a_fine_grid_says():
    s = np.linspace(0, 5, 200_001)
    mass = 0.32 / (0.32 + 0.04 * np.exp(s) + 0.64 * np.exp(-s))
    answer = assessment.unseen((0.04, 0.64, 0.32)).answer
    assert answer.startswith(f"{mass.max():.3f}: ")
    assert f"= {s[mass.argmax()]:.3f}," in answer


@pytest.mark.parametrize(("b", "c", "length"), [(0.25, 0.05, 5), (0.27, 0.05, 5), (0.3, 0.15, 7), (0.5, 0.1, 3)])
def test_the_length_is_the_first_at_which_a_real_step_lowers_the_preferred_response(b, c, length):
    assert assessment.displaced(b, c).answer.startswith(f"N = {length}:")
    logits, step = np.log([1 - b - c, b, c]), 1e-3 * np.array([0, 1, -1])
    likelihood = lambda at, n: (n - 1) * np.log(softmax(at)[0]) + np.log(softmax(at)[1])
    falls = [n for n in range(1, 30) if likelihood(logits + step, n) < likelihood(logits, n)]
    assert falls[0] == length


def test_steps_are_those_of_the_loop():
    taken = [sum(1 for _ in range(4) for _ in range(0, 250, 50)) for _ in range(0, 1000, 250)]
    assert numbers(assessment.steps(1000, 250, 4, 50).answer) == [len(taken), sum(taken), taken[0]]


def test_a_clipped_response_and_a_pair_at_the_reference():
    each = numbers(assessment.clip(0.2, 20).answer.partition("=")[2])[0]
    assert math.exp(20 * each) == pytest.approx(1.2, abs=2e-3)
    loss = lambda x: math.log1p(math.exp(-0.1 * x))
    said = numbers(assessment.at_the_reference(0.1).answer)
    assert said[1] == pytest.approx(loss(0.0), abs=1e-4)
    assert said[-1] == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5)


def test_questions_belong_to_objectives_that_the_page_has():
    page = (ROOT / "docs" / "teaching.md").read_text()
    objectives = {int(n) for n in re.findall(r"^\| (\d) \| (?!\d)", page, re.MULTILINE)}
    named = dict(re.findall(r"^\| (\d) \|.*\| assessment ([\d and]+)[;| ]", page, re.MULTILINE))
    for number, question in enumerate(assessment.ASSESSMENT, 1):
        assert question.objective in objectives
        assert str(number) in re.findall(r"\d", named[str(question.objective)])
        assert question.points == sum(points for points, _ in question.rubric) > 0


def test_checks_that_the_page_names_are_there():
    page = (ROOT / "docs" / "teaching.md").read_text()
    names = set(re.findall(r"`(check_\w+)`", page))
    source = "".join(path.read_text() for path in (ROOT / "bandit" / "explore").glob("*/questions.py"))
    assert names
    assert all(f"def {name}(" in source for name in names)
    for line in re.findall(r"^modeseek (\w+) --out", page, re.MULTILINE):
        from modeseek import cli

        assert line in cli.COMMANDS


def test_the_projects_claims_are_undecided_for_want_of_twenty_seeds():
    project = (ROOT / "docs" / "teaching.md").read_text().partition("**The project.**")[2].partition("## ")[0]
    table = (ROOT / "docs" / "reproduction.md").read_text()
    for listed, claim, seeds in (
        ("B = 100 than with B = 1000, on R1 and on", "On R1, on-policy Best-of-N ends higher", 33),
        ("33 and 355 today", "On R2, on-policy Best-of-N ends higher", 355),
        ("T = 10 than with T = 7", "RWR learns faster (mean reward over the run) with T = 10 than with T = 7", 20),
        ("T = 1 than with T = 10", "RWR learns faster (mean reward over the run) with T = 1 than with T = 10", 20),
        ("PPO learns as fast with T = 10 as with T = 1", "PPO learns as fast (mean reward over the run)", 20),
    ):
        assert listed in project
        row = next(line for line in table.splitlines() if line.startswith(f"| {claim}"))
        assert row.split(" | ")[2] == f"undecided, needs {seeds} seeds"


def test_the_sites_pages_say_what_was_computed():
    text = teaching.misconceptions()
    for view in MISCONCEPTIONS:
        assert view.finding().says in text
        assert f"../explorers/{view.kind.Model.kind}.html#preset-" in text
    text = teaching.assessment()
    assert all(question.answer in text for question in assessment.ASSESSMENT)
    assert f"{len(assessment.ASSESSMENT)} questions, {sum(q.points for q in assessment.ASSESSMENT)} points" in text


def test_the_list_names_every_page(tmp_path):
    explorers.write(tmp_path)
    text = (tmp_path / "explorers.md").read_text()
    assert all(f'href="../explorers/{row.name}.html"' in text for row in catalogue())


class Pictures(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def test_a_slide_is_an_svg_without_fonts_with_its_sentence(tmp_path):
    view = next(each for each in MISCONCEPTIONS if each.name == "more-prompts")
    paths = slides.write(tmp_path, [view])
    assert [path.name for path in paths] == ["01-more-prompts.png", "01-more-prompts.svg", "index.html"]
    drawn = paths[1].read_text()
    assert "<text" not in drawn
    assert "<svg" in drawn
    page = paths[2].read_text()
    assert view.finding().says in page
    (picture,) = Pictures(page).found
    assert picture["src"] == "01-more-prompts.svg"
    assert picture["alt"] == view.kind.from_state(view.state).caption()


def test_slides_that_are_stopped_say_so(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(slides, "write", stopped)
    assert Slides(out=tmp_path).run() == 130
    assert f"finished figures are in {tmp_path}" in capsys.readouterr().err
