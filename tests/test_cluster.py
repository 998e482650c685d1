"""Work on a cluster: the same bits as without one, whatever is lost on the way; and what is refused."""

import contextlib
import dataclasses
import os
import pickle
import sys

import jax
import numpy as np
import pytest
import xarray

from modeseek import cluster
from modeseek.bandit.commands.common import Where
from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.conventions import PAPER
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.workers import train_unit
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce import on_cluster, running
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.cluster import workers_at

WITHOUT = "Dask is not installed (the extra cluster)"


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


class Workers:
    """A cluster in this process: all is pickled, and comes back in another order; Ctrl-C after `patience` groups."""

    def __init__(self, patience=None):
        self.patience, self.asked = patience, []

    def __call__(self, function, items):
        for index, item in reversed(list(enumerate(items))):
            if self.patience == 0:
                raise KeyboardInterrupt
            self.asked.append((function, item))
            result = pickled(pickled(function)(pickled(item)))
            if function in (train_unit, on_cluster.run_unit) and self.patience is not None:
                self.patience -= 1
            yield index, result


def _equal(first, second):
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=name)


def test_a_sweep_on_a_cluster_has_the_bits_of_one_without(tiny, tiny_results):
    done = run_sweep(tiny, progress=False, workers=Workers())
    assert done.complete
    _equal(done.dataset, tiny_results)
    assert done.dataset.attrs["machine"] == tiny_results.attrs["machine"]


def test_a_sweep_that_is_stopped_keeps_what_came_and_sends_only_the_rest(tiny, tiny_results, tmp_path):
    path = tmp_path / "results.nc"
    stopped = run_sweep(tiny, path, progress=False, workers=Workers(patience=1))
    assert not stopped.complete
    assert int(stopped.dataset["finished"].sum()) == 2  # a group
    again = Workers()
    done = run_sweep(tiny, path, progress=False, workers=again)
    assert [len(item.runs.seed) for function, item in again.asked if function is train_unit] == [2]
    _equal(done.dataset, tiny_results)
    _equal(results.load(path), tiny_results)
    assert [each.name for each in tmp_path.iterdir()] == ["results.nc"]


def test_what_is_sent_is_a_group_and_the_policies_of_its_seeds_alone(tiny):
    """Eight runs of two seeds in groups of two: sorted by seed, each with one policy."""
    vary = dataclasses.replace(tiny, vary=(("tau", (0.1, 0.2)),))
    workers = Workers()
    run_sweep(vary, progress=False, workers=workers)
    units = [item for function, item in workers.asked if function is train_unit]
    assert sorted(unit.runs.seed.tolist() for unit in units) == [[0, 0]] * 2 + [[1, 1]] * 2
    assert {len(leaf) for unit in units for leaf in jax.tree.leaves(unit.params)} == {1}
    flat = lambda tree: np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])
    policies = {int(unit.runs.seed[0]): flat(unit.params) for unit in units}
    assert not np.array_equal(policies[0], policies[1])


@dataclasses.dataclass(frozen=True)
class TinyCell(BanditCell):
    """A cell on the tests' own small bandit."""

    small: Experiment | None = None

    def experiment(self, conventions, protocol):
        return self.small


def test_a_reproduction_on_a_cluster_leaves_the_files_of_one_without(tiny, tmp_path):
    """Two cells, the second of which shares the first one's tuning; stopped before all came, and gone on with."""
    small = dataclasses.replace(tiny, hyper=dataclasses.replace(tiny.hyper, learning_rate=1e-3))
    cell = TinyCell("tiny", "ppo", "R1", small=small)
    within = dataclasses.replace(cell, name="within", tuned_for="reward_within_budget", tuned_with=cell)
    other = dataclasses.replace(cell, name="other")
    protocol = Protocol("test", (0.001, 0.01), tuning_seeds=2, fresh_seeds=2, tie=0.0)
    cells, said = [within, other, cell], []
    run = lambda folder, workers: on_cluster.run_cells_on_workers(
        cells, PAPER, protocol, folder, workers, say=said.append
    )
    here = running.run_cells(cells, PAPER, protocol, tmp_path / "here", say=said.append)
    said.clear()
    assert run(tmp_path / "there", Workers(patience=1)) is None
    assert said == ["1 of 3 cells: other"]
    again = Workers()
    there = run(tmp_path / "there", again)
    assert [[cell.name for cell in unit.cells] for _, unit in again.asked] == [["tiny", "within"]]
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert {path.name for path in (tmp_path / "there").iterdir()} == names == {"tiny.nc", "within.nc", "other.nc"}
    for each in cells:
        xarray.testing.assert_equal(there[each], here[each])
        assert there[each].attrs["identity"] == here[each].attrs["identity"]
    assert run(tmp_path / "there", Workers(patience=0)).keys() == there.keys()  # nothing is sent


def test_a_worker_takes_stages_and_earlier_tunings_with_it(tiny, tmp_path):
    cell = TinyCell("tiny", "ppo", "R1", small=tiny)
    protocol, earlier = (Protocol(name, (0.001,), tuning_seeds=2, fresh_seeds=2) for name in ("test", "earlier"))
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "tiny.nc").write_bytes(b"cell")
    (tmp_path / "tiny.tuning.nc").write_bytes(b"stage")
    before = [running.Before(earlier, tmp_path / "before")]
    (unit,) = on_cluster.units_of([cell], PAPER, protocol, tmp_path, before)
    assert unit.files == {"tiny.tuning.nc": b"stage", "before-0/tiny.nc": b"cell"}
    assert unit.before == (earlier,)


def test_a_cluster_without_dask_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ValueError, match=r"a cluster needs Dask: python -m pip install .*'\.\[cluster\]'"),
        workers_at("local:1"),
    ):
        pass


def test_a_worker_with_other_versions_is_refused():
    assert cluster._at_worker(abs, -1, cluster._versions()) == 1
    with pytest.raises(ValueError, match=r"other versions: modeseek: there '[\d.]+', here '0\.0'"):
        cluster._at_worker(abs, -1, cluster._versions() | {"modeseek": "0.0"})


def test_devices_and_a_cluster_are_not_asked_for_at_once():
    with pytest.raises(ValueError, match="give one"), Where(devices=1, cluster="local:1").workers():
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "foo://host:1", ""])
def test_an_address_where_nobody_answers_is_named(address, monkeypatch):
    pytest.importorskip("distributed", reason=WITHOUT)
    monkeypatch.setattr(cluster, "PATIENCE", 0.3)
    with pytest.raises(ValueError, match="no scheduler answers at"), workers_at(address):
        pass


def test_workers_are_at_least_one():
    pytest.importorskip("distributed", reason=WITHOUT)
    with pytest.raises(ValueError, match=r"local workers must be .* at least 1, got 0"), workers_at("local:0"):
        pass


def test_a_local_cluster_maps_refuses_and_may_be_left():
    pytest.importorskip("distributed", reason=WITHOUT)
    with workers_at("local:2") as map_items:
        assert dict(map_items(abs, range(-9, 1))) == {i: 9 - i for i in range(10)}
        assert [value for _, value in map_items(os.getenv, ["JAX_NUM_CPU_DEVICES"])] == [
            str(max(2, cluster.available_cores() // 2))
        ]
        with pytest.raises(ValueError, match="invalid literal for int"):
            list(map_items(int, ["1", "x"]))
        with contextlib.closing(map_items(abs, range(1000))) as some:  # left in the middle
            next(some)
        assert dict(map_items(abs, [-1])) == {0: 1}


@pytest.mark.slow  # workers are started again and again, which takes minutes where the machine is busy
def test_an_item_that_ends_each_worker_that_has_it_is_given_up():
    """And what follows is done by the workers that took their places."""
    pytest.importorskip("distributed", reason=WITHOUT)
    with workers_at("local:2") as map_items:
        with pytest.raises(ValueError, match="item 1 was lost with each worker that had it"):
            list(map_items(os._exit, [1]))
        assert dict(map_items(abs, [-1])) == {0: 1}
