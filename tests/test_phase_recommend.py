"""The recommender: limits of the kernel, no cell knows itself, calibration in worlds that are known, estimates."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from phase_cases import BUDGET, GRID, clear_winner, made_diagram

from modeseek.bandit.commands.recommend import Recommend
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.results import save
from modeseek.bandit.studies.phase_diagram import calibration
from modeseek.bandit.studies.phase_diagram.conditions import conditions_of
from modeseek.bandit.studies.phase_diagram.estimate import estimate, nats_to, read_samples
from modeseek.bandit.studies.phase_diagram.grid import Grid, Point
from modeseek.bandit.studies.phase_diagram.page import page, table_of
from modeseek.bandit.studies.phase_diagram.recommend import (
    Query,
    Smoothing,
    features,
    probabilities,
    recommend,
    squared_differences,
)
from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase
from modeseek.bandit.studies.phase_diagram.winners import winners
from modeseek.cli import main


def test_limits_of_the_kernel():
    """Narrow: the cell itself; wide: all cells alike; far away: nobody knows; and always a distribution."""
    rng = np.random.default_rng(0)
    cells, wins = rng.normal(size=(30, 3)), rng.dirichlet(np.ones(4), 30)
    squares = squared_differences(cells, cells)
    narrow = probabilities(squares, wins, Smoothing(1e-3, 1e-3, 1e-3, 1e-9))
    np.testing.assert_allclose(narrow, wins, atol=1e-8)
    wide = probabilities(squares, wins, Smoothing(1e6, 1e6, 1e6, 2.0))
    np.testing.assert_allclose(wide, np.broadcast_to((wins.sum(0) + 0.5) / 32, wide.shape))
    far = probabilities(squared_differences(cells, cells + 100), wins, Smoothing(1.0, 1.0, 1.0, 1.0))
    np.testing.assert_allclose(far, 0.25)
    some = probabilities(squares, wins, Smoothing(0.5, 1.0, 2.0, 1.0))
    np.testing.assert_allclose(some.sum(axis=1), 1)
    # One entry by hand.
    scaled = ((cells[3] - cells) / cells.std(0) / np.asarray([0.5, 1.0, 2.0])) ** 2
    weights = [math.exp(-0.5 * sum(row)) for row in scaled]
    by_hand = (sum(w * win[1] for w, win in zip(weights, wins, strict=True)) + 0.25) / (sum(weights) + 1)
    assert some[3, 1] == pytest.approx(by_hand)


def test_no_cell_knows_its_own_row():
    """Other wins of a row change the predictions of other rows, and none of its own."""
    changed_rows = np.asarray([2])
    diagram = made_diagram(clear_winner)
    rows = calibration.rows_of(diagram)
    assert (np.bincount(rows) == len(GRID.centers)).all()
    other = diagram.copy(deep=True)
    of_row = np.isin(rows, changed_rows)
    other["reward"].values[of_row] = diagram["reward"].values[of_row][:, ::-1]
    one, two = (calibration.reliability(each, "to_best") for each in (diagram, other))
    np.testing.assert_array_equal(one.predicted[of_row], two.predicted[of_row])
    assert (one.won[of_row] != two.won[of_row]).any()
    assert (one.predicted[~of_row] != two.predicted[~of_row]).any()


def test_calibration_where_winners_are_drawn():
    """A winner drawn anew in each cell, on-policy IPO with probability .1 near to .9 far: said and came agree."""
    grid = Grid(BUDGET, centers=tuple(range(20, 76, 6)), slices=("staleness", "kl", "width"))

    def cell(point: Point) -> np.ndarray:
        rng = np.random.default_rng([point.center, int(7 * point.width), int(1e4 * point.kl_coefficient),
                                     point.inner_steps, point.samples_per_collection])  # fmt: skip
        best = 3 if rng.random() < 0.1 + 0.8 * (point.center - 20) / 54 else 0
        return np.where(np.arange(4) == best, 0.9, 0.3)[:, None] + rng.normal(0, 0.02, (4, 8))

    diagram = made_diagram(cell, grid)
    found = calibration.reliability(diagram, "to_best")
    assert found.log_score > found.uninformed + 0.05
    assert found.predictions.sum() == found.predicted.size
    there = found.predictions > 0
    off = np.abs(found.said - found.came)[there] @ found.predictions[there] / found.predictions.sum()
    assert off <= 0.05  # expected calibration error
    np.testing.assert_allclose(found.predicted.mean(axis=0), found.won.mean(axis=0), atol=0.05)
    far = diagram["center"].values >= 56
    assert found.predicted[far, 3].mean() > found.predicted[far, 0].mean() + 0.2
    # The table's rows by a loop over single predictions.
    pairs = list(zip(found.predicted.ravel(), found.won.ravel(), strict=True))
    for low, high, count, said, came in zip(
        found.low, found.high, found.predictions, found.said, found.came, strict=True
    ):
        inside = [(p, w) for p, w in pairs if low <= p < high or p == high == 1]
        assert len(inside) == count
        if inside:
            assert (said, came) == pytest.approx(tuple(np.mean(inside, axis=0)))


def test_what_is_recommended_and_which_cells_say_so():
    diagram = made_diagram(clear_winner)
    smoothing = calibration.best_smoothing(diagram, "to_best")
    near, far = (conditions_of(Point(center=center), BUDGET) for center in (20, 70))
    for known, best in ((near, "best_of_n"), (far, "on_policy_ipo")):
        found = recommend(diagram, Query(known.nats_to_best, known.data_to_best, 400), "to_best", smoothing)
        assert found.methods[0] == best
        assert found.probability[0] > 0.7
        assert found.inside
        assert all(diagram["nats_to_best"].values[c] == pytest.approx(known.nats_to_best) for c in found.cells[:2])
        assert found.shortfall[0] == min(found.shortfall)
    beyond = recommend(diagram, Query(3000.0, 3000.0, 400), "to_best", smoothing)
    assert not beyond.inside
    np.testing.assert_allclose(beyond.probability, 0.25, atol=1e-6)
    offline = recommend(diagram, Query(50.0, 50.0, 0), "to_best", smoothing)
    assert offline.methods == ("ipo",)
    assert features(diagram, "halfway").shape == (len(GRID.points()), 3)
    for query, says in ((Query(-1.0, 1.0, 3), "the KL must"), (Query(1.0, math.nan, 3), "the data's KL"),
                        (Query(1.0, 1.0, -3), "fresh must")):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            recommend(diagram, query, "to_best", smoothing)


def test_nats_of_tilted_samples():
    """Two rewards: KL of one coin from another, -log(1 - 1/2) and the like, exactly."""
    for share in (0.1, 0.3):
        rewards = np.asarray([1.0] * round(100 * share) + [0.0] * round(100 - 100 * share))
        target = (share + 1) / 2
        by_hand = target * math.log(target / share) + (1 - target) * math.log((1 - target) / (1 - share))
        assert nats_to(rewards, target) == (pytest.approx(by_hand, rel=1e-6), False)
        assert estimate({"a": rewards.tolist(), "b": (7 * rewards).tolist()}, best=None).prompts == 2


def test_the_tail_beyond_the_samples():
    """An exponential tail is -log P(r ≥ x) = x; the bandit's own far peak, within a factor of one and a half."""
    rng = np.random.default_rng(0)
    nats, extrapolated = nats_to(rng.exponential(size=4000), 15.0)
    assert extrapolated
    assert nats == pytest.approx(15.0, rel=0.1)
    reference, rewards = reference_probs(ReferenceRecipe(), "clip", 100), token_rewards("R1", 100)
    samples = rewards[rng.choice(100, (8, 400, 10), p=reference)].mean(-1)
    found = estimate({str(i): each.tolist() for i, each in enumerate(samples)}, best=1.0)
    exact = conditions_of(Point(center=70), BUDGET).nats_halfway
    assert exact / 1.5 < found.halfway < 1.5 * exact
    assert found.extrapolated == 8
    assert found.best_of_n == pytest.approx(math.log(400) - 399 / 400)
    near = token_rewards("bump:16:40", 100)[rng.choice(100, (8, 400, 10), p=reference)].mean(-1)
    closer = estimate({str(i): each.tolist() for i, each in enumerate(near)}, best=1.0)
    known = conditions_of(Point(center=16, width=40.0), BUDGET).nats_halfway
    assert closer.halfway == pytest.approx(known, rel=0.15)
    assert closer.extrapolated == 0


def _line(**record: object) -> str:
    return json.dumps({"prompt": "p", "response": "r", "reward": 0.5} | record)


@pytest.mark.parametrize("lines, says", [
    ([], "has no samples"),
    ([json.dumps({"prompt": "p", "response": "r"})], r"line 1 of .* has no reward"),
    ([_line(), _line(reward=None)], "line 2 of .* has no reward"),
    ([_line(), '{"prompt": "p", "response": "r", "reward": NaN}'], "line 2"),
    ([_line(reward="much")], "must be a finite number, got 'much'"),
    ([_line(reward=True)], "must be a finite number, got True"),
    ([json.dumps({"reward": 1.0})], "line 1 of .* has no prompt"),
    (["[1, 2]"], "must be an object"),
    (["{"], "line 1"),
    ([_line()], "no prompt has two samples"),
    ([_line(), _line(prompt="q", reward=1.0)], "no prompt has two samples"),
    ([_line(), _line()], "all rewards are equal, 0.5"),
])  # fmt: skip
def test_samples_that_say_nothing_are_refused(tmp_path, lines: list[str], says: str):
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=says):
        estimate(read_samples(path))


def test_a_best_reward_below_what_was_seen_is_refused():
    with pytest.raises(ValueError, match="at least what a sample has earned, 2"):
        estimate({"p": [1.0, 2.0]}, best=1.5)
    with pytest.raises(ValueError, match="cannot read"):
        read_samples(STORED.with_name("nothing.jsonl"))


def test_the_command_answers_and_refuses(tmp_path, capsys: pytest.CaptureFixture[str]):
    save(made_diagram(clear_winner), tmp_path / "phase.nc")
    file = str(tmp_path / "phase.nc")

    def status(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["recommend", *arguments, "--phase", file])
        return int(ended.value.code or 0)

    assert status("--kl", "60", "--fresh", "400") == 0
    said = capsys.readouterr().out
    assert re.search(r"method +best with probability +behind the best by\nOn-policy IPO ", said)
    assert "peak at 70" in said
    (tmp_path / "s.jsonl").write_text("\n".join(_line(reward=r) for r in np.random.default_rng(0).random(50)))
    assert status("--samples", str(tmp_path / "s.jsonl"), "--fresh", "400") == 0
    assert "50 samples of 1 prompts" in capsys.readouterr().err
    for arguments, says in (
        (("--fresh", "4"), "either --kl NATS, or --samples FILE"),
        (("--fresh", "4", "--kl", "3", "--samples", "x"), "either --kl NATS, or --samples FILE"),
        (("--fresh", "4", "--kl", "3", "--data", "x"), "measured alike"),
        (("--fresh", "-4", "--kl", "3"), "zero or more responses"),
        (("--fresh", "4", "--kl", "nan"), "positive number of nats"),
    ):
        assert status(*arguments) == 2
        assert says in capsys.readouterr().err
    assert Recommend(fresh=3).cells == 5


def test_the_page_has_the_diagrams_numbers():
    diagram = made_diagram(clear_winner)
    text = page(diagram)
    found = winners(diagram)
    assert f"{len(found.leader)} cells, 4 methods" in text
    assert f"| On-policy IPO | {int((found.among[:, 3] & ~found.tied).sum())} |" in text
    assert table_of(calibration.reliability(diagram, "to_best")) in text


@pytest.mark.slow
def test_the_stored_page_is_of_the_stored_diagram():
    """Every number of the page, and the reliability table, computed anew."""
    docs = Path(__file__).parents[1] / "docs" / "explanation" / "phase.md"
    assert docs.read_text(encoding="utf-8") == page(open_phase(STORED))
