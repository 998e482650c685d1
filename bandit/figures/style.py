"""One visual grammar: colour, marker and dash of everything that is drawn more than once.

Colours are Okabe and Ito's, distinguishable with any colour vision; markers and dashes say the same in grey print.
Figures are matplotlib's object-oriented ones: no pyplot, no global state, safe in notebook callbacks.
"""

import base64
import contextlib
import html
import io
import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modeseek.bandit.objectives.own import own_names
from modeseek.files import replacing

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#8C8C8C"

WIDTH = 10.4
"""Inches of a notebook's figures, at most: type of 9 points is 9 pixels high in a picture of 750, 11 in one of 920."""


class LineStyle(NamedTuple):
    """How one thing is drawn, everywhere."""

    color: str
    marker: str
    dash: Any = "-"

    def line(self, every: Any = None) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`."""
        return {
            "color": self.color,
            "marker": self.marker,
            "linestyle": self.dash,
            "markevery": every,
            "markersize": 5,
            "linewidth": 1.7,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
        }


FORWARD_KL = LineStyle(BLUE, "o", "-")
REVERSE_KL = LineStyle(VERMILLION, "s", "--")
TARGET: dict[str, Any] = {"color": BLACK, "linestyle": "--", "linewidth": 1.4}
REFERENCE_BARS: dict[str, Any] = {"facecolor": "#DDDDDD", "edgecolor": GREY, "hatch": "////", "linewidth": 0.6}

_DASHES: dict[str, Any] = {"long": (0, (7, 2)), "dot": (0, (1.2, 1.4)), "dashdot": (0, (5, 1.5, 1, 1.5))}

METHOD_STYLES = {
    "best_of_n": LineStyle(BLUE, "o"),
    "best_of_n_negative": LineStyle(SKY, "D", "--"),
    "best_of_n_negative_mean": LineStyle(SKY, "d", _DASHES["dot"]),
    "best_of_n_negative_worst": LineStyle(SKY, "H", _DASHES["dashdot"]),
    "unlikelihood": LineStyle(SKY, "p", _DASHES["long"]),
    "rwr": LineStyle(GREEN, "^", _DASHES["long"]),
    "rest": LineStyle(GREEN, "v", _DASHES["dot"]),
    "reinforce": LineStyle(ORANGE, "P", _DASHES["dot"]),
    "ppo": LineStyle(ORANGE, "X", _DASHES["dashdot"]),
    "dpo": LineStyle(PURPLE, "*", "--"),
    "ipo": LineStyle(VERMILLION, "s", "--"),
    "pref_ft": LineStyle(BLACK, "<", _DASHES["long"]),
    "binary_feedme": LineStyle(BLACK, ">", _DASHES["dot"]),
    "cdpo": LineStyle(PURPLE, "h", _DASHES["dot"]),
    "robust_dpo": LineStyle(PURPLE, "H", _DASHES["long"]),
    "exo": LineStyle(PURPLE, "8", _DASHES["long"]),
    "dpo_sft": LineStyle(VERMILLION, "v", "--"),
    "dpop": LineStyle(VERMILLION, "^", _DASHES["dashdot"]),
    "chi_po": LineStyle(VERMILLION, "X", _DASHES["long"]),
    "nca": LineStyle(BLACK, "o", _DASHES["dashdot"]),
    "slic": LineStyle(GREY, "<", "--"),
    "simpo": LineStyle(GREY, ">", _DASHES["long"]),
    "cpo": LineStyle(GREY, "D", _DASHES["dot"]),
    "orpo": LineStyle(GREY, "d", _DASHES["dashdot"]),
    "kto": LineStyle(BLACK, "s", _DASHES["long"]),
    "topr": LineStyle(ORANGE, "v", _DASHES["long"]),
    "rloo": LineStyle(ORANGE, "h", "--"),
    "grpo": LineStyle(ORANGE, "o", "--"),
    "dr_grpo": LineStyle(ORANGE, "p", "--"),
    "dapo": LineStyle(ORANGE, "D", _DASHES["dashdot"]),
    "gspo": LineStyle(ORANGE, "s", _DASHES["dot"]),
    "sppo": LineStyle(VERMILLION, "<"),
    "nash_md": LineStyle(VERMILLION, "P", _DASHES["dashdot"]),
    "ipo_md": LineStyle(VERMILLION, "D", _DASHES["long"]),
}


WINE = "#882255"
"""The colour of methods of one's own, and of nothing else: dark, beside Okabe and Ito's."""

_OWN_MARKERS = ("D", "o", "s", "^", "v", "P", "X")
_OWN_DASHES: tuple[Any, ...] = ((0, (7, 2, 1.2, 2)), "-", "--", _DASHES["dot"], _DASHES["long"])


def own_style(number: int) -> LineStyle:
    """The style of the method of one's own that was defined as that one, from 0: 35 are told apart."""
    marker = _OWN_MARKERS[number % len(_OWN_MARKERS)]
    return LineStyle(WINE, marker, _OWN_DASHES[number % len(_OWN_DASHES)])


def method_style(name: str) -> LineStyle:
    """A method's style, whichever its side."""
    name = name.removeprefix("on_policy_").removeprefix("offline_")
    own = own_names()
    return own_style(own.index(name)) if name in own else METHOD_STYLES[name]


_LADDER = (BLUE, GREEN, ORANGE, VERMILLION, PURPLE, BLACK)
_LADDER_MARKERS = ("o", "^", "D", "s", "*", "v")
_LADDER_DASHES: tuple[Any, ...] = (
    "-",
    _DASHES["long"],
    _DASHES["dashdot"],
    "--",
    _DASHES["dot"],
    (0, (3, 1, 1, 1, 1, 1)),
)


def ladder(count: int) -> list[LineStyle]:
    """Styles of the values of a swept number, or of other things that come in an order; from the seventh on again."""
    each = zip(_LADDER, _LADDER_MARKERS, _LADDER_DASHES, strict=True)
    return list(itertools.islice(itertools.cycle([LineStyle(*parts) for parts in each]), count))


OF_THE_SESSION = ("backend", "backend_fallback", "interactive")
"""What matplotlib's defaults do not change while we draw: how the user's own figures come to a screen."""

_RC = dict(
    matplotlib.RcParams(
        {
            **{name: value for name, value in matplotlib.rcParamsDefault.items() if name not in OF_THE_SESSION},
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "figure.dpi": 120,
            "savefig.dpi": 160,
            "hatch.linewidth": 0.5,
            "svg.hashsalt": "modeseek",
            "svg.fonttype": "none",
        }
    )
)
"""Validated once: an explorer enters `style` for every picture."""


_DRAWING = threading.RLock()
"""Settings are the whole process's: of two threads that drew at once, one would draw with what the other restores."""


@contextlib.contextmanager
def style(further: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """The grammar's settings on matplotlib's defaults, whatever the user's are, for the time of drawing and saving.

    Args:
        further: settings of one's own on these, valid ones.
    """
    with _DRAWING:
        own = dict.copy(matplotlib.rcParams)  # its own `copy` looks at every setting, each time that something is drawn
        del own["backend"]  # what is chosen meanwhile remains
        try:
            # As `rc_context` restores: what is valid needs no second look.
            dict.update(matplotlib.rcParams, _RC)
            dict.update(matplotlib.rcParams, further)
            yield
        finally:
            dict.update(matplotlib.rcParams, own)


IN_A_NOTEBOOK = 100
"""Dots an inch of a figure that a cell shows, the explorers' own: a saved notebook holds every picture."""


class StyledFigure(Figure):
    """A figure that is drawn and saved in our style wherever that happens: texts of ticks are made only then.

    Attributes:
        letters: how an SVG holds text: `none`, as text in a font that the reader has; `path`, as outlines.
    """

    letters: str = "none"

    def draw(self, renderer: Any) -> None:
        """As any figure is drawn."""
        with style(), matplotlib.rc_context({"svg.fonttype": self.letters}):
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """As any figure is saved."""
        with style():
            super().savefig(fname, **kwargs)

    def __repr__(self) -> str:
        """What its panels show, by their titles and axes."""
        panels = [each for each in map(_in_words, self.axes) if each]
        return ". ".join([text for text in (self.get_suptitle(), "; ".join(panels)) if text]) or "An empty figure"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """A picture in every notebook: pyplot, which would tell notebooks how to show a figure, is never imported."""
        stream, words = io.BytesIO(), repr(self)
        self.savefig(stream, format="png", dpi=IN_A_NOTEBOOK)
        picture = base64.b64encode(stream.getvalue()).decode()
        # Twice: JupyterLab gives a bare picture no alt text, and GitHub perhaps shows none that stands in HTML.
        shown = f'<img alt="{html.escape(words)}" src="data:image/png;base64,{picture}">'
        return {"text/html": shown, "image/png": picture, "text/plain": words}, {"image/png": {"alt": words}}


def _in_words(axes: Axes) -> str:
    """A panel: its title, and what its axes say."""
    up, across = axes.get_ylabel(), axes.get_xlabel()
    against = " against ".join(text for text in (up, across) if text)
    parts = [text for text in (axes.get_title(), against) if text]
    return " ".join(": ".join(parts).split())


def new_figure(
    rows: int = 1, columns: int = 1, *, panel: tuple[float, float] = (4.2, 3.0), **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure with `[rows, columns]` axes, `panel` inches each, laid out without overlaps."""
    with style():
        figure = StyledFigure(figsize=(panel[0] * columns, panel[1] * rows), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def label_lines(axes: Axes, **kwargs: Any) -> None:
    """A legend with room for markers and dashes."""
    axes.legend(handlelength=3.2, **kwargs)


def save_figure(figure: Figure, stem: Path, formats: tuple[str, ...] = ("png", "svg")) -> list[Path]:
    """Write `stem.png` and `stem.svg`, each in one step; the same figure gives the same bytes."""
    paths = []
    for suffix in formats:
        path = Path(stem).with_suffix(f".{suffix}")
        with replacing(path) as temporary:
            figure.savefig(temporary, metadata={"Date": None} if suffix == "svg" else None)
        paths.append(path)
    return paths
