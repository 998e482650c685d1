"""What all explorers are made of: no circle of imports, fields that are controls, recorded runs, answers as models."""

import ast
import importlib.util
import re
from dataclasses import dataclass, fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr

import modeseek.bandit.explore
from modeseek.bandit.explore import EXPLORERS, DemoExplorer, KLExplorer
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.presets import METHODS, SWEPT, irrelevant
from modeseek.bandit.explore.displacement.model import DisplacementModel
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.toolkit.checks import Wrong, model_of
from modeseek.bandit.explore.toolkit.controls import Choice, Number
from modeseek.bandit.explore.toolkit.model import rows_of
from modeseek.bandit.explore.toolkit.panels import FINE, round_up
from modeseek.bandit.explore.toolkit.stored import DATA, store, stored
from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, choice, controls_of, number
from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters

ROOM = "modeseek.bandit.explore"
FOLDER = Path(modeseek.bandit.explore.__file__).parent


def _imports(path: Path) -> set[str]:
    """Modules of the room that are imported when the code runs, inside functions too, but not for types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {node.module for node in nodes} | {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    return {name for name in names if name.startswith(f"{ROOM}.")}


def _module(path: Path) -> str:
    return ".".join((ROOM, *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__")


def test_no_module_of_the_room_imports_itself_by_a_detour():
    modules = {_module(path): path for path in FOLDER.rglob("*.py")}
    graph = {name: _imports(path) & set(modules) for name, path in modules.items()}
    assert graph[f"{ROOM}.toolkit.explorer"] >= {f"{ROOM}.toolkit.model", f"{ROOM}.toolkit.shell"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_toolkit_knows_no_explorer():
    wrong = {_module(path): _imports(path) for path in (FOLDER / "toolkit").glob("*.py")}
    assert {m: n for m, n in wrong.items() if not all(x.startswith(f"{ROOM}.toolkit") for x in n)} == {}


@dataclass(frozen=True)
class Example(SteppedValues):
    preset: str = "one"
    step: int = number("step", 0, 9, 3, whole=True, view=True, until="steps")
    steps: int = number("steps", 1, 9, 5, whole=True)
    kind: str = choice("kind", {"a": "the first"}, "a")


def test_fields_are_controls_and_the_player_is_the_last():
    controls = controls_of(Example(), {"one": Preset("something", Example())})
    assert [control.name for control in controls] == ["preset", "steps", "kind", "step"]
    assert controls[0]._replace(help="") == Choice("preset", "preset", {"one": "one: something"})
    assert controls[1] == Number("steps", "steps", 1, 9, whole=True)
    assert (Example().step, Example().steps, Example().kind) == (3, 5, "a")


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_value_is_a_control_and_every_preset_names_one(name: str):
    model = getattr(modeseek.bandit.explore, name).Model
    assert {control.name for control in model.controls} == {field.name for field in fields(model.defaults)}
    menu = next(control for control in model.controls if control.name == "preset")
    assert model.defaults.preset in menu.options
    assert set(model.presets) <= set(menu.options)
    for control in model.controls:
        if isinstance(control, Choice):
            assert getattr(model.defaults, control.name) in control.options


def test_a_number_ends_where_another_one_does():
    model = DisplacementModel("fig18-5-prompts", step=200)
    model.set("steps", 40)
    assert model.values.step == 40
    assert model.limits("step") == (0, 40)
    assert model.limits("tables") == (1, 5)
    assert DisplacementModel.from_state("displacement?preset=beyond&steps=30&step=90").values.step == 30


@pytest.mark.parametrize("path", sorted(DATA.glob("*.nc")), ids=lambda path: path.stem)
def test_the_command_of_recorded_runs_can_be_given(path: Path):
    (module,) = re.findall(r"python -m (\S+)", stored(path.stem).attrs["command"])
    assert module.startswith(ROOM)
    assert importlib.util.find_spec(module) is not None


def test_what_is_stored_is_read_again(tmp_path, capsys):
    data = xr.Dataset({"a": ("x", np.linspace(0, 1, 50)), "b": ("x", np.arange(50))}, attrs={"command": "none"})
    store(data, tmp_path / "some.nc", {"a": "float32"})
    with xr.open_dataset(tmp_path / "some.nc", engine="h5netcdf") as again:
        assert (again["a"].dtype, again["b"].dtype) == (np.float32, np.int64)
        assert again["a"].encoding["complevel"] == 9
        np.testing.assert_allclose(again["a"], data["a"], rtol=1e-6)
    assert capsys.readouterr().out.startswith("some.nc: ")


def test_an_answer_is_an_explorer_or_its_state():
    explorer = KLExplorer("case-2", step=3)
    assert model_of(explorer, KLModel).values == model_of("kl?preset=case-2&step=3", KLModel).values
    with pytest.raises(Wrong, match="give an explorer"):
        model_of(3, KLModel)
    with pytest.raises(ValueError, match="begins with kl"):
        model_of(DemoExplorer(), KLModel)


def test_a_table_has_a_row_for_each_run_and_step():
    table = rows_of("method", ("a", "b"), np.array([0, 10, 20]), {"reward": np.arange(6.0).reshape(2, 3)})
    rows = list(zip(*(np.asarray(column).tolist() for column in table.values()), strict=True))
    assert rows[0] == ("a", 0, 0.0)
    assert rows[4] == ("b", 10, 4.0)
    assert list(table) == ["method", "step", "reward"]


def test_axes_end_at_round_numbers():
    assert [round_up(value) for value in (0.031, 1.0, 1.2, 6.0, 71.0)] == pytest.approx([0.05, 1.0, 1.5, 7.0, 100.0])
    assert [round_up(value, FINE) for value in (0.031, 7.0, 71.0)] == pytest.approx([0.04, 8.0, 80.0])


@pytest.mark.parametrize("name", SWEPT)
def test_a_hyper_parameters_slider_is_declared_with_the_hyper_parameter(name):
    slider, declared = BanditModel().control(name), HYPER_RANGES[name]
    assert (slider.label, slider.low, slider.high, slider.log) == (*declared[:3], declared.log)
    assert getattr(BanditModel.defaults, name) == getattr(HyperParameters(), name)


def test_which_hyper_parameters_matter_is_the_registrys_to_say():
    enters = {name: [m for m in METHODS if not irrelevant(name, m)] for name in SWEPT}
    assert enters["learning_rate"] == list(METHODS)
    assert enters["tau"] == ["ipo", "on_policy_ipo"]
    assert enters["beta"] == ["dpo", "on_policy_dpo"]
    assert enters["temperature"] == ["rwr"]
    assert enters["clip_epsilon"] == ["ppo"]


def test_an_explorer_looks_the_same_whatever_the_users_settings():
    ugly = {"text.usetex": True, "axes.facecolor": "red", "font.size": 30, "lines.antialiased": False}
    plain, later = KLExplorer(), KLExplorer()
    wanted = [plain.png(), plain.static_png(), later.set(step=3).png()]
    with matplotlib.rc_context(ugly):
        explorer = KLExplorer()
        drawn = [explorer.png(), explorer.static_png(), explorer.set(step=3).png()]  # what moves, over what stays
    assert drawn == wanted
    assert wanted[2] != wanted[0]
