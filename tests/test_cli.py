"""The command line as a person meets it: help, errors, a run from end to end, a repetition."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from modeseek import cli
from modeseek.bandit.commands.demo import Demo
from modeseek.bandit.commands.runs import run_and_report
from modeseek.bandit.figures import kinds
from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.streams import steady_streams

TINY = [
    *[
        "--methods",
        "ppo",
        "on_policy_ipo",
        "--rewards",
        "bump:4:1",
        "--seeds",
        "2",
        "--vocab-size",
        "6",
        "--response-length",
        "3",
    ],
    *["--policy.layers", "1", "--policy.heads", "2", "--policy.width", "8", "--samples-per-collection", "24"],
    *[
        "--responses-per-prompt",
        "4",
        "--minibatch-size",
        "12",
        "--inner-steps",
        "2",
        "--collections",
        "3",
        "--prompts",
        "8",
    ],
    *["--pretraining.steps", "60", "--pretraining.rows", "20", "--pretraining.tolerance", "0.01"],
    *["--evaluation.prompts", "12", "--evaluation.interval", "2", "--learning-rate", "0.01"],
]
"""The configuration of the fixture `tiny`, so that nothing new is compiled."""


def _main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(a) for a in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_a_run_from_end_to_end_and_its_repetition(tiny, tiny_results, tmp_path, capsys):
    out = tmp_path / "run"
    assert _main("bandit", *TINY, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "On-policy PPO" in printed
    assert str(out) in printed
    assert {p.name for p in out.iterdir()} == {"results.nc", "reward.png", "reward.svg", "tokens.png", "tokens.svg"}
    dataset = results.load(out / "results.nc")
    assert results.experiment_of(dataset) == tiny
    assert (dataset["expected_reward"] == tiny_results["expected_reward"]).all()
    assert _main("repeat", out / "results.nc", "--out", tmp_path / "again") == 0
    assert "every number is bit for bit the same" in capsys.readouterr().out


@pytest.fixture
def finished(tiny, tiny_results, tmp_path):
    """A folder that holds the results of `tiny`, of which a report is still to be made."""
    results.save(tiny_results, tmp_path / "results.nc")
    return tmp_path


def test_a_figure_that_fails_is_one_line_and_the_rest_goes_on(tiny, finished, monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("Failed to process string with tex\nbecause latex could not be found")

    monkeypatch.setitem(kinds.EXPERIMENT, "reward", fail)
    assert run_and_report(tiny, finished) == 2
    said = capsys.readouterr()
    assert "On-policy PPO" in said.out
    line = "modeseek: the figure reward is missing: RuntimeError: Failed to process string with tex"
    assert said.err.splitlines()[-1] == line
    assert {path.name for path in finished.iterdir()} == {"results.nc", "tokens.png", "tokens.svg"}


def test_a_terminal_that_is_gone_costs_no_file(tiny, finished, monkeypatch):
    """Nobody reads what the command says."""
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "w", encoding="utf-8") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        monkeypatch.setattr(sys, "stderr", gone)
        with steady_streams():
            assert run_and_report(tiny, finished) == 0
    assert {path.suffix for path in finished.iterdir()} == {".nc", ".png", ".svg"}


UGLY = {"text.usetex": True, "axes.facecolor": "red", "font.size": 30, "savefig.dpi": 30, "svg.fonttype": "path"}


def test_figures_are_the_same_whatever_the_users_settings(tiny_results, tmp_path):
    """Drawn and saved by us, or saved by the user: ticks are made when a figure is drawn."""
    for folder, settings in (("plain", {}), ("ugly", UGLY)):
        (tmp_path / folder).mkdir()
        with matplotlib.rc_context(settings):
            for suffix in ("png", "svg"):
                path = tmp_path / folder / f"reward.{suffix}"
                kinds.draw(tiny_results, "reward").savefig(path, metadata={"Date": None} if suffix == "svg" else None)
    for name in ("reward.png", "reward.svg"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "ugly" / name).read_bytes()


def test_a_sweep_chooses_learning_rates(tmp_path, capsys):
    out = tmp_path / "sweep"
    learning_rates = ["--learning-rates", "0.001", "0.01", "0.03", "--vary", "clip-epsilon=0.1,0.3"]
    assert _main("sweep", *TINY, "--seeds", "1", "--learning-rate", "0.001", *learning_rates, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "best learning rate of the grid" in printed
    assert (out / "learning-rates.png").exists()
    assert results.load(out / "results.nc")["expected_reward"].sizes["clip_epsilon"] == 2


def test_an_existing_output_is_not_touched(tmp_path, capsys):
    (tmp_path / "results.nc").write_text("precious")
    assert _main("bandit", *TINY, "--out", tmp_path) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "results.nc").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, capsys, monkeypatch):
    """By the error itself: the superuser, whom CI may run as, is allowed to write anywhere."""

    def deny(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", deny)
    assert _main("bandit", *TINY, "--out", tmp_path / "new") == 2
    assert "not writable: Permission denied" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert _main("bandit", *TINY, "--out", tmp_path / "file" / "new") == 2
    assert "not writable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "ppoo"], "did you mean 'ppo'"),
        (["--learning-rate", "-1"], "learning_rate must be a positive number, got -1.0"),
        (["--vary", "tau"], "--vary takes NAME=VALUE"),
        (["--vary", "tua=1"], "'tua' is not a hyper-parameter"),
        (["--preset", "released"], "--preset must be one of paper, figure2, released_code, got 'released'"),
        (["--preset"], "--preset needs a value"),
        (["--config", "absent.nc"], "there is no results file absent.nc"),
        (["--config", "absent.json"], "cannot read the configuration absent.json"),
        (["--reference.samples", "1000000000000"], "reference samples must be at most 100,000,000, got 1,000,000"),
        (["--policy.width", "0"], "width must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_end_in_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _main("bandit", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing was made before the check


def test_a_value_of_the_wrong_type_names_its_option(capsys):
    assert _main("bandit", "--seeds", "many") == 2
    assert "--seeds" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_reads(command, capsys):
    assert _main(*([command] if command else []), "--help") == 0
    text = capsys.readouterr().out
    assert "usage: modeseek" in text
    assert "Attributes:" not in text


def test_every_field_of_the_configuration_can_be_set(tiny, capsys):
    """Each leaf of the experiment's dataclasses is an option of `modeseek bandit`."""
    _main("bandit", "--help")
    text = capsys.readouterr().out

    def leaves(value, prefix):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if dataclasses.is_dataclass(inner):
                flat = field.name in ("algorithm", "hyper")
                yield from leaves(inner, prefix if flat else f"{prefix}{field.name}.")
            else:
                yield f"--{prefix}{field.name}".replace("_", "-")

    missing = [name for name in leaves(tiny, "") if name not in text]
    assert missing == []


def test_presets_and_configurations_are_defaults_that_options_override(tmp_path, tiny):
    arguments = ["--preset", "released_code", "--conventions.ties", "skip"]
    parsed = cli._parse(["bandit", *arguments])
    assert parsed.experiment.conventions == dataclasses.replace(RELEASED_CODE, ties="skip")
    path = tmp_path / "configuration.json"
    path.write_text(tiny.to_json())
    parsed = cli._parse(["sweep", f"--config={path}", "--seeds", "7"])
    assert parsed.experiment == dataclasses.replace(tiny, seeds=7)


def test_the_demo_is_the_papers_comparison():
    experiment = Demo().experiment()
    assert [v.title for v in experiment.variants] == [
        "On-policy Best-of-N",
        "On-policy RWR",
        "On-policy PPO",
        "Offline IPO",
        "On-policy IPO",
    ]
    assert experiment.rewards == ("R1", "R2")
    assert experiment.seeds >= 3


def test_help_starts_without_plotting_or_networks():
    """Start-up is what a student waits for: matplotlib, xarray and flax are imported when they are needed."""
    code = (
        "import sys, modeseek.cli; "
        "heavy = {'matplotlib', 'xarray', 'flax', 'pandas', 'optax'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
