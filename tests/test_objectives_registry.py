"""How methods are called: names, prefixes, near misses."""

import pytest

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
