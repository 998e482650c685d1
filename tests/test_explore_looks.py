"""What is drawn can be told apart and read: legends, labels, markers beyond an axis, text on light and dark themes."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from modeseek.bandit import explore
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.checks import Feedback
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.gate import Gate
from modeseek.bandit.explore.toolkit.panels import Curves, Marker
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.explore.toolkit.question import Question
from modeseek.bandit.explore.toolkit.rows import LABEL_WIDTH
from modeseek.bandit.explore.toolkit.words import BARS, FOCUS
from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.phase import colors_of, method_key
from modeseek.bandit.figures.style import BLUE, LineStyle, ladder, new_figure
from modeseek.bandit.objectives.registry import METHODS, variant

KINDS = explore.explorer_classes()


def looks(handle: Any) -> tuple[Any, Any]:
    """A legend's handle as colours, and as what is left of it in grey print."""
    if isinstance(handle, Line2D):
        marker, dash = handle.get_marker(), handle._unscaled_dash_pattern
        drawn = handle.get_linestyle() not in ("None", "none", "", " ")
        there = marker not in ("None", "none", "", " ", None)
        filled = there and to_hex(to_rgba(handle.get_markerfacecolor())) not in ("#ffffff", "#00000000")
        return to_hex(handle.get_color()), (marker if there else "", filled, drawn and (str(dash), handle.get_lw()))
    edge, face = to_hex(handle.get_edgecolor()), to_hex(handle.get_facecolor(), keep_alpha=True)
    style = handle.get_linestyle() if hasattr(handle, "get_linestyle") else ""
    return (edge, face), (handle.get_hatch(), handle.get_fill(), str(style), handle.get_linewidth())


def ambiguous(figure: Figure) -> list[str]:
    """Texts of a legend that have one look; the colour alone does not tell two lines apart."""
    found = []
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    for sub in figure.subfigs:
        found += ambiguous(sub)
    for legend in legends:
        seen: dict[Any, str] = {}
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            color, shape = looks(handle)
            key = shape if isinstance(handle, Line2D) else (color, shape)
            if key in seen:
                found.append(f"{seen[key]} = {text.get_text()}")
            seen[key] = text.get_text()
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_two_entries_of_a_legend_look_alike(kind: type[Explorer]):
    drawn = set()
    for preset in kind.presets():
        model = kind.Model(preset)
        canvas = Canvas(kind.Scene())
        key = tuple(panel.key(model) for panel in canvas._panels)
        if str(key) in drawn:
            continue
        drawn.add(str(key))
        canvas.pixels(model)
        assert ambiguous(canvas.figure) == []


def test_a_legend_with_one_swatch_for_two_is_noticed():
    figure, axes = new_figure()
    for name in ("ipo", "on_policy_ipo"):
        axes[0, 0].plot([0, 1], color=BLUE, label=name)
    axes[0, 0].legend()
    assert ambiguous(figure) == ["ipo = on_policy_ipo"]


def test_every_methods_line_is_its_own():
    names = [f"{side}_{name}" for name in METHODS for side in ("on_policy", "offline")]
    known = {}
    for name in names:
        try:
            known[variant(name).name] = name
        except ValueError:
            continue  # a method without this side
    styles = styles_of(list(known))
    lines = {name: method_line(name, styles[name]) for name in known}
    look = {(w["color"], w["marker"], str(w["linestyle"]), w.get("markerfacecolor", "")) for w in lines.values()}
    assert len(look) == len(lines) > 40
    assert len({style[1:] for style in ladder(6)}) == 6


def test_both_sides_of_a_method_have_keys_of_their_own_on_a_map():
    methods = ("ipo", "on_policy_ipo", "dpo", "on_policy_dpo")
    keys = [looks(method_key(methods, m)) for m in range(4)]
    assert len({color for color, _ in keys}) == len({shape for _, shape in keys}) == 4
    assert len({tuple(color) for color in colors_of(methods)}) == 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_labels_are_not_cut(kind: type[Explorer]):
    font = FontProperties(family="DejaVu Sans")  # wider than the fonts of browsers
    for control in kind.Model.controls:
        assert TextPath((0, 0), control.label, size=13, prop=font).get_extents().width < LABEL_WIDTH - 2, control.label


def test_bars_are_called_as_in_the_text():
    explorer = explore.OutOfDistributionExplorer()
    bars = explorer.widget is not None and explorer._shell.rows["reference"].bars
    assert [slider.description for slider in bars.sliders] == ["y₁", "y₂", "y₃"]
    bars.sliders[2].value = 100
    assert explorer.model.values.reference[2] == 0.5
    assert any("reference π, y₃: 0.5" in note for note in explorer.model.notes)
    assert [s.description for s in _bars(explore.NegativeGradientExplorer(), "start")] == list("012345")


def _bars(explorer: Explorer, name: str) -> Any:
    assert explorer.widget is not None
    return explorer._shell.rows[name].bars.sliders


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ((0.5, 0.5), ""),
        ((0.5, 2.92), "↑ 2.92"),
        ((0.5, -3.0), "↓ -3"),
        ((7.25, 0.5), "7.25 →"),
        ((1.0, 1.0), ""),
        ((0.5, np.nan), ""),
    ],
)
def test_a_marker_is_drawn_where_it_is_or_says_where_that_would_be(at, text: str):
    _, axes = new_figure()
    axes[0, 0].set(xlim=(0, 1), ylim=(-1, 1))
    marker = Marker(axes[0, 0], LineStyle(BLUE, "o"), 9)
    marker.show(*at)
    assert marker.beyond.get_text() == text
    np.testing.assert_array_equal(marker.dot.get_data(), [[], []] if text else [[at[0]], [at[1]]])


@pytest.mark.parametrize("name", ["DisplacementExplorer", "OutOfDistributionExplorer", "FourMethodsExplorer"])
def test_no_marker_of_an_explorer_is_drawn_for_another_number(name: str):
    kind, said = getattr(explore, name), []
    for preset in kind.presets():
        model, canvas = kind.Model(preset), Canvas(kind.Scene())
        for step in range(0, int(model.limits("step")[1]) + 1, 10):
            model.set("step", step)
            canvas.pixels(model)
            for panel in (each for each in canvas._panels if isinstance(each, Curves)):
                x, values = panel.series(model)
                for marker, one, y in zip(panel.markers, np.broadcast_to(x, values.shape), values, strict=True):
                    if text := marker.beyond.get_text():
                        said.append(text)
                        assert text[2:] == f"{y[step]:.3g}"
                    else:
                        assert (*marker.dot.get_xdata(), *marker.dot.get_ydata()) == (one[step], y[step])
    if name == "DisplacementExplorer":
        assert said  # B…BB gains more than the others' scale has room for


# Contrast, by WCAG 2.2: 1.4.3 for text, 1.4.11 for what is not.

THEMES = {"light": "theme-light", "dark": "theme-dark", "high contrast": "theme-dark-high-contrast"}
PAGES = ("--jp-layout-color0", "--jp-layout-color1")
"""What an output stands on."""


def luminance(rgb: tuple[float, float, float]) -> float:
    """Relative luminance of sRGB."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(front: str, back: str) -> float:
    """Of a colour, perhaps with an alpha, on an opaque one."""
    over, *_, alpha = (np.array(to_rgba(front)[:3]), to_rgba(front)[3])
    mixed = tuple(alpha * over + (1 - alpha) * np.array(to_rgb(back)))
    high, low = sorted((luminance(mixed), luminance(to_rgb(back))), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest) -> dict[str, str]:
    """A theme's variables, as JupyterLab has them."""
    pytest.importorskip("jupyterlab")
    folder = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab" / f"{THEMES[request.param]}-extension"
    found = dict(re.findall(r"(--[\w-]+):([^;{}]+)[;}]", (folder / "index.css").read_text()))

    def value(text: str) -> str:
        while inner := re.fullmatch(r"\s*var\((--[\w-]+)(?:,\s*(.+))?\)\s*", text):
            text = found.get(inner.group(1)) or inner.group(2)
        if rgba := re.fullmatch(r"rgba\((\d+),\s*(\d+),\s*(\d+),\s*([\d.]+)\)", text):
            r, g, b, a = map(float, rgba.groups())
            return to_hex((r / 255, g / 255, b / 255, a), keep_alpha=True)
        return text.strip()

    return {name: value(found[name]) for name in (*PAGES, "--jp-content-font-color1", "--jp-ui-font-color1")}


def everything_said() -> str:
    """The HTML of explorers in every mood, of feedback and of predictions."""
    explorer = explore.BanditExplorer()
    pieces = [explorer.widget.children[0].value]
    shell = explorer._shell
    shell.rows["learning_rate"].widgets[0].value = "0,5"
    pieces += [shell.messages.value, shell.extra.says.value, shell.caption.value]
    shell.rows["learning_rate"].widgets[0].value = "much"
    pieces += [shell.messages.value]
    explorer.status = explorer.status._replace(failed=True, says="no such training")
    shell.show_extra()
    pieces += [shell.extra.says.value]
    asked = Prediction("Which?", ("a", "b"), lambda: Truth(0, "so"))
    question, gate = Question(asked), Gate(asked.reveal, [asked])
    pieces += [gate.box.children[1].value]
    question.commit.click()
    pieces += [question.box.children[0].value, question.said.value, asked.reveal.still().html]
    return "\n".join([*pieces, Feedback(True, "so")._repr_html_(), Feedback(False, "not so")._repr_html_()])


def test_text_can_be_read_on_every_theme(theme: dict[str, str]):
    said = everything_said()
    assert len(re.findall(r"role='alert'", said)) >= 4
    own = re.findall(r"(?<![\w-])color:\s*([^;'\"}]+)", said)
    assert "border-left" in said
    for back in (theme[page] for page in PAGES):
        for front in (*own, theme["--jp-content-font-color1"], theme["--jp-ui-font-color1"]):
            assert contrast(front, back) >= 4.5, (front, back)
        for front in (*BARS.values(), FOCUS, *re.findall(r"outline: 3px solid (#\w+)", said)):
            assert contrast(front, back) >= 3, (front, back)


def test_contrast_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#000000", "#111111") == pytest.approx(1.11, abs=0.005)


def test_an_export_leaves_no_measure_of_its_own_behind(tmp_path: Path):
    """A figure that was saved as SVG, at 72 dots an inch, draws a change as one that was not."""
    kind = explore.ReproduceExplorer
    model, exported, other = kind.Model("fig19"), Canvas(kind.Scene()), Canvas(kind.Scene())
    for canvas in (exported, other):
        canvas.pixels(model)
    exported.save(model, tmp_path / "figure")
    model.set("row", 2)
    np.testing.assert_array_equal(exported.pixels(model), other.pixels(model))
    np.testing.assert_array_equal(exported.pixels(model), Canvas(kind.Scene()).pixels(model))
