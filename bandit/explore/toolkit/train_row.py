"""Train, progress, cancel: one row of widgets of an explorer that can train."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from modeseek.bandit.explore.toolkit.words import line

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.training import TrainingExplorer


class TrainRow:
    """The buttons, the bar, and one line that says how things stand.

    Attributes:
        train: button.
        cancel: button, in use while a training is under way.
        bar: share of the work done.
        says: what is going on, or what would.
        box: what is displayed.
    """

    def __init__(self, explorer: "TrainingExplorer", button: Callable[..., Any]) -> None:
        """The row of an explorer; `button(label, tooltip, action)` makes buttons that show whatever goes wrong."""
        self._explorer = explorer
        self.train = button("Train", "train with these settings", lambda _: explorer.train(wait=False))
        self.cancel = button("Cancel", "stop the training, keep what there is", lambda _: explorer.cancel())
        self.bar = w.FloatProgress(min=0.0, max=1.0, description="training", tooltip="")
        self.says = w.HTML()
        self.box = w.HBox([self.train, self.cancel, self.bar, self.says])
        self.box.add_class("modeseek-train")
        self.show()

    def show(self) -> None:
        """Bring the row to the explorer's status, and to what is drawn."""
        status, model = self._explorer.status, self._explorer.model
        on, off = (self.cancel, self.train) if status.running else (self.train, self.cancel)
        on.disabled = False  # first, so that the keyboard can pass from one to the other
        off.disabled = True
        drawn = model.drawn.share * model.drawn.here * (not model.stale)
        self.bar.value = status.share if status.running else drawn
        says = ("Not possible: " if status.failed else "") + status.says
        if not status.running and (model.stale or not status.failed):
            says = f"{says} {self._drawn()}".strip()
        text = line(says, "wrong" if status.failed else "plain")
        if self.says.value != text:
            self.says.value = text

    def _drawn(self) -> str:
        """What is to be seen, and what Train would do."""
        model = self._explorer.model
        if model.stale:
            first = " These shapes compile first, 10 to 30 s." if model.compiles(model.values) else ""
            return f"The curves are of other settings: press Train.{first}"
        if not model.drawn.here:
            return "These settings were recorded; Train runs them here."
        if model.drawn.share < 1:
            return f"Cancelled: what was trained until then, {model.drawn.share:.0%}, is shown."
        return "Trained."
