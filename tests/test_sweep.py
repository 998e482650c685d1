"""Sweeps: the same bits alone or in company, once or resumed; and nothing compiled twice."""

import dataclasses
import threading

import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator import groups, results, runner, sweep
from modeseek.bandit.simulator.store import Store
from modeseek.bandit.simulator.sweep import run_sweep


def _equal(first, second):
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=name)


def test_the_grid_has_its_axes_and_every_run_is_finished(tiny, tiny_results):
    curves = tiny_results["expected_reward"]
    assert curves.dims == ("algorithm", "reward", "seed", "step")
    assert curves.shape == (2, 1, 2, 1 + tiny.algorithm.gradient_steps // tiny.evaluation.interval)
    assert (tiny_results["finished"] == 1).all()
    assert curves.notnull().all()
    np.testing.assert_array_equal(tiny_results["step"], np.arange(0, 13, 2))


def test_runs_differ_by_seed_and_method_and_share_their_start(tiny_results):
    curves = tiny_results["expected_reward"].squeeze("reward")
    np.testing.assert_array_equal(curves.sel(algorithm="ppo")[:, 0], curves.sel(algorithm="on_policy_ipo")[:, 0])
    assert len(np.unique(curves[:, :, -1])) == 4


def test_training_helps(tiny_results):
    curves = tiny_results["expected_reward"]
    assert (curves[..., -1] > curves[..., 0]).all()


def test_the_same_seed_gives_the_same_bits(tiny, tiny_results):
    _equal(run_sweep(tiny, progress=False).dataset, tiny_results)


def test_a_run_of_the_sweep_is_the_run_alone(tiny, tiny_results):
    """Seed 1 by itself: another number of runs, another place in the group, the same bits."""
    alone = run_sweep(dataclasses.replace(tiny, seeds=1, first_seed=1), progress=False).dataset
    _equal(alone.drop_vars("finished"), tiny_results.sel(seed=[1]).drop_vars("finished"))


def test_numbers_compile_nothing(tiny, tiny_results):
    """Other learning rates, temperatures, rewards and seeds: the compiled programs are found, not made."""
    before = groups.group_programs.cache_info()
    other = dataclasses.replace(
        tiny,
        rewards=("bump:1:2",),
        first_seed=7,
        hyper=HyperParameters(),
        learning_rates=(0.003, 0.02),
        vary=(("tau", (0.1, 0.2)),),
        seeds=1,
    )
    dataset = run_sweep(other, progress=False).dataset
    after = groups.group_programs.cache_info()
    assert (after.misses, after.currsize) == (before.misses, before.currsize)
    assert dataset["expected_reward"].dims == ("algorithm", "reward", "learning_rate", "tau", "seed", "step")
    ipo = dataset["expected_reward"].sel(algorithm="on_policy_ipo").isel(step=-1)
    assert len(np.unique(ipo)) == 4  # tau and learning rate both reach the runs
    assert len(np.unique(dataset["expected_reward"].sel(algorithm="ppo").isel(step=-1))) == 2  # PPO has no tau


class _Killed(Exception):
    pass


def test_a_killed_sweep_resumes_to_the_same_bits(tiny, tiny_results, tmp_path, monkeypatch):
    """Killed right after the state in flight was saved, in the second group, between two collections."""
    path = tmp_path / "results.nc"
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(runner, "SAVING_SHARE", np.inf)
    real = Store.save_in_flight
    saved = []

    def save_and_die(self, runs, collections, state, metrics):
        real(self, runs, collections, state, metrics)
        saved.append((tuple(runs), collections))
        if len(saved) == 3:
            raise _Killed

    monkeypatch.setattr(Store, "save_in_flight", save_and_die)
    with pytest.raises(_Killed):
        run_sweep(tiny, path, progress=False)
    assert saved == [((0, 1), 1), ((0, 1), 2), ((2, 3), 1)]
    assert not path.exists()
    monkeypatch.setattr(Store, "save_in_flight", real)
    done = run_sweep(tiny, path, progress=False)
    assert done.complete
    _equal(done.dataset, tiny_results)
    _equal(results.load(path), tiny_results)
    assert [p.name for p in tmp_path.iterdir()] == ["results.nc"]


def test_stopping_keeps_finished_runs_and_goes_on(tiny, tiny_results, tmp_path, monkeypatch):
    """Ctrl-C in the second group: the first group's curves are in the partial file, the rest is NaN."""
    path = tmp_path / "results.nc"
    stop = threading.Event()
    real = Store.save_finished

    def save_and_stop(self, runs, leaves):
        real(self, runs, leaves)
        stop.set()

    class Stopped:
        def __enter__(self):
            return stop

        def __exit__(self, *_):
            return None

    with monkeypatch.context() as patch:
        patch.setattr(runner, "stop_on_interrupt", Stopped)
        patch.setattr(Store, "save_finished", save_and_stop)
        stopped = run_sweep(tiny, path, progress=False)
    assert not stopped.complete
    partial = results.load(path.with_suffix(".partial.nc"))
    np.testing.assert_array_equal(partial["finished"].values.ravel(), [1, 1, 0, 0])
    np.testing.assert_array_equal(
        partial["expected_reward"].sel(algorithm="ppo"), tiny_results["expected_reward"].sel(algorithm="ppo")
    )
    assert partial["expected_reward"].sel(algorithm="on_policy_ipo").isnull().all()
    _equal(run_sweep(tiny, path, progress=False).dataset, tiny_results)


def test_an_interrupt_is_a_flag_first():
    import signal

    before = signal.getsignal(signal.SIGINT)  # of a shell's background job: ignored
    with runner.stop_on_interrupt() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_configuration_is_not_mixed_in(tiny, tmp_path):
    path = tmp_path / "results.nc"
    with Store(path.with_suffix(".partial"), results.identity(tiny)):
        pass
    changed = dataclasses.replace(tiny, seeds=3)
    with pytest.raises(ValueError, match=r"another configuration .*experiment.seeds: there 2, here 3"):
        run_sweep(changed, path, progress=False)
    assert not path.exists()


def test_an_existing_result_is_not_overwritten(tiny, tmp_path):
    path = tmp_path / "results.nc"
    path.write_text("precious")
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        run_sweep(tiny, path, progress=False)
    assert path.read_text() == "precious"


def test_divergence_is_named_and_the_others_go_on(tiny, tmp_path):
    from modeseek.bandit.simulator.summary import diverged_runs

    wild = dataclasses.replace(tiny, hyper=HyperParameters(), learning_rates=(0.01, 1e30), seeds=1)
    dataset = run_sweep(wild, progress=False).dataset
    lines = diverged_runs(dataset)
    assert len(lines) == 2
    assert all("learning_rate=1e+30" in line and "seed=0" in line and "gradient step" in line for line in lines)
    assert {"algorithm=ppo", "algorithm=on_policy_ipo"} == {line.split(": ")[1].split(",")[0] for line in lines}
    assert dataset["expected_reward"].sel(learning_rate=0.01).notnull().all()


@pytest.mark.slow  # half a minute of compiling: another layout is another program
def test_the_batched_layout_of_accelerators_gives_the_same_curves(tiny, tiny_results, monkeypatch):
    """Two runs a device at once, as on a GPU, against one by one: equal to rounding, which training amplifies."""
    monkeypatch.setattr(sweep, "runs_at_once", lambda sizes, mesh: 2 * mesh.devices.size)
    batched = run_sweep(tiny, progress=False).dataset
    for name in ("expected_reward", "kl_to_reference", "entropy"):
        np.testing.assert_allclose(batched[name], tiny_results[name], rtol=2e-3, atol=2e-3)


def test_a_start_that_misses_its_tolerance_is_refused(tiny, tmp_path):
    """A network cannot be at the reference to 1e-9 nats after 2 steps: no run starts, and the seed is named."""
    pretraining = dataclasses.replace(tiny.pretraining, steps=2, tolerance=1e-9)
    with pytest.raises(ValueError, match=r"nats for seed \d+ after 2 steps, above its tolerance of 1e-09"):
        run_sweep(dataclasses.replace(tiny, pretraining=pretraining), tmp_path / "results.nc", progress=False)
    assert not (tmp_path / "results.nc").exists()


def test_two_processes_do_not_share_a_sweep(tiny, tmp_path):
    """A second open file stands for the second process: the lock is of the file, not of the process."""
    refused = pytest.raises(ValueError, match="another process is at work")
    with Store(tmp_path / "results.partial", results.identity(tiny)), refused:
        run_sweep(tiny, tmp_path / "results.nc", progress=False)
    with Store(tmp_path / "results.partial", results.identity(tiny)):
        pass


def test_damaged_and_foreign_files_are_named(tiny, tmp_path):
    path = tmp_path / "results.nc"
    folder = path.with_suffix(".partial")
    folder.mkdir()
    (folder / "runs-000000.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="does not say of which sweep"):
        run_sweep(tiny, path, progress=False)
    (folder / "runs-000000.npz").unlink()
    with Store(folder, results.identity(tiny)):
        pass
    (folder / "runs-000000.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"runs-000000\.npz is damaged"):
        run_sweep(tiny, path, progress=False)


def test_many_leaves_come_back_in_order(tmp_path):
    with Store(tmp_path / "many", {"format": 1}) as store:
        store.save_finished(np.asarray([0]), [np.asarray([i]) for i in range(1200)])
        ((_, leaves),) = store.load_finished()
    np.testing.assert_array_equal(np.concatenate(leaves), np.arange(1200))


def test_the_seconds_of_all_processes_are_counted(tmp_path, monkeypatch):
    """5 s up to a save and 7 s more that were lost, then 3 s of a second process: 5 + 3."""
    now = [100.0]
    monkeypatch.setattr("modeseek.bandit.simulator.store.time.monotonic", lambda: now[0])
    with Store(tmp_path / "one", {"format": 1}) as store:
        now[0] += 5
        store.save_finished(np.asarray([0]), [np.zeros(1)])
        now[0] += 7
        assert store.seconds == 12
    now[0] = 1000.0
    with Store(tmp_path / "one", {"format": 1}) as store:
        now[0] += 3
        assert store.seconds == 8


def test_a_resumed_sweep_says_the_seconds_of_both_processes(tiny, tmp_path):
    path = tmp_path / "results.nc"
    with Store(path.with_suffix(".partial"), results.identity(tiny)) as store:
        store._earlier = 1000.0
        store._save("none.npz", {})
    assert run_sweep(tiny, path, progress=False).dataset.attrs["seconds"] > 1000
