"""Notebooks 01 to 04 as their reader meets them: states, pictures, their speed, and answers to wrong predictions."""

import subprocess
import sys
import time

import numpy as np
import pytest

from modeseek.bandit.explore.displacement import DisplacementExplorer
from modeseek.bandit.explore.displacement import questions as displacement_asks
from modeseek.bandit.explore.displacement.scene import DisplacementScene
from modeseek.bandit.explore.figure18 import Figure18Explorer
from modeseek.bandit.explore.figure18.scene import Figure18Scene
from modeseek.bandit.explore.first_steps import FirstStepsExplorer
from modeseek.bandit.explore.first_steps import questions as first_steps_asks
from modeseek.bandit.explore.first_steps.scene import FirstStepsScene
from modeseek.bandit.explore.four_methods import FourMethodsExplorer
from modeseek.bandit.explore.four_methods.scene import FourMethodsScene
from modeseek.bandit.explore.negative import NegativeGradientExplorer
from modeseek.bandit.explore.negative import questions as negative_asks
from modeseek.bandit.explore.negative.scene import NegativeScene
from modeseek.bandit.explore.out_of_distribution import OutOfDistributionExplorer
from modeseek.bandit.explore.out_of_distribution import questions as ood_asks
from modeseek.bandit.explore.out_of_distribution.scene import OutOfDistributionScene
from modeseek.bandit.explore.toolkit.canvas import Canvas

# All of them.

EXPLORERS = (
    (
        FirstStepsExplorer,
        FirstStepsScene,
        {"step": 9, "reference": (0.2, 0.2, 0.2, 0.3, 0.1), "other": "y3", "beta": 2},
    ),
    (NegativeGradientExplorer, NegativeScene, {"step": 9, "start": (0.3, 0.3, 0.4), "c2": 0.3, "rejected": 2}),
    (FourMethodsExplorer, FourMethodsScene, {"step": 9, "steps": 40, "tau": 0.3, "draws": 20}),
    (DisplacementExplorer, DisplacementScene, {"step": 9, "length": 4, "b": 0.3, "prompts": 3}),
    (Figure18Explorer, Figure18Scene, {"step": 9, "pairs": "all", "reward": "R1"}),
    (OutOfDistributionExplorer, OutOfDistributionScene, {"step": 9, "reference": (0.2, 0.7, 0.1), "beta": 0.2}),
)


@pytest.mark.parametrize(("kind", "scene", "changes"), EXPLORERS, ids=lambda x: getattr(x, "__name__", ""))
def test_states_and_pictures_are_whole(kind, scene, changes):
    """A state says everything; a picture blitted step by step equals a fresh one; the table is rectangular."""
    presets = list(kind.presets())[:3]
    rng = np.random.default_rng(0)
    explorer = kind(presets[0])
    for preset in (*presets, presets[0]):
        explorer.set(preset=preset)
        for name in rng.permutation(list(changes)):
            explorer.set(**{str(name): changes[str(name)]})
            explorer.pixels()
        model = kind.Model.from_state(explorer.to_state())
        assert model.values == explorer.model.values
        np.testing.assert_array_equal(Canvas(scene()).pixels(model), explorer.pixels())
        assert len({len(column) for column in explorer.model.table().values()}) == 1
    assert kind(preset).to_state() == f"{kind.Model.kind}?preset={preset}"
    with pytest.raises(ValueError, match="begins with"):
        kind.from_state("kl?preset=R1")


@pytest.mark.parametrize(("kind", "scene", "changes"), EXPLORERS, ids=lambda x: getattr(x, "__name__", ""))
def test_redrawing_is_fast(kind, scene, changes, capsys):
    """A redraw in 50 ms, a preset in 300 ms, of processor time."""
    explorer = kind()
    explorer.png()

    def median(actions):
        times = []
        for action in actions:
            began = time.process_time()
            explorer.set(**action)
            explorer.png()
            times.append(1000 * (time.process_time() - began))
        return float(np.median(times))

    redraw = median([{"step": step} for step in range(1, 20)])
    switch = median([{"preset": name} for name in [*kind.presets(), *kind.presets()]])
    with capsys.disabled():
        print(f"\n{kind.__name__}: redraw {redraw:.0f} ms, preset {switch:.0f} ms of processor time", end="")
    # The goal is printed beside what was measured; three times it is a fault, whatever else the machine does.
    assert redraw < 3 * 50
    assert switch < 3 * 300


def test_the_first_picture_is_there_in_three_seconds(capsys):
    for name in ("FourMethodsExplorer", "Figure18Explorer"):  # the two with most to import and compute
        code = f"import time; from modeseek.bandit.explore import {name}; {name}().png(); print(time.process_time())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        with capsys.disabled():
            print(f"\n{name}: import and first picture {float(done.stdout):.1f} s of processor time", end="")
        assert float(done.stdout) < 3 * 3


WRONG = [
    (first_steps_asks.check_gap(1), "probability 0.731"),
    (first_steps_asks.check_gap("much"), "is a number"),
    (first_steps_asks.check_kl(0.131), "the other way round"),
    (first_steps_asks.check_kl(0.2075), "in bits"),
    (first_steps_asks.check_kl(-0.2), "never is"),
    (first_steps_asks.check_kl(1), "less than 1"),
    (first_steps_asks.check_draws(13), "0.487"),
    (first_steps_asks.check_draws(20), "so is one less"),
    (first_steps_asks.check_draws(2.5), "whole number"),
    (first_steps_asks.check_pull(-0.25, 0.06), "is pulled up"),
    (first_steps_asks.check_pull(0.5, 0.06), "a β in front"),
    (first_steps_asks.check_pull(0.25, 0.44), "still to learn"),
    (first_steps_asks.check_pull(0.25, 0.02), "it is more than 0.02"),
    (negative_asks.check_everybody_gains(..., ...), "no answer here yet"),
    (negative_asks.check_everybody_gains((0.5, 0.3, 0.2), 1), "4 to 100 categories"),
    (negative_asks.check_everybody_gains((0.4, 0.3, 0.2, 0.1), 7), "index of one of the 4"),
    (negative_asks.check_everybody_gains((0.4, 0.3, 0.2, 0.1), 0), "the likeliest"),
    (negative_asks.check_everybody_gains((0.7, 0.1, 0.1, 0.1), 1), "falls too"),
    (negative_asks.check_everybody_gains((0.5, 0.5, 0.0, 0.0), 2), "no zeros"),
    (negative_asks.check_boundary(0.2), "still falls with y_l"),
    (negative_asks.check_boundary(0.5), "gains already"),
    (negative_asks.check_boundary(2), "lies between"),
    (negative_asks.check_negative_wins(3), "give an explorer"),
    (negative_asks.check_negative_wins("fig16?preset=fig16-R1&draws=20"), "How rare"),
    (negative_asks.check_negative_wins("fig16?preset=fig16-R1&draws=60&tau=0.5"), "tau differs too"),
    (displacement_asks.check_length(7), "still raises"),
    (displacement_asks.check_length(9), "as well"),
    (displacement_asks.check_length(7.5), "whole number"),
    (displacement_asks.check_turn(0.3), "still rising"),
    (displacement_asks.check_turn(1.3), "falling already"),
    (displacement_asks.check_capacity(4), "25 prompts share one"),
    (displacement_asks.check_capacity(6), "one less is enough"),
    (ood_asks.check_peak(0.5), "more than 0.5"),
    (ood_asks.check_return(1.0), "above the 0.35"),
    (ood_asks.check_return(6.0), "below the 0.35"),
    (ood_asks.check_reference((0.3, 0.4, 0.3)), "0.05 at most"),
    (ood_asks.check_reference((0.6, 0.35, 0.05)), "only falls"),
    (ood_asks.check_reference((0.1, 0.85, 0.05)), "what makes it small"),
]


@pytest.mark.parametrize(("feedback", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_answer_is_told_what_is_wrong(feedback, says):
    assert not feedback.right
    assert says in str(feedback)


def test_predictions_are_computed():
    asked = (
        first_steps_asks.predict_first,
        first_steps_asks.predict_end,
        negative_asks.predict_winners,
        negative_asks.predict_figure16,
        displacement_asks.predict_length,
        displacement_asks.predict_prompts,
        ood_asks.predict_unseen,
        ood_asks.predict_stopping,
    )
    expected = (1, 2, 2, 1, 1, 1, 2, 3)
    for make, option in zip(asked, expected, strict=True):
        prediction = make()
        assert prediction.truth().option == option
        assert len(prediction.truth().because) > 100
