"""`import modeseek`: what a newcomer finds there, and what it costs."""

import contextlib
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest

import modeseek
from modeseek import cli
from modeseek.bandit import explore
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.table import method_rows
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.checks import hint, nearest, suggestion
from modeseek.experiments import experiment_with


def test_importing_it_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import modeseek; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names); "
        "print(sorted(new))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['modeseek']"


@pytest.mark.parametrize("name", modeseek.__all__)
def test_every_name_is_there_and_shows_itself_in_use(name):
    documented = getattr(modeseek, name).__doc__
    assert documented.splitlines()[0].endswith(".")
    if name != "Experiment":
        assert f"modeseek.{name}(" in documented
    assert name in dir(modeseek)
    assert f"{name}" in modeseek.__doc__


@pytest.mark.parametrize(("asked", "near"), [("runn", "run"), ("explorers", "explorer"), ("experiment", "Experiment")])
def test_a_misspelt_name_says_the_near_one(asked, near):
    with pytest.raises(AttributeError, match=rf"modeseek has no '{asked}': did you mean modeseek\.{near}\?"):
        getattr(modeseek, asked)


def test_a_strange_name_says_what_there_is():
    with pytest.raises(AttributeError, match="there are Experiment, explorer"):
        _ = modeseek.zzz


def test_tools_that_look_for_dunders_are_answered_as_by_any_module():
    assert not hasattr(modeseek, "__wrapped__")


def test_run_is_the_experiment_that_the_command_runs(tiny, tiny_results):
    found = modeseek.run(tiny, progress=False)
    assert found.equals(tiny_results)


def test_options_are_those_of_the_command_line(tiny):
    changed = experiment_with(
        tiny,
        methods="rwr",
        rewards=["bump:3:1"],
        collections=2,
        tau=0.2,
        preset="released_code",
        vary={"beta": [0.1, 0.2]},
    )
    assert changed.methods == ("rwr",)
    assert changed.rewards == ("bump:3:1",)
    assert changed.algorithm.collections == 2
    assert changed.algorithm.inner_steps == tiny.algorithm.inner_steps
    assert changed.hyper.tau == 0.2
    assert changed.hyper.learning_rate == tiny.hyper.learning_rate
    assert changed.conventions == RELEASED_CODE
    assert changed.vary == (("beta", (0.1, 0.2)),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collection": 3}, "there is no option 'collection': did you mean 'collections'"),
        ({"zzzz": 3}, "there is no option 'zzzz': there are "),
        ({"preset": "released"}, "preset must be one of paper, figure2, released_code, got 'released'"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        ({"methods": ["ppoo"]}, "did you mean 'ppo'"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        modeseek.run(out=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_input_of_another_kind_is_refused_in_words():
    """In a process of its own, as users have no beartype that comes first."""
    calls = {
        "modeseek.run(vary={'tau': .3})": "vary: tau needs a list of numbers, such as [0.05, 0.1], got 0.3",
        "modeseek.run(vary={'tau': '.3'})": "vary: tau needs a list of numbers, such as [0.05, 0.1], got '.3'",
        "modeseek.run(vary={'tau': ['x']})": "tau must be a number, got 'x'",
        "modeseek.run(vary=['tau'])": "vary must say which values a hyper-parameter takes",
        "modeseek.run(vary=3)": "vary must say which values a hyper-parameter takes",
        "modeseek.run(tau='x')": "tau must be a number, got 'x'",
        "modeseek.run(experiment=3)": "experiment must be a modeseek.Experiment, got 3",
        "modeseek.run(0)": "experiment must be a modeseek.Experiment, got 0",
        "modeseek.sweep('ppo')": "experiment must be a modeseek.Experiment, got 'ppo'",
        "modeseek.explorer(3)": "kind must be the name of an explorer, one of kl, ",
    }
    lines = ["import modeseek"]
    for call in calls:
        lines += ["try:", f"    {call}", "except ValueError as error:", "    print(error)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    for said, expected in zip(done.stdout.splitlines(), calls.values(), strict=True):
        assert said.startswith(expected)


def test_a_folder_keeps_the_results_and_is_not_run_again(tiny, tiny_results, tmp_path, capsys):
    modeseek.run(tiny, out=tmp_path / "run", progress=False)
    opened = modeseek.open_results(tmp_path / "run")
    assert opened["expected_reward"].equals(tiny_results["expected_reward"])
    assert modeseek.run(tiny, out=tmp_path / "run", progress=False).equals(opened)
    assert "nothing is run again" in capsys.readouterr().err


def test_a_sweep_keeps_every_rate_and_its_table_the_best_ones(tabular):
    results = modeseek.sweep(tabular, learning_rates=[0.01, 0.1], seeds=1, progress=False)
    assert results.sizes["learning_rate"] == 2
    assert set(results.dims) >= {"algorithm", "reward", "seed", "step"}
    lines = modeseek.table(results).splitlines()
    assert len(lines) == 2 + len(tabular.methods)
    best = results["expected_reward"].isel(step=-1)
    assert np.isfinite(best).all()
    assert isinstance(modeseek.plot(results, "learning_rates"), matplotlib.figure.Figure)


def test_what_computes_can_be_chosen(tabular, monkeypatch):
    """One device, a cluster (here this process stands for its workers), both, and more devices than there are."""
    mapped = []

    def here(function, items):
        mapped.append(function.__name__)
        return enumerate(map(function, items))

    plain = modeseek.run(tabular, progress=False)
    assert modeseek.run(tabular, progress=False, devices=2).equals(plain)
    monkeypatch.setattr("modeseek.bandit.commands.common.workers_at", lambda _: contextlib.nullcontext(here))
    assert modeseek.sweep(tabular, progress=False, cluster="tcp://10.0.0.1:8786").equals(plain)
    assert mapped
    with pytest.raises(ValueError, match="with a cluster others compute: give one"):
        modeseek.run(tabular, devices=1, cluster="local:1")
    with pytest.raises(ValueError, match="devices must be at most 2"):
        modeseek.run(tabular, devices=3)


def test_the_default_sweep_is_the_papers_protocol(monkeypatch):
    asked = []
    monkeypatch.setattr("modeseek.experiments._run", lambda experiment, *_: asked.append(experiment))
    modeseek.sweep(methods="ppo")
    assert len(asked[0].learning_rates) == 10
    assert asked[0].seeds == 5
    assert asked[0].methods == ("ppo",)


@pytest.mark.parametrize("kind", [None, "reward", "tokens", "problem"])
def test_figures_by_name(kind, tiny_results):
    assert isinstance(modeseek.plot(tiny_results, kind), matplotlib.figure.Figure)


def test_a_figure_that_is_not_there_says_which_are(tiny_results):
    with pytest.raises(ValueError, match=r"no figure 'tokenz': .*; did you mean 'tokens'"):
        modeseek.plot(tiny_results, "tokenz")
    with pytest.raises(ValueError, match="no figure 'learning-rates'"):  # it has one rate
        modeseek.plot(tiny_results, "learning-rates")
    with pytest.raises(
        ValueError,
        match=r"expected the results of an experiment, of llm tune .* or of kl, got .* none",
    ):
        modeseek.plot(tiny_results.drop_vars(tiny_results.data_vars))


def test_methods_are_a_mapping_and_a_table():
    found = modeseek.methods()
    assert dict(found) == METHODS
    assert found["ppo"].source == "paper I.2.4"
    lines = str(found).splitlines()
    rows = len(method_rows())  # with those that are named and not run
    assert len(lines) == 2 + rows > 2 + len(METHODS)
    assert found._repr_markdown_().count("\n") == 1 + rows
    with pytest.raises(KeyError, match="did you mean 'ppo'"):
        found["pppo"]
    with pytest.raises(KeyError, match="did you mean 'ipo'"):
        found["IPO"]
    with pytest.raises(KeyError, match=r"there are .*ppo"):
        found["zzzz"]


def test_kl_ends_at_the_target():
    """Both divergences have the same optimum: after many steps the policy is the target."""
    study = modeseek.kl("case-2", steps=3000)
    last = np.exp(study["log_prob"].isel(step=-1))
    assert float(abs(last - study["target"]).max()) < 1e-2
    assert isinstance(modeseek.plot(study, "bars"), matplotlib.figure.Figure)
    with pytest.raises(ValueError, match="there is no option 'step': did you mean 'steps'"):
        modeseek.kl("case-2", step=3)
    with pytest.raises(ValueError, match=r"unknown problem 'case1'; .*; did you mean 'case-1-holds'"):
        modeseek.kl("case1")


def test_every_explorer_has_a_short_name():
    with pytest.raises(ValueError, match="there is no explorer 'nothing'") as refused:
        modeseek.explorer("nothing")
    listed = str(refused.value).split("there are ")[1].split(", ")
    assert len(listed) == len(explore.EXPLORERS)
    assert all(name in modeseek.explorer.__doc__ for name in listed)
    assert modeseek.explorer("on-policy").caption()
    with pytest.raises(ValueError, match="there is no explorer 'figure-19': did you mean 'figure18'"):
        modeseek.explorer("figure-19")
    with pytest.raises(ValueError, match=r"one of .*, got 'case-2b'; did you mean 'case-2'"):
        modeseek.explorer("kl", preset="case-2b")
    with pytest.raises(ValueError, match=r"unknown control 'stepp'; .*; did you mean 'step'"):
        modeseek.explorer("kl", stepp=3)
    assert modeseek.explorer("kl", preset="case-1-fails", steps=20).model.values.preset == "case-1-fails"


@pytest.mark.parametrize("name", explore.EXPLORERS)
def test_a_run_card_makes_its_explorer_again(name):
    kind = getattr(explore, name)
    card = kind.Model().run_card()
    assert card["again"].startswith(f'modeseek.explorer("{card["explorer"]}", ')
    again = eval(card["again"], {"modeseek": modeseek})
    assert type(again) is kind
    assert again.model.run_card() == card


@pytest.mark.parametrize(
    ("asked", "near"),
    [("IPO", "ipo"), ("on-policy", "on_policy"), ("step", "steps"), ("stepss", "steps"), ("o", "on_policy"), ("", "")],
)
def test_the_nearest_name_asks_for_letters_and_digits(asked, near):
    known = ["step_size", "steps", "ipo", "on_policy"]
    assert nearest(asked, known) == near
    assert suggestion(asked, known) == (f"; did you mean {near!r}?" if near else "")
    assert hint(asked, known) == (f"did you mean {near!r}?" if near else "there are step_size, steps, ipo, on_policy")


def test_help_names_every_command_once_under_what_it_is_for(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert sum(line.split()[:1] == [name] for line in text.splitlines()) == 1
    assert all(f"{title}:" in text for title in cli.GROUPS)
    assert max(map(len, text.splitlines())) <= 120


def test_a_misspelt_command_says_the_near_one(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweeep"])
    assert ended.value.code == 2
    assert "did you mean 'sweep'?" in capsys.readouterr().err


def test_methods_are_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["methods"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(modeseek.methods())
