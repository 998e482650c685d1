"""Explorers without a browser: state, mended input, the persistent picture, export, and the widgets' callbacks."""

import csv
import html
import io
import json
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from bandit.categorical.closed_forms import logarithmic_mean
from bandit.explore import DemoExplorer, KLExplorer
from bandit.explore.canvas import Canvas, encode
from bandit.explore.controls import Bar, Distribution
from bandit.explore.kl_model import KLModel
from bandit.explore.kl_scene import KLScene

PRESETS = list(KLExplorer.presets())


def _random_model(rng: np.random.Generator) -> KLModel:
    model = KLModel(PRESETS[rng.integers(len(PRESETS))])
    for _ in range(rng.integers(1, 8)):
        name, value = [
            ("categories", int(rng.integers(3, 30))),
            ("seed", int(rng.integers(0, 50))),
            ("beta", float(rng.uniform(0.05, 1))),
            ("target", rng.dirichlet(np.ones(rng.integers(3, 9)))),
            ("start", rng.dirichlet(np.ones(rng.integers(3, 9)))),
            ("optimizer", str(rng.choice(["gd", "adam", "natural", "flow"]))),
            ("step_size", float(rng.uniform(0.01, 2))),
            ("steps", int(rng.integers(10, 60))),
            ("first", int(rng.integers(0, 3))),
            ("target_bar", float(rng.uniform(0.01, 0.9))),
            ("step", int(rng.integers(0, 10))),
        ][rng.integers(11)]
        model.set(name, value)
    return model


def test_a_state_says_everything():
    rng = np.random.default_rng(0)
    for _ in range(60):
        model = _random_model(rng)
        again = KLModel.from_state(model.to_state())
        assert again.values == model.values
        np.testing.assert_array_equal(again.result.log_probs, model.result.log_probs)
        assert again.to_state() == model.to_state()


def test_states_are_short_where_little_was_changed():
    assert KLExplorer(preset="case1_fails").to_state() == "kl?preset=case-1-fails"
    assert KLExplorer("random", seed=7, step=3).to_state() == "kl?preset=random&seed=7&step=3"
    assert KLExplorer("R1", categories=40).to_state() == "kl?preset=R1&categories=40"
    assert DemoExplorer("R2", method="ppo").to_state() == "demo?preset=R2&method=ppo"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("", "begins with kl?"),
        ("kl", "begins with kl?"),
        ("demo?preset=R1", "begins with kl?"),
        ("kl?nonsense", "name=value"),
        ("kl?preset=case-9", "preset must be one of case-1-holds"),
        ("kl?colour=red", "unknown control 'colour'; there are preset"),
        ("kl?step=soon", "step must be a number"),
        ("kl?step=nan", "step must be a number"),
        ("kl?target=0.5,half", "numbers with commas"),
        ("kl?target=0.5,-0.5,1", "at least 0, got -0.5"),
        ("kl?target=0,0,0", "mass somewhere"),
        ("kl?target=1,2", "3 to 100 categories, got 2"),
        ("kl?target=0.2,0.3,0.5", "must agree in their number, got 3, 10 and 10"),
    ],
)
def test_an_unreadable_state_is_refused_and_changes_nothing(state: str, says: str):
    explorer = KLExplorer("case-2", step=4)
    before = explorer.to_state()
    with pytest.raises(ValueError, match=re.escape(says)):
        explorer.model.load_state(state)
    assert explorer.to_state() == before
    with pytest.raises(ValueError, match=r".+"):
        KLExplorer.from_state(state)


def test_what_was_mended_is_said():
    model = KLModel("case-1-fails")
    model.set("step_size", 1000)
    assert model.values["step_size"] == 20
    assert model.notes == ["step size η must be from 0.001 to 20, got 1000: set to 20"]
    model.set("target", "3 1 1")
    assert model.values["target"] == pytest.approx((0.6, 0.2, 0.2))
    assert "target q summed to 5: divided by its sum" in model.notes
    assert len(model.values["start"]) == model.values["categories"] == 3
    model.set("first", 7)
    assert model.values["first"] == 2
    assert "category i must be from 0 to 2, got 7: set to 2" in model.notes
    model.set("second", 2)
    assert model.values["second"] != 2
    assert any("a pair is two" in note for note in model.notes)
    model.set("target_bar", 0.5)
    assert sum(model.values["target"]) == pytest.approx(1)
    assert model.values["target"][2] == 0.5
    assert model.values["target"][0] / model.values["target"][1] == pytest.approx(3)


def test_bad_values_change_nothing():
    model = KLModel("case-2")
    before = dict(model.values)
    for name, given in (("step", "x"), ("target", (1, float("nan"), 1)), ("optimizer", "sgd"), ("colour", 1)):
        with pytest.raises(ValueError, match=r"must|unknown"):
            model.set(name, given)
        assert model.values == before
    with pytest.raises(ValueError, match="preset with values, or a state"):
        KLExplorer("case-2", state="kl?preset=case-2")
    with pytest.raises(ValueError, match="hide: unknown control 'colour'"):
        KLExplorer(hide=("colour",))


def test_the_view_model_is_lemma_e4_and_theorem_e5():
    """Pushes are eqs. 12 and 13 up to a constant; the caption's verdict is a real step's."""
    model = KLModel("case-1-fails")
    p, q = np.asarray(model.values["start"]), np.asarray(model.values["target"])
    forward, reverse = model.pushes()
    kl = (p * np.log(p / q)).sum()
    assert np.ptp(forward - (q - p)) < 1e-12
    assert np.ptp(reverse - p * (np.log(q / p) + kl)) < 1e-12
    assert reverse[0] - reverse[1] < forward[0] - forward[1]
    assert f"L(q₁, q₂) = {float(logarithmic_mean(0.5, 0.1)):.4g}" in model.caption()
    assert "Δr = 0.161 < Δf = 0.4" in model.caption()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_arrives(preset: str):
    """Both runs descend: at the end each divergence is below where it began, and the captions say so."""
    explorer = KLExplorer(preset)
    result = explorer.model.result
    assert (result.metrics.forward_kl[:, -1] < result.metrics.forward_kl[:, 0]).all()
    assert (result.metrics.reverse_kl[:, -1] < result.metrics.reverse_kl[:, 0]).all()
    explorer.set(step=explorer.model.values["steps"])
    assert explorer.model.values["preset"] in explorer.caption()


def test_the_blitted_picture_is_the_fresh_one():
    """Whatever was shown before leaves no trace: after any changes the pixels are those of a new explorer."""
    rng = np.random.default_rng(1)
    canvas = Canvas(KLScene())
    for _ in range(12):
        model = _random_model(rng)
        np.testing.assert_array_equal(canvas.pixels(model), Canvas(KLScene()).pixels(model))


def test_the_fast_png_is_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode(pixels)))), pixels)


def test_a_picture_without_widgets_has_its_caption_and_is_small():
    explorer = KLExplorer("R1", step=40)
    data, metadata = explorer._repr_mimebundle_()
    assert explorer.caption() in data["text/plain"]
    assert explorer.to_state() in data["text/plain"]
    assert metadata["image/png"]["alt"] == explorer.caption()
    assert len(data["image/png"]) < 60_000
    assert Image.open(io.BytesIO(data["image/png"])).height > explorer.pixels().shape[0]  # the caption's strip


def test_without_ipywidgets_there_is_still_a_picture():
    code = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "from bandit.explore import DemoExplorer\n"
        "data, _ = DemoExplorer()._repr_mimebundle_()\n"
        "print(*sorted(data)); print(data['text/plain'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "image/png text/plain"
    assert 'pip install "modeseek[notebooks]"' in done.stdout


def test_export_writes_what_it_takes_to_do_it_again(tmp_path):
    explorer = KLExplorer("case-2", step=3)
    paths = explorer.export(tmp_path / "out")
    assert [path.name for path in paths] == ["kl.png", "kl.svg", "kl.csv", "kl.json"]
    card = json.loads(paths[3].read_text())
    assert KLModel.from_state(card["state"]).values == explorer.model.values
    with paths[2].open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 201
    probs = np.exp(explorer.model.result.log_probs[1, 3])
    row = next(r for r in rows if r["run"] == "reverse_kl" and r["step"] == "3")
    np.testing.assert_allclose([float(row[f"p_{k}"]) for k in range(3)], probs, rtol=1e-14)
    again = explorer.pixels()
    np.testing.assert_array_equal(again, KLExplorer("case-2", step=3).pixels())  # saving has left no trace
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="not writable"):
        explorer.export(tmp_path / "file")


def _shell(explorer):
    explorer.widget
    return explorer._shell


def test_widgets_and_view_model_agree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = KLExplorer("case-1-fails")
    shell = _shell(explorer)
    play, box, slider = shell.rows["step"].widgets
    for widget in (play, slider, box):
        widget.value = widget.value + 5
        assert [each.value for each in (play, box, slider)] == [explorer.model.values["step"]] * 3
    assert explorer.model.values["step"] == 15
    box, slider = shell.rows["step_size"].widgets
    for position in (0, 77, 200):
        slider.value = position
        assert box.value == explorer.model.values["step_size"]
        assert slider.value == position  # showing the value moves nothing
    box.value = 1000.0
    assert (box.value, slider.value) == (20.0, 200)
    assert "set to 20" in shell.messages.value
    shell.rows["target"].widgets[0].value = "one, two"
    assert "Not possible: target q must be numbers" in shell.messages.value
    assert shell.rows["target"].widgets[0].value.startswith("0.5, 0.1, 0.05")
    shell.state.value = "what?"
    assert "Not possible: a state of this explorer" in shell.messages.value
    shell.state.value = "kl?preset=R2&step=8"
    assert explorer.model.values["preset"] == shell.rows["preset"].widgets[0].value == "R2"
    assert explorer.caption() in html.unescape(shell.caption.value)
    shell.export.click()
    assert "explore-kl-1" in shell.messages.value
    shell.reset.click()
    assert explorer.to_state() == "kl?preset=case-1-fails"
    picture = np.asarray(Image.open(io.BytesIO(shell.image.value)))
    np.testing.assert_array_equal(picture, KLExplorer("case-1-fails").pixels())
    shell.leave.click()
    assert explorer._shell is None
    assert explorer.widget is not shell.box  # it can be shown anew


def test_a_bar_is_dragged_and_the_others_make_room():
    explorer = KLExplorer("case-1-fails")
    bars, text = _shell(explorer).rows["target"].bars, _shell(explorer).rows["target"].widgets[0]
    assert bars is not None
    assert [slider.value for slider in bars.sliders] == [100, 20, *[10] * 8]  # two hundred positions from 0 to 1
    before = np.asarray(explorer.model.values["target"])
    bars.sliders[1].value = 60
    after = np.asarray(explorer.model.values["target"])
    assert after[1] == 0.3
    np.testing.assert_allclose(np.delete(after / before, 1), 0.7 / 0.9, rtol=1e-12)  # what is left, in proportion
    assert bars.sliders[0].value == round(200 * 0.5 * 0.7 / 0.9)
    assert text.value.startswith("0.3889, 0.3")
    assert "category 1: 0.3; the others share 0.7" in _shell(explorer).messages.value
    # A position is coarser than a probability: looking at one, or moving another bar back, changes nothing else.
    bars.sliders[1].value = 20
    np.testing.assert_allclose(explorer.model.values["target"], before, rtol=1e-12)
    explorer.set(target=(0.9999, 0.00005, 0.00005))
    assert [slider.value for slider in bars.box.children] == [199, 1, 1]
    assert explorer.model.values["target"][1] == 0.00005
    explorer.set(preset="R1")
    assert bars.box.children == ()  # a hundred bars are typed, or moved one at a time
    explorer.set(preset="case-2")
    assert len(bars.box.children) == 3


def test_a_bar_takes_from_the_rest_even_where_it_had_all():
    accepted = Distribution("q", "target q").accept(Bar((1.0, 0.0, 0.0), 0, 0.4))
    assert accepted.value == pytest.approx((0.4, 0.3, 0.3))


def test_a_failure_that_is_not_the_readers_is_shown_too(monkeypatch):
    explorer = KLExplorer("case-2")
    shell = _shell(explorer)

    def broken(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(explorer.model, "set", broken)
    shell.rows["step"].widgets[1].value = 3
    assert "this should not happen" in shell.messages.value
    assert "a bug of ours" in shell.messages.value


def test_two_explorers_do_not_share_anything_and_threads_do_not_mix():
    one, two = KLExplorer("case-1-fails"), KLExplorer("case-2")
    shells = [_shell(one), _shell(two)]
    assert two.number == one.number + 1

    def drag(shell):
        for step in range(1, 15):
            shell.rows["step"].widgets[2].value = step

    threads = [threading.Thread(target=drag, args=(shell,)) for shell in (*shells, *shells)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for explorer, shell in zip((one, two), shells, strict=True):
        assert shell.messages.value == ""
        picture = np.asarray(Image.open(io.BytesIO(shell.image.value)))
        np.testing.assert_array_equal(picture, type(explorer).from_state(explorer.to_state()).pixels())


def test_hidden_controls_keep_their_values():
    explorer = KLExplorer("R1", step_size=0.5, hide=("step_size", "state", "export"))
    shell = _shell(explorer)
    assert "step_size" not in shell.rows
    assert explorer.model.values["step_size"] == 0.5


def test_redrawing_is_fast(capsys):
    """A redraw in 50 ms, a preset in 300 ms, of processor time: others may compute on the same machine."""
    explorer = KLExplorer("case-1-fails")
    shell = _shell(explorer)

    def median(actions):
        times = []
        for action in actions:
            began = time.process_time()
            action()
            times.append(1000 * (time.process_time() - began))
        return float(np.median(times))

    slider = shell.rows["step"].widgets[2]
    redraw = median([lambda s=s: setattr(slider, "value", s) for s in range(1, 30)])
    preset = shell.rows["preset"].widgets[0]
    switch = median([lambda name=name: setattr(preset, "value", name) for name in ("R1", "case-2", "bimodal", "R2")])
    with capsys.disabled():
        print(f"\nredraw {redraw:.0f} ms, preset {switch:.0f} ms of processor time", end="")
    # The goal is printed beside what was measured; three times it is a fault, whatever else the machine does.
    assert redraw < 3 * 50
    assert switch < 3 * 300


def test_the_first_picture_is_there_in_three_seconds(capsys):
    code = "import time; from bandit.explore import KLExplorer; KLExplorer().png(); print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with capsys.disabled():
        print(f"\nimport and first picture: {float(done.stdout):.1f} s of processor time", end="")
    assert float(done.stdout) < 3 * 3
