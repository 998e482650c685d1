"""The widgets around an explorer's picture; decision 0020 says why they are these.

What is typed or dragged goes to the view-model as it is, so that the view-model can say what it did to it. Errors are
shown in the explorer: an exception in a widget's callback would be seen nowhere.
"""

import html
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from modeseek.bandit.explore.toolkit.canvas import encode
from modeseek.bandit.explore.toolkit.controls import Number
from modeseek.bandit.explore.toolkit.layout import arranged
from modeseek.bandit.explore.toolkit.page import head
from modeseek.bandit.explore.toolkit.rows import LABELLED, Row, labelled
from modeseek.bandit.explore.toolkit.words import line

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.explorer import Explorer


class Shell:
    """Widgets of one explorer.

    Attributes:
        box: what is displayed.
        rows: control's name → its widgets.
        image: the picture.
        caption: its description, which also carries the number of pictures shown so far as `data-ready`.
        messages: errors and notes, under the player.
        answer: what came of the export, beside its button.
        extra: row of this kind of explorer that is not a control's; None if there is none.
    """

    def __init__(self, explorer: "Explorer") -> None:
        self._explorer = explorer
        self._quiet = self._closed = False
        self._frame = 0
        self._message = self._exported = ""
        model = explorer.model
        self.rows = {c.name: Row(c, self._changed) for c in model.controls if c.name not in explorer.hide}
        self.image = w.Image(format="png")
        self.image.add_class("modeseek-picture")
        self.caption, self.messages, self.answer = w.HTML(), w.HTML(), w.HTML()
        says = "Everything that is set here, in one line: send it to somebody, or paste another one."
        self.state = w.Text(
            continuous_update=False, style=LABELLED, layout=w.Layout(width="98%"), **labelled("state", says)
        )
        self.state.observe(self._event(lambda change: model.load_state(change["new"])), "value")
        self.reset = self._button("Reset", "back to how this explorer was made", lambda _: explorer.reset())
        self.export = self._button("Export", "PNG, SVG, CSV and a JSON run card", self._export)
        self.leave = self._button("Close", "take this explorer away", lambda _: explorer.close())
        self.extra = explorer.extra_row(self._button)
        self.box = self._arranged()
        self.show()

    def _arranged(self) -> Any:
        explorer = self._explorer
        number = f" · {explorer.number}" if explorer.number > 1 else ""
        places = arranged(list(self.rows), explorer.model.near)
        near, player, more = ([self.rows[name].box for name in names] for names in places)
        extra = [] if self.extra is None else [self.extra.box]
        fold = f"<details><summary>More controls ({len(more)})</summary></details>"
        buttons = [self.reset, *([] if "export" in explorer.hide else [self.export]), self.leave, self.answer]
        return _box(
            "modeseek",
            w.HTML(f"{head()}<h3 style='margin:0'>{html.escape(explorer.model.title)}{number}</h3>"),
            _box(
                "modeseek-stage",
                _box("modeseek-view", self.image, *player, self.messages),
                *([_box("modeseek-near", *near, *extra)] if near or extra else []),
                self.caption,
            ),
            *([w.HTML(fold), _box("modeseek-more", *more)] if more else []),
            _box("modeseek-actions", w.HBox(buttons)),
            *([] if "state" in explorer.hide else [self.state]),
        )

    def show(self) -> None:
        """Bring the picture and every widget to the view-model. The explorer's lock is held."""
        model = self._explorer.model
        self._quiet = True
        try:
            self.image.value = encode(self._explorer.pixels())
            for name, row in self.rows.items():
                row.show(getattr(model.values, name), model.limits(name) if isinstance(row.control, Number) else None)
            self.state.value = model.to_state()
            self.messages.value = self._message + "".join(line(note, "note") for note in model.notes)
            self.answer.value = self._exported
            self.show_extra()
            # The last: whoever waits for `data-ready` sees everything else brought up to date.
            self._frame += 1
            self.caption.value = (
                f"<div class='modeseek-caption' role='status' aria-live='polite' data-ready='{self._frame}'>"
                f"{html.escape(model.caption())}</div>"
            )
        finally:
            self._quiet = False
        self._explorer.changed()

    def show_extra(self) -> None:
        """Bring the row that is not a control's up to date."""
        if self.extra is not None:
            self.extra.show()

    def close(self) -> None:
        """Close every widget of the shell."""
        self._closed = True
        _close(self.box)

    def _button(self, label: str, tooltip: str, action: Callable[[Any], Any]) -> Any:
        button = w.Button(description=label, tooltip=tooltip)
        button.on_click(self._event(action))
        return button

    def _changed(self, name: str, given: Any) -> None:
        self._event(lambda _: self._explorer.model.set(name, given))(None)

    def _event(self, action: Callable[[Any], Any]) -> Callable[[Any], None]:
        """A callback that shows whatever goes wrong, and then the view-model as it stands."""

        def callback(change: Any) -> None:
            with self._explorer.lock:
                if self._quiet or self._closed:  # the widget was set by `show`
                    return
                self._message = self._exported = ""
                self._explorer.model.notes = []
                try:
                    action(change)
                    if not self._closed:
                        self.show()
                except ValueError as error:
                    self._complain(str(error))
                except Exception:
                    self._complain("this should not happen, please report it: " + traceback.format_exc(limit=-3))

        return callback

    def _complain(self, text: str) -> None:
        self._message = line(f"Not possible: {text}", "wrong")
        self.messages.value = self._message
        self.show()

    def _export(self, _: Any) -> None:
        paths = self._explorer.export()
        names = ", ".join(path.name for path in paths)
        self._exported = line(f"Saved {names} in {paths[0].parent}")


def _box(name: str, *children: Any) -> Any:
    box = w.VBox(children)
    box.add_class(name)
    return box


def _close(widget: Any) -> None:
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()
