"""The explorer of the reproduction: stored cells and their identities, missing cells, notebook 09's answers."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.text import Text

from modeseek.bandit.categorical.collapse import Ending, collapsed_at_the_end
from modeseek.bandit.categorical.frontier import reward_at
from modeseek.bandit.categorical.ipo_product import ipo_product_rest
from modeseek.bandit.explore.reproduce import ReproduceExplorer
from modeseek.bandit.explore.reproduce import model as reproduce_model
from modeseek.bandit.explore.reproduce.errata import ERRATA, finding
from modeseek.bandit.explore.reproduce.model import ReproduceModel
from modeseek.bandit.explore.reproduce.questions import (
    CEILING,
    check_no_effect,
    check_remedies,
    check_tau,
    predict_discarded,
    predict_remedy,
    remedied,
)
from modeseek.bandit.explore.reproduce.scene import ReproduceScene
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.studies.contrasts import fresh_values, level, shifted_values
from modeseek.bandit.studies.reproduce.cells import HEADLINES, HEADLINES_WITHIN
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD, KL_BUDGET, REWARD_WITHIN_BUDGET
from modeseek.bandit.studies.reproduce.protocols import MORE_OF_SHORT, QUICK, SHORT
from modeseek.bandit.studies.reproduce.store import STORE, responses_in
from modeseek.bandit.studies.reproduce.targets import TARGETS
from modeseek.bandit.studies.store import Store


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("conventions", PRESETS)
def test_every_target_says_what_is_here_and_how_to_make_the_rest(target: str, conventions: str):
    """Cells that appear or are missing change what is said, and break nothing."""
    model = ReproduceModel(target, conventions=conventions)
    result, caption = model.result, model.caption()
    names = {cell.name for cell in TARGETS[target].cells_under(result.protocol)}
    assert {cell.name for cell in result.cells} | set(result.missing) == names
    if result.missing:
        assert f"modeseek reproduce {target} --conventions {model.values.conventions}" in caption
    if TARGETS[target].only:
        assert model.values.conventions == TARGETS[target].only
    model.set("row", len(result.rows) or 1)
    assert model.sentence()
    assert len(set(map(len, model.table().values()))) == 1
    assert not any("--ten" in said for said in (result.command, model.sentence()))  # the command has no such flag
    assert ReproduceModel.from_state(model.to_state()).values == model.values


def test_stored_results_are_shown_without_the_networks_libraries():
    """They would be a tenth of what a reader waits for the first picture."""
    code = (
        "import sys; from modeseek.bandit.explore import ReproduceExplorer; ReproduceExplorer('fig2').png(); "
        "print({'flax', 'optax', 'h5netcdf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_whole_protocol_is_taken_where_all_of_it_is_stored():
    for target in ("fig16", "one-token", "table3"):

        def complete(protocol, target=target):
            folder = STORE.folder(protocol, "paper")
            return all((folder / f"{cell.name}.nc").exists() for cell in TARGETS[target].cells_under(protocol))

        fullest = next((protocol for protocol in TARGETS[target].fullest_first() if complete(protocol)), None)
        if fullest is not None:
            assert ReproduceModel(target).result.protocol == fullest
    assert ReproduceModel("remedies").result.protocol == MORE_OF_SHORT
    assert ReproduceModel("ablation").result.protocol == SHORT  # with more seeds there is a part of it


def test_a_rows_numbers_are_the_stored_files():
    """The last tenth of the fresh seeds' curves, read past our own code."""
    model = ReproduceModel("remedies", row=5)
    name = model.selected().name
    with xarray_file(STORE.folder(MORE_OF_SHORT, "paper") / f"{name}.nc") as data:
        rewards = data["expected_reward"].values[int(data.attrs["tuning_seeds"]) :]
        own = rewards[:, -max(1, round(0.1 * rewards.shape[1])) :].mean(1)
        grid = np.sort(data["learning_rate"].values)
        tuned = int(np.argmin(np.abs(grid - data.attrs["learning_rate"])))
        np.testing.assert_allclose(model.fresh(), own, rtol=1e-5)
        assert sorted(model.by_rate()) == [i - tuned for i in range(len(grid))]
    assert f"{own.mean():.3f}" in model.caption()


def test_a_row_is_of_the_most_seeds_that_are_stored():
    """Whatever is drawn, a claim has the verdict of docs/reproduction.md: of a hundred seeds where they are there."""
    for conventions in ("paper", "figure2"):
        best, *named = (
            ReproduceModel("fig19", conventions=conventions, protocol=protocol).result.rows
            for protocol in ("best", "more", "whole", "ten")
        )
        for row, *others in zip(best, *named, strict=True):
            assert row.fresh().size == max(other.fresh().size for other in others)
        assert any(row.fresh().size for row in best)


def test_what_is_not_run_so_is_said():
    model = ReproduceModel("remedies")
    model.set("protocol", "ten")
    assert any("is not run as `ten`" in note for note in model.notes)
    assert not ReproduceModel("remedies").notes


def test_a_row_without_its_cells_names_the_command_that_makes_them(monkeypatch):
    """Cells of the trade-off are no part of the hundred seeds' protocol: what makes them is the default."""
    monkeypatch.setattr(Store, "folder", lambda *_: Path("nothing"))
    model = ReproduceModel("fig19", protocol="more", row=6)
    assert "Its cells are not here: `modeseek reproduce fig19 --conventions paper` makes them" in model.caption()


def test_what_can_happen_and_does_not_is_counted_in_its_own_words(monkeypatch):
    real = reproduce_model.rows_of

    def unseen(*arguments):
        said = real(*arguments)
        first = said[0].assessment
        return (said[0]._replace(assessment=first._replace(verdict=first.verdict._replace(word="not seen"))), *said[1:])

    monkeypatch.setattr(reproduce_model, "rows_of", unseen)
    model = ReproduceModel("fig18")
    assert "1 not seen" in model.caption()
    assert "Not seen: effect" in model.sentence()


def test_a_trend_stands_behind_the_claims_that_it_follows_from():
    model = ReproduceModel("fig14")
    (trend,) = TARGETS["fig14"].trends
    words = {row.name: row.assessment.verdict.word if row.assessment.verdict else "" for row in model.result.rows}
    assert f"{trend.text} {trend.word(words).capitalize()}." in model.caption()


def xarray_file(path):
    return xr.open_dataset(path, engine="scipy")


def test_a_difference_claim_is_the_difference_of_its_cells():
    model = ReproduceModel("one-token", protocol="quick", row=1)
    better, worse = (model.result.cells[cell]["expected_reward"] for cell in model.selected().contrast.cells)
    fresh = slice(QUICK.tuning_seeds, None)
    tail = slice(-max(1, round(0.1 * better.shape[1])), None)
    own = better.values[fresh, tail].mean(1) - worse.values[fresh, tail].mean(1)
    np.testing.assert_allclose(model.fresh(), own, atol=1e-6)
    assert "Undecided" in model.caption()  # two fresh seeds decide nothing


def test_nothing_breaks_with_some_cells_or_none(monkeypatch):
    """A folder with every other cell, and one with a file that is none."""

    real = reproduce_model.find

    def some(target, conventions, protocol):
        found = real(target, conventions, protocol)
        cells = {cell: data for i, (cell, data) in enumerate(found.cells.items()) if i % 2}
        return found._replace(cells=cells, refused=("broken.nc cannot be read",))

    monkeypatch.setattr(reproduce_model, "find", some)
    for target in TARGETS:
        explorer = ReproduceExplorer(target)
        assert explorer.pixels().std() > 0
        if TARGETS[target].cells:
            assert "cannot be read" in explorer.caption()
            assert explorer.model.result.missing


def test_what_was_made_here_is_shown(tmp_path, monkeypatch):
    """The folder of `modeseek reproduce` is looked at; a cell of another configuration is refused by name."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "modeseek-results" / "reproduce" / "full" / "released_code" / "cells"
    folder.mkdir(parents=True)
    source = STORE.folder(QUICK, "paper") / "ipo-one-token-R2.nc"
    (folder / "ipo-one-token-R2.nc").write_bytes(source.read_bytes())
    monkeypatch.setattr(Store, "folder", lambda *_: tmp_path / "nothing")
    model = ReproduceModel("one-token", conventions="released_code", protocol="whole")
    assert "of another protocol" in model.caption()
    assert "ipo-one-token-R2" in model.result.missing


def test_the_blitted_picture_is_the_fresh_one():
    rng = np.random.default_rng(0)
    canvas = Canvas(ReproduceScene())
    targets = ["remedies", "fig2", "fig16", "fig4", "one-token", "table3", "fig18"]
    for _ in range(8):
        model = ReproduceModel(targets[rng.integers(len(targets))], row=int(rng.integers(1, 5)))
        if rng.integers(2):
            model.set("conventions", "released_code")
        np.testing.assert_array_equal(canvas.pixels(model), Canvas(ReproduceScene()).pixels(model))


@pytest.mark.parametrize("target", ["remedies", "ablation", "table3"])
def test_labels_begin_inside_the_figure(target: str):
    canvas = Canvas(ReproduceScene())
    canvas.pixels(ReproduceModel(target))
    axes = next(axes for axes in canvas.figure.findobj(Axes) if axes.get_visible())
    assert len(axes.get_yticklabels()) > 3
    assert all(label.get_window_extent().x0 >= 0 for label in axes.get_yticklabels())


def test_claims_without_an_interval_are_counted():
    canvas, model = Canvas(ReproduceScene()), ReproduceModel("fig19")
    canvas.pixels(model)
    titles = [text.get_text() for text in canvas.figure.findobj(Text) if text.get_text().startswith("verdicts")]
    absent = sum(row.assessment.verdict is None for row in model.result.rows)
    assert titles == [f"verdicts: 1 to 8 of {len(model.result.rows) - absent} ({absent} more claims are not run)"]


@pytest.mark.parametrize("target", [name for name, target in TARGETS.items() if target.claims])
def test_verdicts_end_inside_the_figure(target: str):
    canvas = Canvas(ReproduceScene())
    canvas.pixels(ReproduceModel(target))
    notes = [text for axes in canvas.figure.findobj(Axes) if axes.get_visible() for text in axes.texts]
    width = canvas.figure.bbox.width
    assert all(note.get_window_extent().x1 <= width for note in notes)


def test_a_row_beyond_the_last_is_the_last_and_said():
    model = ReproduceModel("fig19", row=9)
    model.set("row", 39)
    assert model.values.row == len(model.result.rows)
    assert any("set to" in note for note in model.notes)
    assert ReproduceModel.from_state("reproduce?preset=ablation&row=20").values.row == 20
    with pytest.raises(ValueError, match="target must be one of fig2"):
        ReproduceModel("fig3")


def test_errata_name_statements_and_what_is_right_holds():
    for erratum in ERRATA:
        if erratum.right_as:
            right = finding(erratum.right_as, 70)
            assert right.held == right.tried > 0
        if erratum.printed_as:
            printed = finding(erratum.printed_as, 700)
            assert printed.held < printed.tried
            assert printed.counter_example
    with pytest.raises(ValueError, match="unknown statement"):
        finding("E.9")


def test_what_the_notebooks_say_of_figure_19_is_what_the_stored_cells_say():
    """Typed numbers of notebook 09, under two readings of the text."""
    book = (Path(__file__).parents[1] / "notebooks" / "src" / "09_reproduce_paper.py").read_text(encoding="utf-8")
    results = {name: ReproduceModel("fig19", conventions=name).result for name in ("paper", "figure2")}
    piled, discarded = ({row.name: row.assessment.verdict for row in each.rows} for each in results.values())
    size = lambda value: f"{abs(value):.2f}".lstrip("0")

    over_ipo, to_ppo, early = (
        f"on-policy-ipo-{name}-R1" for name in ("over-ipo-final", "matches-ppo", "over-ppo-early")
    )
    assert [piled[name].word for name in (over_ipo, to_ppo)] == ["reversed", "reversed"]
    assert f"offline IPO ends {size(piled[over_ipo].effect)} higher, PPO {size(piled[to_ppo].effect)}." in book
    assert [discarded[name].word for name in (over_ipo, to_ppo)] == ["reproduced", "undecided"]
    assert discarded[over_ipo].effect > 0 > discarded[to_ppo].effect
    above, below = (size(discarded[name].effect) for name in (over_ipo, to_ppo))
    assert f"ends {above} above offline IPO (a hundred seeds); {below} below PPO, which twenty seeds leave" in book
    assert (discarded[over_ipo].seeds, discarded[to_ppo].seeds) == (100, 20)
    for found in (piled, discarded):
        assert found[early].word == "reproduced"
        assert f"leads PPO by {size(found[early].effect)} over the first 50 steps" in book

    cells = results["figure2"].cells
    within = HEADLINES_WITHIN["on_policy_ipo", "R1"]
    earned = fresh_values(level(REWARD_WITHIN_BUDGET, within), cells).mean()
    most = float(reward_at(responses_in(cells[within]), KL_BUDGET))
    trade_off = [discarded[f"on-policy-ipo-trade-off-{worse}-R1"] for worse in ("ipo", "rwr")]
    assert [verdict.word for verdict in trade_off] == ["reproduced", "reproduced"]
    more = " above offline IPO and ".join(size(verdict.effect) for verdict in trade_off)
    assert (
        f"has {size(earned)} there, where {size(most)} is the most that any policy can have, {more} above RWR" in book
    )
    most_seeds = next(
        row for row in ReproduceModel("table3", conventions="figure2").result.rows if "on_policy" in row.name
    )
    ends = fresh_values(level(FINAL_REWARD, HEADLINES["on_policy_ipo", "R1"]), most_seeds.cells)
    assert ends.size == 100
    assert f"{(ends > CEILING).sum()} of the hundred reach the ceiling" in book
    cell = HEADLINES["on_policy_ipo", "R1"]
    runs = most_seeds.cells[cell]
    fresh = slice(int(runs.attrs["tuning_seeds"]), None)
    curves = (runs[name].values[fresh].astype(np.float64) for name in ("expected_reward", "kl_to_reference"))
    collapsed = collapsed_at_the_end(responses_in(runs), *curves) == Ending.COLLAPSED
    low, high = np.sort(ends[ends < 0.9]), ends[ends >= 0.9]
    text = " ".join(book.replace("\n# ", " ").split())
    assert (
        f"{low.size} end at {size(low[0])} to {size(low[-1])}, near the rest, and {high.size} at {size(high.min())}"
        in text
    )
    assert f"Of these {collapsed.sum()} have surely *collapsed*" in text
    assert (ends[collapsed] > 0.9).all()
    for conventions, rates, rest in (("paper", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), 0.47), ("figure2", (3e-4,), 0.62)):
        tuning = results[conventions].cells[cell]["grid_final_reward"].mean("tuning_seed")
        assert np.abs(tuning.sel(learning_rate=list(rates)) - rest).max() < 0.02
    (row,) = (row for row in results["paper"].rows if row.name == over_ipo)
    tuned = shifted_values(row.contrast, row.cells, 0).mean()
    assert f"on-policy IPO was ahead of offline IPO by {size(tuned)}" in text
    for conventions, (reward, nats) in {"paper": (".47", "11.4"), "figure2": (".62", "14.8")}.items():
        rest = ipo_product_rest(responses_in(results[conventions].cells[HEADLINES["ipo", "R1"]]), 0.05)
        assert (size(rest.reward), f"{rest.nats:.1f}") == (reward, nats)
        assert f"{reward} and {nats} nats" in book


def stored_of_table3(conventions):
    """The protocol of the most seeds of on-policy IPO on R1."""
    rows = ReproduceModel("table3", conventions=conventions).result.rows
    return next(row.protocol for row in rows if row.name == "table3-on_policy_ipo")


def test_remedies_and_their_prediction():
    found = remedied()
    assert 0.4 < found["none"].reward < 0.55
    assert min(found[name].reward for name in ("large-margin", "moving", "dpo")) > 0.98
    prediction = predict_discarded()
    because = prediction.truth().because
    assert f"over {found['none'].seeds}, at the best of three" in because
    assert prediction.truth().option == 2
    assert "piled up" in prediction.question
    for conventions, words in (("paper", "which tuning"), ("figure2", ""), ("released_code", "code's")):
        with xarray_file(STORE.folder(stored_of_table3(conventions), conventions) / "on_policy_ipo-R1.nc") as data:
            rewards = data["expected_reward"].values[int(data.attrs["tuning_seeds"]) :]
        own = rewards[:, -max(1, round(0.1 * rewards.shape[1])) :].mean(1)
        assert f"{own.mean():.2f}" in because[because.index(words) :]
        assert f"over {own.size}" in because[because.index(words) :]
    truth = predict_remedy().truth()
    assert "margin target" in predict_remedy().options[truth.option]
    assert f"{found['dpo'].reward:.2f}" in truth.because
    assert "rests at 0.47, 11.4 nats" in truth.because  # docs/explanation/frontier.md


WRONG = [
    (check_no_effect(..., ...), "no answer here yet"),
    (check_no_effect(0.3, 0.1), "runs from its lower"),
    (check_no_effect(0.01, 0.03), "should contain zero"),
    (check_no_effect(-0.01, 0.3), "is undecided"),
    (check_remedies("dpo"), "there are more: 1 of 4"),
    (check_remedies(7), "names are asked for"),
    (check_remedies({"magic"}), "a remedy must be one of none, gap"),
    (check_remedies({"dpo", "longer"}), "longer ends at"),
    (check_remedies({"dpo"}), "there are more: 1 of 4"),
    (check_tau(0.05), "smallest at 10 nats"),
    (check_tau("small"), "is a number"),
]


@pytest.mark.parametrize(("feedback", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_answer_is_told_what_is_wrong(feedback, says: str):
    assert not feedback.right
    assert re.search(re.escape(says), str(feedback))
