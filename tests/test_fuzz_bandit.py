"""A search for inputs of the bandit that end otherwise than in finite numbers or one line, soon and in little memory.

The default suite draws the same few examples every time; those marked search go on. Damaged partial files are searched
in test_sealed.py.
"""

import contextlib
import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_typed import made

from modeseek import cli
from modeseek.bandit.commands import runs
from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig, PretrainingConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import check_room
from modeseek.bandit.simulator.problem import ReferenceRecipe
from modeseek.bandit.simulator.summary import diverged_runs, idle_runs, table
from modeseek.bandit.simulator.sweep import run_sweep

FEW = settings(derandomize=True, max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(derandomize=False, max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))

SIZES = st.sampled_from([0, 1, 2, 3, 7, 10, 100, 10**4, 10**8, 10**12, 2**31, 2**63, 10**400, -1])
RATES = st.sampled_from([0.0, -0.0, 1.0, 0.3, 1e-3, 1e-45, 1e-320, 1e38, 1e39, 1e308, -1.0, math.inf, math.nan])
ODD = st.one_of(
    SIZES,
    RATES,
    st.sampled_from([None, True, False, "", "R1", "ppo", b"ppo", "1", 1 + 1j, (), [], {}, object, Experiment]),
    st.sampled_from([np.int64(3), np.float32(0.1), np.float64("nan"), np.bool_(True), np.str_("ppo")]),
    st.sampled_from([np.array([0.1, 0.2]), np.array([[1.0]]), np.array(3), np.array(["ppo"]), np.zeros(0)]),
    st.lists(st.one_of(RATES, SIZES, st.text(max_size=3)), max_size=3),
)
REWARDS = st.builds(lambda center, width: f"bump:{center}:{width}", RATES | SIZES, RATES | SIZES) | st.text(max_size=9)
PARTS = {
    "reference": ReferenceRecipe,
    "conventions": Conventions,
    "policy": PolicyConfig,
    "pretraining": PretrainingConfig,
    "algorithm": AlgorithmConfig,
    "evaluation": EvaluationConfig,
    "hyper": HyperParameters,
}

DEFAULTS = {kind: vars(kind()) for kind in (Experiment, *PARTS.values())}


@st.composite
def changes(draw, kind):
    """Some fields of a configuration, with values of its kind at the extremes, or of another kind."""
    fields = draw(st.lists(st.sampled_from([f.name for f in dataclasses.fields(kind)]), max_size=3, unique=True))
    values = {}
    for name in fields:
        if name in PARTS and kind is Experiment:
            values[name] = (PARTS[name], draw(changes(PARTS[name])))
        elif name == "rewards":
            values[name] = draw(st.lists(REWARDS, max_size=3).map(tuple) | ODD)
        elif isinstance(DEFAULTS[kind][name], bool | str):
            values[name] = draw(ODD)
        else:
            values[name] = draw(st.one_of(SIZES, RATES, ODD))
    return values


def _part(value):
    is_part = isinstance(value, tuple) and len(value) == 2 and value[0] in PARTS.values()
    return made(value[0], **value[1]) if is_part else value


def _check_configuration(given_changes):
    tracemalloc.start()
    try:
        experiment = made(Experiment, **{name: _part(value) for name, value in given_changes.items()})
        assert Experiment.from_json(experiment.to_json()) == experiment
        hash(experiment)
        check_room(experiment, 2, free=2**34)
    except ValueError as error:
        assert str(error)
        assert "\n" not in str(error) or "\n" in repr(given_changes)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 200 * 2**20


@FEW
@given(changes(Experiment))
def test_a_configuration_is_whole_or_refused(given_changes):
    _check_configuration(given_changes)


@pytest.mark.search
@MANY
@given(changes(Experiment))
def test_a_configuration_is_whole_or_refused_in_a_longer_search(given_changes):
    _check_configuration(given_changes)


FLAGS = st.sampled_from(
    [
        *("--methods", "--rewards", "--seeds", "--learning-rates", "--vocab-size", "--response-length", "--vary"),
        *("--collections", "--inner-steps", "--minibatch-size", "--tau", "--top-k", "--reward-gap", "--preset"),
        *("--policy.kind", "--policy.width", "--evaluation.prompts", "--evaluation.interval", "--reference.samples"),
        *("--conventions.ties", "--conventions.dropout", "--config", "--no-such-flag", "--evaluation.snapshots"),
    ]
)
WORDS = st.one_of(
    (SIZES | RATES).map(str),
    REWARDS,
    st.sampled_from(
        ["ppo", "R1", "tau=0.1,0.2", "tau=", "=", "", "paper", "/proc/self/mem", ".", "tabular", "-", "--"]
    ),
)


def _check_command(arguments, monkeypatch, capsys):
    """Whatever stands on the command line: it is run, or refused with status 2 and in words."""
    ran = []
    with monkeypatch.context() as patch:
        patch.setattr(runs, "run_and_report", lambda experiment, folder, **_: ran.append(experiment) or 0)
        patch.setattr(runs, "output_folder", lambda out, command: out)
        with pytest.raises(SystemExit) as ended:
            cli.main(["bandit", *arguments])
    said = capsys.readouterr().err
    assert (ended.value.code, bool(ran)) in ((0, True), (2, False), (0, "--help" in arguments))
    assert "Traceback" not in said
    assert ran or said


@settings(FEW, max_examples=15)
@given(arguments=st.lists(st.tuples(FLAGS, WORDS), max_size=4).map(lambda pairs: [x for pair in pairs for x in pair]))
def test_a_command_line_is_run_or_refused(arguments, monkeypatch, capsys):
    _check_command(arguments, monkeypatch, capsys)


@pytest.mark.search
@settings(MANY, max_examples=1000)
@given(arguments=st.lists(st.tuples(FLAGS, WORDS), max_size=4).map(lambda pairs: [x for pair in pairs for x in pair]))
def test_a_command_line_is_run_or_refused_in_a_longer_search(arguments, monkeypatch, capsys):
    _check_command(arguments, monkeypatch, capsys)


def _values(name):
    low = st.sampled_from([0.0, 2.0**-126, 1e-30, 1e-3, 0.1, 1.0, 3.0, 100.0, 1e10, 1e30, 3e38])
    return low if HYPER_RANGES[name].zero else low.filter(bool)


NUMBERS = st.fixed_dictionaries({}, optional={name: _values(name) for name in HYPER_RANGES})
CENTERS = st.floats(-2, 6, width=32)
WIDTHS = st.sampled_from([0.01, 0.5, 1.0, 30.0, 1000.0])


def _check_run(tabular, hyper, center, width):
    """Numbers at the ends of float32: each run ends finite, or is named as one that diverged."""
    with contextlib.suppress(ValueError):
        experiment = dataclasses.replace(tabular, rewards=(f"bump:{center}:{width}",), hyper=HyperParameters(**hyper))
        results = run_sweep(experiment, progress=False).dataset
        finite = np.isfinite(results["expected_reward"]).all("step") & np.isfinite(results["kl_to_reference"]).all(
            "step"
        )
        assert (finite | (results["diverged_at"] >= 0)).all()
        assert len(diverged_runs(results)) == int((results["diverged_at"] >= 0).sum())
        assert isinstance(idle_runs(results, experiment), list)
        assert "nan" not in table(results)


@settings(FEW, max_examples=8)
@given(hyper=NUMBERS, center=CENTERS, width=WIDTHS)
def test_a_run_is_finite_or_diverged_by_name(tabular, hyper, center, width):
    _check_run(tabular, hyper, center, width)


@pytest.mark.search
@settings(MANY, max_examples=500)
@given(hyper=NUMBERS, center=CENTERS, width=WIDTHS)
def test_a_run_is_finite_or_diverged_by_name_in_a_longer_search(tabular, hyper, center, width):
    _check_run(tabular, hyper, center, width)
