"""`modeseek kl` and `modeseek theory`: what they print, save and refuse, and that figures only read."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tyro
import xarray as xr

from modeseek.bandit.categorical import criteria, named
from modeseek.bandit.categorical.presets import PRESETS, named_problem
from modeseek.bandit.categorical.study import kl_study, region_map, steps_to
from modeseek.bandit.commands import common
from modeseek.bandit.commands.categorical import KL, Theory
from modeseek.bandit.figures.kl_animation import kl_animation
from modeseek.bandit.figures.kl_bars import kl_bars
from modeseek.bandit.figures.kl_curves import kl_curves
from modeseek.bandit.figures.kl_regions import kl_regions
from modeseek.bandit.figures.kl_simplex import kl_simplex, to_plane
from modeseek.locks import alone_in


def test_importing_the_commands_imports_nothing_heavy():
    heavy = "{'jax', 'numpy', 'matplotlib', 'xarray'}"
    code = f"import sys, modeseek.bandit.commands.categorical; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_kl_writes_figures_and_a_dataset_that_reads_back(tmp_path, capsys):
    arguments = ["--problem", "case-1-fails", "--steps", "60", "--also", "jensen_shannon", "offline_dpo"]
    command = tyro.cli(KL, args=[*arguments, "--out", str(tmp_path)])
    assert command.run() == 0
    names = {path.name for path in tmp_path.iterdir()}
    figures = {f"kl_{name}.{kind}" for name in ("curves", "bars", "regions", "simplex") for kind in ("png", "svg")}
    assert names == {"kl.nc", "kl.gif", *figures}
    with xr.open_dataset(tmp_path / "kl.nc", engine="h5netcdf") as data:
        assert list(data.objective.values) == ["forward_kl", "reverse_kl", "jensen_shannon", "offline_dpo"]
        assert json.loads(data.attrs["configuration"])["steps"] == 60
        np.testing.assert_allclose(np.exp(data["log_prob"]).sum("category"), 1, atol=1e-12)
        # The push of the first step is Lemma E.4's, η (q - p) up to a common constant.
        push = data["push"].sel(objective="forward_kl").isel(update=0)
        centered = (data["target"] - data["start"]) - (push - push.mean())
        assert float(np.ptp(centered.values)) < 1e-12
        printed = capsys.readouterr().out
        assert data.attrs["description_curves"] in printed
        # The animation's sentence: the share of misplaced mass moved by reverse KL's last step, as total variation.
        last = np.exp(data["log_prob"].sel(objective="reverse_kl").isel(step=-1))
        moved = 1 - float(abs(last - data["target"]).sum() / abs(data["start"] - data["target"]).sum())
        assert data.attrs["description_animation"].endswith(f"and {moved:.0%}.")
        assert data.attrs["description_animation"] in printed
        assert str(tmp_path / "kl.nc") in printed


@pytest.mark.slow
def test_the_flow_states_its_accuracy(tmp_path, capsys):
    arguments = [
        "--target",
        "0.5",
        "0.3",
        "0.2",
        "--start",
        "0.2",
        "0.2",
        "0.6",
        "--optimizer",
        "flow",
        "--steps",
        "20",
    ]
    assert tyro.cli(KL, args=[*arguments, "--no-animation", "--out", str(tmp_path)]).run() == 0
    assert "of the exact flow (step doubling)" in capsys.readouterr().out
    assert not (tmp_path / "kl.gif").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problem", "R3"], "unknown problem 'R3'; there are R1, R2"),
        (["--problem", "dirichlet:x"], "expected dirichlet:CONCENTRATION"),
        (["--problem", "dirichlet:-1"], "concentration must be a positive number"),
        (["--target", "0.5", "0.4"], "target must sum to 1"),
        (["--target", "1.5", "-0.5"], "target must not be negative"),
        (["--target", "nan", "0.5"], "target must be finite"),
        (["--target", "1.0"], "at least 2 categories, got 1"),
        (["--target", "0.5", "0.5", "--start", "0.2", "0.3", "0.5"], "2 categories .* got 3"),
        (["--start", "0.5", "0.5"], "start must have 100 categories"),
        (["--categories", "1"], "categories must be a whole number of at least 2"),
        (["--step-size", "0"], "step_size must be a positive number"),
        (["--step-size", "-1"], "step_size must be a positive number"),
        (["--beta", "0"], "beta must be a positive number"),
        (["--steps", "0"], "steps must be a whole number"),
        (["--categories", "1000000000"], "categories must be at most 5,000, got 1,000,000,000"),
        (["--beta", "1e-320"], "beta must be at least 1e-300"),
        (["--problem", "dirichlet:1e-320"], "concentration must be at least 1e-300"),
        (["--steps", "1000000"], "objectives × steps × categories must be at most"),
        (["--also", "kl"], "unknown objective 'kl'"),
        (["--also", "alpha", "alpha"], "each once, got 'alpha' again"),
        (["--seed", "-1"], "seed must be a whole number"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    folder = tmp_path / "out"
    with pytest.raises(ValueError, match=message):
        tyro.cli(KL, args=[*arguments, "--out", str(folder)]).run()
    assert not folder.exists()


def test_a_search_without_end_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="instances must be at most 10,000,000, got 1,000,000,000"):
        Theory(instances=10**9, out=tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_theory_prints_the_table_and_saves_it(tmp_path, capsys):
    assert tyro.cli(Theory, args=["--instances", "700", "--out", str(tmp_path)]).run() == 0
    printed = capsys.readouterr().out
    assert "| E.5 case 1, exact | Δr > Δf  ⇔  p > L(q₁, q₂) |" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"theory.nc", "theory.md", "theory.png", "theory.svg"}
    with xr.open_dataset(tmp_path / "theory.nc", engine="h5netcdf") as data:
        assert float(data["share"].sel(statement="E.5 case 1, exact")) == 1.0
        assert "E.5 case 1, as stated" in data.attrs["description"]
    with pytest.raises(ValueError, match="instances must be"):
        tyro.cli(Theory, args=["--instances", "0", "--out", str(tmp_path)]).run()
    # Killed after the search: the same command makes what is missing, of the same numbers.
    (tmp_path / "theory.md").unlink()
    (tmp_path / ".theory.123-0a1b2c3d.md").touch()
    assert tyro.cli(Theory, args=["--instances", "700", "--out", str(tmp_path)]).run() == 0
    again = capsys.readouterr()
    assert "nothing is computed again" in again.err
    assert again.out.splitlines()[:20] == printed.splitlines()[:20]
    assert {path.name for path in tmp_path.iterdir()} == {"theory.nc", "theory.md", "theory.png", "theory.svg"}
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        tyro.cli(Theory, args=["--instances", "701", "--out", str(tmp_path)]).run()


@pytest.mark.slow
def test_a_killed_study_goes_on_and_two_in_one_folder_do_not_mix(tmp_path, monkeypatch, capsys):
    study = KL(steps=20, animation=False, out=tmp_path)
    with alone_in(tmp_path), pytest.raises(ValueError, match="another process is at work"):
        dataclasses.replace(study, beta=0.2).run()
    # Killed before the first file: only what has no name yet is there.
    (tmp_path / ".lock").touch()
    (tmp_path / ".kl.123-0a1b2c3d.nc").write_text("half")

    def killed(*_, **__):
        (tmp_path / ".kl_curves.123-0a1b2c3d.png").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(common, "save_figures", killed)
        study.run()
    assert {path.name for path in tmp_path.iterdir()} == {"kl.nc", ".kl_curves.123-0a1b2c3d.png"}
    with monkeypatch.context() as patched:
        patched.setattr(named, "named_study", None)  # nothing is computed again
        assert study.run() == 0
    assert "holds these very results" in capsys.readouterr().err
    figures = {f"kl_{name}.{kind}" for name in ("curves", "bars", "regions", "simplex") for kind in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == {"kl.nc", *figures}
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        dataclasses.replace(study, beta=0.2).run()


@pytest.mark.parametrize(
    ("name", "case", "reverse_larger"),
    [
        ("case-1-holds", "case 1", True),
        ("case-1-fails", "case 1", False),
        ("case-2", "cases 2 and 3", True),
        ("case-3", "cases 2 and 3", False),
        ("case-3-fails", "cases 2 and 3", True),
        ("equal-gap", "equal gap", True),
    ],
)
def test_presets_show_what_their_names_say(name, case, reverse_larger):
    preset = PRESETS[name]
    verdict = criteria.inspect_pair(np.array(preset.start), np.array(preset.target), 0, 1)
    assert (verdict.case, verdict.reverse_larger) == (case, reverse_larger)
    assert set(PRESETS) == {"case-1-holds", "case-1-fails", "case-2", "case-3", "case-3-fails", "equal-gap"}


@pytest.mark.parametrize("name", ["R1", "R2", "bump:30:5", "bimodal", "dirichlet:0.2"])
@pytest.mark.parametrize("categories", [2, 40])
def test_named_problems_are_distributions_of_the_size_asked_for(name, categories):
    problem, start, _ = named_problem(name, categories=categories)
    assert problem.categories == start.size == categories
    assert np.exp(problem.log_target).sum() == pytest.approx(1)


def test_steps_to_counts_from_the_start():
    rewards = np.array([0.0, 0.04, 0.1, 0.3, 0.5, 0.7])
    np.testing.assert_array_equal(steps_to(rewards, 1.0), [2, 4, -1])


def test_the_region_map_is_the_criterion():
    start, target = np.full(4, 0.25), np.array([0.7, 0.1, 0.15, 0.05])
    regions = region_map(start, target)
    for i in range(regions.sizes["pair"]):
        pair = int(regions["pair_first"][i]), int(regions["pair_second"][i])
        verdict = criteria.inspect_pair(start, target, *pair)
        assert verdict.reverse_larger == bool(regions["pair_holds"][i])
    assert regions.sizes["pair"] == 6


@pytest.mark.slow
def test_figures_read_the_dataset_and_change_nothing(tmp_path):
    problem, start, _ = named_problem("case-2")
    data = kl_study(problem, start, steps=30)
    before = data.copy(deep=True)
    for draw in (kl_curves, kl_bars, kl_regions, kl_simplex):
        assert draw(data).axes
    kl_animation(data, tmp_path / "a.gif", frames=4)
    assert data.identical(before)
    assert (tmp_path / "a.gif").read_bytes()[:6] == b"GIF89a"
    # The policy line of the last row is the stored distribution.
    last = kl_bars(data).axes[4].patches[-1].get_data().values
    np.testing.assert_allclose(last, np.exp(data["log_prob"].sel(objective="forward_kl").values[-1]))


def test_the_triangle_puts_each_corner_where_it_belongs():
    np.testing.assert_allclose(to_plane(np.eye(3))[2], [0.5, np.sqrt(0.75)])
    np.testing.assert_allclose(to_plane(np.full(3, 1 / 3)), [0.5, np.sqrt(3) / 6])
