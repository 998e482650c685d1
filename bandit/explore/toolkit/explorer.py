"""An explorer: a view-model, its picture, and, where a front end can show them, widgets around both."""

import csv
import html
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from modeseek.bandit.explore.toolkit.canvas import Canvas, Scene, encode, encode_small
from modeseek.bandit.explore.toolkit.controls import Choice
from modeseek.bandit.explore.toolkit.display import Displayed, Still, figure
from modeseek.bandit.explore.toolkit.environment import INSTALL
from modeseek.bandit.explore.toolkit.layout import hidden
from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.numbering import next_number
from modeseek.files import free_folder, replacing


@runtime_checkable
class ExtraRow(Protocol):
    """A row of widgets that is not a control's.

    Attributes:
        box: what is displayed.
    """

    box: Any

    def show(self) -> None:
        """Bring the row up to date."""


class Explorer(Displayed):
    """Base of all explorers; a kind names its view-model and its scene.

    Widget callbacks run in threads of their own, so there is a lock.

    Attributes:
        Model: class of its view-model.
        Scene: class of its scene.
        model: the view-model. Change it through the explorer, so that the picture follows.
        hide: names of controls that are not shown, though their values count.
        lock: held by every method and by every callback of a widget.
        number: 1 for the first explorer of its kind in a notebook, 2 for the next.
    """

    Model: ClassVar[type[ViewModel[Any, Any]]]
    Scene: ClassVar[type[Scene]]
    interactive = True

    def __init__(
        self,
        preset: str | None = None,
        *,
        state: str | None = None,
        hide: tuple[str, ...] = (),
        show: tuple[str, ...] | None = None,
        **values: Any,
    ) -> None:
        """An explorer of a preset, or in a state, with any of its values changed.

        Args:
            preset: its name; hyphens, underscores and capitals do not matter.
            state: what `to_state` gave, instead of a preset.
            hide: controls not to show: a teacher's choice. `export` and `state` hide those rows.
            show: the only ones to show, of the same names, instead of `hide`.
            **values: of controls, by name.

        Raises:
            ValueError: an unknown name, an unreadable state, both a preset and a state, or a value that cannot be one.
        """
        super().__init__()
        if state is not None and (preset is not None or values):
            raise ValueError("give a preset with values, or a state: a state says everything already")
        self.model = self.Model(preset, **values) if state is None else self.Model.from_state(state)
        self.hide = hidden([control.name for control in self.model.controls], hide, show)
        self.number = next_number(self.model.kind)
        self.lock = threading.RLock()
        self._canvas = Canvas(self.Scene())
        self._shell: Any = None

    @classmethod
    def from_state(cls, text: str, *, hide: tuple[str, ...] = (), show: tuple[str, ...] | None = None) -> "Explorer":
        """The explorer that `to_state` described; `hide` and `show` as there.

        Raises:
            ValueError: it is not a state of this kind of explorer.
        """
        return cls(state=text, hide=hide, show=show)

    @classmethod
    def presets(cls) -> dict[str, str]:
        """Name → what it shows."""
        chosen = next(control for control in cls.Model.controls if control.name == "preset")
        assert isinstance(chosen, Choice)
        return dict(chosen.options)

    def to_state(self) -> str:
        """Everything, the seed included, in one short line."""
        with self.lock:
            return self.model.to_state()

    def set(self, **values: Any) -> "Explorer":
        """Change values by name; the picture follows.

        Raises:
            ValueError: an unknown name, or a value that cannot be one; none has changed then.
        """
        with self.lock:
            self.model.set_all(values)
            self._show()
        return self

    def reset(self) -> "Explorer":
        """Back to how it was made."""
        with self.lock:
            self.model.reset()
            self._show()
        return self

    def pixels(self) -> np.ndarray:
        """The picture, `[height, width, 3]` bytes."""
        with self.lock:
            return self._canvas.pixels(self.model)

    def png(self) -> bytes:
        """The picture for the screen."""
        return encode(self.pixels())

    def static_png(self) -> bytes:
        """The picture, small: for places without widgets."""
        return encode_small(self.pixels())

    def caption(self) -> str:
        """What the picture shows, in numbers; also its alt text."""
        with self.lock:
            return self.model.caption()

    def export(self, folder: str | Path | None = None) -> list[Path]:
        """Write the picture as PNG and SVG, the data as CSV, and a JSON card that says how to make them again.

        Args:
            folder: where; without, the first free `modeseek-results/explore-KIND-N`.

        Raises:
            ValueError: files cannot be written there.
        """
        with self.lock:
            where = free_folder(None if folder is None else Path(folder), f"explore-{self.model.kind}")
            stem = where / self.model.kind
            paths = self._canvas.save(self.model, stem)
            with replacing(stem.with_suffix(".csv")) as temporary, temporary.open("w", newline="") as stream:
                table = self.model.table()
                writer = csv.writer(stream)
                writer.writerow(table)
                writer.writerows(zip(*(np.asarray(column).tolist() for column in table.values()), strict=True))
            with replacing(stem.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(self.model.run_card(), indent=2, ensure_ascii=False) + "\n")
            return [*paths, stem.with_suffix(".csv"), stem.with_suffix(".json")]

    @property
    def widget(self) -> Any:
        """The shell as an ipywidgets box, made when it is first asked for.

        Raises:
            ValueError: ipywidgets is not installed.
        """
        with self.lock:
            if self._shell is None:
                try:
                    from modeseek.bandit.explore.toolkit.shell import Shell
                except ImportError as error:
                    raise ValueError(f"no ipywidgets found, which widgets need: {INSTALL}") from error
                self._shell = Shell(self)
            return self._shell.box

    def extra_row(self, button: Callable[..., Any]) -> "ExtraRow | None":
        """Widgets that this kind of explorer has beside its controls, made of ipywidgets; most kinds have none.

        Args:
            button: makes a button of label, tooltip and action, which shows whatever goes wrong.
        """
        return None

    def close(self) -> None:
        """Take the widgets away; the explorer itself can still be read, exported and shown anew."""
        with self.lock:
            if self._shell is not None:
                self._shell.close()
                self._shell = None

    def _show(self) -> None:
        if self._shell is None:
            self.changed()
        else:
            self._shell.show()

    def live(self) -> Any:
        """The shell, as `widget` has it."""
        return self.widget

    def still(self) -> Still:
        """The picture with its caption, and the state, with which it goes on from there on another day."""
        with self.lock:
            pixels, caption, state = self.pixels(), self.model.caption(), self.model.to_state()
        shown = html.escape(caption).replace("\n", "<br>")
        line = "" if "state" in self.hide else f"<br><code>{html.escape(state)}</code>"
        return Still(figure(encode_small(pixels), caption, shown + line), f"{caption}\n{state}")
