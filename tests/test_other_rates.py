"""Rates that are better for a mean or a peak than the rate of the end: the stored grids, and what the notes say."""

from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies.reproduce.measures import MEAN_REWARD, PEAK_REWARD
from modeseek.bandit.studies.reproduce.other_rates import other_rates, other_rates_table
from modeseek.bandit.studies.reproduce.protocols import FULL, TEN
from modeseek.bandit.studies.reproduce.store import STORE

NOTES = Path(__file__).parents[1] / "docs" / "paper-notes.md"


@pytest.mark.parametrize("conventions", PRESETS)
def test_the_best_rate_is_the_one_whose_tuning_seeds_have_the_highest_mean(conventions):
    for measure in (MEAN_REWARD, PEAK_REWARD):
        for other in other_rates(measure, conventions):
            paths = [STORE.folder(protocol, conventions) / f"{other.cell}.nc" for protocol in (FULL, TEN)]
            stored = load(next(path for path in paths if path.exists()))
            by_rate = dict(zip(map(float, stored["learning_rate"]), stored[measure.grid].values, strict=True))
            seeds = max(np.isfinite(values).sum() for values in by_rate.values())
            means = {rate: values.mean() for rate, values in by_rate.items() if np.isfinite(values).sum() == seeds}
            if seeds == len(next(iter(by_rate.values()))):
                assert other.best == max(means, key=means.get)
                np.testing.assert_allclose(
                    [other.value, other.most], [means[other.tuned], means[other.best]], rtol=1e-6
                )
            assert other.tuned == stored.attrs["learning_rate"]
            assert other.most >= other.value


def test_the_notes_hold_the_table():
    assert other_rates_table() in NOTES.read_text(encoding="utf-8")
