"""Figure 1 from runs: what is kept of a sweep, what is stored, and what the page says of it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.figures.shifts import shift_figure
from modeseek.bandit.simulator.config import EvaluationConfig
from modeseek.bandit.simulator.conventions import FIGURE2, PAPER
from modeseek.bandit.simulator.results import experiment_of, load
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.reproduce import figure1
from modeseek.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "peak.md"


def test_what_is_kept_is_the_mean_over_positions_and_seeds(tabular, monkeypatch):
    monkeypatch.setattr(figure1, "SHOWN", (0, 8))
    snapshots = EvaluationConfig(prompts=4, interval=0, snapshots=True)
    results = run_sweep(dataclasses.replace(tabular, seeds=2, evaluation=snapshots), progress=False).dataset
    kept = figure1.shown(results)
    assert dict(kept["tokens"].sizes) == {"algorithm": 2, "reward": 1, "step": 2, "token": 4}
    np.testing.assert_allclose(kept["tokens"].sum("token"), 1, rtol=1e-5)
    wanted = np.mean([[results["token_distribution"][:, 0, s, 2, t] for t in range(2)] for s in range(2)], axis=(0, 1))
    assert int(results["snapshot"][2]) == 8
    np.testing.assert_allclose(kept["tokens"][:, 0, 1], wanted, rtol=1e-5)
    (_, _, earned, nats), _ = figure1.numbers(kept)
    np.testing.assert_allclose(earned, results["expected_reward"][0, 0].sel(step=8).mean(), rtol=1e-5)
    np.testing.assert_allclose(nats, results["kl_to_reference"][0, 0].sel(step=8).mean(), rtol=1e-5)


def test_what_is_stored_is_of_the_experiment_that_is_run():
    stored = load(figure1.STORED)
    assert experiment_of(stored) == figure1.experiment(PAPER)
    assert figure1.experiment(FIGURE2).conventions == FIGURE2
    np.testing.assert_allclose(stored["tokens"].sum("token"), 1, rtol=1e-5)
    assert tuple(stored["step"].values) == figure1.SHOWN


def test_the_page_says_what_is_stored():
    text = PAGE.read_text(encoding="utf-8")
    for name, reward, earned, nats in figure1.numbers(load(figure1.STORED)):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` | {reward} |")]
        assert f"| {earned:.2f} | {nats:.1f} |" in row
    assert figure1.sentence(load(figure1.STORED)) in text


def test_each_panel_has_every_policy_and_says_where_it_ends():
    stored = load(figure1.STORED)
    figure = shift_figure(stored)
    assert len(figure.axes) == 8
    for axes, (_, reward, earned, nats) in zip(figure.axes, figure1.numbers(stored), strict=True):
        assert axes.get_title(loc="left").endswith(f"{reward}: earns {earned:.2f} at {nats:.1f} nats")
        assert sum("gradient steps" in label for label in axes.get_legend_handles_labels()[1]) == len(figure1.SHOWN) - 1


def test_the_command_draws_what_is_stored_and_refuses_what_it_has_not(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "fig1", "--stored", "--out", str(tmp_path)])
    assert figure1.sentence(load(figure1.STORED)) in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"figure1.png", "figure1.svg"}
    for flags, words in (
        (["--quick"], "fig1 has one set of runs"),
        (["--stored", "--conventions", "figure2"], "fig1 is stored under the conventions paper"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["reproduce", "fig1", *flags])
        assert words in capsys.readouterr().err
