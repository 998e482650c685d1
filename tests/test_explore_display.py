"""What a cell shows twice, gates, and predictions, without a browser: what is published, and what is saved of it."""

import base64
import html
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import IPython.display
import pytest
from PIL import Image

from modeseek.bandit.explore import KLExplorer
from modeseek.bandit.explore.kl.questions import predict_race
from modeseek.bandit.explore.toolkit import display
from modeseek.bandit.explore.toolkit.display import WIDGET_VIEW, Displayed, Still
from modeseek.bandit.explore.toolkit.gate import Gate
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.explore.toolkit.question import Question

Published = list[tuple[dict[str, Any], str | None, bool]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """Data, display id and whether it was an update, of each output."""
    found: Published = []
    monkeypatch.setattr(
        IPython.display,
        "display",
        lambda data, *, raw, display_id, update: found.append((data, display_id, update)),
    )
    monkeypatch.setattr(display, "QUIET", 0.0)
    yield found
    for timer in threading.enumerate():  # what one test draws late would be found by the next
        if isinstance(timer, threading.Timer):
            timer.join(30.0)


def asked() -> Prediction:
    return Prediction("Which?", ("this", "that"), lambda: Truth(1, "because."))


def test_an_explorer_is_shown_as_widgets_and_saved_as_one_small_picture(published: Published):
    explorer = KLExplorer("R1", step=40)
    explorer._ipython_display_()
    (view, none, _), (saved, name, _) = published
    assert view[WIDGET_VIEW]["model_id"] == explorer.widget.model_id
    assert none is None
    assert view["text/plain"] == display.WHERE_LIVE
    assert WIDGET_VIEW not in saved  # or the dead view would win over the picture
    alts = re.findall(r'<img alt="([^"]*)"', saved["text/html"])
    assert [html.unescape(alt) for alt in alts] == [explorer.caption()]
    (data,) = re.findall(r"base64,([^\"]*)", saved["text/html"])
    assert len(base64.b64decode(data)) < 60_000
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == explorer.pixels().shape[1::-1]
    assert explorer.to_state() in html.unescape(saved["text/html"])
    assert saved["text/plain"] == f"{explorer.caption()}\n{explorer.to_state()}"
    # Each hides the other by a class of its own, so that another day's widgets do not hide this day's picture.
    assert f"modeseek-live-{name}" in explorer.widget._dom_classes
    assert f":root:has(.modeseek-live-{name}) .modeseek-saved-{name}" in saved["text/html"]
    explorer._ipython_display_()
    assert published[3][1] != name


def test_what_is_saved_follows_what_was_seen_last(published: Published):
    explorer = KLExplorer("case-2")
    explorer.set(step=1)  # not displayed yet: there is nothing to bring up to date
    assert explorer._timer is None
    explorer._ipython_display_()
    for step in range(2, 6):
        explorer.set(step=step)
    assert explorer._timer is not None
    explorer._timer.join(20)
    updates = [(data, name) for data, name, update in published if update]
    assert {name for _, name in updates} == {published[1][1]}
    assert "case-2&amp;step=5" in updates[-1][0]["text/html"]


def test_a_moving_hand_is_not_disturbed(published: Published, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(display, "QUIET", 60.0)
    explorer = KLExplorer("case-2")
    explorer._ipython_display_()
    timers = []
    for step in range(3):
        explorer.widget.children  # the shell is there
        explorer._shell.rows["step"].widgets[2].value = step + 1
        timers.append(explorer._timer)
    assert [timer.finished.is_set() for timer in timers if timer] == [True, True, False]  # all but the last cancelled
    timers[-1].cancel()
    assert not any(update for *_, update in published)


def test_a_gate_opens_when_all_is_committed_and_leads_there(published: Published):
    first, second = asked(), asked()
    explorer = KLExplorer("case-2").after(first, second)
    explorer._ipython_display_()
    assert explorer._shell is None  # nothing is made before it opens
    assert published[0][0][WIDGET_VIEW]
    gate = Gate(explorer, [first, second])
    assert "Closed until you commit to your 2 predictions" in gate.box.children[1].value
    assert first.commit(0) == []
    assert gate.button.description == "Show me anyway"
    opened = second.commit(1)
    assert opened == [gate.button]  # of two displays the last: the cell was run again
    assert gate.button is gate.box.children[0]  # what has the focus stays where it is
    assert gate.box.children[1] is explorer.widget
    gate.button.click()
    assert explorer.widget not in gate.box.children
    gate.button.click()
    assert gate.box.children[1] is explorer.widget
    assert Gate(explorer, [first, second]).box.children[1] is explorer.widget  # the cell is run again
    assert (explorer.to_state(), explorer.set(step=2).to_state()) == ("kl?preset=case-2", "kl?preset=case-2&step=2")


def test_whoever_skims_is_shown_it_anyway():
    prediction = asked()
    gate = Gate(prediction.reveal, [prediction])
    assert "because" not in gate.box.children[1].value
    gate.button.click()
    assert gate.box.children[1].value.endswith("<b>that</b> because.</p>")
    assert prediction.chosen is None
    assert prediction.commit(0) == []  # a reveal is further down, after what there is to explore
    assert "You predicted otherwise" in gate.box.children[1].value


def test_a_reveal_is_saved_folded_until_it_was_opened(published: Published):
    prediction = asked()
    prediction.reveal._ipython_display_()
    saved, name, _ = published[1]
    folded = re.search(r"<details><summary>([^<]*)</summary>(.*)</details>", saved["text/html"])
    assert folded is not None
    assert "Closed until you commit" in folded.group(1)
    assert "because" in folded.group(2)
    assert "because" not in saved["text/plain"]  # a terminal folds nothing
    prediction.commit(1)
    again, same, update = published[-1]
    assert (same, update) == (name, True)
    assert "<details>" not in again["text/html"]
    assert "You predicted it." in again["text/plain"]


def test_a_prediction_is_saved_with_what_was_committed(published: Published):
    prediction = asked()
    prediction._ipython_display_()
    saved = published[1][0]
    assert [part in saved["text/html"] for part in ("Which?", "<li>this</li>", "Committed")] == [True, True, False]
    prediction.commit(0)
    assert "Committed: this" in published[-1][0]["text/html"]


def test_a_prediction_is_committed_once():
    prediction = asked()
    for wrong in (2, -1, True):
        with pytest.raises(ValueError, match="option must be a whole number from 0 to 1"):
            prediction.commit(wrong)
    prediction.commit(0)
    with pytest.raises(ValueError, match="already committed: this"):
        prediction.commit(1)


def test_what_was_committed_is_taken_back(published: Published):
    prediction = asked()
    for shown in (prediction, prediction.reveal):
        shown._ipython_display_()
    before = [data for data, *_ in published if WIDGET_VIEW not in data]
    question, explorer = Question(prediction), KLExplorer("case-2").after(prediction)
    gates = [Gate(prediction.reveal, [prediction]), Gate(explorer, [prediction])]
    assert question.back.layout.display == "none"
    gates[0].button.click()  # shown anyway, which taking back closes too
    question.options[0].value = True
    question.commit.click()
    assert "You predicted otherwise" in gates[0].box.children[1].value
    assert gates[1].box.children[1] is explorer.widget
    assert question.back.layout.display is None
    state = explorer.set(step=3).to_state()

    question.back.click()
    assert prediction.chosen is None
    assert ["Closed until you commit" in gate.box.children[1].value for gate in gates] == [True, True]
    assert [gate.button.description for gate in gates] == ["Show me anyway", "Show me anyway"]
    assert [(each.value, each.disabled) for each in question.options] == [(False, False)] * 2
    assert (question.commit.description, question.back.layout.display) == ("Commit", "none")
    assert "Taken back" in question.said.value
    saved = {name: data for data, name, _ in published if name is not None}  # the last of each
    assert list(saved.values()) == before  # as it was: the answer folded, nothing committed
    with pytest.raises(ValueError, match="nothing was committed"):
        prediction.take_back()

    question.options[1].value = True
    question.commit.click()
    assert "You predicted it." in gates[0].box.children[1].value
    assert gates[1].box.children[1] is explorer.widget
    assert explorer.to_state() == state  # closing has not touched it


def test_taking_back_leaves_what_is_ticked_elsewhere():
    first, second = asked(), asked()
    saying = Saying().after(first, second)
    questions, gate = [Question(first), Question(second)], Gate(saying, [first, second])
    questions[0].options[0].value = True
    questions[0].commit.click()
    questions[1].options[1].value = True
    questions[0].back.click()
    assert questions[1].options[1].value  # not committed yet, and not lost
    assert Question(first).commit.description == "Commit"
    for each in questions:
        each.options[0].value = True
        each.commit.click()
    assert gate.button.description == "Fold away"
    questions[0].back.click()
    assert gate.button.description == "Show me anyway"
    assert "waits for 1 more prediction" in questions[1].said.value


def test_what_is_open_is_said():
    first, second = asked(), asked()
    questions = [Question(first), Question(second)]
    saying = Saying().after(first, second)
    gates = [Gate(saying, [first, second]), Gate(first.reveal, [first]), Gate(second.reveal, [second])]
    shut = [gate.button.description == "Show me anyway" for gate in gates]
    assert shut == [True, True, True]
    questions[0].options[0].value = True
    questions[0].commit.click()
    assert "Committed. What is below waits for 1 more prediction." in questions[0].said.value
    assert [gate.button.description for gate in gates] == ["Show me anyway", "Fold away", "Show me anyway"]
    gates[0].button.click()
    assert "Committed. What waited for it is open." in questions[0].said.value
    questions[1].options[1].value = True
    questions[1].commit.click()
    assert all("Committed. What waited for it is open." in each.said.value for each in questions)
    alone = Question(asked())  # its cell was run again, and what stands below waits for the earlier one
    alone.options[0].value = True
    alone.commit.click()
    assert "Run the cells below; again, if they were run before this one." in alone.said.value


def test_an_answer_that_fails_leaves_nothing_closed():
    prediction = Prediction("Which?", ("this", "that"), lambda: json.loads("{"))
    gates = [Gate(prediction.reveal, [prediction]), Gate(Saying().after(prediction), [prediction])]
    question = Question(prediction)
    question.options[0].value = True
    question.commit.click()
    assert "Expecting property name" in question.said.value
    assert question.commit.description == "Committed"
    assert gates[1].button.description == "Fold away"
    with pytest.raises(ValueError, match="Expecting property name"):
        Prediction("Which?", ("this", "that"), lambda: json.loads("{")).reveal.text()


def test_text_behind_a_gate_is_made_once():
    prediction, saying = asked(), Saying()
    gate = Gate(saying.after(prediction), [prediction])
    for _ in range(6):
        gate.button.click()
    assert len(saying._texts) == 1


def test_committing_needs_a_choice_and_is_done_with_the_widgets():
    prediction = predict_race()
    question = Question(prediction)
    question.commit.click()
    assert "choose one of the options first" in question.said.value
    assert prediction.chosen is None
    for option in (0, 2):
        question.options[option].value = True
    assert [option.value for option in question.options] == [False, False, True, False]  # one of them
    question.commit.click()
    assert prediction.chosen == 2
    assert "You predicted it." in prediction.reveal.text()
    assert all(option.disabled for option in question.options)
    assert not question.commit.disabled  # it has the focus
    assert Question(prediction).options[2].value  # the cell is run again


def test_without_ipywidgets_there_is_still_a_picture():
    code = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "import IPython.display\n"
        "IPython.display.display = lambda data, **_: print(*data, data['text/plain'])\n"
        "from modeseek.bandit.explore import DemoExplorer, Prediction\n"
        "DemoExplorer().after(Prediction('?', 'ab', None))._ipython_display_()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("text/html text/plain Reward R1")
    assert "python -m pip install -c constraints.txt '.[notebooks]' in a clone" in done.stdout


class Saying(Displayed):
    """Something with neither picture nor widgets."""

    def still(self) -> Still:
        return Still("<p>so</p>", "so")
