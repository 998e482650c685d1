"""A step of any method on a language model: the loss and gradients that differentiating the objective gives."""

import ast
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, random_params

from modeseek.bandit.objectives import advantages, reduce
from modeseek.bandit.objectives.batch import HyperParameters, Losses, Options, per_response
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.registry import METHODS
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.objective import Labelled, as_batch, make_method_step, make_scorer
from modeseek.llm.training.optimizer import start
from modeseek.llm.training.step import mean_gradients
from modeseek.llm.training.trainable import AllParameters
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS

MODEL = Model(config_from(CASES["pythia"] | {"num_hidden_layers": 2}))
ALL = AllParameters(MODEL.config)
LOSS = CrossEntropy(MODEL)
P, N, S, EOS = 2, 4, 12, 2
HYPER = HyperParameters(beta=0.3, tau=0.2, temperature=0.7, negative_threshold=0.5, top_k=2.0, reward_gap=0.15)
PAPER, TOKENS = Options(), Options(ratio="token", margin="token", negatives="token")
EVERY_WAY = [
    *((name, LANGUAGE_OPTIONS) for name in METHODS),
    *((name, PAPER) for name in ("ppo", "unlikelihood", "best_of_n_negative")),
    *((name, TOKENS) for name in ("dpo", "ipo")),
]
# Keeps the gradient as it comes: a difference of parameters would have lost its last digits.
GRADIENT = optax.trace(decay=0.0)


def gradient_of(state):
    return state.optimizer.trace


@functools.cache
def params(seed=0):
    shaken = np.random.default_rng(seed)
    tree = random_params(MODEL.config)
    return jax.tree.map(lambda a: a + jnp.asarray(0.03 * seed * shaken.normal(size=a.shape), a.dtype), tree)


@functools.cache
def data():
    """Prompts and responses of different lengths, EOS at the end, one response missing, pads that are real ids."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(3, 53, (P, N, S)).astype(np.int32)
    starts = np.repeat(np.array([[3], [5]], np.int32), N, axis=1)
    lengths = np.array([[12, 7, 4, 9], [6, 12, 10, 1]], np.int32)
    for p in range(P):
        tokens[p, :, : starts[p, 0]] = tokens[p, 0, : starts[p, 0]]
        for n in range(N):
            tokens[p, n, lengths[p, n] - 1] = EOS
    real = np.array([[True] * 4, [True, True, True, False]])
    starts = np.where(real, starts, 1)
    rewards = np.array([[0.1, 0.9, 0.4, 0.2], [0.8, 0.3, 0.5, 0.0]], np.float32)
    labelled = Labelled(tokens, lengths, starts, real, rewards=rewards)
    return labelled._replace(
        behavior_log_probs=scorer()(params(1), labelled).log_probs,
        reference_log_probs=scorer()(params(2), labelled).log_probs,
        advantages=advantages.standardize(jnp.asarray(rewards), jnp.asarray(real)),
    )


@functools.cache
def scorer(accumulate=1):
    return make_scorer(LOSS, ALL, accumulate=accumulate)


@functools.cache
def step(name, options=LANGUAGE_OPTIONS, accumulate=1):
    return make_method_step(METHODS[name], LOSS, ALL, options=options, optimizer=GRADIENT, accumulate=accumulate)


def taken(name, given=None, options=LANGUAGE_OPTIONS, accumulate=1, seed=0):
    """The gradient and the numbers of a step from a copy of the parameters: a step takes them over."""
    state = start(jax.tree.map(jnp.copy, params(seed)), GRADIENT)
    state, numbers = step(name, options, accumulate)(state, data() if given is None else given, HYPER)
    return gradient_of(state), numbers


def log_probs_by_definition(params, given):
    """All logits at once, no chunk, no mask, in the order of the tokens."""
    flat = jnp.asarray(given.tokens).reshape(-1, S)
    logits = jax.nn.log_softmax(MODEL.logits(params, MODEL.hidden(params, flat[:, :-1])), axis=-1)
    picked = jnp.take_along_axis(logits, flat[:, 1:, None], axis=-1)[..., 0]
    return picked.reshape(*given.tokens.shape[:2], S - 1)


@functools.cache
def directly():
    """One program for all methods and units: value and gradient of the reduced loss in the parameters."""
    given = data()

    def loss(params, index):
        batch = as_batch(given, log_probs_by_definition(params, given))
        branches = [
            lambda name=name, options=options: reduce.loss(METHODS[name], batch, HYPER, options)
            for name, options in EVERY_WAY
        ]
        return jax.lax.switch(index, branches)

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda *way: compiled(params(), EVERY_WAY.index(way))


def close(ours, theirs, tolerance=1e-5):
    """Every leaf within a share of the largest entry of the whole gradient."""
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
    assert scale > 0
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert float(jnp.abs(a - b).max()) <= tolerance * scale, jax.tree_util.keystr(path)


@pytest.mark.parametrize(("name", "options"), EVERY_WAY)
def test_weights_and_cross_entropy_are_direct_differentiation(name, options):
    loss, gradient = directly()(name, options)
    ours, numbers = taken(name, options=options)
    np.testing.assert_allclose(numbers["loss"], loss, rtol=1e-5)
    close(ours, gradient)
    np.testing.assert_allclose(numbers["gradient_norm"], optax.tree.norm(gradient), rtol=1e-5)


def test_dpo_and_ipo_are_their_papers_formulas_over_pairs():
    """A loop in float64 from the tokens' log-probs, IPO in both conventions: sums, and means over tokens."""
    given = data()
    policy, reference = (np.asarray(log_probs_by_definition(params(seed), given), np.float64) for seed in (0, 2))
    losses = {"dpo": [], "ipo of sums": [], "ipo of means": []}
    for p in range(P):
        ratios, lengths = [], []
        for n in range(N):
            response = slice(given.starts[p, n] - 1, given.lengths[p, n] - 1)
            ratios.append((policy - reference)[p, n, response].sum())
            lengths.append(given.lengths[p, n] - given.starts[p, n])
        for i in range(N):
            for j in range(N):
                gap = float(given.rewards[p, i]) - float(given.rewards[p, j])
                if given.real[p, i] and given.real[p, j] and gap >= HYPER.reward_gap:
                    margin = ratios[i] - ratios[j]
                    means = ratios[i] / lengths[i] - ratios[j] / lengths[j]
                    losses["dpo"].append(np.log1p(np.exp(-HYPER.beta * margin)))
                    losses["ipo of sums"].append((margin - 1 / (2 * HYPER.tau)) ** 2)
                    losses["ipo of means"].append((means - 1 / (2 * HYPER.tau)) ** 2)
    ways = {"dpo": ("dpo", LANGUAGE_OPTIONS), "ipo of sums": ("ipo", LANGUAGE_OPTIONS), "ipo of means": ("ipo", TOKENS)}
    for what, (name, options) in ways.items():
        np.testing.assert_allclose(taken(name, options=options)[1]["loss"], np.mean(losses[what]), rtol=1e-4)


@pytest.mark.parametrize("name", ["dpo", "ipo", "rwr", "ppo", "unlikelihood", "best_of_n_negative"])
def test_parts_are_one_batch(name):
    """Eight parts of one row each: pairs, groups and normalisers are torn apart, and the gradient is the same."""
    whole, numbers = taken(name)
    parts, same = taken(name, accumulate=8)
    close(parts, whole, 3e-6)
    np.testing.assert_allclose(same["loss"], numbers["loss"], rtol=1e-5)


def test_targets_are_the_response_from_its_first_token_to_eos():
    """Every weight by name: of log π(token t + 1) in column t."""
    given = data()
    batch = as_batch(given, scorer()(params(), given).log_probs)
    _, weights = reduce.token_weights(METHODS["reinforce"], batch, HYPER, LANGUAGE_OPTIONS)
    for p in range(P):
        for n in range(N):
            learnt = set(np.flatnonzero(np.asarray(weights[p, n])) + 1)
            expected = range(given.starts[p, n], given.lengths[p, n]) if given.real[p, n] else ()
            assert learnt == set(expected)
            if given.real[p, n]:
                assert given.tokens[p, n, max(learnt)] == EOS


def test_what_stands_in_a_pad_or_behind_a_missing_response_changes_nothing():
    given = data()
    beyond = np.arange(S)[None, None] >= given.lengths[..., None]
    noise = np.random.default_rng(9).integers(3, 53, given.tokens.shape).astype(np.int32)
    columns = beyond[..., 1:] | (np.arange(1, S) < given.starts[..., None]) | ~given.real[..., None]
    other = given._replace(
        tokens=np.where(beyond | ~given.real[..., None], noise, given.tokens),
        behavior_log_probs=jnp.where(columns, jnp.nan, given.behavior_log_probs),
        reference_log_probs=jnp.where(columns, -jnp.inf, given.reference_log_probs),
        rewards=np.where(given.real, given.rewards, np.nan),
        advantages=jnp.where(given.real, given.advantages, jnp.nan),
    )
    for name in ("dpo", "ppo", "rwr"):
        (ours, numbers), (theirs, same) = taken(name), taken(name, other)
        close(theirs, ours, 1e-6)
        for key in numbers:
            np.testing.assert_allclose(same[key], numbers[key], rtol=1e-5, err_msg=key)


def test_embeddings_of_tokens_that_only_pads_have_get_no_gradient():
    """The input embedding is untied: a token that no row reads has no gradient there."""
    given = data()
    read = {
        int(t)
        for p in range(P)
        for n in range(N)
        if given.real[p, n]
        for t in given.tokens[p, n, : given.lengths[p, n] - 1]
    }
    gradient, _ = taken("reinforce")
    rows = np.abs(np.asarray(gradient["embed"]["embedding"])).max(axis=1)
    assert set(np.flatnonzero(rows)) == read


def test_the_first_step_on_policy_has_ratio_one_and_no_kl():
    """Behavior and reference are the policy itself: PPO's gradient is REINFORCE's, and DPO's loss log 2."""
    given = data()
    own = scorer()(params(), given).log_probs
    given = given._replace(behavior_log_probs=own, reference_log_probs=own)
    ppo, numbers = taken("ppo", given)
    reinforce, _ = taken("reinforce", given)
    close(ppo, reinforce)
    for name in ("kl_to_reference", "kl_from_behavior", "fraction_clipped", "margin"):
        assert abs(float(numbers[name])) < 1e-5, name
    _, numbers = taken("dpo", given)
    np.testing.assert_allclose(numbers["loss"], np.log(2), rtol=1e-6)
    in_parts = scorer(4)(params(), given).log_probs
    np.testing.assert_allclose(in_parts, own, atol=1e-5)


def test_a_method_that_is_new_in_the_registry_needs_no_line_here(monkeypatch):
    """A row of the test's own: it is stepped by name, and its gradient is that of its formula."""

    def squared_likelihood(batch, hyper, options):
        return per_response(jnp.square(batch.log_probs) * hyper.beta, batch)

    row = Method(
        name="squared",
        title="Squared",
        objective=squared_likelihood,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        seeking=None,
        source="this test",
        needs=frozenset(),
    )
    monkeypatch.setitem(METHODS, "squared", row)
    bare = Labelled(*data()[:4])

    def loss(params):
        batch = as_batch(bare, log_probs_by_definition(params, bare))
        return HYPER.beta * jnp.square(batch.log_probs).mean(where=jnp.asarray(bare.real))

    close(taken("squared", bare)[0], jax.jit(jax.grad(loss))(params()))
    assert isinstance(squared_likelihood(as_batch(bare, scorer()(params(), bare).log_probs), HYPER, None), Losses)


def test_data_without_what_the_method_needs_is_refused():
    with pytest.raises(ValueError, match="this batch has no reference_token_log_probs"):
        taken("dpo", data()._replace(reference_log_probs=None))
    with pytest.raises(ValueError, match="this batch has no advantages"):
        taken("rwr", data()._replace(advantages=None))


def test_a_step_that_is_not_finite_is_not_taken():
    """A reward of NaN makes NaN of the gradient, and leaves the parameters and the optimizer as they were."""
    given = data()._replace(advantages=jnp.full((P, N), jnp.nan))
    before = start(jax.tree.map(jnp.copy, params()))
    after, numbers = make_method_step(METHODS["rwr"], LOSS, ALL)(before, given, HYPER)
    assert not np.isfinite(numbers["gradient_norm"])
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), after.params, params())))
    assert int(after.optimizer.count) == 0


@pytest.mark.slow
def test_adapters_take_the_same_path():
    """The gradient in the adapters is that of the cross-entropy with the same weights, and learning lowers the loss."""
    adapters = lora.init(MODEL.config, 2, key=jax.random.key(1))
    frozen = lora.Frozen(params(), 2.0)
    stepped = make_method_step(METHODS["dpo"], LOSS, lora.Adapters(MODEL.config))
    hyper = dataclasses.replace(HYPER, learning_rate=0.02)
    state, losses = start(adapters), []
    for _ in range(4):
        state, numbers = stepped(state, data(), hyper, frozen)
        losses.append(float(numbers["loss"]))
    np.testing.assert_allclose(losses[0], directly()("dpo", LANGUAGE_OPTIONS)[0], rtol=1e-5)
    assert losses[3] < losses[0]


@pytest.mark.slow
def test_the_cross_entropy_of_pref_ft_is_sft_on_the_chosen_response():
    """Pairs of two: maximum likelihood on what is preferred, the mean over responses instead of tokens."""
    given = data()
    two = Labelled(*(a[:, :2] for a in given[:4]), rewards=np.array([[1.0, 0.0], [1.0, 0.0]], np.float32))
    ours, _ = taken("pref_ft", two)
    chosen = TokenBatch(*(jnp.asarray(a[:, 0]) for a in (two.tokens, two.lengths, two.starts)))
    tokens = float((two.lengths - two.starts)[:, 0].sum())
    mean = jax.jit(lambda p: mean_gradients(LOSS, p, chosen))(params())[1]
    close(ours, jax.tree.map(lambda g: g * tokens / P, mean))


OTHER_ROOMS = ("batch", "log_probs", "divergences", "metrics", "reduce", "registry", "inspection", "reading", "trials")
"""Files of `objectives` that define none, no advantage and no rule of pairs."""


def test_llm_defines_no_objective_no_advantage_and_no_pair_rule():
    """Nothing that returns losses, no name of a row or of an advantage among its functions, no row of a registry."""
    root = Path(__file__).parents[1]
    objectives = {
        node.name
        for path in (root / "bandit" / "objectives").glob("*.py")
        if path.stem
        not in ("batch", "log_probs", "divergences", "metrics", "reduce", "registry", "inspection", "reading", "trials")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert {"dpo", "ppo_losses", "standardize", "leave_one_out", "all_pairs", "exponential_weights"} <= objectives
    forbidden = objectives | set(METHODS) | {"Losses", "Method", "best_of_n_losses", "gae"}
    wrong = []
    for path in sorted((root / "llm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower() in forbidden:
                wrong.append(f"{path.name} defines {node.name}")
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
                "Losses",
                "Method",
                "log_sigmoid",
            ):
                wrong.append(f"{path.name}:{node.lineno} makes {ast.unparse(node.func)}")
    assert wrong == []
