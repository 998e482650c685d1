"""`modeseek llm reproduce`: what it prints, what it draws of stored cells, and that the document is what they say."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.store import Store
from modeseek.cli import main
from modeseek.llm.commands.cli import parse
from modeseek.llm.studies import cells, document, plans, scales
from modeseek.llm.studies.lengths import read_lengths
from modeseek.llm.studies.measures import MEAN_GOLD
from modeseek.llm.studies.store import STORE
from modeseek.llm.studies.targets import CLAIMS, FIG3, STUDY, TARGETS

DOCS = Path(__file__).parents[1] / "docs"


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["llm", "reproduce", *arguments])


def test_the_documentation_is_what_the_stored_cells_say():
    """To the character; the figures are not drawn again."""
    text = document.text(document.picture)
    assert text == (DOCS / "reproduction-llm.md").read_text(encoding="utf-8")
    pictures = set(re.findall(r"\(reproduction-llm/(.*?\.png)\)", text))
    assert pictures == {path.name for path in (DOCS / "reproduction-llm").iterdir()}


def test_every_cell_of_a_laptop_is_stored_and_small():
    folder = STORE.folder(scales.LAPTOP.protocol, "laptop")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    assert {path.stem for path in folder.iterdir()} == {cell.name for cell in cells.every_cell()} | {"lengths"}
    counts = read_lengths(folder)["pairs"].sum("tokens")
    np.testing.assert_array_equal(counts.sel(which="preferred"), counts.sel(which="dispreferred"))


def test_what_the_decision_says_of_first_token_and_eos_is_what_the_stored_cells_say():
    """docs/decisions/0072: its verdicts and its numbers."""
    target = TARGETS["eos"]
    results = STORE.results(target, scales.LAPTOP.protocol, "laptop")
    words = {a.claim.name: a.verdict.word for a in STUDY.assess(target, results) if a.verdict}
    decided = {name for name, word in words.items() if word != "undecided"}
    assert decided == {"released-lead-over-rwr", "released-lead-larger-over-rwr"}
    note = (DOCS / "decisions" / "0072-what-the-lead-owes-to-eos.md").read_text(encoding="utf-8")
    for method in cells.EOS_METHODS:
        means = [fresh_values(level(MEAN_GOLD, cells.EOS[method, name]), results).mean() for name in cells.TRAINED]
        assert f"| {variant(method).title} | " + " | ".join(f"{value:.1f}" for value in means) + " |" in note


def test_what_is_not_stored_is_a_command(monkeypatch, tmp_path):
    monkeypatch.setattr(Store, "folder", lambda store, protocol, scale: tmp_path)
    text = document.text(document.picture)
    assert "Not stored yet: `modeseek llm reproduce fig10 --scale laptop` makes it." in text
    assert all(claim.text in text for claim in CLAIMS.values())
    with pytest.raises(SystemExit) as raised:
        main(["llm", "reproduce", "fig6", "--stored", "--out", str(tmp_path)])
    assert raised.value.code != 0


def test_a_stored_figure_is_drawn_with_its_verdicts(tmp_path, capsys):
    run("fig6", "--stored", "--out", str(tmp_path))
    printed = capsys.readouterr().out
    assert "Min Length: DPO's responses end shorter than those of Pref-FT." in printed
    names = {"fig6.png", "fig6.svg", "fig6.md", "fig6-verdicts.png", "fig6-run-card.json"}
    assert names <= {path.name for path in tmp_path.iterdir()}
    assert len(list((tmp_path / "stored-cells").iterdir())) == len(TARGETS["fig6"].cells)
    run("fig3", "--stored", "--out", str(tmp_path))
    assert (tmp_path / "fig3.png").exists()


def test_targets_are_listed_with_what_is_there(tmp_path, capsys):
    run("all", "--list", "--out", str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(TARGETS)
    (row,) = (line for line in lines if line.startswith("| fig10 |"))
    assert row.endswith("| 10 | 10 | 0 |")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_a_dry_run_says_sizes_and_hours(scale, tmp_path, capsys):
    run("fig11", "--scale", scale, "--dry-run", "--out", str(tmp_path))
    out, err = capsys.readouterr()
    table = out if scale != "paper" else err
    small, large = (
        re.search(rf"\| {name} \| (\d+) \| 1 \| (\d+) \| (\d+) \|", table) for name in ("ppo-min", "ppo-B4M-min")
    )
    assert small is not None
    assert large is not None
    assert int(large[1]) == 4 * int(small[1])
    assert small[2] == large[2]
    assert re.search(r"At least [\d.]+ hours", table)
    assert not list(tmp_path.iterdir())


def test_hours_follow_from_sizes():
    """Offline nothing is decoded; with any B as many responses are sampled, 64 at once."""
    dpo, small, large = (
        plans.work_of("paper", cell)
        for cell in (
            cells.OFFLINE["dpo", "min_length"],
            cells.STALENESS["ppo", "min_length", 1],
            cells.STALENESS["ppo", "min_length", 4],
        )
    )
    assert dpo.seconds < large.seconds == pytest.approx(small.seconds)
    assert dpo.runs == 10
    # 2 FLOP a weight and token of 64 × 384 tokens, for each of 3 + 1 + 1 passes (a step, its scores, the reference's),
    # at 36 % of 989 TFLOP/s: attention is the rest.
    products = 5 * 2 * 1.3e9 * 64 * 384 * 500 / (0.36 * 989e12)
    assert 1 < dpo.seconds / products < 1.2


def test_the_papers_script_is_a_shells_and_its_commands_parse():
    script = plans.paper_commands(dict.fromkeys(c for t in STUDY.targets for c in t.cells_under(scales.PAPER)))
    if shell := shutil.which("bash"):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
    joined = script.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.startswith("modeseek llm ")]
    assert len(lines) > 200
    values = {"$rate": "1e-6", "$seed": "0", '"$PROMPTS"': "prompts.jsonl", '"$GOLD"': "gold"}
    for line in dict.fromkeys(re.sub(r"\$rate|\$seed|\"\$\w+\"", lambda m: values[m[0]], line) for line in lines):
        parse(line.split()[2:])
    assert "--method rwr" in script
    assert script.count("--no-train-eos") == 4 * 2 * 2  # two settings of four methods, tuning and fresh
    # What a method needs: a reward model on-policy and for RWR, none for pairs.
    tunes = [line for line in lines if " tune " in line]
    assert all((" --reward-model " in line) == ("--method dpo" not in line and "pref_ft" not in line) for line in tunes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fig4"], "there is no figure 'fig4': expected fig3, fig5"),
        (["fig6", "--seeds", "0"], "--seeds must be at least 1, got 0"),
    ],
)
def test_what_is_not_there_is_told(arguments, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["llm", "reproduce", *arguments, "--out", str(tmp_path)])
    assert raised.value.code != 0
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.release
def test_a_figure_from_nothing(tmp_path, capsys, monkeypatch):
    """The world, the cells and the files of a figure, at the smallest scale that has all of them."""
    sizes = dataclasses.replace(
        scales.LAPTOP.sizes, width=32, layers=1, sft_steps=20, pair_prompts=64, reward_epochs=1.0, evaluate_prompts=8
    )
    protocol = dataclasses.replace(scales.LAPTOP.protocol, learning_rates=(1e-3,), tuning_seeds=1, fresh_seeds=2)
    small = dataclasses.replace(
        scales.LAPTOP, sizes=sizes, protocol=protocol, steps=8, evaluate_every=4, held_out_pairs=8
    )
    monkeypatch.setitem(scales.SCALES, "laptop", small)
    run("fig3", "--out", str(tmp_path))
    monkeypatch.setattr(
        type(TARGETS["fig8"]), "cells_under", lambda target, protocol: tuple(cells.OFFLINE_PLAIN.values())
    )
    run("fig8", "--seeds", "2", "--out", str(tmp_path))
    printed = capsys.readouterr().out
    assert "undecided" in printed
    assert {path.name for path in (tmp_path / "cells").iterdir()} == {"dpo-plain.nc", "pref_ft-plain.nc", "lengths.nc"}
    assert FIG3.name + ".png" in {path.name for path in tmp_path.iterdir()}
