"""Numbers of a batch: by hand, and the sampled KLs against enumeration."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, TOKEN_RATIO, random_batch

from modeseek.bandit.objectives import metrics
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.registry import METHODS


def _batch(policy, behavior, reference, rewards, **masks):
    rewards = jnp.asarray(rewards, jnp.float32)
    return Batch(*(jnp.asarray(a, jnp.float32) for a in (policy, behavior, reference)), rewards, rewards, **masks)


# One prompt; log-ratios to the reference 1, -1, 2; rewards say 0 > 1 > 2.
THREE = _batch([[[-1.0], [-3.0], [-2.0]]], [[[-1.0], [-3.5], [-1.0]]], [[[-2.0], [-2.0], [-4.0]]], [[3.0, 2.0, 1.0]])


def test_implicit_rewards_margin_and_accuracy_by_hand():
    """Pairs (0, 1), (0, 2), (1, 2): chosen 1, 1, -1; rejected -1, 2, 2; margins 2, -1, -3: one of three is right."""
    numbers = {name: float(m.function(THREE, HYPER, OPTIONS)) for name, m in metrics.METRICS.items()}
    np.testing.assert_allclose(numbers["chosen_implicit_reward"], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(numbers["rejected_implicit_reward"], 1, rtol=1e-6)
    np.testing.assert_allclose(numbers["margin"], -2 / 3, rtol=1e-6)
    np.testing.assert_allclose(numbers["pair_accuracy"], 1 / 3, rtol=1e-6)
    # Ratios e^0, e^.5, e^-1 against 1 ± .2.
    np.testing.assert_allclose(numbers["fraction_clipped"], 2 / 3, rtol=1e-6)


def test_a_gap_or_another_scheme_changes_the_pairs():
    """Best against worst is the pair (0, 2) alone, as is a gap of 1.5: margin -1."""
    alone = metrics.margin(THREE, HYPER, Options(pair_scheme="best_worst"))
    np.testing.assert_allclose(alone, -1, rtol=1e-6)
    np.testing.assert_allclose(metrics.margin(THREE, HyperParameters(reward_gap=1.5), OPTIONS), -1, rtol=1e-6)


def test_where_nothing_is_chosen_there_is_no_number():
    tied = THREE._replace(rewards=jnp.ones((1, 3)))
    for name in ("chosen_implicit_reward", "rejected_implicit_reward", "margin", "pair_accuracy"):
        assert np.isnan(metrics.METRICS[name].function(tied, HYPER, OPTIONS)), name


def test_an_even_margin_is_not_right():
    at_reference = THREE._replace(reference_token_log_probs=THREE.token_log_probs)
    assert metrics.pair_accuracy(at_reference, HYPER, OPTIONS) == 0


def test_clipped_ratios_are_of_responses_or_of_tokens():
    """Token ratios 1.5 and 1/1.5: the response's is 1."""
    batch = _batch([[[np.log(1.5), -np.log(1.5)]]], [[[0.0, 0.0]]], [[[0.0, 0.0]]], [[0.0]])
    assert metrics.fraction_clipped(batch, HYPER, OPTIONS) == 0
    assert metrics.fraction_clipped(batch, HYPER, TOKEN_RATIO) == 1


def test_a_method_counts_the_ratios_that_it_clips_itself():
    """ε = .2, above .28. Tokens' ratios 1.25, 1.3, .7 and 1, 1.5 of two responses, the last place padded.

    DAPO clips 1.3, .7, 1.5: three of five; with one ε, as GRPO, 1.25 too. GSPO's are the cube root of 1.1375, 1.04, and
    the square root of 1.5, 1.22: one of two, where PPO's ratio of a response has 1.1375 and 1.5, one of two as well,
    and its tokens' are GRPO's. At ε = .25 GSPO clips none.
    """
    mask = jnp.asarray([[[True, True, True], [True, True, False]]])
    ratios = np.log([[[1.25, 1.3, 0.7], [1.0, 1.5, 9.0]]])
    batch = _batch(ratios, 0 * ratios, 0 * ratios, [[0.0, 1.0]], mask=mask)
    batch = batch._replace(advantages=jnp.asarray([[1.0, -1.0]]))

    def share(name, options=OPTIONS, **hyper):
        chosen = HyperParameters(**{"clip_epsilon": 0.2, "clip_epsilon_high": 0.28} | hyper)
        return float(metrics.step_metrics(METHODS[name], batch, chosen, options)["fraction_clipped"])

    assert share("dapo") == pytest.approx(3 / 5)
    assert share("grpo") == share("dr_grpo") == share("ppo", TOKEN_RATIO) == pytest.approx(4 / 5)
    assert share("dapo", clip_epsilon=0.31) == pytest.approx(2 / 5)  # .7 is inside again, 1.3 is not
    assert share("gspo") == share("gspo", TOKEN_RATIO) == share("ppo") == 0.5
    assert (share("gspo", clip_epsilon=0.25), share("ppo", clip_epsilon=0.25)) == (0.0, 0.5)


def _enumerated(seed, sampler):
    """All responses of two tokens of three: chain-rule tables of three policies, and the chance of each response."""
    rng = np.random.default_rng(seed)
    first = np.log(rng.dirichlet(np.ones(3), 3))
    second = np.log(rng.dirichlet(np.ones(3), (3, 3)))
    responses = list(itertools.product(range(3), repeat=2))
    tokens = np.asarray([[[first[w, a], second[w, a, b]] for a, b in responses] for w in range(3)])
    return tokens, np.exp(tokens[sampler].sum(axis=-1))


def _kl(p, q):
    return float((np.exp(p.sum(axis=-1)) * (p - q).sum(axis=-1)).sum())


def _mean(metric, policy, behavior, reference, chances):
    """Its mean over responses drawn with these chances: of batches that hold one response each."""
    numbers = [
        float(metric(Batch(*(jnp.asarray(a[i])[None, None] for a in (policy, behavior, reference)), None, None), *REST))
        for i in range(9)
    ]
    return np.dot(chances, numbers)


REST = (HYPER, OPTIONS)


@pytest.mark.parametrize("seed", [0, 1])
def test_sampled_kls_have_the_exact_mean(seed, float64):
    """KL(behavior ‖ policy) on the behavior policy's samples; KL(policy ‖ reference) on the policy's own."""
    (policy, behavior, reference), of_behavior = _enumerated(seed, 1)
    found = _mean(metrics.kl_from_behavior, policy, behavior, reference, of_behavior)
    np.testing.assert_allclose(found, _kl(behavior, policy), rtol=1e-10)
    assert abs(found - _kl(policy, behavior)) > 1e-3
    _, of_policy = _enumerated(seed, 0)
    found = _mean(metrics.kl_to_reference, policy, policy, reference, of_policy)
    np.testing.assert_allclose(found, _kl(policy, reference), rtol=1e-10)
    assert abs(found - _kl(reference, policy)) > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_staleness_and_entropy_have_the_exact_mean(seed, float64):
    """Next-token KLs along the behavior policy's prefixes, by the table; the policy's own entropy, a token."""
    (policy, behavior, reference), of_behavior = _enumerated(seed, 1)
    tables = np.exp(policy).reshape(3, 3, 2), np.exp(behavior).reshape(3, 3, 2)
    kl = lambda p, q: (p * np.log(p / q)).sum(axis=-1)
    first, second = ([table[:, 0, 0] for table in tables], [table[:, :, 1] for table in tables])
    expected = kl(*first) + first[1] @ kl(*second)
    found = _mean(metrics.kl_to_behavior, policy, behavior, reference, of_behavior)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    _, of_policy = _enumerated(seed, 0)
    found = _mean(metrics.sampled_entropy, policy, behavior, reference, of_policy)
    np.testing.assert_allclose(found, -of_policy @ np.log(of_policy) / 2, rtol=1e-10)


def test_a_step_reports_what_its_batch_allows():
    """Loss and share pushed down always; without a reference no implicit reward, without a behavior no clipping."""
    batch = random_batch(0)
    whole = metrics.step_metrics(METHODS["best_of_n_negative"], batch, HYPER, OPTIONS)
    assert list(whole) == ["loss", "fraction_pushed_down", *metrics.METRICS]
    bare = batch._replace(reference_token_log_probs=None, behavior_token_log_probs=None, advantages=None)
    some = metrics.step_metrics(METHODS["best_of_n_negative"], bare, HYPER, OPTIONS)
    assert list(some) == ["loss", "fraction_pushed_down", "sampled_entropy"]
    assert some["loss"] == whole["loss"]
    with pytest.raises(ValueError, match="this batch has no reference_token_log_probs"):
        metrics.step_metrics(METHODS["dpo"], bare, HYPER, OPTIONS)


def test_the_share_pushed_down_is_the_negative_gradients():
    """REINFORCE pushes down what is below average; maximum likelihood nothing."""
    batch = random_batch(0)
    share = float((np.asarray(batch.advantages) < 0).mean())
    found = {
        name: float(metrics.step_metrics(METHODS[name], batch, HYPER, OPTIONS)["fraction_pushed_down"])
        for name in ("reinforce", "rwr")
    }
    assert found == {"reinforce": pytest.approx(share), "rwr": 0.0}
    assert 0 < share < 1
