"""Explorers without widgets: state, mended input, the persistent picture, export."""

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from modeseek.bandit.categorical.closed_forms import logarithmic_mean
from modeseek.bandit.explore import BanditExplorer, DemoExplorer, KLExplorer
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.kl.scene import KLScene
from modeseek.bandit.explore.toolkit.canvas import Canvas, encode, encode_small
from modeseek.bandit.explore.toolkit.layout import hidden

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
    assert model.values.step_size == 20
    assert model.notes == ["step size η must be from 0.001 to 20, got 1000: set to 20"]
    model.set("target", "3 1 1")
    assert model.values.target == pytest.approx((0.6, 0.2, 0.2))
    assert "target q summed to 5: divided by its sum" in model.notes
    assert len(model.values.start) == model.values.categories == 3
    model.set("first", 7)
    assert model.values.first == 2
    assert "category i must be from 0 to 2, got 7: set to 2" in model.notes
    model.set("second", 2)
    assert model.values.second != 2
    assert any("a pair is two" in note for note in model.notes)
    model.set("target_bar", 0.5)
    assert sum(model.values.target) == pytest.approx(1)
    assert model.values.target[2] == 0.5
    assert model.values.target[0] / model.values.target[1] == pytest.approx(3)


def test_bad_values_change_nothing():
    model = KLModel("case-2")
    before = model.values
    for name, given in (("step", "x"), ("target", (1, float("nan"), 1)), ("optimizer", "sgd"), ("colour", 1)):
        with pytest.raises(ValueError, match=r"must|unknown"):
            model.set(name, given)
        assert model.values == before
    with pytest.raises(ValueError, match="preset with values, or a state"):
        KLExplorer("case-2", state="kl?preset=case-2")
    with pytest.raises(ValueError, match="hide: unknown control 'colour'"):
        KLExplorer(hide=("colour",))
    for what in ("hide", "show"):
        with pytest.raises(ValueError, match=rf"{what} must be a tuple of names, such as \('export',\)"):
            hidden(("step",), **({"hide": (), "show": None} | {what: "export"}))


def test_several_values_are_set_as_a_whole_or_not_at_all():
    for explorer, last in ((KLExplorer("case-2"), "step_size"), (BanditExplorer("R1-ppo"), "learning_rate")):
        before, picture, held = explorer.to_state(), explorer.pixels(), dict(vars(explorer.model))
        with pytest.raises(ValueError, match="must be a number"):
            explorer.set(step=7, preset=list(explorer.presets())[1], **{last: "x"})
        assert explorer.to_state() == before
        assert vars(explorer.model) == held
        np.testing.assert_array_equal(explorer.pixels(), picture)
    explorer = KLExplorer("case-2").set(step_size=1e9, step=-3)
    assert len(explorer.model.notes) == 2  # of each that was mended, and not of the last alone


def test_the_view_model_is_lemma_e4_and_theorem_e5():
    """Pushes are eqs. 12 and 13 up to a constant; the caption's verdict is a real step's."""
    model = KLModel("case-1-fails")
    p, q = np.asarray(model.values.start), np.asarray(model.values.target)
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
    explorer.set(step=explorer.model.values.steps)
    assert explorer.model.values.preset in explorer.caption()


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


def test_a_busy_picture_gets_fewer_colours_rather_than_too_many_bytes():
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    colors = lambda data: len(Image.open(io.BytesIO(data)).getcolors(256))
    whole = encode_small(pixels)
    smaller = encode_small(pixels, len(whole) - 1)
    assert colors(whole) > 64 >= colors(smaller) > 32
    assert len(smaller) < len(whole)
    assert 0 < colors(encode_small(pixels, 1)) <= 32  # as small as it gets


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
