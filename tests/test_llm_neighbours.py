"""Faults that other libraries have had, each with the number of its issue: what happens here in their place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import needs_transformers

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.divergences import kl
from modeseek.bandit.objectives.registry import METHODS
from modeseek.llm.data.records import Completion, PreferencePair, Prompt
from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.templates import PLAIN
from modeseek.llm.data.tokenization import IDENTICAL_ONCE_CUT, Example, Limits, tokenize
from modeseek.llm.rewards.functions import of_examples
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.objective import Labelled, target_mask

HYPER = HyperParameters(top_k=1.0)
PROMPT, EOS = np.array([7, 8], np.int32), 2


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Byte pairs that join `foo` and `bar` wherever they meet."""
    from modeseek.llm.data.tokens import text_tokens
    from modeseek.llm.data.train_tokenizer import train_tokenizer
    from modeseek.llm.inference.tokenizer import load_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["foobar " * 20, "foo " * 5, "bar " * 5], folder, vocab_size=280)
    return text_tokens(load_tokenizer(folder))


@needs_transformers
def test_trl_6433_a_prompts_tokens_do_not_change_when_the_response_follows(tokens):
    alone = tokenize([Prompt("foo")], tokens, PLAIN).examples[0].prompt.tolist()
    together = tokens.encode_prompts(["foobar"])[0]
    assert together[: len(alone)] != alone  # tokenised together they would be others
    (row,) = tokenize([Completion("foo", "bar")], tokens, PLAIN).examples
    assert row.prompt.tolist() == alone
    assert tokens.decode([[*row.prompt.tolist(), *row.responses[0][:-1].tolist()]]) == ["foobar"]


def responses(shape=(2, 3, 4), seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *size: jnp.asarray(rng.normal(size=size), jnp.float32)
    real = jnp.asarray([[True, True, False], [True, True, False]])
    scores = -jnp.abs(draw(3, *shape))
    return Batch(*scores, draw(*shape[:2]), draw(*shape[:2]), None, real)


@pytest.mark.parametrize("method", ["ppo", "reinforce", "rwr", "dpo", "pref_ft"])
def test_trl_6439_what_is_left_out_is_not_in_the_divisor(method):
    """Responses that were cut off and masked: the loss and its weights are those of a batch without them."""
    options, batch = Options(ratio="token", self_normalize=False), responses()
    without = Batch(*(a[:, :2] for a in batch[:5]))
    loss, weights = reduce.token_weights(METHODS[method], batch, HYPER, options)
    expected, others = reduce.token_weights(METHODS[method], without, HYPER, options)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(weights[:, :2], others, rtol=1e-5, atol=1e-7)


def test_trl_6439_nor_in_that_of_a_mean_over_tokens():
    """Five targets in the first row, none in the second, which was cut before its response began."""
    batch = TokenBatch(jnp.zeros((2, 8), jnp.int32), jnp.asarray([8, 3]), jnp.asarray([3, 3]))
    assert float(CrossEntropy.divisor(None, batch)) == 5.0


def test_trl_6357_eos_is_learnt_where_it_is_the_pad():
    example = Example(PROMPT, (np.array([5, EOS], np.int32), np.array([6, 6, EOS], np.int32)))
    rows = pad_rows([example], pad=EOS, multiple=8)
    mask = np.asarray(target_mask(Labelled(*rows)))
    learnt = [[int(rows.tokens[0, n, t + 1]) for t in np.flatnonzero(mask[0, n])] for n in range(2)]
    assert learnt == [[5, EOS], [6, 6, EOS]]


def test_trl_6313_a_partial_is_a_reward():
    """It has no name; what fails in it is told all the same."""

    def scaled(scale, prompt_ids, response_ids, mask, texts):
        return scale / mask.sum(axis=-1)

    example = Example(PROMPT, (np.array([5, EOS], np.int32), np.array([6, 6, 6, EOS], np.int32)))
    np.testing.assert_allclose(of_examples(functools.partial(scaled, 4.0))([example]), [[2.0, 1.0]])
    with pytest.raises(ValueError, match="the reward raised TypeError for prompt 0, response 0"):
        of_examples(functools.partial(scaled, None))([example])


@needs_transformers
def test_trl_6321_truncation_leaves_something_or_says_that_it_does_not(tokens):
    """At a limit of one token prompt and response have one; pairs that no longer differ are dropped, and counted."""
    one = Limits(max_prompt=1, max_response=1)
    (row,) = tokenize([Completion("foo bar foo", "bar foo")], tokens, PLAIN, one).examples
    assert len(row.prompt) == len(row.responses[0]) == 1
    found = tokenize([PreferencePair("foo", "bar foo", "bar bar")], tokens, PLAIN, one)
    assert found.examples == []
    with pytest.raises(ValueError, match=rf"no usable row is left of 1: {IDENTICAL_ONCE_CUT} \(1\)"):
        found.report.require_rows()


def test_trl_5594_reverse_kl_has_no_nan_where_probabilities_are_0():
    """0 log 0 = 0 on either side, in value and gradient; a token that both rule out costs nothing."""
    policy = jnp.log(jnp.asarray([0.5, 0.5, 0.0, 0.0]))
    reference = jnp.log(jnp.asarray([0.25, 0.5, 0.25, 0.0]))
    np.testing.assert_allclose(kl(policy, reference), 0.5 * np.log(2), rtol=1e-6)
    logits = jnp.asarray([1.0, 1.0, -jnp.inf, -2e4])
    slope = jax.grad(lambda z: kl(jax.nn.log_softmax(z), reference))(logits)
    assert np.isfinite(slope).all()
    assert float(kl(policy, jnp.log(jnp.asarray([0.0, 0.5, 0.25, 0.25])))) == np.inf  # missed mass, and not NaN


@pytest.mark.parametrize("width", [4, 9])
def test_ms_swift_9925_ipos_means_are_over_each_responses_own_tokens_and_dpos_sums_stay_sums(width):
    """Lengths 4 and 1 in rows of any width: margin of means (4 · .3)/4 - .8 = -.5, of sums 1.2 - .8 = .4."""
    lengths = np.array([[4, 1]])
    mask = jnp.asarray(np.arange(width) < lengths[..., None])
    policy = jnp.where(mask, jnp.asarray([0.3, 0.8], jnp.float32)[None, :, None], jnp.nan)
    reference = jnp.where(mask, 0.0, -jnp.inf)
    batch = Batch(policy, None, reference, jnp.asarray([[1.0, 0.0]]), None, mask)
    hyper = HyperParameters(tau=0.5, beta=1.0)
    loss = lambda method, margin: float(reduce.loss(METHODS[method], batch, hyper, Options(margin=margin)))
    assert loss("ipo", "token") == pytest.approx((-0.5 - 1.0) ** 2, rel=1e-5)
    assert loss("ipo", "sequence") == pytest.approx((0.4 - 1.0) ** 2, rel=1e-5)
    assert loss("dpo", "sequence") == pytest.approx(np.log1p(np.exp(-0.4)), rel=1e-5)
