"""CHES, slopes and steps on single pairs, on a GPT of one block, against loops, closed forms and finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.categorical.closed_forms import displacement_slope
from modeseek.bandit.simulator.policy import gpt_policy
from modeseek.bandit.simulator.sampling import score
from modeseek.bandit.studies.followups import displaced_pairs
from modeseek.bandit.studies.followups.displaced_pairs import Pairs

V, T = 12, 4
POLICY = gpt_policy(V, T, 1, 2, 8)
SLOPES = jax.jit(functools.partial(displaced_pairs.slopes, POLICY))


@pytest.fixture(scope="module")
def params():
    """Weights ten times as large as at the start, so that embeddings differ."""
    start = jax.jit(POLICY.init)(jax.random.key(0))
    return jax.tree.map(lambda p: p * (10.0 if p.ndim > 1 else 1.0), start)


PAIR = jnp.array([[3, 1, 2, 5, 7], [3, 1, 4, 5, 0]])


def test_the_embeddings_times_the_head_are_the_logits(params):
    """Sums over positions, and the last."""
    sums, last = jax.jit(functools.partial(displaced_pairs.hidden_sums, POLICY))(params, PAIR)
    logits = jax.jit(POLICY.logits)(params, PAIR[:, :-1])
    head = params["head"]["kernel"]
    np.testing.assert_allclose(sums @ head, logits.sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(last @ head, logits[:, -1], atol=1e-4)


def test_ches_is_a_double_sum_over_positions():
    """⟨Σ h_w, Σ h_l⟩ - ‖Σ h_w‖², position by position; 0 for two of the same."""
    rng = np.random.default_rng(0)
    chosen, rejected = rng.standard_normal((2, 3, 5)).astype(np.float32)
    cross = sum(float(chosen[t] @ rejected[u]) for t in range(3) for u in range(3))
    own = sum(float(chosen[t] @ chosen[u]) for t in range(3) for u in range(3))
    sums = jnp.asarray(chosen.sum(0)), jnp.asarray(rejected.sum(0))
    assert displaced_pairs.ches(*sums) == pytest.approx(cross - own, rel=1e-5)
    assert displaced_pairs.ches(sums[0], sums[0]) == 0


def test_edit_distance_is_levenshteins():
    """Against the recursion, and by hand."""

    def plainly(a, b):
        @functools.cache
        def distance(i, j):
            if i == 0 or j == 0:
                return i + j
            replaced = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
            return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

        return distance(len(a), len(b))

    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (tuple(rng.integers(0, 3, rng.integers(0, 7)).tolist()) for _ in range(2))
        got = displaced_pairs.edit_distance(np.array(a, np.int32), np.array(b, np.int32))
        assert got == plainly(a, b)
    assert displaced_pairs.edit_distance(np.array([1, 2, 3]), np.array([2, 3, 4])) == 2


def test_the_shared_tables_slope_is_the_closed_form():
    """1 - N (π_B - π_C) for A…AB against A…AC; by autodiff for any pair."""
    probs = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(V)), jnp.float32)
    a, b, c = 2, 5, 9
    pairs = Pairs(jnp.array([[0, a, a, a, b]]), jnp.array([[0, a, a, a, c]]))
    expected = displacement_slope(float(probs[b]), float(probs[c]), 4)
    assert displaced_pairs.shared_table_slope(pairs, probs)[0] == pytest.approx(float(expected), abs=1e-5)
    any_pair = Pairs(PAIR[:1], PAIR[1:])
    of = lambda tokens: lambda logits: jax.nn.log_softmax(logits)[tokens[0, 1:]].sum()
    chosen, rejected = (jax.grad(of(tokens))(jnp.log(probs)) for tokens in any_pair)
    got = displaced_pairs.shared_table_slope(any_pair, probs)[0]
    assert got == pytest.approx(float((chosen * (chosen - rejected)).sum()), rel=1e-4)


def test_slopes_are_what_a_small_step_does(params):
    """log π(y_w) and m a little along ∇m, by central differences."""
    slope, square = SLOPES(params, PAIR)
    log_probs = jax.jit(lambda p: score(POLICY, p, PAIR).sum(axis=-1))
    direction = jax.jit(jax.grad(lambda p: log_probs(p)[0] - log_probs(p)[1]))(params)
    step = 0.01 / float(square)
    up, down = (log_probs(jax.tree.map(lambda p, g, s=s: p + s * step * g, params, direction)) for s in (1.0, -1.0))
    moved = (up - down) / (2 * step)
    assert float(moved[0]) == pytest.approx(float(slope), rel=0.02)
    assert float(moved[0] - moved[1]) == pytest.approx(float(square), rel=0.02)


def test_both_paces_go_the_same_way(params):
    """A step of equal margin is one of equal size with the rate nats/‖∇m‖²; each gains its nats. None for no pair."""
    _, square = SLOPES(params, PAIR)
    nats, nothing = jnp.asarray(0.02), jnp.zeros(())
    displace = jax.jit(functools.partial(displaced_pairs.displace, POLICY, steps=1))
    by_margin = displace(params, PAIR, nothing, nats)
    by_rate = displace(params, PAIR, nats / square, nats)
    np.testing.assert_allclose(by_margin, by_rate, atol=1e-5)
    assert float(by_margin[0] - by_margin[1]) == pytest.approx(0.02, rel=0.05)
    np.testing.assert_array_equal(displace(params, PAIR[jnp.array([0, 0])], nothing, nats), 0)


def test_pairs_share_tokens_and_the_better_is_chosen(params):
    rewards = jnp.linspace(0.0, 1.0, V)
    draw = jax.jit(lambda key: displaced_pairs.draw_pairs(POLICY, params, rewards, 200, T, key=key))
    chosen, rejected = draw(jax.random.key(1))
    assert (rewards[chosen[:, 1:]].sum(1) >= rewards[rejected[:, 1:]].sum(1)).all()
    np.testing.assert_array_equal(chosen[:, 0], rejected[:, 0])
    shared = (chosen[:, 1:] == rejected[:, 1:]).sum(1)
    assert set(range(T)) <= set(np.asarray(shared).tolist())


def test_a_chains_rows_are_distributions_and_a_network_is_brought_to_it():
    chain = displaced_pairs.chain_log_probs(jax.random.key(0), V, 0.3)
    np.testing.assert_allclose(jnp.exp(chain).sum(-1), 1, atol=1e-5)
    bring = jax.jit(lambda key: displaced_pairs.bring_to_chain(POLICY, chain, key=key, steps=200, rows=16, length=T)[1])
    uniform = float((jnp.exp(chain) * (chain + np.log(V))).sum(-1).mean())  # a fresh network draws tokens alike
    assert float(bring(jax.random.key(1))) < 0.5 * uniform


def test_ranks_are_correlated_over_the_pairs_that_are_there():
    scores = np.array([[1.0, 4.0], [2.0, 3.0], [3.0, 2.0], [np.nan, 0.0], [4.0, 1.0]])
    falls = np.array([[10.0], [11.0], [12.0], [99.0], [13.0]])
    np.testing.assert_allclose(displaced_pairs.orders(scores, falls), [[1.0], [-1.0]])
