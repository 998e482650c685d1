"""Notebooks are current and whole; stubs fail, solutions pass, and a wrong answer is told what is wrong with it."""

import dataclasses
import json
import re
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
from notebook_build import build

from modeseek.bandit.commands import lab
from modeseek.bandit.commands.lab import Lab, copy_notebooks, shipped
from modeseek.bandit.explore.bandit import BanditExplorer
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.questions import REINFORCE_NATS
from modeseek.bandit.explore.demo.model import METHODS, DemoModel, recorded
from modeseek.bandit.explore.demo.questions import check_distance, check_fastest
from modeseek.bandit.explore.kl.questions import check_boundary, check_counter_example, check_overtaking
from modeseek.bandit.simulator.results import experiment_of

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# Of jupytext, nbclient and the kernel's client: not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


LONGEST = ("05_bandit_explorer", "09_reproduce_paper", "10_llm_length", "11_make_your_own")
"""Built with the slow tests: half a minute each, and a whole one for a language model."""

NEEDS = {"10_llm_length": "transformers"}
"""Notebook → what it cannot be built without."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONGEST else []) for n in build.names()]
)
def test_the_committed_notebook_is_what_its_source_gives(name: str):
    """Executed on a fresh kernel: no error, nothing on standard error, stubs fail, solutions pass."""
    pytest.importorskip(NEEDS.get(name, "nbclient"))
    assert build.problems(name) == []


def test_code_that_makes_a_view_is_folded_and_code_to_be_read_is_open():
    def folded(cell):
        return cell.metadata.get("jupyter") == {"source_hidden": True}

    for name in build.names():
        committed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        code = [cell for cell in committed.cells if cell.cell_type == "code"]
        assert any(map(folded, code)), name
        for cell in code:
            shown = {"exercise", "own"} & {*cell.metadata.get("tags", ())} or "print(" in cell.source
            assert not (shown and folded(cell)), (name, cell.source)
            assert shown or folded(cell) or "code" in cell.metadata["tags"], (name, cell.source)


def test_a_figure_was_saved_as_a_picture():
    """And not as what Python calls it."""
    for name in build.names():
        committed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        said = [
            "".join(output.get("data", {}).get("text/plain", ""))
            for cell in committed.cells
            for output in cell.get("outputs", ())
        ]
        assert [text for text in said if re.search(r"<\w*Figure|StyledFigure", text)] == [], name


def test_there_is_a_source_for_each_notebook():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == build.names()


def test_what_notebook_00_says_of_the_reference_is_so():
    reference = recorded()["reference_probs"].values
    text = " ".join(build.source("00_start_here").cells[0].source.split())
    said = {  # words → the tokens that they are about
        r"(\.\d+) of its probability to tokens 1 to 35": range(1, 36),
        r"(\.\d+) to the two outermost ones, 0 and 99": (0, 99),
        r"tokens 60 to 80, to which the reference gives (\.\d+)": range(60, 81),
        r"tokens 10 to 30, to which it gives (\.\d+)": range(10, 31),
    }
    for words, tokens in said.items():
        found = re.search(words, text)
        assert found, words
        assert float(found.group(1)) == round(float(reference[list(tokens)].sum()), 2), words
    for reward, tokens in (("R1", range(60, 81)), ("R2", range(10, 31))):
        liked = np.flatnonzero(recorded()["token_rewards"].sel(reward=reward).values > 0.5)
        assert set(liked) <= set(tokens)
        assert liked.mean() == np.mean(tokens)


def said(name: str, words: str) -> list[float]:
    """The numbers that a notebook's text has in these words."""
    text = " ".join(" ".join(cell.source for cell in build.source(name).cells).split())
    found = re.search(words, text)
    assert found, words
    return [float(number) for number in found.groups()]


def test_what_notebook_00_says_of_its_run_is_so():
    says = partial(said, "00_start_here")
    far, near = (DemoModel(name).result for name in ("R1", "R2"))
    at = {name: METHODS.index(name) for name in METHODS}
    ends = {name: (far.reward[at[name], -1], near.reward[at[name], -1]) for name in METHODS}
    run = experiment_of(recorded())
    rates = dict(zip(METHODS, run.method_learning_rates, strict=True))
    assert run.hyper.kl_coefficient == 0.0
    assert run.algorithm.collections == says(r"three seeds, (\d+) rounds")[0]
    assert far.divergence[[at[name] for name in ("best_of_n", "rwr", "ppo")], -1] == pytest.approx(
        far.frontier[0][-1], abs=0.6
    )
    assert says(r"a margin of (\d+) nats") == [pytest.approx(1 / (2 * run.hyper.tau))]
    assert says(r"(\.\d+) for both kinds of IPO, (\.\d+) for the others") == [rates["ipo"], rates["ppo"]]
    assert rates["on_policy_ipo"] == rates["ipo"]
    assert rates["ppo"] == rates["rwr"] == rates["best_of_n"]
    assert min(ends["best_of_n"][0], ends["rwr"][0], ends["ppo"][0], ends["on_policy_ipo"][1]) > 0.99
    assert says(r"offline IPO ends at (\.\d+) on these three seeds") == [round(ends["ipo"][0], 2)]
    gains = [round(on - off, 2) for on, off in zip(ends["on_policy_ipo"], ends["ipo"], strict=True)]
    assert says(r"ends (\.\d+) above offline IPO on R1 and (\.\d+) above it on R2") == gains
    assert says(r"on R1 it ends at (\.\d+)") == [round(ends["on_policy_ipo"][0], 2)]
    half = {name: far.steps[(far.reward[i] > 0.5).argmax()] for name, i in at.items() if name != "ipo"}
    assert says(r"step (\d+), Best-of-N at (\d+), RWR at (\d+)") == [half["ppo"], half["best_of_n"], half["rwr"]]
    assert sorted(half, key=half.get) == ["on_policy_ipo", "best_of_n", "rwr", "ppo"]


def test_what_notebook_05_says_of_its_runs_is_so():
    says = partial(said, "05_bandit_explorer")
    model = BanditModel("R1-ppo")
    assert says(r"token 0 has (\.\d+) and token 99 has (\.\d+)") == [
        round(model.result.reference[k], 2) for k in (0, 99)
    ]
    assert says(r"best response alone, (\d+) nats away on R1") == [round(model.result.frontier_kl[-1])]
    assert {BanditModel(name).experiments(model.values)[0].hyper.kl_coefficient for name in ("R1-ppo", "R1-rwr")} == {0}
    for words, preset in (
        (r"Offline IPO ends at (\.\d+) ± (\.\d+) on R1", "R1-ipo"),
        (r"and (\.\d+) ± (\.\d+) on R2, PPO at 1 on both", "R2-ipo"),
        (r"which differs in nothing else, ends at (\.\d+) ± (\.\d+) on R1", "R1-on-policy-ipo"),
    ):
        run = BanditModel(preset).run
        assert says(words) == [round(float(of("expected_reward")[-1]), 2) for of in (run.mean, run.error)]
    assert min(float(BanditModel(name).run.mean("expected_reward")[-1]) for name in ("R1-ppo", "R2-ppo")) > 0.99
    ends = BanditModel("R1-ipo").run.curves["expected_reward"][:, -1]
    spread = [min(ends[:3]), max(ends[:3]), *ends[3:]]
    assert says(r"three end between (\.\d+) and (\.\d+), two at (\.\d+) and (\.\d+)") == [
        round(float(e), 2) for e in spread
    ]
    tour, at = DemoModel("R1").result, METHODS.index("ipo")
    three = [round(float(of[at, -1]), 2) for of in (tour.reward, tour.error)]
    assert says(r"notebook 00, which gave (\.\d+) ± (\.\d+)") == three


@pytest.mark.slow
def test_reinforce_costs_what_the_reveal_of_notebook_05_says():
    explorer = BanditExplorer("R1-ppo", method="reinforce", seeds=3, collections=8)
    explorer.train()
    run = explorer.model.run
    nats = np.interp(0.5, run.mean("expected_reward"), run.mean("kl_to_reference"))
    assert run.mean("expected_reward")[-1] > 0.5
    assert nats == pytest.approx(REINFORCE_NATS, abs=2.0)


def test_a_stale_notebook_is_noticed(tmp_path, monkeypatch):
    name = "07_kl_explorer"
    committed = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    committed["cells"][0]["source"] = ["# Something else"]
    committed["metadata"]["widgets"] = {}
    (tmp_path / f"{name}.ipynb").write_text(json.dumps(committed))
    monkeypatch.setattr(build, "HERE", tmp_path)
    found = build.problems(name, run=False)
    assert any("other cells than its source" in problem for problem in found)
    assert any("holds widgets" in problem for problem in found)


def test_a_stream_that_was_cut_is_joined():
    pieces = [
        nbformat.v4.new_output("stream", name="stdout", text="a\n"),
        nbformat.v4.new_output("stream", name="stdout", text="b\n"),
        nbformat.v4.new_output("display_data", data={"text/plain": "x"}),
        nbformat.v4.new_output("stream", name="stdout", text="c\n"),
        nbformat.v4.new_output("stream", name="stderr", text="d\n"),
    ]
    kept = [(output.output_type, output.get("text")) for output in build.joined(pieces)]
    assert kept == [("stream", "a\nb\n"), ("display_data", None), ("stream", "c\n"), ("stream", "d\n")]


@pytest.mark.parametrize(
    "cell", ["def loss(p):\n    return p", "for i in range(3):\n    i", "import matplotlib.pyplot"]
)
def test_a_notebook_that_defines_something_is_refused(tmp_path, monkeypatch, cell: str):
    (tmp_path / "x.py").write_text(f"# %%\n{cell}\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="define no function, loop or plot"):
        build.source("x")


WRONG = [
    (check_boundary(...), "no answer here yet"),
    (check_boundary("a tenth"), "is a number"),
    (check_boundary(0.7), "between 0 and 0.5"),
    (check_boundary(0.02), "forward step still separates"),
    (check_boundary(0.001), "reverse step still separates"),
    (check_overtaking(3), "give an explorer"),
    (check_overtaking("kl?preset=R1"), "at most 12 categories"),
    (check_overtaking("kl?preset=case-3"), "reverse KL is not behind"),
    (check_overtaking("kl?preset=case-1-fails"), "does not overtake"),
    (check_overtaking("kl?preset=case-3-fails&step_size=0.01"), "does not get to nine tenths"),
    (check_overtaking("nonsense"), "begins with kl?"),
    (check_counter_example((0.6, 0.399, 0.001), (0.01, 0.01, 0.98)), "find one of your own"),
    (check_counter_example((0.6, 0.4), (0.5, 0.5)), "3 to 100 categories"),
    (check_counter_example((0.6, 0.3, 0.1), (0.01, 0.02, 0.97)), "needs q₁ = q₂"),
    (check_counter_example((0.3, 0.6, 0.1), (0.01, 0.01, 0.98)), "needs p₁ > p₂"),
    (check_counter_example((0.6, 0.3, 0.1), (0.1, 0.1, 0.8)), "must be below"),
    (check_counter_example((0.6, 0.2, 0.2), (0.009, 0.009, 0.982)), "here the theorem holds"),
    (check_counter_example((0.6, 0.4, 0.0), (0.01, 0.01, 0.98)), "there is a zero"),
    (check_fastest("sgd"), "one of best_of_n"),
    (check_fastest("ppo"), "another method earlier"),
    (check_fastest("ipo"), "never"),
    (check_distance(...), "no answer here yet"),
    (check_distance(10), "it is more than 10"),
]


@pytest.mark.parametrize(("feedback", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_answer_is_told_what_is_wrong(feedback, says: str):
    assert not feedback.right
    assert says in str(feedback)
    assert "✗ Not yet" in feedback._repr_html_()


def test_lab_copies_and_leaves_a_readers_work_alone(tmp_path, capsys, monkeypatch):
    started = []
    monkeypatch.setattr(
        lab.subprocess, "run", lambda command, **_: started.append(command) or type("", (), {"returncode": 0})
    )
    folder = tmp_path / "mine"
    assert Lab(folder=folder, browser=False).run() == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert f"--ServerApp.root_dir={folder}" in started[0]
    assert "--no-browser" in started[0]
    (folder / names[0]).write_text("my notes")
    Lab(folder=folder).run()
    assert (folder / names[0]).read_text() == "my notes"
    assert "left as it is" in capsys.readouterr().err
    old = {"cells": [{"cell_type": "code", "source": ["x = 1\n", "from bandit.explore import KLExplorer"]}]}
    (folder / names[0]).write_text(json.dumps(old))
    (folder / names[1]).write_text(json.dumps({"cells": ["from modeseek.bandit import explore; of a bandit"]}))
    Lab(folder=folder).run()
    said = capsys.readouterr().err.splitlines()
    advice = "was made before the import names changed: move it away and run `modeseek lab` again"
    assert said[0].endswith(f"{folder / names[0]} {advice}")
    assert [line for line in said if advice in line] == said[:1]
    assert "left as it is" in said[1]
    assert "--allow-root" in Lab(allow_root=True).command(folder)
    assert "--allow-root" not in Lab().command(folder)
    assert Lab(here=True).command(shipped())[3] == f"--ServerApp.root_dir={NOTEBOOKS}"


def test_a_copy_does_not_show_what_waits_for_a_prediction(tmp_path):
    assert copy_notebooks(NOTEBOOKS, tmp_path) == []
    emptied = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        theirs, mine = (nbformat.read(each, as_version=4) for each in (path, tmp_path / path.name))
        nbformat.validate(mine)
        for shipped_cell, copied in zip(theirs.cells, mine.cells, strict=True):
            if ".after(" in shipped_cell.source:
                assert shipped_cell.outputs
                assert copied.outputs == []
                emptied += 1
                shipped_cell.outputs = []
            assert copied == shipped_cell
    assert emptied >= len(build.names())
    assert copy_notebooks(NOTEBOOKS, tmp_path) == []


def test_lab_says_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="port must be from 1 to 65535, got 0"):
        Lab(port=0).run()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="not writable"):
        copy_notebooks(NOTEBOOKS, tmp_path / "file")
    monkeypatch.setattr(lab, "CLONE", tmp_path)
    monkeypatch.setattr(lab.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(ValueError, match="no notebooks found"):
        Lab().run()
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install -c constraints.txt '\.\[notebooks\]' in a clone"):
        dataclasses.replace(Lab(), folder=tmp_path).run()
