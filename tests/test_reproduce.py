"""Targets of reproduce: valid experiments, protocols, judged, drawn and reported; the command."""

import dataclasses
import json

import numpy as np
import pytest
import xarray
from reproduce_cases import fake_cell
from scipy import stats

from modeseek.bandit.simulator.conventions import PAPER, PRESETS, RELEASED_CODE
from modeseek.bandit.studies.assess import assess, table
from modeseek.bandit.studies.contrasts import difference, fresh_values, level
from modeseek.bandit.studies.effects import CHANGES, effect, effects_table
from modeseek.bandit.studies.protocol import FULL, MORE, MORE_OF_SHORT, QUICK, SHORT
from modeseek.bandit.studies.reproduce import report, running
from modeseek.bandit.studies.reproduce.cells import FIGURES, MENDS, OURS, cells_of, protocol_called, protocols_of, whole
from modeseek.bandit.studies.reproduce.claims import CLAIMS
from modeseek.bandit.studies.reproduce.draw import DRAWINGS, verdict_figure
from modeseek.bandit.studies.verdicts import MOST_SEEDS, interval
from modeseek.cli import main


def test_every_cell_is_a_valid_experiment_and_names_are_unique():
    for protocol, base in ((FULL, RELEASED_CODE), (QUICK, PAPER), (SHORT, PAPER)):
        seen = {}
        for figure in FIGURES:
            for name, cell in cells_of((figure,), protocol).items():
                experiment = cell.experiment(base, protocol)
                assert seen.setdefault(name, experiment) == experiment
                if protocol.most_steps:
                    assert experiment.algorithm.gradient_steps <= cell.stretch * protocol.most_steps


def test_figure_4_compares_equal_data_and_equal_steps():
    cells = [cell.experiment(PAPER, FULL).algorithm for cell in FIGURES["fig4"]]
    assert {a.samples_per_collection * a.collections for a in cells} == {100_000}
    assert {a.gradient_steps for a in cells} == {1000}
    assert len({a.prompt_set_size for a in cells}) == 1


def test_figure_14_takes_as_many_steps_for_every_reuse():
    by_reuse = {c.algorithm.inner_steps: c.experiment(PAPER, FULL).algorithm.gradient_steps for c in FIGURES["fig14"]}
    assert by_reuse == {1: 500, 2: 500, 5: 500, 7: 497, 10: 500}


def test_offline_cells_take_a_hundred_steps_each_on_the_whole_data_set():
    for cell in (*FIGURES["fig16"], *FIGURES["fig18"]):
        algorithm = cell.experiment(PAPER, FULL).algorithm
        assert algorithm.gradient_steps == 100
        assert algorithm.minibatch_size == algorithm.samples_per_collection


def test_trade_offs_offline_are_read_off_every_step():
    assert {cell.experiment(PAPER, FULL).static.evaluation_interval for cell in FIGURES["fig16"]} == {1}
    assert {cell.experiment(PAPER, FULL).static.evaluation_interval for cell in FIGURES["fig18"]} == {10}


def test_the_ablation_mends_every_difference_between_the_presets():
    differing = {
        field.name
        for field in dataclasses.fields(PAPER)
        if getattr(PAPER, field.name) != getattr(RELEASED_CODE, field.name)
    }
    single = [mend for name, mend in MENDS.items() if name != "everything"]
    assert {field for mend in single for field in mend.conventions} == differing
    (whole,) = [cell for cell in FIGURES["ablation"] if cell.name == "ppo-everything-R1"]
    assert whole.experiment(RELEASED_CODE, SHORT).conventions == PAPER


def test_assessments_name_what_is_missing_and_what_would_decide():
    claim = CLAIMS["on-policy-ipo-over-rwr-final-R1"]
    cells = {"on_policy_ipo-R1": fake_cell(0.9, seed=1), "rwr-R1": fake_cell(0.5, seed=2)}
    (good,), (absent,) = assess([claim], cells), assess([claim], {"rwr-R1": cells["rwr-R1"]})
    assert good.word == "reproduced"
    assert good.moved == {"lower": "reproduced", "higher": "reproduced"}
    assert absent.word == "undecided, not run"
    assert absent.missing == ("on_policy_ipo-R1",)
    few = {name: cell.isel(seed=slice(0, 7)) for name, cell in cells.items()}
    assert assess([claim], few)[0].word == "undecided, needs 5 seeds"
    fewer_tuned = {name: cell.isel(tuning_seed=slice(0, 4)) for name, cell in cells.items()}
    assert assess([claim], fewer_tuned)[0].moved == {"lower": "—", "higher": "—"}
    paired = fresh_values(claim.contrast, cells)
    assert (good.verdict.low, good.verdict.high) == interval(paired, len(CLAIMS))
    assert "needs 1000 or more seeds" in good.verdict._replace(needed=MOST_SEEDS).wanting
    assert (good.verdict.low_alone, good.verdict.high_alone) == interval(paired)
    assert "**reproduced**" in table([good, absent])
    assert len(verdict_figure([good, absent], "test").axes) == 1


@pytest.mark.parametrize("target", CHANGES)
def test_a_change_is_judged_together_with_all_of_its_target(target):
    cells = {name: fake_cell(0.5, seed=i) for i, name in enumerate(cells_of((target,), SHORT))}
    first, *_, last = CHANGES[target]
    cells[first.changed] = fake_cell(0.9, seed=99)
    expected = fresh_values(difference("final_reward", first.changed, first.plain), cells)
    verdict = effect(first, cells, len(CHANGES[target]))
    assert (verdict.low, verdict.high) == interval(expected, len(CHANGES[target]))
    cells[last.changed]["expected_reward"][-1] = np.nan
    lines = effects_table(target, cells).splitlines()
    assert lines[-1].split("|")[5].strip() == "9 of 10, the others diverged"
    plain, changed = (fresh_values(level("final_reward", name), cells)[:-1] for name in (last.plain, last.changed))
    assert f"| {plain.mean():.3f} → {changed.mean():.3f} |" in lines[-1]
    assert "nan" not in lines[-1]
    assert len(lines) == 2 + len(CHANGES[target])
    assert "**raises it**" in lines[2]
    assert "**raises it**" not in lines[-1]
    assert last.text in lines[-1]
    assert {name for change in CHANGES[target] for name in change[1:]} == set(cells)


def test_tables_give_the_standard_error():
    cells = {"a": fake_cell(0.5, 0.1)}
    error = stats.sem(fresh_values(level("final_reward", "a"), cells))
    assert f"± {error:.3f} | 10 |" in report.numbers(cells)


@pytest.mark.parametrize("target", DRAWINGS)
def test_every_target_draws_its_cells(target):
    cells = {name: fake_cell(0.5 + 0.01 * i, seed=i) for i, name in enumerate(cells_of((target,), FULL))}
    figure = DRAWINGS[target](cells, "note")
    panels = {"fig4": 4, "fig14": 3, "fig16": 4, "fig18": 6, "fig19": 4, "one-token": 2}.get(target, 1)
    assert len(figure.axes) == panels
    assert len(report.alt_text(target, "paper", cells)) > 40
    card = report.run_card(target, FULL, "paper", cells)
    assert card["seconds"] == 60.0 * len(cells)
    json.dumps(card)


def test_rates_at_an_edge_of_the_grid_are_named():
    inside, edge = fake_cell(0.5), fake_cell(0.5)
    edge.attrs["learning_rate"] = 0.1
    assert report.at_edges({"a": inside, "b": edge}) == "Tuned rates at an edge of the grid: b (0.1)."
    assert report.at_edges({"a": inside}) == ""


@pytest.mark.parametrize("target", OURS)
def test_more_seeds_of_ours_are_other_seeds_at_the_rates_that_were_found(target):
    more, short = protocol_called("more", target), whole(target)
    assert (more, short) == (MORE_OF_SHORT, SHORT)
    assert protocol_called("more", "fig19") is protocol_called("more", "fig2") is MORE
    assert more.judged_from == short.judged_from + short.fresh_seeds
    conventions = OURS[target]
    before = running.Before(short, running.stored_folder(short, conventions))
    for cell in cells_of((target,), more).values():
        taken = running.tuning_before(cell, PRESETS[conventions], more, before)
        assert taken.attrs["learning_rate"] in more.learning_rates
        assert taken.sizes["seed"] == more.tuning_seeds


def test_the_fullest_protocol_has_every_cell_and_then_the_most_seeds():
    assert [p.name for p in protocols_of("fig19")] == ["more", "full", "short", "quick"]
    assert [p.name for p in protocols_of("fig4")] == ["more", "full", "short", "quick"]
    assert protocols_of("remedies")[0] is MORE_OF_SHORT
    assert protocols_of("ablation")[0] is SHORT  # with more seeds there are two of its four methods
    scattered = cells_of(("ablation",), MORE_OF_SHORT)
    assert {cell.method for cell in scattered.values()} == {"rwr", "ppo"}
    changes = [change for change in CHANGES["ablation"] if change.changed in scattered]
    assert {name for change in changes for name in change[1:]} == set(scattered)
    lines = effects_table("ablation", {name: fake_cell(0.5, seed=i) for i, name in enumerate(scattered)}).splitlines()
    assert len(lines) == 2 + len(changes)


def test_unknown_figures_and_missing_stored_cells_say_what_to_do(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "fig3", "--out", str(tmp_path)])
    assert "expected fig2, fig4" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "fig2", "--short", "--quick", "--out", str(tmp_path)])
    assert "--short and --quick are 2 protocols" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "ablation", "--conventions", "paper", "--out", str(tmp_path)])
    assert "ablation is about the conventions released_code alone, got --conventions paper" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "report", "--quick", "--out", str(tmp_path)])
    assert "give it --out alone" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "all", "--stored", "--more", "--out", str(tmp_path / "all")])
    assert "cells of fig4 are not stored" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()  # figure 2, which is there, was not begun
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "remedies", "--stored", "--quick", "--out", str(tmp_path)])
    assert "or take what is stored: --more or --short" in capsys.readouterr().err
    monkeypatch.setattr(running, "stored_folder", lambda *_: tmp_path / "nothing")
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "table3", "--stored", "--out", str(tmp_path)])
    message = capsys.readouterr().err
    assert "not stored: on_policy_ipo-R1, ipo-R1, rwr-R1, ppo-R1" in message
    assert "modeseek reproduce table3 --conventions paper" in message


def test_stored_results_are_the_fullest_there_are_with_the_data_behind_them(capsys, tmp_path):
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "one-token", "--stored", "--out", str(tmp_path)])
    assert "paper; 5 + 100 seeds" in capsys.readouterr().out
    kept = sorted(path.name for path in (tmp_path / "stored-cells").iterdir())
    assert kept == sorted(f"{name}.nc" for name in cells_of(("one-token",), FULL))
    source = running.stored_folder(MORE, "paper")
    assert all((tmp_path / "stored-cells" / name).read_bytes() == (source / name).read_bytes() for name in kept)
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "remedies", "--stored", "--out", str(tmp_path)])  # its own conventions, its own protocol
    assert "paper; 2 + 20 seeds; MORE" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "fig2", "--conventions", "released_code", "--out", str(tmp_path)])
    assert "seeds" not in capsys.readouterr().out.split("\n\n")[1]
    data = xarray.load_dataset(tmp_path / "fig2.nc")
    assert data.attrs["reference_recipe"] == "tanh"
    np.testing.assert_allclose(data["reference_probs"].sum(), 1, atol=1e-6)


def test_pictures_are_of_the_fresh_seeds_that_verdicts_are_made_on():
    cells = {name: fake_cell(0.5, seed=i) for i, name in enumerate(cells_of(("fig4",), FULL))}
    cell = cells["best_of_n-B100-R1"]
    cell["expected_reward"][:5] = 0.9  # the tuning seeds, on which the rate was chosen
    line = DRAWINGS["fig4"](cells, "note").axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), cell["expected_reward"][5:].mean("seed"), rtol=1e-6)


def test_each_of_two_curves_of_a_cell_is_drawn_from_its_own_variable():
    cells = {name: fake_cell(0.5, seed=i) for i, name in enumerate(cells_of(("fig18",), FULL))}
    cell = cells["ipo-5-prompts-R1"]
    cell["chosen_implicit_reward"][:] = 3.0
    cell["rejected_implicit_reward"][:] = -7.0
    drawn = {line.get_label(): line.get_ydata() for line in DRAWINGS["fig18"](cells, "note").axes[0].lines}
    assert np.all(drawn["preferred"] == 3) and np.all(drawn["dispreferred"] == -7)


def test_signs_are_seen_on_one_scale_and_the_first_steps_on_a_logarithmic_one():
    cells = {name: fake_cell(-10.0 * i, seed=i) for i, name in enumerate(cells_of(("fig18",), FULL))}
    limits = {axes.get_ylim() for axes in DRAWINGS["fig18"](cells, "note").axes}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < -50 < 0 < high
    cells = {name: fake_cell(0.5) for name in cells_of(("fig4",), FULL)}
    assert {(axes.get_xscale(), axes.get_xlim()[0]) for axes in DRAWINGS["fig4"](cells, "note").axes} == {("symlog", 0)}
