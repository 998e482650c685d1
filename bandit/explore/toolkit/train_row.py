"""Train, progress, cancel: one row of widgets of an explorer that can train."""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as w

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
        self.bar = w.FloatProgress(min=0.0, max=1.0, description="training", layout=w.Layout(width="260px"))
        self.says = w.HTML()
        self.box = w.HBox([self.train, self.cancel, self.bar, self.says])
        self.show()

    def show(self) -> None:
        """Bring the row to the explorer's status."""
        status, model = self._explorer.status, self._explorer.model
        self.train.disabled, self.cancel.disabled = status.running, not status.running
        self.bar.value = status.share
        kind = "alert" if status.failed else "status"
        color = "#8A1C00" if status.failed else "#000000"
        says = ("Not possible: " if status.failed else "") + status.says
        if not status.running and model.stale:
            first = " These shapes compile first, 10 to 30 s." if model.compiles(model.values) else ""
            says = f"{says} The curves are of other settings: press Train.{first}".strip()
        elif not status.running and not says:
            says = "These settings were recorded; Train runs them here."
        text = f"<span role='{kind}' style='color:{color}'>{html.escape(says)}</span>"
        if self.says.value != text:
            self.says.value = text
