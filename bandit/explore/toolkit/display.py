"""What a cell shows twice: live widgets, and under them what is saved, which stands wherever the widgets are dead.

A notebook saves a widget as the name of a model, and the model dies with its kernel. So there are two outputs: the
widgets' view alone, and HTML that needs nothing. The HTML carries a style that hides it while its own widgets live on
the page, and that hides the error which a front end puts where dead ones were; a front end that strips styles from a
notebook which it does not trust shows no widgets there either. Decision 0101.
"""

import base64
import html
import threading
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from modeseek.bandit.explore.toolkit.environment import INSTALL

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.prediction import Prediction

Own = TypeVar("Own", bound="Displayed")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WHERE_LIVE = (
    "The controls are here where this cell is run; what was seen last stands below "
    "(in VS Code only if the folder is trusted)."
)
"""In the place of the widgets' view, where nothing can show one. VS Code shows no HTML of a folder not trusted."""
QUIET = 1.0
"""Seconds without a change after which what is saved follows what is seen: never under a moving hand."""


class Still(NamedTuple):
    """What stands where there are no widgets.

    Attributes:
        html: for notebooks.
        text: for terminals.
    """

    html: str
    text: str


class Displayed:
    """Base of what cells display.

    Attributes:
        interactive: whether it has widgets of its own; what has none is live only while it waits behind a gate.
        leads: whether the reader is led to it when the last prediction is committed that it waits for.
    """

    interactive: ClassVar[bool] = False
    leads: ClassVar[bool] = True

    def __init__(self) -> None:
        self._predictions: tuple[Prediction, ...] = ()
        self._opened = False
        self._saved: list[str] = []
        self._texts: list[Any] = []
        self._timer: threading.Timer | None = None

    def still(self) -> Still:
        """What is saved, as things stand."""
        raise NotImplementedError

    def live(self) -> Any:
        """Widgets, where there are ipywidgets; those of what is not interactive say what `still` does."""
        import ipywidgets as w

        self._texts.append(w.HTML(self.still().html))
        return self._texts[-1]

    def after(self: Own, *predictions: "Prediction") -> Own:
        """Stay closed in a live notebook until the reader has committed to all of these, or asks to see it anyway."""
        self._predictions = predictions
        return self

    @property
    def predictions(self) -> tuple["Prediction", ...]:
        """What it waits for."""
        return self._predictions

    @property
    def opened(self) -> bool:
        """Whether no gate is before it any more."""
        return self._opened or all(each.chosen is not None for each in self._predictions)

    def open(self) -> None:
        """Take it that the reader has seen it."""
        self._opened = True
        self.refresh()
        for each in self._predictions:
            each.tell()

    def shut(self) -> None:
        """Take it that the reader has not, so that only what is committed opens it."""
        self._opened = False

    def changed(self) -> None:
        """What is saved follows, once nothing has changed for a while."""
        if self._timer is not None:
            self._timer.cancel()
        if self._saved:
            self._timer = threading.Timer(QUIET, self.refresh)
            self._timer.daemon = True
            self._timer.start()

    def refresh(self) -> None:
        """Bring every output of it up to date now."""
        if not self._saved and not self._texts:
            return
        still = self.still()
        for text in self._texts:
            text.value = still.html
        for name in self._saved:
            _publish(_bundle(still, name), display_id=name, update=True)

    def _box(self) -> Any:
        """The widgets, behind their gate if there is one.

        Raises:
            ImportError: there are no ipywidgets.
        """
        from modeseek.bandit.explore.toolkit.gate import Gate

        return Gate(self, self._predictions).box if self._predictions else self.live()

    def _ipython_display_(self) -> None:
        still, name = self.still(), uuid.uuid4().hex[:12]
        if self.interactive or self._predictions:
            try:
                box = self._box()
                box.add_class(_live(name))
                view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
                _publish({WIDGET_VIEW: view, "text/plain": WHERE_LIVE})
            except ImportError:
                still = still._replace(text=f"{still.text}\n(no ipywidgets found, which widgets need: {INSTALL})")
        self._saved.append(name)
        _publish(_bundle(still, name), display_id=name)


def figure(png: bytes, alt: str, caption: str = "") -> str:
    """A picture with its alt text; the caption, in HTML, is for the eye: who hears the page has heard the alt text."""
    data, alt = base64.b64encode(png).decode(), html.escape(alt)
    below = f'<figcaption aria-hidden="true" style="line-height:1.4;max-width:1100px">{caption}</figcaption>'
    return (
        f'<figure style="margin:0"><img alt="{alt}" src="data:image/png;base64,{data}" style="max-width:100%">'
        f"{below * bool(caption)}</figure>"
    )


def paragraphs(text: str) -> str:
    """Text as HTML; `**bold**` is the only mark-up."""
    pieces = html.escape(text).replace("\n", "<br>").split("**")
    return "".join(f"<b>{piece}</b>" if i % 2 else piece for i, piece in enumerate(pieces))


def _live(name: str) -> str:
    return f"modeseek-live-{name}"


def _bundle(still: Still, name: str) -> dict[str, str]:
    """The saved output of this name. Dead widgets are an output in which there is text and no element."""
    saved = f"modeseek-saved-{name}"
    dead = f".jp-OutputArea-child:has(+ .jp-OutputArea-child .{saved}) > .jp-OutputArea-output:not(:has(*))"
    style = f"<style>:root:has(.{_live(name)}) .{saved}, {dead} {{ display: none }}</style>"
    return {"text/html": f'{style}<div class="modeseek-saved {saved}">{still.html}</div>', "text/plain": still.text}


def _publish(data: dict[str, Any], *, display_id: str | None = None, update: bool = False) -> None:
    """Where a notebook's outputs go; also from threads, in which nothing is being executed."""
    from IPython.display import display

    display(data, raw=True, display_id=display_id, update=update)
