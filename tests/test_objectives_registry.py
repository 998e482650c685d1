"""How methods are called (names, prefixes, near misses), and ranges of hyper-parameters."""

import dataclasses

import pytest

from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.objectives.registry import METHODS, Variant, variant

every_method = pytest.mark.parametrize("name", METHODS)


def test_the_registry_is_keyed_by_name_and_names_are_not_prefixed():
    assert all(name == method.name for name, method in METHODS.items())
    assert not any(name.startswith(("on_policy_", "offline_")) for name in METHODS)
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


@every_method
@pytest.mark.parametrize("on_policy", [True, False])
def test_a_variants_name_reads_back(name, on_policy):
    v = Variant(METHODS[name], on_policy)
    assert variant(v.name) == v
    assert variant(("on_policy_" if on_policy else "offline_") + name) == v
    assert v.title == ("On-policy " if on_policy else "Offline ") + METHODS[name].title


@pytest.mark.parametrize(
    ("text", "name", "on_policy"),
    [
        ("ppo", "ppo", True),
        ("ipo", "ipo", False),
        ("offline_ppo", "offline_ppo", False),
        ("on_policy_ppo", "ppo", True),
        (" On-Policy-IPO ", "on_policy_ipo", True),
        ("best-of-n", "best_of_n", True),
        ("offline-best-of-n-negative-mean", "best_of_n_negative_mean", False),
    ],
)
def test_variant_reads_prefixes_case_and_dashes(text, name, on_policy):
    assert (variant(text).name, variant(text).on_policy) == (name, on_policy)


@pytest.mark.parametrize(
    ("typo", "meant"), [("pppo", "ppo"), ("offline_rvr", "offline_rwr"), ("best_of_m", "best_of_n"), ("dop", "dpo")]
)
def test_an_unknown_method_names_its_neighbours(typo, meant):
    with pytest.raises(ValueError, match=f"unknown method '{typo}'; did you mean .*'{meant}'"):
        variant(typo)


def test_a_method_like_no_other_lists_them_all():
    with pytest.raises(ValueError, match=r"unknown method 'zzzzzzzz'; known methods: best_of_n, .*binary_feedme"):
        variant("zzzzzzzz")


def test_rows_name_hyper_parameters_that_exist():
    assert {name for method in METHODS.values() for name in method.hyper} <= set(HYPER_RANGES)


@pytest.mark.parametrize("name", HYPER_RANGES)
def test_a_default_lies_in_its_range_and_the_range_is_allowed(name):
    allowed = HYPER_RANGES[name]
    default = getattr(HyperParameters(), name)
    assert allowed.low < allowed.high
    assert allowed.low <= default <= allowed.high
    assert allowed.label
    assert not (allowed.log and allowed.low <= 0)
    for value in (default, allowed.low, allowed.high):
        allowed.check(name, value)


@pytest.mark.parametrize("name", HYPER_RANGES)
def test_what_is_not_allowed_is_said(name):
    zero = HYPER_RANGES[name].zero
    said = f"{name} must be zero or more, got" if zero else f"{name} must be a positive number, got"
    for value in (-1.0, float("nan"), float("inf"), *(() if zero else (0.0,))):
        with pytest.raises(ValueError, match=said):
            HYPER_RANGES[name].check(name, value)


def test_half_of_all_labels_cannot_be_wrong():
    with pytest.raises(ValueError, match=r"label_noise must be less than 0\.5, got 0\.5"):
        dataclasses.replace(HyperParameters(), label_noise=0.5).check()


def test_every_hyper_parameter_has_a_range():
    assert list(HYPER_RANGES) == [field.name for field in dataclasses.fields(HyperParameters)]
