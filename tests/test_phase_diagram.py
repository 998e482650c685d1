"""The phase diagram: who may be the best by a loop of its own, how often the best is lost, cells that are resumed."""

import dataclasses
import math

import numpy as np
import pytest
import xarray
from phase_cases import BUDGET, GRID, clear_winner, made_cell, made_diagram
from scipy.optimize import brentq
from scipy.stats import t as students_t

from modeseek.bandit.explore.phase.whole import WholeMap
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.results import save
from modeseek.bandit.simulator.runner import Runner
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.phase_diagram import running
from modeseek.bandit.studies.phase_diagram.conditions import conditions_of
from modeseek.bandit.studies.phase_diagram.draw import draw_phase, summary
from modeseek.bandit.studies.phase_diagram.grid import SLICES, Budget, Point, experiment_at
from modeseek.bandit.studies.phase_diagram.grids import coarse, full
from modeseek.bandit.studies.phase_diagram.stored import distinct_runs, grid_of, open_phase, points_of, runs_of
from modeseek.bandit.studies.phase_diagram.ties import contest
from modeseek.bandit.studies.phase_diagram.winners import winners


def by_a_loop(rewards: np.ndarray, looks: tuple[int, ...], margin: float, miss: float) -> set[int]:
    """Who may be the best, method by method and look by look, with another program's quantiles."""
    methods, left = len(rewards), set(range(len(rewards)))
    for n in looks:
        if any(math.isnan(rewards[m][s]) for m in left for s in range(n)):
            break
        quantile = students_t.ppf(1 - miss / ((methods - 1) * len(looks)), n - 1)
        d = {(i, j): [rewards[j][s] - rewards[i][s] for s in range(n)] for i in left for j in left - {i}}
        mean = {pair: sum(x) / n for pair, x in d.items()}
        variance = {pair: sum((v - mean[pair]) ** 2 for v in x) / (n - 1) for pair, x in d.items()}
        together = sum(variance.values()) / len(variance)
        half = {
            pair: quantile * max(math.sqrt(max(v, together)), margin / 4) / math.sqrt(n) for pair, v in variance.items()
        }
        intervals = {pair: (mean[pair] - half[pair], mean[pair] + half[pair]) for pair in d}
        left = {i for i in left if all(intervals[i, j][0] <= margin for j in left - {i})}
        if len(left) == 1 or all(intervals[i, j][1] <= margin for i in left for j in left - {i}):
            break
    return left


def test_winner_maps_by_a_slow_loop():
    rng = np.random.default_rng(0)
    made = {p: 0.5 + rng.normal(0, 0.05, (4, 1)) + rng.normal(0, 0.03, (4, 8)) for p in GRID.points()}
    made[GRID.points()[0]][1:3, 4:] = np.nan  # ruled out, or at least not gone on with
    diagram = made_diagram(made.__getitem__)
    found = winners(diagram)
    sizes = set()
    for cell, point in enumerate(GRID.points()):
        rewards = made[point].astype(np.float32).astype(float)
        expected = by_a_loop(rewards, BUDGET.looks, BUDGET.margin, BUDGET.miss)
        assert set(np.flatnonzero(found.among[cell])) == expected
        means = {m: np.mean(rewards[m, : found.seeds[cell]]) for m in expected}
        assert found.leader[cell] == max(means, key=means.get)
        sizes.add(len(expected))
    assert {1, 2} <= sizes  # both kinds are there
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)


def test_ties_are_exact():
    alike = np.full((3, 8), 0.5)
    found = contest(alike, (4, 8), 0.01, 0.05)
    assert found.among.all()
    assert found.equal
    less = alike - np.asarray([0.0, 0.004, 0.2])[:, None]
    found = contest(less, (4, 8), 0.01, 0.05)
    assert found.among.tolist() == [True, True, False]  # a difference within the margin is none
    assert found.decided
    undecided = contest(np.random.default_rng(0).normal(0.5, 0.2, (3, 8)), (4, 8), 0.01, 0.05)
    assert not undecided.decided
    assert undecided.seeds == 8


def lost(rewards_of, cells: int = 600) -> float:
    """How often the last method, which is the best on average, is not among those that stay."""
    rng = np.random.default_rng(1)
    return float(np.mean([not contest(rewards_of(rng), (4, 8, 12), 0.01, 0.05).among[-1] for _ in range(cells)]))


def test_how_often_the_best_is_lost():
    """At most `miss` with normal outcomes; and where five rivals fail in one seed of five, which four do not show."""

    def normal(rng: np.random.Generator) -> np.ndarray:
        return rng.normal(0, 0.05, (1, 12)) + np.linspace(0.5, 0.51, 6)[:, None] + rng.normal(0, 0.04, (6, 12))

    def rivals(rng: np.random.Generator) -> np.ndarray:
        steady = 0.83 + rng.normal(0, 0.01, (1, 12))  # the rivals earn .81 on average, and mostly .99
        return np.concatenate([np.where(rng.random((5, 12)) < 0.2, 0.1, 0.99), steady])

    assert lost(normal) <= 0.05
    assert lost(rivals) <= 0.05


@pytest.mark.slow
def test_a_cell_is_tuned_on_seeds_that_judge_nothing(tiny: Experiment, monkeypatch: pytest.MonkeyPatch):
    """What `run_cell` keeps, from sweeps of all seeds and rates at once."""
    plain = dataclasses.replace(tiny, hyper=HyperParameters())
    monkeypatch.setattr(
        running, "experiment_at", lambda point, budget, **changes: dataclasses.replace(plain, **changes)
    )
    budget = Budget(tiny.methods, learning_rates=(0.003, 0.03), tuning_seeds=2, looks=(2, 3), margin=0.0)
    cell = running.run_cell(Point(), budget)
    whole = run_sweep(dataclasses.replace(plain, learning_rates=(0.003, 0.03), seeds=5), progress=False).dataset
    ends = whole["expected_reward"].isel(reward=0, step=-1).values  # [method, rate, seed]
    np.testing.assert_array_equal(cell["tuning_reward"].values, ends[:, :, :2])
    best = ends[:, :, :2].mean(-1).argmax(-1)
    np.testing.assert_allclose(cell["learning_rate"], np.asarray([0.003, 0.03])[best], rtol=1e-6)
    judged = np.stack([ends[m, best[m], 2:] for m in range(2)])
    there = np.isfinite(cell["reward"].values)
    np.testing.assert_array_equal(cell["reward"].values[there], judged[there].astype(float))
    assert there[:, :2].all()
    kept = by_a_loop(judged.astype(float), (2,), 0.0, 0.025)
    assert there[:, 2].tolist() == [len(kept) == 2] * 2
    kl = whole["kl_to_reference"].isel(reward=0).values
    within = np.where(kl <= 20.0, whole["expected_reward"].isel(reward=0).values, 0).max(-1)
    expected = np.stack([within[m, best[m], 2:] for m in range(2)])
    np.testing.assert_array_equal(cell["reward_within_kl"].values[there], expected[there].astype(float))


def test_some_methods_of_a_sweep(tiny: Experiment, tiny_results: xarray.Dataset):
    some = run_sweep(tiny, progress=False, only=["on_policy_ipo"])
    assert some.complete
    values, whole = (d["expected_reward"].values for d in (some.dataset, tiny_results))
    np.testing.assert_array_equal(values[1], whole[1])
    assert np.isnan(values[0]).all()
    with pytest.raises(ValueError, match="the experiment has no dpo"):
        run_sweep(tiny, progress=False, only=["dpo"])


def test_policies_at_the_reference_are_fitted_once(tiny: Experiment, monkeypatch: pytest.MonkeyPatch):
    other = dataclasses.replace(tiny, first_seed=100, rewards=("bump:2:1",))
    first = run_sweep(other, progress=False).dataset
    fitted: list[int] = []
    fit = Runner._fit
    monkeypatch.setattr(
        Runner, "_fit", lambda self, problem, which: (fitted.extend(which), fit(self, problem, which))[1]
    )
    again = run_sweep(dataclasses.replace(other, seeds=3), progress=False).dataset
    assert fitted == [2]  # the third seed alone is new
    np.testing.assert_array_equal(again["expected_reward"].values[..., :2, :], first["expected_reward"].values)


def test_a_killed_grid_goes_on_and_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []

    def cell(point: Point, budget: Budget, stop: int, how: BaseException | None):
        if len(made) == stop:
            if how is None:
                return None
            raise how
        made.append(point.name)
        return made_cell(point, budget, clear_winner(point))

    for stop, how in ((3, MemoryError("killed")), (7, KeyboardInterrupt()), (11, None)):
        monkeypatch.setattr(running, "run_cell", lambda p, b, stop=stop, how=how: cell(p, b, stop, how))
        if isinstance(how, MemoryError):
            with pytest.raises(MemoryError):
                running.run_grid(GRID, tmp_path, progress=False)
        else:
            assert running.run_grid(GRID, tmp_path, progress=False) is None
    monkeypatch.setattr(running, "run_cell", lambda p, b: cell(p, b, 10**6, None))
    diagram = running.run_grid(GRID, tmp_path, progress=False)
    assert made == [point.name for point in GRID.points()]  # each once, in order
    xarray.testing.assert_equal(diagram, made_diagram(clear_winner))
    with pytest.raises(ValueError, match=r"of another phase diagram: budget\.margin differ"):
        other = dataclasses.replace(GRID, budget=dataclasses.replace(BUDGET, margin=0.02))
        running.run_grid(other, tmp_path, progress=False)


def test_a_file_comes_back_and_others_are_refused(tmp_path):
    diagram = made_diagram(clear_winner)
    save(diagram, tmp_path / "phase.nc")
    back = open_phase(tmp_path / "phase.nc")
    assert grid_of(back) == GRID
    assert points_of(back) == GRID.points()
    assert runs_of(back) == len(GRID.points()) * (4 * 8 + 4 * 3 * 2)
    # Offline IPO is the same at every T: four rows of three cells are no new runs.
    assert runs_of(back) - distinct_runs(back) == 4 * 3 * (8 + 6)
    np.testing.assert_array_equal(winners(back).among, winners(diagram).among)
    diagram.attrs["modeseek_phase"] = 7
    save(diagram, tmp_path / "young.nc")
    with pytest.raises(ValueError, match=r"young\.nc is a phase diagram of version 7, this modeseek reads version 1"):
        open_phase(tmp_path / "young.nc")
    del diagram.attrs["modeseek_phase"]
    save(diagram, tmp_path / "other.nc")
    with pytest.raises(ValueError, match="is no phase diagram"):
        open_phase(tmp_path / "other.nc")


@pytest.mark.parametrize("change, says", [
    ({"slices": ()}, "the grid has no cells"),
    ({"centers": ()}, "the grid has no cells"),
    ({"slices": ("stalness",)}, "did you mean 'staleness'"),
    ({"slices": ("kl", "kl")}, "slices must differ"),
    ({"centers": (20, 20)}, "centers must differ"),
    ({"budget": {"methods": ("ppo",)}}, "two or more"),
    ({"budget": {"methods": ("ppo", "pppo")}}, "unknown method 'pppo'"),
    ({"budget": {"looks": (8, 4)}}, "looks must grow"),
    ({"budget": {"steps": 45}}, "must divide those of a run"),
    ({"budget": {"learning_rates": ()}}, "at least one rate"),
])  # fmt: skip
def test_a_grid_that_cannot_be_is_refused(change: dict, says: str):
    with pytest.raises(ValueError, match=says):
        budget = dataclasses.replace(BUDGET, **change.pop("budget", {}))
        dataclasses.replace(GRID, budget=budget, **change)


def test_what_the_grids_hold():
    """Every slice has the base row; the names of files differ; a map holds the grid's own cells."""
    for grid in (full(), coarse()):
        points = grid.points()
        assert len({point.name for point in points}) == len(points)
        assert points[: len(grid.centers)] == tuple(Point(center=center) for center in grid.centers)
        for name, each in SLICES.items():
            assert getattr(Point(), each.field) in grid.values(name)
            assert {point for row in grid.map(name) for point in row} <= set(points)


def test_conditions_by_closed_forms():
    """-10 log π_ref(70); halfway by a root of another program; uniform data."""
    reference = reference_probs(ReferenceRecipe(), "clip", 100)
    found = conditions_of(Point(center=70, behavior="uniform", inner_steps=4), BUDGET)
    assert found.nats_to_best == pytest.approx(-10 * math.log(reference[70]), rel=1e-6)
    assert found.data_to_best == pytest.approx(10 * math.log(100), rel=1e-6)
    assert found.fresh_samples == 400
    rewards = token_rewards("R1", 100)

    def tilted(tilt: float) -> np.ndarray:
        weights = reference * np.exp(tilt * rewards)
        return weights / weights.sum()

    wanted = (reference @ rewards + 1) / 2
    q = tilted(brentq(lambda tilt: tilted(tilt) @ rewards - wanted, 0, 100))
    assert found.nats_halfway == pytest.approx(10 * (q @ np.log(q / reference)), rel=1e-5)
    near = experiment_at(Point(center=20, behavior="bump:peak:20"), BUDGET)
    assert near.behaviors == ("bump:20:20",)


def test_a_notebook_shows_the_whole_map():
    shown = WholeMap(made_diagram(clear_winner))
    assert 'src="data:image/png;base64,' in shown.still().html
    assert repr(shown) == summary(shown.diagram)


def test_the_figure_and_the_summary_say_who_has_won():
    diagram = made_diagram(clear_winner)
    lines = summary(diagram).splitlines()
    assert lines[0].startswith(f"{len(GRID.points())} cells, 0 ties")
    assert lines[3].split()[-2:] == [str(2 * 9), str(2 * 9)]  # centers 45 and 70 of nine rows
    figure = draw_phase(diagram.isel(cell=slice(0, 20)))  # one that is not whole
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [SLICES[n].title for n in GRID.slices]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "On-policy Best-of-N",
        "On-policy IPO",
        "a tie",
    }
