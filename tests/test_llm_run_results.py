"""`results.nc` of a single run: its lines as the bandit's results, which the bandit's readers and the studies take."""

import json

import numpy as np
import pytest
import xarray
from llm_cases import needs_transformers
from llm_tune_cases import records, tune, word_model, word_pairs

import modeseek
from modeseek.bandit.figures.panels import Curve, Panel, panels_figure
from modeseek.bandit.figures.style import ladder
from modeseek.bandit.studies.cells import fresh_runs
from modeseek.llm.studies.curves import curves_of
from modeseek.llm.studies.measures import CURVES, FINAL_GOLD, MEAN_GOLD
from modeseek.llm.training.algorithm1 import Algorithm1

pytestmark = needs_transformers

EVALUATED = ["--held-out", "0.5", "--evaluate-every", "2", "--reward", "min_length", "--checkpoint-every", "1"]
PASSES = ["--samples-per-collection", "4", "--minibatch-size", "4", "--inner-steps", "2", "--learning-rate", "0.01"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, pairs, and a run of RWR: three collections of two gradient steps, evaluated at 0, at 2 and at 3."""
    made = tmp_path_factory.mktemp("rwr")
    word_model(made), word_pairs(made)
    assert trained(made, made / "run") == 0
    return made


@pytest.fixture
def out(folder):
    return folder / "run"


def trained(folder, out):
    return tune(folder / "pythia", folder / "pairs.jsonl", out, "rwr", *EVALUATED, *PASSES)


@pytest.mark.slow
def test_every_number_of_the_lines_is_there_under_the_bandits_name(out):
    results, lines = modeseek.open_results(out), records(out)
    evaluations = [line for line in lines if "share_eos" in line]
    steps = [line for line in lines if "loss" in line]
    collections = [line for line in lines if "generate_seconds" in line]
    assert results["step"].values.tolist() == [0, 4, 6] == [line["step"] for line in evaluations]
    assert results["gradient_step"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert results["collection"].values.tolist() == [1, 2, 3]
    named = [
        (evaluations, {"expected_reward": "reward_gold", "kl_to_reference": "kl", "tokens": "tokens"}),
        (evaluations, {name: name for name in ("share_eos", "entropy", "words", "kl_sampled", "kl_per_token")}),
        (steps, {name: name for name in ("loss", "gradient_norm", "fraction_clipped", "kl_to_behavior", "margin")}),
        (steps, {"batch_kl_to_reference": "kl_to_reference", "batch_length": "length", "batch_ended": "ended"}),
        (collections, {"collection_reward": "reward", "collection_length": "length", "collection_ended": "ended"}),
    ]
    for table, names in named:
        for variable, name in names.items():
            wanted = np.float32([line.get(name, np.nan) for line in table])  # no pair: there is no such number
            np.testing.assert_array_equal(results[variable].values, wanted[None], err_msg=variable)
    numbers = [sum(not n.endswith("seconds") and n not in ("step", "collection") for n in one) for one in lines]
    values = sum(int(results[name].notnull().sum()) for name in results if name not in ("finished", "seconds"))
    assert values == sum(numbers) + len(evaluations)  # beside the lines' own numbers, how stale samples were at most
    stalest = [0.0, *(max(s["kl_from_behavior"] for s in part) for part in (steps[:4], steps[4:]))]
    np.testing.assert_array_equal(results["kl_from_behavior"].values, np.float32([stalest]))
    assert results["finished"].values.tolist() == [1]
    assert results["expected_reward"].attrs == {"long_name": "gold reward", "units": "1"}


def test_its_attributes_say_what_was_run_and_with_what(out):
    attributes = modeseek.open_results(out).attrs
    assert json.loads(attributes["identity"]) == json.loads((out / "config.json").read_text())
    configuration = json.loads(attributes["configuration"])
    assert (configuration["method"], configuration["inner_steps"]) == ("rwr", 2)
    assert json.loads(attributes["versions"])["modeseek"] == modeseek.__version__
    phases = sum(v for line in records(out) for n, v in line.items() if n.endswith("_seconds"))
    assert attributes["seconds"] == pytest.approx(phases)


def test_the_bandits_table_and_figure_and_the_studies_measures_read_it(out):
    results, lines = modeseek.open_results(out), records(out)
    ends = [line["reward_gold"] for line in lines if "share_eos" in line]
    assert len(set(ends)) > 1
    row = modeseek.table(results).splitlines()[-1]
    assert row.startswith("On-policy RWR")
    assert "min_length of words" in row
    assert f" {ends[-1]:.3f} " in row
    figure = modeseek.plot(results)
    drawn = figure.axes[0].lines[0].get_xydata()
    np.testing.assert_allclose(drawn, np.stack([[0, 4, 6], ends], axis=1), rtol=1e-6)
    runs = fresh_runs(results)
    assert FINAL_GOLD(runs).values == pytest.approx([ends[-1]], rel=1e-6)
    area = 4 * (ends[0] + ends[1]) / 2 + 2 * (ends[1] + ends[2]) / 2
    assert MEAN_GOLD(runs).values == pytest.approx([area / 6], rel=1e-6)
    panel = Panel("", [Curve("RWR", runs, ladder(1)[0])], y="tokens", reward_axis=False)
    assert len(panels_figure("Min Length", [[panel]]).axes) == 1


def test_seeds_and_methods_are_put_together_by_xarray(out):
    """As in the how-to: runs are concatenated along a dimension, and the table and the figure have a line each."""
    one = modeseek.open_results(out)
    seeds = xarray.concat([one, one.assign_coords(seed=[1])], "seed")
    assert f"{one['expected_reward'].values[0, -1]:.3f} ± 0.000" in modeseek.table(seeds)
    both = xarray.concat([one, one.drop_vars("fraction_clipped").assign_coords(algorithm="dpo")], "algorithm")
    assert [row.split("  ")[0] for row in modeseek.table(both).splitlines()[2:]] == ["On-policy RWR", "Offline DPO"]
    assert len(modeseek.plot(both).axes[0].lines) == 2


@pytest.mark.slow
def test_a_run_that_was_stopped_has_one_too_and_ends_with_the_uninterrupted_ones(folder, out, tmp_path, monkeypatch):
    again, turn = tmp_path / "again", Algorithm1.turn

    def stopped(self, state, report):
        if state.collection == 2:
            raise KeyboardInterrupt
        return turn(self, state, report)

    monkeypatch.setattr(Algorithm1, "turn", stopped)
    assert trained(folder, again) == 130
    half = modeseek.open_results(again)
    assert half["gradient_step"].values.tolist() == [1, 2, 3, 4]
    assert half["finished"].values.tolist() == [0]
    monkeypatch.setattr(Algorithm1, "turn", turn)
    assert trained(folder, again) == 0
    whole, found = (modeseek.open_results(folder).drop_vars("seconds") for folder in (out, again))
    xarray.testing.assert_equal(found, whole)
    named = lambda dataset: json.loads(dataset.attrs["configuration"])
    assert named(found) == named(whole)
    assert sorted(path.name for path in again.glob("*.nc")) == ["results.nc"]
    assert list(again.glob(".results*")) == []


def test_without_a_gold_reward_the_table_and_the_figure_say_so(folder, tmp_path):
    assert tune(folder / "pythia", folder / "pairs.jsonl", tmp_path / "run", "dpo") == 0
    results = modeseek.open_results(tmp_path / "run")
    assert "step" not in results.dims
    assert results["loss"].sizes == {"seed": 1, "gradient_step": 3}
    with pytest.raises(ValueError, match="no expected reward"):
        modeseek.table(results)
    with pytest.raises(ValueError, match="llm tune with a gold reward"):
        modeseek.plot(results)


def test_curves_are_those_of_a_loop_over_the_records():
    """Seconds count a collection as the median one; the KL to samples is the highest since the point before."""
    evaluation = lambda step, gold: {"step": step, "share_eos": 1.0, "reward_gold": gold, "evaluate_seconds": 9.0}
    collection = lambda seconds: {"reward": 0.0, "generate_seconds": seconds, "score_seconds": 1.0}
    step = lambda kl: {"loss": 0.0, "kl_from_behavior": kl, "update_seconds": 2.0}
    records = [
        *(evaluation(0, -3.0), collection(50.0), step(0.0), step(0.4), collection(1.0), step(0.1), step(0.2)),
        *(evaluation(4, -2.0), collection(3.0), step(0.0), step(0.3), evaluation(6, -1.0)),
    ]
    found = curves_of(records)
    assert found["expected_reward"] == [-3.0, -2.0, -1.0]
    assert found["kl_from_behavior"] == [0.0, 0.4, 0.3]
    assert found["seconds"] == [0.0, 16.0, 24.0]  # collections of 55, 6 and 8 seconds
    assert set(found) <= {*CURVES}
