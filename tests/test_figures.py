"""Figures draw what the results hold; the same results give the same bytes."""

import base64

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from modeseek.bandit.categorical.frontier import Responses, reward_at
from modeseek.bandit.figures.curves import learning_rate_figure, reward_figure
from modeseek.bandit.figures.frontier import FRONTIER, POINT_MASS, draw_frontier, responses_of
from modeseek.bandit.figures.intervals import Interval, draw_intervals
from modeseek.bandit.figures.problem import problem_figure
from modeseek.bandit.figures.style import (
    BLACK,
    IN_A_NOTEBOOK,
    METHOD_STYLES,
    VERMILLION,
    StyledFigure,
    method_style,
    save_figure,
)
from modeseek.bandit.figures.tokens import token_figure
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.conventions import RELEASED_CODE, Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import experiment_of
from modeseek.bandit.simulator.summary import final_values, over_seeds


def test_curves_are_the_means_of_the_results(tiny_results):
    axes = reward_figure(tiny_results).axes
    mean, _ = over_seeds(tiny_results["expected_reward"].sel(algorithm="ppo", reward="bump:4:1"))
    kl, _ = over_seeds(tiny_results["kl_to_reference"].sel(algorithm="ppo", reward="bump:4:1"))
    above, below = (next(line for line in a.lines if line.get_label() == "On-policy PPO") for a in axes[:2])
    np.testing.assert_array_equal(above.get_ydata(), mean)
    np.testing.assert_array_equal(above.get_xdata(), tiny_results["step"])
    np.testing.assert_array_equal(below.get_xdata(), kl)


def test_the_frontier_stands_behind_reward_against_kl(tiny_results):
    """Its line is the exact one of the results' own problem, and a point mass at its end."""
    experiment = experiment_of(tiny_results)
    responses = responses_of(experiment, experiment.rewards[0])
    above, below = reward_figure(tiny_results).axes[:2]
    limit = next(line for line in below.lines if line.get_label() == FRONTIER["label"])
    nats, most = (np.asarray(each, float) for each in (limit.get_xdata(), limit.get_ydata()))
    np.testing.assert_allclose(most, reward_at(responses, nats), atol=1e-9)
    np.testing.assert_allclose(responses.reference, tiny_results["reference_probs"])
    assert responses.length == experiment.response_length
    assert FRONTIER["label"] not in [line.get_label() for line in above.lines]
    for name in experiment.methods:
        runs = tiny_results.sel(algorithm=name).isel(reward=0)
        assert (runs["expected_reward"] <= reward_at(responses, runs["kl_to_reference"].values) + 2e-6).all()


def test_the_point_mass_is_drawn_where_it_is_near():
    responses = Responses(np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.5, 1.0]), 4)
    end = -4 * np.log(0.2)
    for farthest, there in ((0.5 * end, False), (0.9 * end, True), (2.0 * end, True)):
        axes = Figure().add_subplot()
        draw_frontier(axes, responses, np.array([0.0, np.nan, farthest]))
        marks = [line for line in axes.lines if line.get_label() == POINT_MASS["label"]]
        assert [line.get_xdata()[0] for line in marks] == ([pytest.approx(end)] if there else [])
        assert axes.get_xlim()[1] >= (end if there else farthest)
        assert axes.lines[0].get_xdata()[-1] >= axes.get_xlim()[1]


@pytest.mark.parametrize(
    ("conventions", "length"), [({}, 10), ({"prompt_in_response": True}, 9), ({"reference_model": "behavior"}, 10)]
)
def test_which_conventions_have_a_frontier(conventions, length):
    """A KL to the exact reference; not one to a network."""
    experiment = Experiment(conventions=Conventions(**conventions))
    responses = responses_of(experiment, "R1")
    assert (responses.length, responses.counted) == (length, 10)
    assert (responses.prompt_reward is None) == (length == 10)
    assert responses_of(Experiment(conventions=RELEASED_CODE), "R1") is None


def test_token_bars_are_the_last_snapshot(tiny_results):
    panel = token_figure(tiny_results).axes[0]
    drawn = [p.get_data().values for p in panel.patches]
    expected = tiny_results["token_distribution"].isel(algorithm=0, reward=0, snapshot=-1).mean(["position", "seed"])
    np.testing.assert_allclose(drawn[1], expected, rtol=1e-6)
    np.testing.assert_allclose(drawn[0], tiny_results["reference_probs"])


@pytest.mark.parametrize("draw", [problem_figure, reward_figure, token_figure])
def test_the_same_results_give_the_same_bytes(draw, tiny_results, tmp_path):
    first = save_figure(draw(tiny_results), tmp_path / "a")
    second = save_figure(draw(tiny_results), tmp_path / "b")
    assert [p.suffix for p in first] == [".png", ".svg"]
    for a, b in zip(first, second, strict=True):
        assert a.stat().st_size > 5000
        assert a.read_bytes() == b.read_bytes()


def test_title_and_legend_are_as_wide_as_the_figure_at_most(tiny_results):
    figure = reward_figure(tiny_results.isel(reward=slice(1)))  # one column, the narrowest
    figure.set_dpi(IN_A_NOTEBOOK)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    title = figure.findobj(lambda each: getattr(each, "get_text", str)() == figure.get_suptitle())[0]
    for box in (legend, title.get_window_extent()):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_a_grid_of_learning_rates_is_drawn(tiny_results):
    grid = (
        tiny_results.drop_vars("learning_rate")
        .expand_dims(learning_rate=[0.1, 1.0])
        .transpose("algorithm", "reward", "learning_rate", ...)
    )
    axes = learning_rate_figure(grid, final_values(grid)).axes[0]
    assert axes.get_xscale() == "log"
    assert len(axes.containers) == 2


def test_a_figure_is_a_picture_in_a_notebook_without_pyplot(tiny_results):
    """As IPython would show it, which knows nothing of matplotlib here."""
    formatters = pytest.importorskip("IPython.core.formatters")
    figure = reward_figure(tiny_results)
    data, metadata = formatters.DisplayFormatter().format(figure)
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert "expected reward against gradient step" in metadata["image/png"]["alt"]
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(figure)
    assert "StyledFigure" not in repr(figure)
    assert repr(StyledFigure()) == "An empty figure"


def test_every_method_has_its_own_style():
    styles = [METHOD_STYLES[name] for name in METHODS]
    assert len({(s.color, s.marker, str(s.dash)) for s in styles}) == len(METHODS)
    assert method_style("on_policy_ipo") == method_style("offline_ipo") == METHOD_STYLES["ipo"]


def test_an_interval_chart_has_each_rows_numbers_at_its_height():
    """The first row on top; a square and vermillion where it is emphasised; infinite ends go to the chart's own."""
    rows = [
        Interval("a", 0.2, 0.1, 0.3, mark=0.25),
        Interval("b", 0.6, 0.5, 0.7, emphasis=True),
        Interval("c", 0.4, -np.inf, np.inf),
    ]
    axes = Figure().add_subplot()
    draw_intervals(axes, rows, "x")
    (bars,) = axes.collections
    ends = [segment.tolist() for segment in bars.get_segments()]
    assert ends == [[[0.1, 2], [0.3, 2]], [[0.5, 1], [0.7, 1]], [[0.1, 0], [0.7, 0]]]
    plain, emphasised, paper = axes.lines
    assert (plain.get_marker(), [*plain.get_xdata()], [*plain.get_ydata()]) == ("o", [0.2, 0.4], [2, 0])
    assert (emphasised.get_marker(), [*emphasised.get_xdata()], [*emphasised.get_ydata()]) == ("s", [0.6], [1])
    assert ([*paper.get_xdata()], [*paper.get_ydata()]) == ([0.25], [2])
    colors = [to_hex(color) for color in bars.get_colors()]
    assert colors == [to_hex(color) for color in (BLACK, VERMILLION, BLACK)]
    assert (plain.get_color(), emphasised.get_color()) == (BLACK, VERMILLION)
