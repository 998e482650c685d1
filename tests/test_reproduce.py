"""Claims, verdicts and cells: the rule against the textbook, the catalogue against itself, a stored cell made again."""

import dataclasses
import json
import math

import numpy as np
import pytest
import xarray
from scipy import stats

from bandit.cli import main
from bandit.reproduce import cells as running
from bandit.reproduce import report
from bandit.reproduce.assess import assess, table
from bandit.reproduce.claims import CLAIMS
from bandit.reproduce.contrasts import Term, difference, difference_of_differences, fresh_values, level, shifted_values
from bandit.reproduce.draw import DRAWINGS, verdict_figure
from bandit.reproduce.effects import CHANGES, effect, effects_table
from bandit.reproduce.measures import CURVES, MEANING, MEASURES, measure
from bandit.reproduce.protocol import FULL, QUICK, SHORT, Protocol
from bandit.reproduce.settings import FIGURES, MENDS, Cell, cells_of
from bandit.reproduce.verdicts import LEAST_SEEDS, MOST_SEEDS, decide, interval, judge, seeds_needed
from bandit.simulator.conventions import PAPER, RELEASED_CODE
from bandit.simulator.experiment import Experiment

RNG = np.random.default_rng(0)


def fake_cell(level: float, spread: float = 0.01, fresh: int = 10, seed: int = 0) -> xarray.Dataset:
    """A cell as `run_cell` leaves it, with made-up curves that rise to `level`."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, 101, 10)
    seeds = 5 + fresh
    ends = level + spread * rng.standard_normal(seeds)
    rise = (1 - np.exp(-steps / 20))[None] * ends[:, None]
    data = {name: (("seed", "step"), rise.astype(np.float32)) for name in CURVES}
    data |= {"kl_to_reference": (("seed", "step"), (20 * rise).astype(np.float32))}
    rates = [0.1, 0.01, 0.001]
    grid = {f"grid_{m}": (("learning_rate", "tuning_seed"), np.tile(ends[None, :5], (3, 1))) for m in MEASURES}
    return xarray.Dataset(
        data | grid,
        coords={"seed": np.arange(seeds), "step": steps, "learning_rate": rates},
        attrs={"learning_rate": 0.01, "tuning_seeds": 5, "seconds": 60.0, "created": "", "machine": "test"}
        | {"versions": "{}", "identity": json.dumps({"experiment": {}})},
    )


def test_interval_is_students():
    values = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.15])
    for claims in (1, 40):
        theirs = stats.t.interval(1 - 0.05 / claims, 5, values.mean(), stats.sem(values))
        np.testing.assert_allclose(interval(values, claims), theirs, rtol=1e-10)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = RNG.normal(0.3, 1.0, (4000, 8))
    covered = np.mean([low < 0.3 < high for low, high in map(interval, draws)])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(
    ("low", "high", "kind", "word"),
    [
        (0.01, 0.5, "more", "reproduced"),
        (-0.5, -0.01, "more", "reversed"),
        (-0.015, 0.015, "more", "not reproduced"),
        (0.001, 0.015, "more", "not reproduced"),
        (-0.015, -0.001, "more", "not reproduced"),
        (0.001, 0.05, "more", "reproduced"),
        (-0.015, 0.05, "more", "undecided"),
        (-0.015, 0.05, "at_least", "reproduced"),
        (-0.5, -0.03, "at_least", "reversed"),
        (-0.03, 0.05, "at_least", "undecided"),
        (-0.5, -0.01, "at_least", "undecided"),
        (-0.015, 0.015, "equal", "reproduced"),
        (0.03, 0.05, "equal", "not reproduced"),
        (-0.05, -0.03, "equal", "not reproduced"),
        (0.0, 0.05, "equal", "undecided"),
    ],
)
def test_words(low, high, kind, word):
    assert decide(low, high, kind, 0.02) == word


def test_too_few_seeds_give_no_verdict_however_clear():
    verdict = judge(np.full(LEAST_SEEDS - 1, 0.9) + 1e-6 * RNG.standard_normal(LEAST_SEEDS - 1), "more", 0.02, 40)
    assert verdict.word == "undecided"
    assert verdict.needed == LEAST_SEEDS
    # A diverged seed is no seed.
    assert judge(np.array([0.9, 0.9, 0.9, 0.9, np.nan]), "more", 0.02, 1).word == "undecided"
    assert judge(np.full(5, np.nan), "more", 0.02, 1).seeds == 0


def test_more_claims_never_make_a_verdict_surer():
    values = 0.1 + 0.09 * RNG.standard_normal(6)
    alone, many = judge(values, "more", 0.02, 1), judge(values, "more", 0.02, 50)
    assert many.low < alone.low < alone.high < many.high
    assert many.low_alone == alone.low


def test_seeds_needed_is_the_smallest_that_decides():
    values = np.array([0.1, -0.05, 0.2, 0.0, 0.12])
    n = seeds_needed(values, "more", 0.02, 1)

    def half(count):
        return stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)

    assert values.mean() - half(n) > 0
    assert values.mean() - half(n - 1) <= 0


def test_measures_on_a_curve_computed_by_hand():
    curves = xarray.Dataset(
        {
            "expected_reward": (("seed", "step"), [[0, 0.2, 0.9, 0.1], [0, 0.5, 0.6, 0.7], [0, 0.1, np.nan, np.nan]]),
            "kl_to_reference": (("seed", "step"), [[0.0, 5, 15, 20], [0, 3, 4, 5], [0, 1, np.nan, np.nan]]),
            "kl_to_behavior": (("seed", "step"), [[0.0, 2, 1, 0], [0, 1, 3, 2], [0, 1, np.nan, np.nan]]),
        },
        coords={"step": [0, 1, 2, 3]},
    )
    # The first curve passes 10 nats halfway between .2 and .9; the second stays below; the third diverged.
    np.testing.assert_allclose(measure(curves, "reward_within_budget"), [0.55, 0.7, np.nan])
    np.testing.assert_allclose(measure(curves, "mean_reward"), [0.3, 0.45, np.nan])
    np.testing.assert_allclose(measure(curves, "peak_behavior_kl"), [2, 3, np.nan])
    np.testing.assert_allclose(measure(curves, "final_reward"), [0.1, 0.7, np.nan])
    assert set(MEANING) == set(MEASURES)


def test_contrasts_are_taken_seed_by_seed_on_fresh_seeds():
    a, b, c = (fake_cell(x, 0.05, seed=i) for i, x in enumerate((0.9, 0.5, 0.4)))
    cells = {"a": a, "b": b, "c": c}
    last = lambda d: d["expected_reward"].values[5:, -1].astype(np.float64)
    np.testing.assert_allclose(fresh_values(difference("final_reward", "a", "b"), cells), last(a) - last(b))
    nested = difference_of_differences("final_reward", ("a", "b"), ("b", "c"))
    np.testing.assert_allclose(fresh_values(nested, cells), last(a) - 2 * last(b) + last(c), atol=1e-12)
    np.testing.assert_allclose(fresh_values(level("final_reward", "a", -1.0, 0.3), cells), -last(a) - 0.3)


def test_a_neighbouring_rate_is_the_neighbour_in_size():
    cell = fake_cell(0.5)
    cell["grid_final_reward"] = (("learning_rate", "tuning_seed"), np.outer([1.0, 2.0, 3.0], np.ones(5)))
    one = level("final_reward", "x")
    assert shifted_values(one, {"x": cell}, 1).tolist() == [1.0] * 5  # the grid is stored from large to small
    assert shifted_values(one, {"x": cell}, -1).tolist() == [3.0] * 5
    cell.attrs["learning_rate"] = 0.1
    assert shifted_values(one, {"x": cell}, 1) is None


def test_every_claim_can_be_judged_from_its_figures_cells():
    for claim in CLAIMS.values():
        there = {cell.name for cell in FIGURES[claim.figure]}
        assert set(claim.contrast.cells) <= there, claim.name
        assert {term.measure for term in claim.contrast.terms} <= set(MEASURES)
        assert claim.margin > 0
    assert isinstance(CLAIMS["table3-ppo"].contrast.terms[0], Term)
    # In the quick protocol too: a claim that it cannot judge would look forgotten.
    quick = {name for figure in FIGURES for name in cells_of((figure,), QUICK)}
    assert {name for claim in CLAIMS.values() for name in claim.contrast.cells} <= quick


@pytest.mark.parametrize(
    ("claim", "measured", "high", "low"),
    [
        ("staleness-reward-R1", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-kl-R2", "kl_to_behavior", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("reuse-1-over-10", "expected_reward", "rwr-T1-R1", "rwr-T10-R1"),
        ("reuse-ppo-tolerates", "expected_reward", "best_of_n-T1-R1", "best_of_n-T10-R1"),
        ("reuse-ppo-tolerates", "expected_reward", "ppo-T10-R1", "ppo-T1-R1"),
        ("offline-ipo-over-rwr-R1", "expected_reward", "ipo-100-steps-R1", "offline_rwr-100-steps-R1"),
        ("offline-gap-smaller-on-R2", "expected_reward", "ipo-100-steps-R1", "ipo-100-steps-R2"),
        ("offline-best-of-n-better-on-R2", "expected_reward", "offline_best_of_n-100-steps-R2", None),
        ("negative-gradient-kl-ipo-R1", "kl_to_reference", "ipo-100-steps-R1", "offline_rwr-100-steps-R1"),
        ("displacement-few-chosen", "chosen_implicit_reward", "ipo-5-prompts-R1", None),
        ("displacement-few-rejected", "rejected_implicit_reward", None, "ipo-5-prompts-R1"),
        ("displacement-many-chosen", "chosen_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-many-rejected", "rejected_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-trend", "chosen_implicit_reward", "ipo-5-prompts-R1", "ipo-100-prompts-R1"),
        ("on-policy-ipo-over-ipo-mean-R1", "expected_reward", "on_policy_ipo-R1", "ipo-R1"),
        ("on-policy-ipo-matches-ppo-R2", "expected_reward", "on_policy_ipo-R2", "ppo-R2"),
        ("one-token-best-of-n-over-ipo-R2", "expected_reward", "offline_best_of_n-one-token-R2", "ipo-one-token-R2"),
    ],
)
def test_a_claims_number_is_positive_where_its_words_are_true(claim, measured, high, low):
    """All curves zero but those that the sentence calls higher (at +1) and lower (at -1)."""
    contrast = CLAIMS[claim].contrast
    cells = {name: fake_cell(0.0, 0.0) for name in contrast.cells}
    for name, level_there in ((high, 1.0), (low, -1.0)):
        if name is not None:
            cells[name][measured] = xarray.full_like(cells[name][measured], level_there)
    assert (fresh_values(contrast, cells) > 0).all()


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
    assert lines[-1].split("|")[5].strip() == "9"
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


def test_what_is_kept_is_of_the_chosen_rate_and_counts_what_diverged():
    rates, steps = [0.1, 0.01], np.arange(0, 401)

    def runs(seeds, first):
        dims = ("algorithm", "reward", "learning_rate", "seed", "step")
        # One number says rate and seed; step 0 is 0, so that a curve can be told from a constant.
        level = np.add.outer(rates, np.arange(first, first + seeds))[None, None, :, :, None] * (steps > 0)
        diverged = np.full((1, 1, len(rates), seeds), -1)
        diverged[0, 0, 0, -1] = 3
        coords = {"learning_rate": rates, "seed": np.arange(first, first + seeds), "step": steps}
        return xarray.Dataset(dict.fromkeys(CURVES, (dims, level)) | {"diverged_at": (dims[:-1], diverged)}, coords)

    kept = running.compact(runs(5, 0), runs(3, 5).isel(learning_rate=1), 0.01)
    assert kept.sizes["step"] == 101
    np.testing.assert_allclose(kept["expected_reward"].isel(step=-1), np.arange(8) + 0.01, rtol=1e-6)
    np.testing.assert_allclose(kept["grid_final_reward"], np.add.outer(rates, np.arange(5)), rtol=1e-6)
    assert kept["diverged"].values.tolist() == [1, 0]
    assert kept.attrs == {"learning_rate": 0.01, "tuning_seeds": 5}


@dataclasses.dataclass(frozen=True)
class TinyCell(Cell):
    """A cell on the tests' own small bandit."""

    small: Experiment | None = None

    def experiment(self, conventions, protocol):
        return self.small


def test_a_cell_is_tuned_judged_on_fresh_seeds_kept_and_refused_to_another_protocol(tiny, tmp_path):
    # Both of its methods, the first of which is the cell's: the programs of the other tests serve here too.
    small = dataclasses.replace(tiny, hyper=dataclasses.replace(tiny.hyper, learning_rate=1e-3))
    cell = TinyCell("tiny", "ppo", "R1", small=small)
    protocol = Protocol("test", (0.001, 0.01), tuning_seeds=2, fresh_seeds=3)
    made = running.run_cell(cell, PAPER, protocol, tmp_path, progress=False)
    assert made.sizes["seed"] == 5
    assert made["seed"].values.tolist() == [0, 1, 2, 3, 4]
    means = made["grid_final_reward"].mean("tuning_seed")
    assert float(means.sel(learning_rate=made.attrs["learning_rate"])) == float(means.max())
    # The curve of a tuning seed at the chosen rate is what its measure was taken from.
    at = made["grid_final_reward"].sel(learning_rate=made.attrs["learning_rate"])
    np.testing.assert_allclose(measure(made, "final_reward").values[:2], at.values, rtol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.nc"]
    again = running.run_cell(cell, PAPER, protocol, tmp_path, progress=False)
    xarray.testing.assert_identical(again, made)
    other = dataclasses.replace(protocol, fresh_seeds=4)
    with pytest.raises(ValueError, match="another protocol: fresh_seeds differ"):
        running.read_cell(cell, PAPER, other, tmp_path)


def test_unknown_figures_and_missing_stored_cells_say_what_to_do(capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "fig3", "--out", str(tmp_path)])
    assert "expected fig2, fig4" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "fig2", "--short", "--quick", "--out", str(tmp_path)])
    assert "two protocols" in capsys.readouterr().err
    monkeypatch.setattr(running, "stored_folder", lambda *_: tmp_path / "nothing")
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "table3", "--stored", "--out", str(tmp_path)])
    message = capsys.readouterr().err
    assert "not stored: on_policy_ipo-R1, ipo-R1, rwr-R1, ppo-R1" in message
    assert "modeseek reproduce table3 --conventions paper" in message


def test_a_stored_cell_can_be_made_again(tmp_path):
    """Not to the bit: another processor rounds otherwise, and training magnifies it; hence the tolerances."""
    cell = cells_of(("one-token",), QUICK)["offline_best_of_n-one-token-R2"]
    stored = running.read_cell(cell, PAPER, QUICK, running.stored_folder(QUICK, "paper"))
    made = running.run_cell(cell, PAPER, QUICK, tmp_path, progress=False)
    start, end = {"step": slice(0, 2)}, {"step": slice(-1, None)}
    np.testing.assert_allclose(made["expected_reward"].isel(start), stored["expected_reward"].isel(start), atol=0.02)
    np.testing.assert_allclose(made["expected_reward"].isel(end), stored["expected_reward"].isel(end), atol=0.1)
    np.testing.assert_allclose(made["grid_mean_reward"], stored["grid_mean_reward"], atol=0.05)


def test_the_report_says_what_is_stored_and_what_is_not(tmp_path, monkeypatch, capsys):
    real = running.stored_folder(SHORT, "paper")
    monkeypatch.setattr(
        "bandit.reproduce.document.stored_folder",
        lambda protocol, conventions: real if (protocol, conventions) == (SHORT, "paper") else tmp_path / "nothing",
    )
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "report", "--out", str(tmp_path)])
    text = (tmp_path / "reproduction.md").read_text()
    assert "Not stored yet: `modeseek reproduce fig4 --conventions released_code` makes it." in text
    assert "| reference = policy of each collection | 0.01 | 0.473 → 0.999 | +0.526" in text
    assert (tmp_path / "reproduction" / "short-paper-remedies.png").exists()
    assert "**reversed**" in text
    assert "| reversed (short) | not run yet |" in text
    for claim in CLAIMS.values():
        assert claim.text in text
