"""`modeseek llm plot`: runs to groups, groups to means and bands, and words that say what is drawn."""

import json

import numpy as np
import pytest
from llm_cases import command

from modeseek.llm.figures.runs import runs_figure
from modeseek.llm.runs.recorded import grouped, read_runs, seconds, series


def written(folder, settings, records):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def tuned(folder, method, seed, gold, **hyper):
    settings = {"stage": "tune", "config": {"method": method, "seed": seed, "hyper": {"beta": 0.1} | hyper}}
    records = []
    for step, value in enumerate(gold):
        records.append({"step": step, "reward_gold": value, "reward_proxy": float(step), "evaluate_seconds": 1.0})
        records.append({"step": step, "loss": 1.0 / (1 + step), "update_seconds": 2.0})
    return written(folder, settings, records)


def test_seeds_are_one_group_and_other_numbers_another(tmp_path):
    for seed in (0, 1):
        tuned(tmp_path / f"dpo-{seed}", "dpo", seed, [0.0, 1.0 + seed, 2.0])
    tuned(tmp_path / "wide", "dpo", 0, [0.0, 0.0, 0.0], beta=0.5)
    groups = grouped([run for path in sorted(tmp_path.iterdir()) for run in read_runs(path)])
    assert [(group.label, len(group.runs)) for group in groups] == [("dpo, beta 0.1", 2), ("dpo, beta 0.5", 1)]
    found = series(groups[0], "reward_gold")
    assert found.mean.tolist() == [0.0, 1.5, 2.0]
    # the standard error of 1 and 2: a deviation of 1/sqrt 2, over sqrt 2
    assert found.error == pytest.approx([0.0, 0.5, 0.0])
    assert np.isnan(series(groups[1], "reward_gold").error).all()
    assert series(groups[0], "kl") is None
    assert seconds(groups[0]) == {"evaluate": 3.0, "update": 6.0}


def test_long_runs_are_means_over_neighbours_that_keep_the_sum(tmp_path):
    tuned(tmp_path / "a", "dpo", 0, np.arange(100.0).tolist())
    (group,) = grouped(read_runs(tmp_path / "a"))
    found = series(group, "reward_gold", points=25)
    assert len(found.steps) == 25
    assert found.mean.tolist() == np.arange(100.0).reshape(25, 4).mean(axis=1).tolist()
    assert found.steps.tolist() == found.mean.tolist()


def test_stages_of_a_demo_are_runs_of_their_own(tmp_path):
    records = [
        {"stage": "sft", "step": 1, "loss": 2.0, "tokens": 50},
        {"stage": "min_length/dpo", "step": 1, "loss": 0.7, "tokens": 9.0},
    ]
    groups = grouped(read_runs(written(tmp_path / "demo", {"command": "llm demo", "seed": 0}, records)))
    assert [group.label for group in groups] == ["sft", "min_length/dpo"]
    caption = runs_figure(groups).caption
    assert "Length, tokens against gradient step: min_length/dpo (held-out prompts) from 9 to 9." in caption


def test_what_is_drawn_is_said(tmp_path, capsys):
    tuned(tmp_path / "a", "dpo", 0, [0.0, 3.0, 1.0])
    tuned(tmp_path / "b", "rwr", 0, [0.0, 1.0, 2.0])
    out = tmp_path / "picture"
    assert command("plot", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)) == 0
    said = (tmp_path / "picture.txt").read_text()
    assert "Gold reward against gradient step: dpo from 0 to 1; rwr from 0 to 2." in said
    assert "dpo is over-optimised: from step 1 on its proxy reward rises from 1 to 2" in said
    assert "rwr is over-optimised" not in said
    assert "Seconds by phase: dpo evaluate 3.0, update 6.0; rwr" in said
    assert out.with_suffix(".png").exists()
    assert "saved" in capsys.readouterr().out
    figure = runs_figure(grouped([*read_runs(tmp_path / "a"), *read_runs(tmp_path / "b")])).figure
    shown = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert shown == ["loss", "gold reward", "proxy reward", "seconds by phase"]
    lines = [line for line in figure.axes[1].lines if len(line.get_xdata())]
    assert [line.get_ydata().tolist() for line in lines] == [[0.0, 3.0, 1.0], [0.0, 1.0, 2.0]]
    assert len({line.get_color() for line in lines}) == 2


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert command("plot", str(tmp_path)) == 2
    assert "name the folder of a run" in capsys.readouterr().err
