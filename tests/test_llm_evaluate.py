"""A policy's numbers on held-out prompts, beside an enumeration of everything that it can say."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import NEOX, random_params
from test_llm_data_rows import EOS
from test_llm_reward_model import SMALL

from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.rewards.functions import LengthGold
from modeseek.llm.rewards.reward_model import as_reward, score_ids

MODEL = Model(config_from({**NEOX, **SMALL, "vocab_size": 9}))
PROMPT = [4, 5]
KEY = jax.random.key(3)


@functools.cache
def policies():
    """A policy and a reference."""
    params = random_params(MODEL.config, std=0.4)
    turned = jax.tree.map(lambda leaf: 0.7 * leaf, params)
    return ModelWithParams(MODEL, params), ModelWithParams(MODEL, turned)


@functools.cache
def next_log_probs():
    """log π and log π_ref of the token after the prompt, `[V]`, and after the prompt and each token, `[V, V]`."""
    rows = jnp.asarray([[*PROMPT, token] for token in range(9)])
    tables = jax.jit(lambda p: jax.nn.log_softmax(MODEL.logits(p, MODEL.hidden(p, rows)), axis=-1))
    found = [np.asarray(tables(policy.params), np.float64) for policy in policies()]
    return [(table[0, 1], table[:, 2]) for table in found]


def responses():
    """Every response of at most two tokens: its ids, log π, log π_ref, and the sums of exact entropy and KL along."""
    (first, second), (first_ref, second_ref) = next_log_probs()
    entropy = lambda log_p: -(np.exp(log_p) * log_p).sum(-1)
    kl = lambda log_p, log_q: (np.exp(log_p) * (log_p - log_q)).sum(-1)
    found = [([EOS], first[EOS], first_ref[EOS], entropy(first), kl(first, first_ref))]
    for a in set(range(9)) - {EOS}:
        along = entropy(first) + entropy(second[a]), kl(first, first_ref) + kl(second[a], second_ref[a])
        found += [([a, b], first[a] + second[a, b], first_ref[a] + second_ref[a, b], *along) for b in range(9)]
    return found


@functools.cache
def evaluated():
    policy, reference = policies()
    gold = LengthGold("mode_length", "tokens", mode=1.0).function([EOS])
    config = EvaluationConfig(samples=600, max_new_tokens=2, batch=600)
    how = {"eos": [EOS], "rewards": {"gold": gold}, "config": config}
    return evaluate(policy, [PROMPT], key=KEY, reference=reference, **how)


def test_every_number_is_within_four_standard_errors_of_enumeration():
    """E over all 73 responses: they sum to one; lengths and rewards do not count EOS."""
    all_of_them = responses()
    p = np.exp([each[1] for each in all_of_them])
    assert p.sum() == pytest.approx(1, abs=1e-5)
    length = np.array([len(y) - (y[-1] == EOS) for y, *_ in all_of_them])
    counts = np.array([len(y) for y, *_ in all_of_them])
    kl = np.array([each[4] for each in all_of_them])
    values = {
        "tokens": length,
        "share_eos": np.array([y[-1] == EOS for y, *_ in all_of_them], float),
        "reward_gold": -np.abs(length - 1.0),
        "kl": kl,
        "kl_sampled": np.array([each[1] - each[2] for each in all_of_them]),
    }
    numbers = evaluated().numbers
    for name, value in values.items():
        mean = p @ value
        error = math.sqrt(p @ (value - mean) ** 2 / 600)
        assert abs(numbers[name] - mean) < 4 * error, (name, numbers[name], mean, error)
        assert error > 0
    # Both are KL(policy ‖ reference) of responses, by the chain rule; the exact one is the quieter.
    assert p @ values["kl_sampled"] == pytest.approx(p @ kl, rel=1e-4)
    assert p @ (kl - p @ kl) ** 2 < p @ (values["kl_sampled"] - p @ kl) ** 2
    for name, along in (("entropy", np.array([each[3] for each in all_of_them])), ("kl_per_token", kl)):
        ratio = (p @ along) / (p @ counts)
        error = math.sqrt(p @ (along - ratio * counts) ** 2 / 600) / (p @ counts)
        assert abs(numbers[name] - ratio) < 4 * error, name


def test_every_sample_has_its_own_numbers():
    by_ids = {tuple(each[0]): each[1:] for each in responses()}
    found = evaluated()
    assert set(found.seconds) == {"generate", "score", "reward"}
    assert len({tuple(sample.response_ids) for sample in found.samples}) > 10
    for sample in found.samples:
        log_prob, reference, entropy, kl = by_ids[tuple(sample.response_ids)]
        numbers = (sample.log_prob, sample.log_ratio, sample.entropy, sample.kl)
        np.testing.assert_allclose(numbers, (log_prob, log_prob - reference, entropy, kl), rtol=1e-3, atol=1e-4)
        assert sample.ended == (sample.response_ids[-1] == EOS)
        assert (sample.prompt, sample.text) == (0, None)


def test_a_policy_is_no_nats_from_itself_and_batches_change_nothing():
    policy, _ = policies()
    how = {"key": KEY, "eos": [EOS], "reference": policy}
    one, other = (
        evaluate(policy, [PROMPT, [7], [3, 3, 3]], **how, config=EvaluationConfig(2, 5, batch)) for batch in (6, 4)
    )
    assert one.numbers["kl"] == pytest.approx(0, abs=1e-6)
    assert one.numbers["kl_sampled"] == pytest.approx(0, abs=1e-5)
    assert [s.response_ids for s in one.samples] == [s.response_ids for s in other.samples]
    assert [s.prompt for s in one.samples] == [0, 0, 1, 1, 2, 2]


def test_gold_and_proxy_are_tracked_on_the_same_samples():
    """The proxy reads prompt and response; the standard error is that of the mean over prompts."""
    policy, _ = policies()
    scorer = ModelWithParams(MODEL, random_params(MODEL.config, ("reward",)))
    rewards = {"gold": LengthGold(unit="tokens").function([EOS]), "proxy": as_reward(scorer)}
    prompts = [PROMPT, [7], [3, 3, 3]]
    found = evaluate(policy, prompts, key=KEY, eos=[EOS], rewards=rewards, config=EvaluationConfig(2, 5, 6))
    assert not {"kl", "kl_sampled", "words"} & set(found.numbers)
    gold = np.array([-(len(s.response_ids) - s.ended) for s in found.samples], float)
    proxy = score_ids(scorer, [prompts[s.prompt] + s.response_ids for s in found.samples])
    for name, values in (("gold", gold), ("proxy", proxy)):
        assert [s.rewards[name] for s in found.samples] == pytest.approx(values, rel=1e-5)
        assert found.numbers[f"reward_{name}"] == pytest.approx(values.mean(), rel=1e-5)
        error = values.reshape(3, 2).mean(1).std(ddof=1) / math.sqrt(3)
        assert found.numbers[f"reward_{name}_error"] == pytest.approx(error, rel=1e-5)
    assert "reward_gold_error" not in evaluated().numbers  # of one prompt there is none


def test_what_cannot_be_evaluated_is_refused():
    policy, _ = policies()
    config = EvaluationConfig(max_new_tokens=63)
    with pytest.raises(ValueError, match="prompt 0 has 2 tokens and 63 new ones, more than the context of 64"):
        evaluate(policy, [PROMPT], key=KEY, eos=[EOS], config=config)
    with pytest.raises(ValueError, match="samples must be a whole number of at least 1, got 0"):
        EvaluationConfig(samples=0)
    broken = {"gold": lambda *_: [[float("nan")]]}
    with pytest.raises(ValueError, match=r"the reward 'gold' is nan for prompt 0, response 0: not a finite number"):
        evaluate(policy, [PROMPT], key=KEY, eos=[EOS], rewards=broken, config=EvaluationConfig(1, 5, 6))
