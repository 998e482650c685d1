"""Bradley-Terry: the loss beside its definition, the last real token, known scores recovered, and how it is judged."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import NEOX, TOKENS, random_params
from test_llm_data_rows import EOS, example
from test_llm_step import close

from modeseek.llm.data.rows import pad_rows
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import init
from modeseek.llm.rewards.calibration import agreement
from modeseek.llm.rewards.functions import call, responses_of
from modeseek.llm.rewards.reward_model import (
    BradleyTerry,
    as_reward,
    check_same_vocabulary,
    comparisons,
    judge,
    score_ids,
    train,
)
from modeseek.llm.training.settings import OptimizerConfig, RewardModelConfig
from modeseek.llm.training.step import mean_gradients

PAIRS = [
    example([7, 8], [5, EOS], [6, 6, 6, EOS]),
    example([9], [5, 4, 3, 20, EOS], [EOS]),
    example([30, 31, 32], [11, EOS], [12, 13]),  # cut: its last token is not EOS
]
ROWS = pad_rows(PAIRS, pad=EOS, prompts=4, multiple=4)
BATCH = comparisons(ROWS)
SMALL = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
MODEL = Model(config_from({**NEOX, **SMALL}))


@functools.cache
def params():
    return random_params(MODEL.config, ("reward",))


@functools.cache
def found(accumulate):
    compiled = jax.jit(lambda p: mean_gradients(BradleyTerry(MODEL), p, BATCH, accumulate=accumulate))
    return jax.tree.map(np.asarray, compiled(params()))


def test_a_pad_at_the_end_is_not_the_last_token():
    """The rule of transformers: r is read at the last id that is not the padding one, EOS or not."""
    scorer = ModelWithParams(MODEL, params())
    rows = [[3, 9, EOS], [4, EOS, 7], [EOS, EOS]]
    plain = score_ids(scorer, [[3, 9], [4, EOS, 7], [EOS]])
    np.testing.assert_array_equal(score_ids(scorer, rows, pad=EOS), plain)
    assert score_ids(scorer, rows)[0] != plain[0]


def test_value_and_gradient_equal_a_float64_recomputation():
    """Each row by itself, without padding: -log σ(r_w - r_l), summed over the pairs by hand, divided by 3."""
    ours = found(1)
    assert ours[0].dtype == np.float32
    narrow = jax.tree.map(np.asarray, params())
    with jax.enable_x64(True):
        value, gradient, states = jax.tree.map(np.asarray, by_hand(jax.tree.map(np.float64, narrow)))
    np.testing.assert_allclose(ours[0], value, rtol=1e-5)
    close(ours[1], gradient, 5e-5)
    # And the head's, which needs no differentiation: -1/P Σ σ(-m) (h_w - h_l).
    kernel = np.float64(narrow["heads"]["reward"]["kernel"][:, 0])
    pulls = [-(w - l) / (1 + np.exp((w - l) @ kernel)) for w, l in states]
    close(ours[1]["heads"]["reward"]["kernel"][:, 0], sum(pulls) / 3, 5e-5)


def by_hand(wide):
    """The loss, its gradient, and the state of every row's last token, in float64."""
    model = Model(MODEL.config, Compute("float64", remat="none"))

    def loss(given):
        kernel, total, states = given["heads"]["reward"]["kernel"][:, 0], 0.0, []
        for pair in PAIRS:
            rows = [jnp.asarray(np.append(pair.prompt, response))[None] for response in pair.responses]
            chosen, rejected = (model.hidden(given, row)[0, -1] for row in rows)
            states.append((chosen, rejected))
            total += jnp.log1p(jnp.exp(rejected @ kernel - chosen @ kernel))
        return total / 3, states

    (value, states), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(wide)
    return value, gradient, states


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_give_the_whole_batch(accumulate):
    """One pair or two at a time, one part of which holds no real pair."""
    np.testing.assert_allclose(found(accumulate)[0], found(1)[0], rtol=1e-6)
    close(found(accumulate)[1], found(1)[1], 1e-5)


def test_pads_and_rows_that_fill_up_teach_nothing():
    other = ROWS._replace(tokens=np.where(ROWS.targets() | (np.arange(8) < ROWS.starts[..., None]), ROWS.tokens, 50))
    other.tokens[3] = 51
    assert (other.tokens != ROWS.tokens).any()
    compiled = jax.jit(lambda p: mean_gradients(BradleyTerry(MODEL), p, comparisons(other)))
    value, gradients = compiled(params())
    np.testing.assert_allclose(value, found(1)[0], rtol=1e-6)
    close(gradients, found(1)[1], 1e-6)
    assert not np.asarray(gradients["embed"]["embedding"])[50:52].any()


def test_a_score_is_that_of_the_last_real_token():
    """The same in any batch; another last token is another score, whatever stands behind it is not."""
    scorer = ModelWithParams(MODEL, params())
    rows = [TOKENS[0, :length] for length in (4, 11, 7)]
    kernel = np.asarray(params()["heads"]["reward"]["kernel"])[:, 0]
    hidden = jax.jit(MODEL.hidden)
    alone = [float(np.asarray(hidden(params(), jnp.asarray(row)[None]))[0, -1] @ kernel) for row in rows]
    np.testing.assert_allclose(score_ids(scorer, rows, batch=2), alone, rtol=1e-4)
    assert len({round(score, 3) for score in alone}) == 3


def test_even_scores_lose_log_2():
    zero = jax.tree.map(jnp.zeros_like, params())
    loss = BradleyTerry(MODEL)
    value = jax.jit(lambda p: loss.summed(p, BATCH) / loss.divisor(BATCH))(zero)
    assert float(value) == pytest.approx(math.log(2), rel=1e-6)


KNOWN = np.array([-1.5, -0.5, 0.0, 0.4, 1.1, 2.0])
"""Scores of six responses, nats."""


def fresh(model=MODEL):
    return ModelWithParams(model, init(model.config, ("reward",), key=jax.random.key(0)))


def response(item):
    return [10 + item, EOS]


def compared():
    """Every two of six responses forty times, each preferred as often as Bradley and Terry expect."""
    found = []
    for i, j in itertools.combinations(range(6), 2):
        wins = round(40 / (1 + math.exp(KNOWN[j] - KNOWN[i])))
        found += [example([3], response(i), response(j))] * wins + [example([3], response(j), response(i))] * (
            40 - wins
        )
    return found


def maximum_likelihood(pairs):
    """Bradley and Terry's own scores of the six, centred, by Newton's method in float64."""
    wins = np.zeros((6, 6))
    for pair in pairs:
        wins[pair.responses[0][0] - 10, pair.responses[1][0] - 10] += 1
    counts, scores = wins + wins.T, np.zeros(6)
    for _ in range(30):
        p = 1 / (1 + np.exp(scores[None, :] - scores[:, None]))
        gradient = (wins - counts * p).sum(1)
        curvature = counts * p * (1 - p)
        hessian = np.diag(curvature.sum(1)) - curvature
        scores = scores + np.linalg.pinv(hessian) @ gradient
    return scores - scores.mean()


@pytest.mark.slow
def test_known_scores_are_recovered():
    """To the maximum-likelihood scores of the data, and so to those that made it; on all data, calibrated."""
    pairs, records = compared(), []
    rate = OptimizerConfig(learning_rate=1e-2, schedule="cosine", clip_norm=None)
    config = RewardModelConfig(
        epochs=150.0, batch=len(pairs), accumulate=1, optimizer=rate, evaluate_every=1000, multiple=4
    )
    trained = train(fresh(), pairs, pairs, config, report=records.append)
    assert trained.steps == 150
    scorer = ModelWithParams(MODEL, trained.params)
    scores = score_ids(scorer, [[3, *response(item)] for item in range(6)])
    fitted = maximum_likelihood(pairs)
    np.testing.assert_allclose(scores - scores.mean(), fitted, atol=0.03)
    np.testing.assert_allclose(fitted, KNOWN - KNOWN.mean(), atol=0.1)
    assert trained.held_out is not None
    margins = np.array([fitted[p.responses[0][0] - 10] - fitted[p.responses[1][0] - 10] for p in pairs])
    assert trained.held_out.loss == pytest.approx(np.logaddexp(0, -margins).mean(), abs=1e-3)
    assert trained.held_out.accuracy == pytest.approx((margins > 0).mean())
    assert trained.held_out.calibration_error < 0.02
    assert [r["step"] for r in records if "loss" in r] == list(range(1, 151))
    assert [r["held_out_accuracy"] for r in records if "held_out_loss" in r] == [trained.held_out.accuracy]


def test_calibration_by_hand():
    """Confidences .6 (right, wrong, right) and .9 (right, even): gaps |2/3 - .6|·3/5 and |3/4 - .7|·2/5."""
    logit = lambda p: math.log(p / (1 - p))
    found = agreement(np.array([logit(0.62), -logit(0.62), logit(0.62), logit(0.9), 0.0]), bins=2)
    assert found.accuracy == pytest.approx(3.5 / 5)
    low, high = found.bins
    assert (low.low, low.high, low.pairs, high.low, high.high, high.pairs) == (0.5, 0.75, 4, 0.75, 1.0, 1)
    assert (low.confidence, low.accuracy) == pytest.approx(((3 * 0.62 + 0.5) / 4, 2.5 / 4))
    assert found.calibration_error == pytest.approx((abs(3 * 0.62 + 0.5 - 2.5) + 0.1) / 5)
    assert found.loss == pytest.approx(-(2 * math.log(0.62) + math.log(0.38) + math.log(0.9) + math.log(0.5)) / 5)
    assert "| 0.50 to 0.75 | 4 | 0.590 | 0.625 |" in found.table()
    empty = agreement(np.array([9.0]))
    assert [b.pairs for b in empty.bins] == [0] * 9 + [1]
    assert len(empty.table().splitlines()) == 3
    assert "1 held-out pairs: accuracy 1.000" in str(empty)


def test_true_probabilities_are_calibrated_and_louder_ones_are_not():
    """Within four standard errors of a bin's share; thrice the margins claim what does not come true."""
    rng = np.random.default_rng(0)
    claimed = rng.normal(0, 1.5, 20_000)
    margins = np.where(rng.random(20_000) < 1 / (1 + np.exp(-claimed)), claimed, -claimed)
    found = agreement(margins)
    for b in found.bins:
        assert abs(b.confidence - b.accuracy) < 4 * math.sqrt(0.25 / b.pairs)
    assert found.calibration_error < 0.015
    assert agreement(3 * margins).calibration_error > 0.1
    assert agreement(3 * margins).accuracy == found.accuracy


def test_a_reward_model_is_a_reward_function():
    """It reads the ids that were sampled; what is not there is 0."""
    scorer = ModelWithParams(MODEL, params())
    responses = responses_of([[7, 8], [9]], [[[5, EOS], [6, 6, 6]], [[EOS], []]])
    rewards = call(as_reward(scorer, batch=2), responses)
    wanted = score_ids(scorer, [[7, 8, 5, EOS], [7, 8, 6, 6, 6], [9, EOS]])
    np.testing.assert_allclose(rewards, [wanted[:2], [wanted[2], 0]], rtol=1e-5)
    with pytest.raises(ValueError, match="raised ValueError for prompt 0, response 1: sequence 0 holds id 53, outside"):
        call(as_reward(scorer), responses_of([[7]], [[[5], [53]]]))
    with pytest.raises(ValueError, match="prompt 0, response 0: sequence 0 has 65 tokens, more than the context of 64"):
        call(as_reward(scorer), responses_of([[7]], [[[5] * 64]]))
    with pytest.raises(ValueError, match="a vocabulary of 53 entries and the policy writes one of 60"):
        check_same_vocabulary(dataclasses.replace(MODEL.config, vocab_size=60), MODEL.config)


def test_what_cannot_be_trained_is_refused():
    alone = example([3], response(0))
    with pytest.raises(ValueError, match="pairs need two responses each, but number 2 has 1"):
        train(fresh(), [PAIRS[0], alone])
    with pytest.raises(ValueError, match="held-out pairs need two responses each, but number 1 has 1"):
        train(fresh(), PAIRS, [alone])
    with pytest.raises(ValueError, match="row of pairs 1 holds id 60, outside the vocabulary of 53"):
        train(fresh(), [example([3], [5], [60])])
    with pytest.raises(ValueError, match="3 pairs do not fill a batch of 64"):
        train(fresh(), PAIRS)
    with pytest.raises(ValueError, match=r"accumulate \(3\) must divide the 4 pairs of a batch"):
        RewardModelConfig(batch=4, accumulate=3)
    broken = fresh()
    broken.params["heads"]["reward"]["kernel"] *= jnp.nan
    with pytest.raises(ValueError, match=r"the loss of the reward model is nan at step 1 \(pairs \[0, 1, 2\]"):
        train(broken, PAIRS, config=RewardModelConfig(batch=3, accumulate=1, multiple=8))
    with pytest.raises(ValueError, match="the score of sequence 0 is nan"):
        judge(
            ModelWithParams(MODEL, {**fresh().params, "heads": {"reward": {"kernel": jnp.full((16, 1), jnp.nan)}}}),
            PAIRS,
        )
