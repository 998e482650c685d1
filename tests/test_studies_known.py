"""The intervals that come with the package are those of the cells that come with it."""

import numpy as np
import pytest

from modeseek.bandit.studies import known
from modeseek.bandit.studies.intervals import simultaneous
from modeseek.bandit.studies.reproduce.bake import judged


def test_every_stored_target_has_its_intervals_and_they_are_what_is_worked_out(monkeypatch):
    kept = dict(known._read(known.KNOWN))
    monkeypatch.setattr(known, "ASKED", {})
    monkeypatch.setattr(known, "_read", lambda _: {})
    list(judged())
    again = "run `python -m modeseek.bandit.studies.reproduce.bake`"
    assert len(known.ASKED) == len(kept), again
    # By their numbers: another processor may round a mean otherwise, which is another name.
    for found in known.ASKED.values():
        alike = [held for held in kept.values() if held.low.shape == found.low.shape]
        assert any(np.allclose(found, held, rtol=1e-6, atol=1e-9) for held in alike), again


def test_what_is_known_is_not_worked_out_and_another_number_is(monkeypatch, tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 20))
    monkeypatch.setattr(known, "KNOWN", tmp_path / "intervals.json")
    monkeypatch.setattr(known, "ASKED", {})
    expected = known.intervals_of(values, 0.02)
    known.write(known.ASKED)
    monkeypatch.setattr(known, "ASKED", {})
    monkeypatch.setattr(known, "simultaneous", lambda *_: pytest.fail("worked out again"))
    for bound, held in zip(expected, known.intervals_of(values, 0.02), strict=True):
        np.testing.assert_array_equal(bound, held)
    asked = []
    monkeypatch.setattr(known, "simultaneous", lambda *given: asked.append(given) or simultaneous(*given))
    another = values.copy()
    another[2, 19] = np.nextafter(another[2, 19], 1)
    for numbers, miss in ((values, 0.021), (another, 0.02), (values.reshape(2, 30), 0.02), (values[:, ::-1], 0.02)):
        known.intervals_of(numbers, miss)
    assert len(asked) == 4


def test_ends_that_say_nothing_are_kept_too(monkeypatch, tmp_path):
    monkeypatch.setattr(known, "KNOWN", tmp_path / "intervals.json")
    monkeypatch.setattr(known, "ASKED", {})
    values = np.array([[1.0, np.nan, np.nan], [0.1, 0.2, 0.3]])
    expected = known.intervals_of(values, 0.05)
    assert np.isinf(expected.high[0])
    known.write(known.ASKED)
    for bound, held in zip(expected, known._read(known.KNOWN)[known.name_of(values, 0.05)], strict=True):
        np.testing.assert_array_equal(bound, held)
