"""Results on disk, and the numbers drawn from them."""

import dataclasses
import errno
import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.summary import (
    choose_learning_rate,
    final_value,
    final_values,
    learning_rate_on_edge,
    mean_over_run,
    over_seeds,
    table,
)


def test_a_results_file_reads_back_and_holds_its_experiment(tiny, tiny_results, tmp_path):
    path = tmp_path / "results.nc"
    results.save(tiny_results, path)
    read = results.load(path)
    xarray.testing.assert_identical(read, tiny_results)
    assert results.experiment_of(read) == tiny
    assert {"jax", "modeseek", "python"} <= json.loads(read.attrs["versions"]).keys()
    assert [p.name for p in tmp_path.iterdir()] == ["results.nc"]  # no temporary file stays


def test_distributions_are_distributions(tiny_results):
    np.testing.assert_allclose(tiny_results["token_distribution"].sum("token"), 1.0, rtol=1e-5)
    np.testing.assert_allclose(tiny_results["reference_probs"].sum(), 1.0)


def test_a_truncated_file_is_named(tiny_results, tmp_path):
    path = tmp_path / "results.nc"
    results.save(tiny_results, path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="truncated"):
        results.load(path)


def test_a_small_dataset_is_the_same_in_netcdf_3(tiny_results, tmp_path):
    """Values, names, attributes; whole numbers may come back narrower. Cut anywhere, it is refused."""
    some = tiny_results[["expected_reward", "diverged_at"]]
    path = tmp_path / "small.nc"
    results.save(some, path, small=True)
    read = results.load(path)
    xarray.testing.assert_equal(read, some)
    assert read.attrs == some.attrs
    assert read["expected_reward"].attrs == some["expected_reward"].attrs
    whole = path.read_bytes()
    assert whole[:3] == b"CDF"
    for length in range(0, len(whole) - 3, max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="truncated"):
            results.load(path)


def test_a_file_of_another_version_is_refused(tiny_results, tmp_path):
    other = tiny_results.assign_attrs(modeseek_format=99)
    results.save(other, tmp_path / "results.nc")
    with pytest.raises(ValueError, match="format 99, this one reads 1"):
        results.load(tmp_path / "results.nc")
    with pytest.raises(ValueError, match="no results file"):
        results.load(tmp_path / "absent.nc")


def test_a_configuration_of_another_version_is_refused(tiny):
    data = json.loads(tiny.to_json())
    data["algorithm"]["inner_step"] = 3
    with pytest.raises(ValueError, match=r"not a configuration of this version.*inner_step"):
        type(tiny).from_json(json.dumps(data))
    with pytest.raises(ValueError, match="not a configuration of this version of modeseek: it has no 'reference'"):
        type(tiny).from_json("{}")


def test_a_failed_write_leaves_the_old_file(tmp_path, tiny_results, monkeypatch):
    path = tmp_path / "results.nc"
    results.save(tiny_results, path)
    before = path.read_bytes()

    def fail(self, content):
        self.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*results\.nc'"):
        results.save(tiny_results, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def grid():
    """Two algorithms, three rates, two seeds, twenty steps; every number written down here."""
    ends = np.array([[[0.1, 0.3], [0.5, 0.7], [0.6, np.nan]], [[0.2, 0.2], [0.2, 0.2], [0.1, 0.1]]])
    curves = np.broadcast_to(ends[:, None, :, :, None], (2, 1, 3, 2, 20)).copy()
    curves[..., :18] = 0.0  # the last tenth, two measurements, decides
    dims = ("algorithm", "reward", "learning_rate", "seed", "step")
    return xarray.Dataset(
        {"expected_reward": (dims, curves), "kl_to_reference": (dims, curves * 10)},
        coords={
            "algorithm": ["ppo", "ipo"],
            "reward": ["R1"],
            "learning_rate": [1e-4, 1e-3, 1e-2],
            "seed": [0, 1],
            "step": np.arange(20),
        },
    )


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_learning_rate_with_the_highest_end_is_chosen(grid, order):
    """PPO: .2, .6 and a diverged seed, so the middle. IPO: a tie of the first two, so the smaller."""
    grid = grid.isel(learning_rate=order)
    best = choose_learning_rate(grid)
    np.testing.assert_array_equal(best["learning_rate"].values.ravel(), [1e-3, 1e-4])
    np.testing.assert_allclose(final_values(best)["expected_reward"].values[:, 0], [[0.5, 0.7], [0.2, 0.2]])
    assert learning_rate_on_edge(grid) == ["ipo/R1: 0.0001"]


def test_where_every_rate_lost_a_seed_the_best_of_the_fullest_is_chosen(grid):
    """PPO: one, one and both seeds lost: the first two compete, and .5 is more than .3."""
    lost = grid.copy(deep=True)
    lost["expected_reward"][0, 0, 0, 0] = lost["expected_reward"][0, 0, 1, 1] = np.nan
    lost["expected_reward"][0, 0, 2] = np.nan
    best = choose_learning_rate(lost)
    assert best["learning_rate"].values.ravel()[0] == 1e-3
    assert "(1 of 2 seeds)" in table(best).splitlines()[2]


def test_mean_and_standard_error_over_seeds():
    """The numbers 1, 3, 8 have mean 4, variance (9+1+16)/2 = 13, standard error √(13/3). A NaN seed does not count."""
    values = xarray.DataArray([[1.0, 3.0, 8.0, np.nan], [5.0, np.nan, np.nan, np.nan]], dims=("x", "seed"))
    mean, error = over_seeds(values)
    np.testing.assert_allclose(mean, [4.0, 5.0])
    np.testing.assert_allclose(error, [np.sqrt(13 / 3), np.nan])


def test_the_table_says_what_the_data_say(grid):
    lines = table(choose_learning_rate(grid)).splitlines()
    assert lines[2].split()[:2] == ["On-policy", "PPO"]
    assert "0.001" in lines[2]
    assert "0.600 ± 0.100" in lines[2]
    assert "6.0 ± 1.0" in lines[2]


def test_snapshots_keep_every_collection(tiny):
    from modeseek.bandit.simulator.assemble import assemble
    from modeseek.bandit.simulator.plan import make_plan

    kept = dataclasses.replace(tiny, evaluation=dataclasses.replace(tiny.evaluation, snapshots=True))
    dataset = assemble(kept, make_plan(kept), {}, np.zeros(2), 0.0)
    assert dataset["token_distribution"].sizes["snapshot"] == 1 + kept.algorithm.collections
    np.testing.assert_array_equal(dataset["snapshot"], [0, 4, 8, 12])


def test_the_mean_over_a_run_does_not_depend_on_how_often_it_was_measured():
    steps = np.arange(101)
    rising = xarray.DataArray(np.stack([np.minimum(1, steps / 50), 0 * steps]), dims=("seed", "step")).assign_coords(
        step=steps
    )
    for every in (1, 5, 25):
        np.testing.assert_allclose(mean_over_run(rising.isel(step=slice(None, None, every))), [0.75, 0])
    uneven = rising.isel(step=[0, 50, 51, 52, 100])
    np.testing.assert_allclose(mean_over_run(uneven), [0.75, 0])
    np.testing.assert_allclose(mean_over_run(rising.isel(step=[7])), [0.14, 0])
    assert np.isnan(mean_over_run(rising.where(rising.step < 90))).all()


def _tuning(ends, speeds):
    """Runs of three rates, `[rate][seed]`, with this last and this mean reward; from the largest rate down."""
    ends, speeds = np.array(ends, float), np.array(speeds, float)
    before = np.repeat((9 * speeds - ends / 2)[..., None] / 8.5, 9, axis=-1)  # nine steps, the last to the end
    curves = np.concatenate([before, ends[..., None]], axis=-1)
    return xarray.Dataset(
        {"expected_reward": (("learning_rate", "seed", "step"), curves)}, {"learning_rate": [0.1, 0.01, 0.001]}
    )


def _chosen(runs, tie):
    return float(choose_learning_rate(runs, tie)["learning_rate"])


def test_the_highest_end_is_tuned_for_and_of_tied_ones_the_fastest():
    ends, speeds = [[0.99, 0.99], [1.0, 1.0], [0.9, 0.9]], [[0.8, 0.8], [0.7, 0.7], [0.95, 0.95]]
    assert _chosen(_tuning(ends, speeds), tie=0.02) == 0.1
    assert _chosen(_tuning(ends, speeds), tie=0.0) == 0.01
    assert _chosen(_tuning(ends, speeds), tie=0.2) == 0.001
    lost = [[0.99, np.nan], [1.0, 1.0], [0.9, 0.9]]  # a rate at which a seed diverged does not compete
    assert _chosen(_tuning(lost, [[0.8, np.nan], *speeds[1:]]), tie=0.02) == 0.01
    best_lost = [[0.99] * 4 + [np.nan], [0.5] * 5, [0.4] * 5]  # however well the others did
    assert _chosen(_tuning(best_lost, best_lost), tie=0.02) == 0.01
    all_lost = [[0.5, np.nan], [0.7, np.nan], [np.nan, 0.6]]  # unless they all lost one
    assert _chosen(_tuning(all_lost, all_lost), tie=0.02) == 0.01
    equal = [[0.5, 0.5]] * 3
    assert _chosen(_tuning(equal, equal), tie=0.02) == 0.001


def test_where_a_run_ends_is_one_number_by_either_way():
    """Over any order of axes; a run that diverged has none."""
    values = np.random.default_rng(0).standard_normal((2, 21, 3)).astype(np.float32)
    values[1, 20, 2] = np.nan
    curves = xarray.DataArray(values, dims=("seed", "step", "rate"), name="expected_reward")
    for share in (0.0, 0.1, 1.0):
        found, slow = final_value(curves, share), final_values(curves.to_dataset(), share)["expected_reward"]
        xarray.testing.assert_allclose(found, slow, rtol=1e-6)
        assert int(found.isnull().sum()) == 1
