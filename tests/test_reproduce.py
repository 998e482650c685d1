"""Targets of reproduce: valid experiments, protocols, judged, drawn and reported; the command."""

import dataclasses
import json

import numpy as np
import pytest
import xarray
from reproduce_cases import fake_cell
from scipy import stats

from modeseek.bandit.simulator.conventions import PAPER, PRESETS, RELEASED_CODE
from modeseek.bandit.studies.assess import assess, verdict_table
from modeseek.bandit.studies.cells import Cell, rates_at_edges
from modeseek.bandit.studies.chart import verdict_figure
from modeseek.bandit.studies.contrasts import difference, distinct, fresh_values, level
from modeseek.bandit.studies.document import numbers_table
from modeseek.bandit.studies.effects import effects, effects_table
from modeseek.bandit.studies.intervals import simultaneous
from modeseek.bandit.studies.reproduce import report
from modeseek.bandit.studies.reproduce.cells import DISPLACEMENT, HEADLINES, MENDED, MENDS, STALENESS
from modeseek.bandit.studies.reproduce.draw import DRAWINGS
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import EVERY, FULL, MORE, MORE_OF_SHORT, QUICK, SHORT
from modeseek.bandit.studies.reproduce.running import Before, tuning_before
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import (
    ABLATION,
    CLAIMS,
    FIG2,
    FIG4,
    FIG14,
    FIG16,
    FIG18,
    FIG19,
    ONE_TOKEN_BANDIT,
    REMEDIES_TARGET,
    STUDY,
)
from modeseek.bandit.studies.store import Store
from modeseek.bandit.studies.verdicts import MOST_SEEDS
from modeseek.cli import main

OURS = [target for target in STUDY.targets if target.only]


def fakes(target, protocol, level=lambda i: 0.5):
    """Made-up results of a target's cells, each with a seed of its own."""
    return {cell: fake_cell(level(i), seed=i) for i, cell in enumerate(target.cells_under(protocol))}


def named(targets):
    return pytest.mark.parametrize("target", targets, ids=lambda target: target.name)


def test_every_cell_is_a_valid_experiment_and_names_are_unique():
    for protocol, base in ((FULL, RELEASED_CODE), (QUICK, PAPER), (SHORT, PAPER)):
        seen = {}
        for target in STUDY.targets:
            for cell in target.cells_under(protocol):
                experiment = cell.experiment(base, protocol)
                assert seen.setdefault(cell.name, experiment) == experiment
                if protocol.most_steps:
                    assert experiment.algorithm.gradient_steps <= cell.stretch * protocol.most_steps


def test_figure_4_compares_equal_data_and_equal_steps():
    cells = [cell.experiment(PAPER, FULL).algorithm for cell in FIG4.cells]
    assert {a.samples_per_collection * a.collections for a in cells} == {100_000}
    assert {a.gradient_steps for a in cells} == {1000}
    assert len({a.prompt_set_size for a in cells}) == 1


def test_figure_14_takes_as_many_steps_for_every_reuse():
    by_reuse = {c.algorithm.inner_steps: c.experiment(PAPER, FULL).algorithm.gradient_steps for c in FIG14.cells}
    assert by_reuse == {1: 500, 2: 500, 5: 500, 7: 497, 10: 500}


def test_offline_cells_take_a_hundred_steps_each_on_the_whole_data_set():
    for cell in (*FIG16.cells, *FIG18.cells):
        algorithm = cell.experiment(PAPER, FULL).algorithm
        assert algorithm.gradient_steps == 100
        assert algorithm.minibatch_size == algorithm.samples_per_collection


def test_trade_offs_offline_are_read_off_every_step():
    assert {cell.experiment(PAPER, FULL).static.evaluation_interval for cell in FIG16.cells} == {1}
    assert {cell.experiment(PAPER, FULL).static.evaluation_interval for cell in FIG18.cells} == {10}


def test_the_ablation_mends_every_difference_between_the_presets():
    differing = {
        field.name
        for field in dataclasses.fields(PAPER)
        if getattr(PAPER, field.name) != getattr(RELEASED_CODE, field.name)
    }
    single = [mend for name, mend in MENDS.items() if name != "everything"]
    assert {field for mend in single for field in mend.conventions} == differing
    assert MENDED["ppo", "everything"].experiment(RELEASED_CODE, SHORT).conventions == PAPER


def test_assessments_name_what_is_missing_and_what_would_decide():
    claim = CLAIMS["on-policy-ipo-over-rwr-final-R1"]
    ours, rwr = HEADLINES["on_policy_ipo", "R1"], HEADLINES["rwr", "R1"]
    cells = {ours: fake_cell(0.9, seed=1), rwr: fake_cell(0.5, seed=2)}
    judged = lambda results: assess([claim], results, 0.01)
    (good,), (absent,) = judged(cells), judged({rwr: cells[rwr]})
    assert good.word == "reproduced"
    assert good.moved == pytest.approx(dict.fromkeys(("lower", "tuned", "higher"), 0.4), abs=0.02)
    assert absent.word == "undecided, not run"
    assert absent.missing == (ours,)
    assert absent.moved_words() == ["—"] * 3
    few = {name: cell.isel(seed=slice(0, 7)) for name, cell in cells.items()}
    assert judged(few)[0].word == "undecided, needs 20 seeds"
    older = {name: cell.drop_vars("grid_final_reward") for name, cell in cells.items()}
    assert judged(older)[0].moved_words() == ["—"] * 3
    lottery = fake_cell(0.9, seed=1)
    lottery["expected_reward"][-4:] *= 0.5  # four of twenty seeds rest at half of it
    assert judged({ours: lottery, rwr: cells[rwr]})[0].word == "undecided, needs 100 seeds"
    expected = simultaneous(fresh_values(claim.contrast, cells)[None], 0.01)
    assert (good.verdict.low, good.verdict.high) == (expected.low[0], expected.high[0])
    assert "needs 1000 or more seeds" in good.verdict._replace(needed=MOST_SEEDS).wanting
    assert "**reproduced**" in verdict_table([good, absent], "rates")
    assert '"performs better than offline IPO … and RWR"' in verdict_table([good], "rates")
    assert len(verdict_figure([good, absent], "test").axes) == 1


def test_a_verdict_does_not_depend_on_what_is_shown_beside_it():
    """Each question has its share of 5 %; a claim and its mirror are one question."""
    assert STUDY.miss * sum(target.questions for target in STUDY.targets) == pytest.approx(0.05)
    results = {cell: fake_cell(0.5, 0.05, seed=i) for i, cell in enumerate(FIG19.cells)}
    part = {cell: data for cell, data in results.items() if cell.reward == "R1"}
    whole, alone = (STUDY.assess(FIG19, each) for each in (results, part))
    for one, other in zip(whole, alone, strict=True):
        if other.verdict:  # fewer claims have less of the 5 %, and their intervals are about as wide
            width = lambda v: v.high - v.low
            assert width(other.verdict) > 0.9 * width(one.verdict)
    a, b = HEADLINES["ppo", "R1"], HEADLINES["rwr", "R1"]
    one, mirror = difference(FINAL_REWARD, a, b), difference(FINAL_REWARD, b, a)
    assert distinct([one, mirror, difference(FINAL_REWARD, a, HEADLINES["ipo", "R1"])]) == 2
    assert distinct([level(FINAL_REWARD, a, constant=0.9), level(FINAL_REWARD, a, constant=0.8)]) == 2
    assert distinct([level(FINAL_REWARD, a, 1.0, 0.9), level(FINAL_REWARD, a, -1.0, -0.9)]) == 1


@named(OURS)
def test_a_change_is_judged_together_with_all_of_its_target(target):
    cells = fakes(target, SHORT)
    first, *_, last = target.changes
    cells[first.changed] = fake_cell(0.9, seed=99)
    expected = fresh_values(difference(FINAL_REWARD, first.changed, first.plain), cells)
    verdict = effects(target.changes, cells)[0]
    assert verdict.effect == pytest.approx(expected.mean())
    alone = simultaneous(expected[None], 0.05)
    assert verdict.low <= alone.low[0] + 1e-6 and verdict.high >= alone.high[0] - 1e-6
    cells[last.changed]["expected_reward"][-1] = np.nan
    lines = effects_table(target.changes, cells).splitlines()
    assert lines[-1].split("|")[5].strip() == "19 of 20, the others diverged"
    plain, changed = (fresh_values(level(FINAL_REWARD, cell), cells)[:-1] for cell in (last.plain, last.changed))
    assert f"| {plain.mean():.3f} → {changed.mean():.3f} |" in lines[-1]
    assert "nan" not in lines[-1]
    assert len(lines) == 2 + len(target.changes)
    assert "**raises it**" in lines[2]
    assert "**raises it**" not in lines[-1]
    assert last.text in lines[-1]
    assert {cell for change in target.changes for cell in (change.changed, change.plain)} == set(cells)


def test_tables_give_the_standard_error():
    a = Cell("a", protocols=EVERY)
    cells = {a: fake_cell(0.5, 0.1)}
    error = stats.sem(fresh_values(level(FINAL_REWARD, a), cells))
    assert f"± {error:.3f} | 20 |" in numbers_table(cells, FINAL_REWARD, "reward")


@named(DRAWINGS)
def test_every_target_draws_its_cells(target):
    cells = fakes(target, FULL, lambda i: 0.5 + 0.01 * i)
    figure = DRAWINGS[target](cells, "note")
    panels = {FIG4: 4, FIG14: 3, FIG16: 4, FIG18: 9, FIG19: 4, ONE_TOKEN_BANDIT: 2}.get(target, 1)
    assert len(figure.axes) == panels
    assert len(report.alt_text(target, "paper", cells)) > 40
    card = report.run_card(target, FULL, "paper", cells)
    assert card["seconds"] == 60.0 * len(cells)
    json.dumps(card)


def test_a_figure_of_which_some_cells_are_there_has_a_panel_for_each():
    cells = fakes(FIG18, FULL, lambda i: 0.5 + 0.01 * i)
    for there in range(1, len(cells) + 1):
        assert len(DRAWINGS[FIG18](dict(list(cells.items())[:there]), "note").axes) == there


def test_rates_at_an_edge_of_the_grid_are_named():
    inside, edge = fake_cell(0.5), fake_cell(0.5)
    edge.attrs["learning_rate"] = 0.1
    a, b = (Cell(name, protocols=EVERY) for name in "ab")
    assert rates_at_edges({a: inside, b: edge}) == "Tuned rates at an edge of the grid: b (0.1)."
    assert rates_at_edges({a: inside}) == ""


@named(OURS)
def test_more_seeds_of_ours_are_other_seeds_at_the_rates_that_were_found(target):
    more, short = target.protocol("more"), target.default
    assert (more, short) == (MORE_OF_SHORT, SHORT)
    assert FIG19.protocol("more") is FIG2.protocol("more") is MORE
    assert more.first_judged_seed == short.first_judged_seed + short.fresh_seeds
    before = Before(short, STORE.folder(short, target.only))
    for cell in target.cells_under(more):
        taken = tuning_before(cell, PRESETS[target.only], more, before)
        assert taken.attrs["learning_rate"] in more.learning_rates
        assert taken.sizes["seed"] == more.tuning_seeds


def test_the_fullest_protocol_has_every_cell_and_then_the_most_seeds():
    assert [p.name for p in FIG19.fullest_first()] == ["full", "more", "ten", "short", "quick"]
    assert [p.name for p in FIG4.fullest_first()] == ["more", "full", "ten", "short", "quick"]
    assert FIG2.fullest_first() == (FULL,)
    assert REMEDIES_TARGET.fullest_first()[0] is MORE_OF_SHORT
    assert ABLATION.fullest_first()[0] is SHORT  # with more seeds there are two of its four methods
    scattered = ABLATION.cells_under(MORE_OF_SHORT)
    assert {cell.method for cell in scattered} == {"rwr", "ppo"}
    changes = [change for change in ABLATION.changes if change.changed in scattered]
    assert {cell for change in changes for cell in (change.changed, change.plain)} == set(scattered)
    lines = effects_table(ABLATION.changes, fakes(ABLATION, MORE_OF_SHORT)).splitlines()
    assert len(lines) == 2 + len(changes)


def test_unknown_figures_and_missing_stored_cells_say_what_to_do(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "fig3", "--out", str(tmp_path)])
    assert "expected fig1, fig2, fig4" in capsys.readouterr().err
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
    monkeypatch.setattr(Store, "folder", lambda *_: tmp_path / "nothing")
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
    assert kept == sorted(f"{cell.name}.nc" for cell in ONE_TOKEN_BANDIT.cells_under(FULL))
    source = STORE.folder(MORE, "paper")
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
    cells = fakes(FIG4, FULL)
    cell = cells[STALENESS[100, "R1"]]
    cell["expected_reward"][:5] = 0.9  # the tuning seeds, on which the rate was chosen
    line = DRAWINGS[FIG4](cells, "note").axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), cell["expected_reward"][5:].mean("seed"), rtol=1e-6)


def test_each_of_two_curves_of_a_cell_is_drawn_from_its_own_variable():
    cells = fakes(FIG18, FULL)
    cell = cells[DISPLACEMENT[5, "R1"]]
    cell["chosen_implicit_reward"][:] = 3.0
    cell["rejected_implicit_reward"][:] = -7.0
    drawn = {line.get_label(): line.get_ydata() for line in DRAWINGS[FIG18](cells, "note").axes[0].lines}
    assert np.all(drawn["preferred"] == 3) and np.all(drawn["dispreferred"] == -7)


def test_signs_are_seen_on_one_scale_and_the_first_steps_on_a_logarithmic_one():
    cells = fakes(FIG18, FULL, lambda i: -10.0 * i)
    limits = {axes.get_ylim() for axes in DRAWINGS[FIG18](cells, "note").axes}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < -50 < 0 < high
    cells = fakes(FIG4, FULL)
    assert {(axes.get_xscale(), axes.get_xlim()[0]) for axes in DRAWINGS[FIG4](cells, "note").axes} == {("symlog", 0)}
