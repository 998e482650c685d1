"""A prediction's widgets: its options, of which one is chosen, and the buttons that commit to it and take it back."""

import html
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from modeseek.bandit.explore.toolkit.words import FOCUS, line

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.prediction import Prediction

STYLE = f"""<style>
.modeseek-option input {{ appearance: none; flex: none; width: 16px; height: 16px; margin: 2px 8px 2px 2px;
  border: 2px solid currentColor; border-radius: 50% }}
.modeseek-option input:checked {{ background: radial-gradient(currentColor 45%, transparent 50%) }}
.modeseek-option input:focus-visible, .modeseek-question button:focus-visible,
.modeseek-gate > button:focus-visible {{ outline: 3px solid {FOCUS}; outline-offset: 2px }}
.modeseek-question, .modeseek-question .widget-hbox {{ overflow: visible }}
.modeseek-question.jupyter-widgets-disconnected::before,
.modeseek-gate.jupyter-widgets-disconnected:not(:has(.modeseek))::before {{ font-weight: bold;
  content: "Not connected: the kernel was restarted or has stopped. Run the cells again." }}
.modeseek-option .widget-label-basic {{ display: flex; align-items: baseline }}
.modeseek-option .widget-label-basic span {{ white-space: normal; line-height: 1.4 }}
</style>"""


class Question:
    """One view of a prediction.

    The options are boxes to be ticked of which one excludes the others, and look like radio buttons: with real ones
    arrow keys would be the only way from one to the next, and JupyterLab takes these to go to another cell.

    Attributes:
        box: what is displayed.
        options: a box to be ticked for each option.
        commit: the button; it stays in use, so that it keeps the focus with which it was pressed.
        back: the button that takes back what was committed; it is there once something was.
        said: what came of it.
    """

    def __init__(self, prediction: "Prediction") -> None:
        self._prediction = prediction
        self.options = [self._option(text) for text in prediction.options]
        self.commit = w.Button(description="Commit", tooltip="settle on this answer")
        self.commit.on_click(lambda _: self._commit())
        self.back = w.Button(
            description="Take back", tooltip="what waits for this answer closes again", layout=w.Layout(display="none")
        )
        self.back.on_click(lambda _: self._take_back())
        self.said = w.HTML()
        self._committed = False
        title = w.HTML(f"{STYLE}<p style='line-height:1.4'><b>Predict:</b> {html.escape(prediction.question)}</p>")
        self.box = w.VBox([title, *self.options, w.HBox([self.commit, self.back]), self.said])
        self.box.add_class("modeseek-question")
        prediction.watch(self._show)
        self._show()

    def _option(self, text: str) -> Any:
        option = w.Checkbox(description=text, indent=False, layout=w.Layout(width="98%", height="auto"))
        option.add_class("modeseek-option")
        option.observe(lambda change: self._choose(change["owner"], ticked=change["new"]), "value")
        return option

    def _choose(self, chosen: Any, *, ticked: bool) -> None:
        for other in self.options:
            if ticked and other is not chosen:
                other.value = False

    def _show(self) -> None:
        """Bring it to what was committed or taken back; what is only ticked yet stays."""
        chosen = self._prediction.chosen
        if chosen is None and not self._committed:
            return
        self._committed = chosen is not None
        for i, option in enumerate(self.options):
            option.value = i == chosen
            option.disabled = self._committed
        self.back.layout.display = None if self._committed else "none"
        self.commit.description = "Committed" if self._committed else "Commit"
        self.said.value = line(self._so() if self._committed else "Taken back. What waits for it is closed.")

    def _so(self) -> str:
        """What came of committing."""
        waiting = self._prediction.waiting
        if waiting is None:
            return "Committed. Run the cells below; again, if they were run before this one."
        if waiting == 0:
            return "Committed. What waited for it is open."
        return f"Committed. What is below waits for {waiting} more prediction{'s' * (waiting > 1)}."

    def _commit(self) -> None:
        chosen = next((i for i, option in enumerate(self.options) if option.value), None)
        try:
            if chosen is None:
                raise ValueError("choose one of the options first")
            opened = self._prediction.commit(chosen)
        except Exception as error:  # of a widget's callback nobody sees another one
            self.said.value = line(str(error) or type(error).__name__, "wrong")
            return
        if opened:
            opened[0].focus()

    def _take_back(self) -> None:
        self.commit.focus()  # while the button that has the focus is still there
        try:
            self._prediction.take_back()
        except Exception as error:  # as in `_commit`
            self.said.value = line(str(error) or type(error).__name__, "wrong")
