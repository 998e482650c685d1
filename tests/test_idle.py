"""A run whose loss had no weight is named at its end, with the reason where the configuration gives it."""

import dataclasses

import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.summary import _plus_minus, idle_runs
from modeseek.bandit.simulator.sweep import run_sweep


def test_a_gap_that_no_pair_has_and_one_response_a_prompt_teach_nothing(tabular):
    """Rewards are at most 1 apart, and the advantage of a response among itself is 0: both by arithmetic.

    IPO at gap 0 and RWR, whose weight of a single response is e^0 = 1, learn beside them and are not named.
    """
    gaps = dataclasses.replace(tabular, methods=("ipo",), vary=(("reward_gap", (0.0, 2.0)),), seeds=2)
    results = run_sweep(gaps, progress=False).dataset
    assert idle_runs(results, gaps) == [
        "nothing was learnt, the gradient was 0 at every step: algorithm=ipo, reward=bump:2:1, reward_gap=2, "
        "learning_rate=0.001, seeds 0, 1 (no two responses to a prompt differ by reward_gap = 2 or more)"
    ]
    tokens = results["token_distribution"].sel(reward_gap=2.0)
    assert (tokens == tokens.isel(snapshot=0)).all()

    single = dataclasses.replace(
        tabular,
        methods=("ppo", "rwr"),
        conventions=Conventions(standardization="per_prompt"),
        algorithm=dataclasses.replace(tabular.algorithm, responses_per_prompt=1),
    )
    results = run_sweep(single, progress=False).dataset
    assert idle_runs(results, single) == [
        "nothing was learnt, the gradient was 0 at every step: algorithm=ppo, reward=bump:2:1, learning_rate=0.001, "
        "seed 0 (standardised per prompt, the advantage of a single response is 0)"
    ]
    from modeseek.bandit.simulator.summary import table

    assert "-0.0" not in table(results)


def test_a_run_that_learns_diverges_or_never_began_is_not_called_idle(tiny, tiny_results):
    assert idle_runs(tiny_results, tiny) == []
    nan = tiny_results.assign(gradient_norm=tiny_results["gradient_norm"] * np.nan)
    assert idle_runs(nan, tiny) == []
    still = tiny_results.assign(gradient_norm=tiny_results["gradient_norm"] * 0)
    assert len(idle_runs(still, tiny)) == 2
    assert idle_runs(still.assign(diverged_at=still["diverged_at"] * 0 + 3), tiny) == []
    wide = dataclasses.replace(tiny, hyper=HyperParameters(reward_gap=0.5))
    assert idle_runs(still, wide)[1].endswith("(no two responses to a prompt differ by reward_gap = 0.5 or more)")


@pytest.mark.parametrize(
    ("mean", "error", "shown"),
    [(-1e-9, np.nan, "0.0"), (-0.04, 0.02, "0.0 ± 0.0"), (-0.06, np.nan, "-0.1"), (0.06, 0.1, "0.1 ± 0.1")],
)
def test_a_rounding_error_below_zero_is_zero(mean, error, shown):
    assert _plus_minus(mean, error, 1) == shown
