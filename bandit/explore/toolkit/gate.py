"""A box that stays closed until its predictions are committed, or until the reader asks to be shown anyway."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from modeseek.bandit.explore.toolkit.words import line

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.display import Displayed
    from modeseek.bandit.explore.toolkit.prediction import Prediction


class Gate:
    """One view of something displayed, with the button that opens it and folds it away again.

    What is behind it is made when it opens, so that a notebook which is run costs nothing that nobody looks at yet.

    Attributes:
        box: what is displayed.
        button: always its first widget, so that it keeps the focus with which it was pressed, and can be given it.
    """

    def __init__(self, displayed: "Displayed", predictions: Sequence["Prediction"]) -> None:
        self._displayed, self._lock = displayed, threading.RLock()
        self._text: Any = None
        number = "your prediction" if len(predictions) == 1 else f"your {len(predictions)} predictions"
        self._notice = w.HTML(line(f"Closed until you commit to {number} above."))
        self.button = w.Button()
        self.button.on_click(lambda _: self._pressed())
        self.box = w.VBox()
        self.box.add_class("modeseek-gate")
        self._is_open = False
        self._turn(displayed.opened)
        for each in predictions:
            each.watch_gate(displayed, self._follow)

    def _turn(self, is_open: bool) -> None:
        with self._lock:
            shown = self._view() if is_open else self._notice
            self._is_open = is_open
            self.button.description = "Fold away" if is_open else "Show me anyway"
            self.button.tooltip = "close this view" if is_open else "open this without a prediction"
            self.box.children = (self.button, shown)

    def _view(self) -> Any:
        """What is behind it; text is made once, however often it is folded."""
        if self._text is None or self._displayed.interactive:
            self._text = self._displayed.live()
        return self._text

    def _follow(self) -> Any:
        """Open once nothing is waited for, close once something is again; the button if the reader is led there."""
        is_open = self._displayed.opened
        if self._is_open == is_open:
            return None
        self._turn(is_open)
        return self.button if is_open and self._displayed.leads else None

    def _pressed(self) -> None:
        if not self._is_open:
            self._displayed.open()
        self._turn(not self._is_open)
