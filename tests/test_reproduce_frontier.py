"""Stored runs against the exact frontier, and the page on it against the code."""

import json
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.categorical.collapse import Ending, collapsed_at_the_end
from modeseek.bandit.categorical.frontier import Responses, nats_at, point_mass_nats, reward_at
from modeseek.bandit.categorical.ipo_optimum import ipo_optimum_nats, ipo_optimum_reward, reward_distribution
from modeseek.bandit.categorical.ipo_product import ipo_product_rest
from modeseek.bandit.figures.frontier import responses_of
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies import reproduce
from modeseek.bandit.studies.cells import fresh_runs

STORED = Path(reproduce.__file__).parent / "stored"
PAGE = (Path(__file__).parents[1] / "docs" / "explanation" / "frontier.md").read_text(encoding="utf-8")
RECIPES = {"tails piled up": "clip", "tails discarded": "discard", "tanh": "tanh"}
ENDS = ("ppo", "rwr", "on_policy_ipo", "ipo")
TIGHT = 2e-6
"""Float32 rounds the rewards and KLs of a mean."""


def runs(path):
    """A cell's fresh runs, expected reward and KL `[S, E]` in float64, and what its responses are drawn from."""
    dataset = load(path)
    experiment = Experiment.from_json(json.dumps(json.loads(dataset.attrs["identity"])["experiment"]))
    kept = fresh_runs(dataset)
    curves = (kept[name].values.astype(np.float64) for name in ("expected_reward", "kl_to_reference"))
    return *curves, responses_of(experiment, experiment.rewards[0])


@pytest.mark.parametrize(
    "cell",
    [
        *sorted(path.relative_to(STORED) for path in (STORED / "full" / "paper").glob("*.nc")),
        Path("more/released_code/ppo-everything-R1.nc"),
        Path("short/released_code/on_policy_ipo-reference-R1.nc"),  # its prompts count, its reference is exact
    ],
    ids=str,
)
def test_no_stored_run_lies_above_the_frontier(cell):
    """Not by estimation either: reward and KL are of the same next-token distributions, each below its own."""
    reward, nats, responses = runs(STORED / cell)
    there = np.isfinite(reward)
    excess = reward[there] - reward_at(responses, nats[there])
    assert there.any()
    assert excess.max() < TIGHT
    assert excess.max() > -0.02  # some come near


def test_a_prompt_that_counts_has_the_frontier_that_counts_it():
    """Its ceiling is .9 + .1 · .177, and its nine sampled tokens need nine tenths of the nats."""
    _, _, responses = runs(STORED / "short/released_code/on_policy_ipo-reference-R1.nc")
    assert reward_at(responses, 1e3) == pytest.approx(0.918, abs=5e-4)
    assert point_mass_nats(responses) == pytest.approx(-9 * np.log(responses.reference[70]))
    _, _, moving = runs(STORED / "ten/released_code/on_policy_ipo-R1.nc")
    assert moving is None


def paper(recipe, reward, samples=10_000):
    return Responses(reference_probs(ReferenceRecipe(samples=samples), recipe, 100), token_rewards(reward, 100), 10)


def number(value, digits=2):
    return f"{float(value):.{digits}f}".removeprefix("0")


@pytest.mark.parametrize("reward", ["R1", "R2"])
@pytest.mark.parametrize("name", RECIPES)
def test_the_pages_frontier_is_the_codes(name, reward):
    responses = paper(RECIPES[name], reward)
    most = " | ".join(number(value) for value in reward_at(responses, [0.0, 1.0, 5.0, 10.0, 20.0, 30.0]))
    row = f"| {name} | {reward} | {most} | {nats_at(responses, 0.9):.1f} | {point_mass_nats(responses):.1f} |"
    assert row in PAGE, row


@pytest.mark.parametrize("reward", ["R1", "R2"])
@pytest.mark.parametrize("name", RECIPES)
def test_the_pages_optimum_of_ipo_is_the_codes(name, reward):
    responses = paper(RECIPES[name], reward)
    distribution, row = reward_distribution(responses), f"| {name} | {reward} |"
    for tau in (0.5, 0.05, 0.01):
        most = reward_at(responses, ipo_optimum_nats(tau))
        row += f" {number(ipo_optimum_reward(distribution, tau), 3)} of {number(most, 3)} |"
    assert row in PAGE, row
    nats = ", ".join(number(ipo_optimum_nats(tau), digits) for tau, digits in ((0.5, 3), (0.05, 3), (0.01, 1)))
    assert f"**{nats}**" in PAGE, nats


def test_the_page_says_what_exact_bins_give():
    found = [paper("clip", r, 0) for r in ("R1", "R2")]
    nats = " and ".join(f"{point_mass_nats(each):.1f}" for each in found)
    optima = " and ".join(number(ipo_optimum_reward(reward_distribution(each), 0.05), 3) for each in found)
    assert f"point masses at {nats} nats and IPO's optima at {optima}" in " ".join(PAGE.split()), (nats, optima)


@pytest.mark.parametrize("reward", ["R1", "R2"])
@pytest.mark.parametrize("method", ENDS)
def test_the_pages_ends_are_the_stored_ones(method, reward):
    """Figure 19's hundred fresh seeds: mean reward, KL and share of the frontier at the end, and who has collapsed."""
    rewards, nats, responses = runs(STORED / "more" / "paper" / f"{method}-{reward}.nc")
    end, far = rewards[:, -1], nats[:, -1]
    share = (end / reward_at(responses, far)).mean()
    endings = collapsed_at_the_end(responses, rewards, nats)
    collapsed, spread, open_ = ((endings == each).sum() for each in (Ending.COLLAPSED, Ending.SPREAD, Ending.UNDECIDED))
    row = (
        f"| {variant(method).title} | {reward} | {number(end.mean())} | {far.mean():.1f} | {100 * share:.0f} % | "
        f"{collapsed} | {spread} | {open_} |"
    )
    assert row in PAGE, row


@pytest.mark.parametrize("reward", ["R1", "R2"])
def test_the_pages_rests_are_the_codes_and_the_stored_ones(reward):
    responses = paper("clip", reward)
    rest = ipo_product_rest(responses, 0.05)
    optimum = f"{number(ipo_optimum_reward(reward_distribution(responses), 0.05), 3)} at {ipo_optimum_nats(0.05):.1f}"
    cell = load(STORED / "full" / "paper" / f"on_policy_ipo-{reward}.nc").sel(learning_rate=[0.01, 0.003, 0.001, 3e-4])
    rewards, nats = (cell[f"grid_final_{of}"].mean("tuning_seed").values for of in ("reward", "kl"))
    row = (
        f"| {reward} | {optimum} | {number(rest.reward, 3)} at {rest.nats:.1f} | "
        f"{number(rewards.min(), 3)} to {number(rewards.max(), 3)} | {nats.min():.1f} to {nats.max():.1f} |"
    )
    assert row in PAGE, row


def test_the_page_has_the_other_rests():
    found = [ipo_product_rest(paper("discard", r), 0.05) for r in ("R1", "R2")]
    said = " and ".join(f"{number(rest.reward, 3)} at {rest.nats:.1f} nats" for rest in found)
    assert f"the rests are {said}" in " ".join(PAGE.split()), said
    rest = ipo_product_rest(paper("clip", "R1"), 0.5)
    assert f"{number(rest.reward, 3)} at {number(rest.nats)} nats, where" in PAGE
    cell = load(STORED / "more" / "paper" / "remedy-small-margin-R1.nc")
    rewards, nats = (cell[name].mean("tuning_seed").values for name in ("grid_final_reward", "grid_final_kl"))
    said = f"{number(rewards.min(), 3)} to {number(rewards.max(), 3)} at {number(nats.min())} to {number(nats.max())}"
    assert said in PAGE, said
    far = ipo_product_rest(paper("clip", "R1"), 0.01)
    assert far.nats == pytest.approx(point_mass_nats(paper("clip", "R1")), abs=0.01)
