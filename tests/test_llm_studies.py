"""The study of language models: cells, worlds, measures, claims, and runs that are killed."""

import dataclasses
import json

import numpy as np
import pytest
import xarray
from llm_study_cases import fake_cell

from modeseek.bandit.studies.contrasts import fresh_values
from modeseek.llm.data.tokenization import Example
from modeseek.llm.studies import cells, claims, running
from modeseek.llm.studies.draw import PANELS, figure_of
from modeseek.llm.studies.measures import FINAL_LENGTH, MARGIN, MEAN_GOLD, MEASURES, SECONDS_TO_SHORT
from modeseek.llm.studies.running import run_cell, run_cells
from modeseek.llm.studies.scales import GPU, LAPTOP, PAPER, SCALES
from modeseek.llm.studies.scenarios import plain_words
from modeseek.llm.studies.store import identity, read_cell
from modeseek.llm.studies.targets import CLAIMS, STUDY, TABLE3


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_every_cell_takes_the_same_gradient_steps_and_is_measured_at_its_end(scale):
    for cell in cells.every_cell():
        config = cell.config(scale, 1e-3, 7)
        assert config.gradient_steps == scale.steps, cell.name
        assert config.samples_per_collection == cell.staleness * scale.minibatch_size
        assert (config.inner_steps, config.seed, config.hyper.learning_rate) == (cell.inner_steps, 7, 1e-3)
        assert cell.measured_steps(scale)[0] == 0
        assert cell.measured_steps(scale)[-1] == scale.steps


def test_cells_are_named_by_what_they_are():
    names = [cell.name for cell in cells.every_cell()]
    assert len(set(names)) == len(names)
    config = {cell.name: cell.config(LAPTOP) for cell in cells.every_cell()}
    assert config["rwr-B4M-skew"].samples_per_collection == 64
    assert config["best_of_n-T8-min"].inner_steps == 8
    assert not config["dpo-no-eos-min"].conventions.train_eos
    assert config["dpo-no-eos-min"].conventions.train_first_token
    assert config["pref_ft-plain"].responses_per_prompt == 2


def test_every_claim_can_be_judged_from_its_figures_cells():
    for target in STUDY.targets:
        for claim in target.claims:
            assert {term.measure for term in claim.contrast.terms} <= set(MEASURES)
            assert claim.margin > 0
    # What UltraFeedback needs only the paper's policies have; all else a laptop judges.
    laptop = {cell for target in STUDY.targets for cell in target.cells_under(LAPTOP.protocol)}
    beyond = {cell for claim in CLAIMS.values() for cell in claim.contrast.cells} - laptop
    assert beyond == set(cells.OFFLINE_ULTRA.values())
    assert laptop == set(cells.every_cell()) == {c for t in STUDY.targets for c in t.cells_under(GPU.protocol)}
    assert all(PAPER in cell.protocols for cell in laptop | beyond)


@pytest.mark.parametrize(
    ("claim", "measured", "high", "low"),
    [
        ("fresh-rwr-final-min", "expected_reward", "rwr-min", "rwr-B4M-min"),
        ("fresh-reinforce-mean-skew", "expected_reward", "ppo-skew", "reinforce-B4M-skew"),
        ("fresh-ppo-proxy-min", "proxy_reward", "ppo-min", "ppo-B4M-min"),
        ("fresh-ppo-gap-larger-on-skew", "proxy_reward", "ppo-skew", "ppo-B4M-skew"),
        ("fresh-ppo-gap-larger-on-skew", "proxy_reward", "ppo-B4M-min", "ppo-min"),
        ("fresh-rwr-final-plain", "expected_reward", "rwr-plain", "rwr-B4M-plain"),
        ("negative-over-pref_ft-skew", "expected_reward", "dpo-skew", "pref_ft-skew"),
        ("negative-over-offline_rwr-min", "expected_reward", "dpo-min", "offline_rwr-min"),
        ("negative-over-pref_ft-plain", "expected_reward", "dpo-plain", "pref_ft-plain"),
        ("dpo-chosen-plain", "chosen_implicit_reward", None, "dpo-plain"),
        ("dpo-chosen-ultra", "chosen_implicit_reward", "dpo-ultra", None),
        ("pref_ft-rejected-plain", "rejected_implicit_reward", "pref_ft-plain", None),
        ("margin-min", "chosen_implicit_reward", "dpo-min", "pref_ft-min"),
        ("margin-min", "rejected_implicit_reward", "pref_ft-min", "dpo-min"),
        ("on-policy-dpo-over-rwr-mean-min", "expected_reward", "on_policy_dpo-min", "rwr-min"),
        ("on-policy-dpo-over-dpo-final-skew", "expected_reward", "on_policy_dpo-skew", "dpo-skew"),
        ("ppo-over-rwr-min", "expected_reward", "ppo-min", "rwr-min"),
        ("sooner-than-ppo-min", "seconds", "ppo-min", "on_policy_dpo-min"),
        ("reuse-2-over-1-min", "expected_reward", "best_of_n-T2-min", "best_of_n-min"),
        ("reuse-8-hurts-skew", "expected_reward", "best_of_n-skew", "best_of_n-T8-skew"),
        ("reuse-ppo-unstable-skew", "expected_reward", "ppo-skew", "ppo-T8-skew"),
        ("reuse-ppo-tolerates-min", "expected_reward", "ppo-T8-min", "best_of_n-T8-min"),
        ("released-lead-over-ppo", "expected_reward", "on_policy_dpo-min", "ppo-no-eos-min"),
        ("released-lead-larger-over-rwr", "expected_reward", "rwr-min", "rwr-neither-min"),
        ("released-lead-larger-over-dpo", "expected_reward", "dpo-min", "dpo-no-first-min"),
    ],
)
def test_a_claims_number_is_positive_where_its_words_are_true(claim, measured, high, low):
    """All curves zero but those that the sentence calls higher (at +1) and lower (at -1)."""
    contrast = CLAIMS[claim].contrast
    there = {cell: fake_cell(0.0, 0.0) for cell in contrast.cells}
    if measured == "seconds":  # of runs whose responses stay long
        there = {cell: data.assign(tokens=data["tokens"] + 20.0) for cell, data in there.items()}
    named = {cell.name: data for cell, data in there.items()}
    for name, level_there in ((high, 1.0), (low, -1.0)):
        if name is not None:
            named[name][measured] = xarray.full_like(named[name][measured], level_there)
    assert (fresh_values(contrast, there) > 0).all()


def test_measures_on_curves_computed_by_hand():
    nan = np.nan
    curves = xarray.Dataset(
        {
            "expected_reward": (("seed", "step"), [[-16, -8.0, -4], [-16, -12, -10], [-16, nan, nan]]),
            "tokens": (("seed", "step"), [[16, 8.0, 0], [16, 12, 10], [16, nan, nan]]),
            "seconds": (("seed", "step"), [[0, 1.0, 2], [0, 3, 6], [0, nan, nan]]),
            "chosen_implicit_reward": (("seed", "step"), [[0, 1.0, 2], [0, -1, -2], [0, nan, nan]]),
            "rejected_implicit_reward": (("seed", "step"), [[0, 0.0, -3], [0, -1, -1], [0, nan, nan]]),
        },
        {"step": [0, 8, 24]},
    )
    # 4 tokens lie half way between 8 and 0; the second run never gets there; the third diverged.
    np.testing.assert_allclose(SECONDS_TO_SHORT(curves), [1.5, 6, nan])
    np.testing.assert_allclose(MEAN_GOLD(curves), [-(12 * 8 + 6 * 16) / 24, -(14 * 8 + 11 * 16) / 24, nan])
    np.testing.assert_allclose(FINAL_LENGTH(curves), [0, 10, nan])
    np.testing.assert_allclose(MARGIN(curves), [5, -1, nan])


def test_plain_words_are_the_common_ones():
    """Frequencies by hand: 5 stands three times, 6 once, the others never (half a time)."""
    ids = lambda *numbers: np.array(numbers, np.int32)
    examples = [Example(ids(1), (ids(5, 5, 2),)), Example(ids(1), (ids(5, 6, 2),))]
    gold, total = plain_words(examples, 2, 8), 3.5 + 1.5 + 6 * 0.5
    assert gold([5, 6]) == pytest.approx((np.log(3.5 / total) + np.log(1.5 / total)) / 2)
    assert gold([]) == gold([7]) == pytest.approx(np.log(0.5 / total))


class FakeRunner:
    """Runs that rise the faster the nearer their rate is to .003, and that may be killed."""

    def __init__(self, dies_after: int = 10**6, diverges: float = 0.0) -> None:
        self.made, self.dies_after, self.diverges = [], dies_after, diverges

    def run(self, cell, rate, seed):
        if len(self.made) == self.dies_after:
            raise KeyboardInterrupt
        self.made.append((rate, seed))
        steps = cell.measured_steps(LAPTOP)
        end = -abs(np.log(rate / 0.003)) + 0.01 * seed
        values = [end * step / steps[-1] for step in steps]
        if rate == self.diverges:
            values[-1] = float("nan")
        return dict.fromkeys(cells_curves(), values)


def cells_curves():
    return fake_cell(0.0).drop_vars([m.grid for m in MEASURES]).data_vars


def test_a_killed_cell_goes_on_where_it_was_and_is_what_it_would_have_been(tmp_path):
    cell = cells.TOGETHER["rwr", "min_length"]
    whole = FakeRunner()
    expected = run_cell(cell, LAPTOP, lambda: whole, tmp_path / "whole")
    grid = [(rate, seed) for rate in LAPTOP.protocol.learning_rates for seed in (0, 1)]
    assert whole.made == grid + [(0.003, seed) for seed in range(2, 12)]
    made = []
    for _ in range(5):
        runner = FakeRunner(dies_after=3)
        with pytest.raises(KeyboardInterrupt):
            run_cell(cell, LAPTOP, lambda r=runner: r, tmp_path / "killed")
        made += runner.made
    runner = FakeRunner()
    found = run_cell(cell, LAPTOP, lambda: runner, tmp_path / "killed")
    assert made + runner.made == whole.made
    xarray.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())
    assert found.attrs["learning_rate"] == 0.003
    assert found.sizes == {"seed": 12, "step": 7, "learning_rate": 3, "tuning_seed": 2}
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["rwr-min.nc"]
    # What is done is read, and nothing is asked of a runner.
    again = run_cells([cell], LAPTOP, lambda: 1 / 0, tmp_path / "killed", say=lambda text: None)
    xarray.testing.assert_identical(again[cell], found)


def test_a_cell_that_goes_on_elsewhere_says_so_and_keeps_both_machines(tmp_path, monkeypatch):
    cell, said = cells.TOGETHER["rwr", "min_length"], []
    place = lambda name: {"machine": name, "versions": {"jax": "0.9"}}
    for name in ("one core", "two cores", "two cores"):
        monkeypatch.setattr(running, "here", lambda name=name: place(name))
        dies = FakeRunner(dies_after=3)
        with pytest.raises(KeyboardInterrupt):
            run_cells([cell], LAPTOP, lambda r=dies: r, tmp_path, say=said.append)
    done = run_cells([cell], LAPTOP, FakeRunner, tmp_path, say=said.append)[cell]
    assert done.attrs["machine"] == "one core; then two cores"
    notes = [line for line in said if line.startswith("note: ")]
    assert len(notes) == 1
    assert "rwr-min was begun elsewhere (machine: there 'one core', here 'two cores'): last bits" in notes[0]
    said.clear()
    run_cells([cell], LAPTOP, lambda: 1 / 0, tmp_path, say=said.append)
    assert said[0].startswith(
        "note: 1 of 1 finished files were made elsewhere and are taken (machine: there 'one core; "
    )


def test_a_rate_that_diverges_is_not_chosen(tmp_path):
    runner = FakeRunner(diverges=0.003)
    found = run_cell(cells.TOGETHER["ppo", "min_length"], LAPTOP, lambda: runner, tmp_path)
    assert found.attrs["learning_rate"] != 0.003
    assert np.isfinite(found["expected_reward"]).all()


def test_cells_of_something_else_are_refused(tmp_path):
    cell, other = cells.TOGETHER["rwr", "min_length"], cells.TOGETHER["rwr", "skew_length"]
    run_cell(cell, LAPTOP, FakeRunner, tmp_path)
    (tmp_path / "rwr-min.nc").rename(tmp_path / "rwr-skew.nc")
    with pytest.raises(ValueError, match=r"rwr-skew\.nc is of another cell: name, scenario differ"):
        read_cell(other, LAPTOP, tmp_path)
    (tmp_path / "rwr-min.runs.json").write_text(
        json.dumps({"identity": identity(cell, GPU), "seconds": 1.0, "runs": {}})
    )
    with pytest.raises(ValueError, match=r"is of another protocol: .*learning_rates"):
        run_cell(cell, LAPTOP, FakeRunner, tmp_path)
    (tmp_path / "rwr-min.runs.json").write_text("{")
    with pytest.raises(ValueError, match=r"rwr-min\.runs\.json is damaged .* delete it"):
        run_cell(cell, LAPTOP, FakeRunner, tmp_path)


def test_identities_tell_apart_what_is_trained():
    found = {json.dumps(identity(cell, LAPTOP)) for cell in cells.every_cell()}
    assert len(found) == len(cells.every_cell())
    cell, sizes = cells.TOGETHER["rwr", "min_length"], dataclasses.replace(LAPTOP.sizes, sft_steps=601)
    for other in (dataclasses.replace(LAPTOP, sizes=sizes), dataclasses.replace(LAPTOP, skew_mean=2.0)):
        assert identity(cell, other) != identity(cell, LAPTOP)
    assert set(claims.RELEASED) == set(cells.EOS_METHODS)


@pytest.mark.parametrize("target", [*PANELS, TABLE3], ids=lambda target: target.name)
def test_figures_are_drawn_of_what_is_there(target):
    there = {c: fake_cell(-5.0, seed=i) for i, c in enumerate(target.cells_under(LAPTOP.protocol))}
    figure = figure_of(target, there, "note")
    if target is not TABLE3:
        drawn = {curve.cell for row in PANELS[target][1](there) for panel in row for curve in panel.curves}
        assert drawn == set(there) - (
            {cells.STALENESS["ppo", "min_length", k] for k in (1, 4)} if "13" in target.name else set()
        )
    assert "note" in (figure.get_suptitle() or figure.axes[0].get_title(loc="left"))
