"""Pairs of responses, each trained by itself from one GPT-Nano: what becomes of log π(y_w), and what foretells it.

A pair is two samples, the second with some of the first's tokens in its place (how many is drawn, from none to all
but one), and the better by R1 is preferred. It is trained in steps along ∇m, m = log π(y_w) - log π(y_l): any loss on
the margin (DPO, IPO, SLiC) goes this way, at its own pace. Two paces:

- equal steps, one multiple of ∇m for all pairs of a network, as one learning rate gives them;
- equal margins, each pair's own multiple: what y_w pays for the same gain on y_l.

Two kinds of network: `reference`, brought to the bandit's reference, where no prefix matters; `chain`, brought to a
random Markov chain, where the last token does.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float, Int

from modeseek.bandit.simulator.optimizer import adam
from modeseek.bandit.simulator.policy import Params, Policy, gpt_policy
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.sampling import sample, score
from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.protocol import Protocol

SCORES = ("ches", "last_embedding", "edit_similarity", "first_order", "shared_table")
"""What may order pairs by displacement: the larger, the more log π(y_w) should fall. So distance and slopes have a
minus."""


class Pairs(NamedTuple):
    """Q pairs, `[Q, 1 + T]` each with the prompt first."""

    chosen: Int[Array, "Q S"]
    rejected: Int[Array, "Q S"]


class Displacements(NamedTuple):
    """What training of each pair by itself did, and what foretells it.

    Attributes:
        equal_steps: change of log π of chosen and rejected after steps of equal size, nats.
        equal_margins: the same after steps of equal gain in margin.
        square: ‖∇m‖² at the start.
        scores: by name, all of `SCORES` but the edit distance.
        loss: KL(chain ‖ policy) of a token where pretraining ended, nats.
    """

    equal_steps: Float[Array, "Q 2"]
    equal_margins: Float[Array, "Q 2"]
    square: Float[Array, "Q"]
    scores: dict[str, Float[Array, "Q"]]
    loss: Float[Array, ""]


def hidden_sums(policy: Policy, params: Params, tokens: Int[Array, "B S"]) -> tuple[Array, Array]:
    """Σ_t h(x, y_<t) and the last of these embeddings, `[B, D]` each.

    The embeddings are the logits of the same network with an identity in place of its head, which is linear.
    """
    head = params["head"]["kernel"]
    width, vocab_size = head.shape
    open_head = {**params, "head": {"kernel": jnp.eye(width, vocab_size, dtype=head.dtype)}}
    hidden = policy.logits(open_head, tokens[:, :-1])[..., :width]
    return hidden.sum(axis=1), hidden[:, -1]


def ches(chosen: Float[Array, "*B D"], rejected: Float[Array, "*B D"]) -> Float[Array, "*B"]:
    """Centered hidden embedding similarity (Razin et al., 2024, definition 2), of sums H of embeddings.

    CHES = ⟨H_w, H_l⟩ - ‖H_w‖²,    H = Σ_t h(x, y_<t): what the head reads when it predicts y_t, the prompt's end first
    """
    return (chosen * (rejected - chosen)).sum(axis=-1)


def edit_distance(first: Int[np.ndarray, "T"], second: Int[np.ndarray, "U"]) -> int:
    """Least number of tokens to insert, delete or replace (Levenshtein, 1966)."""
    row = np.arange(len(second) + 1)
    for i, token in enumerate(first, start=1):
        replaced = row[:-1] + (second != token)
        row[1:] = np.minimum(replaced, row[1:] + 1)
        row[0] = i
        for j in range(1, len(row)):
            row[j] = min(row[j], row[j - 1] + 1)
    return int(row[-1])


def shared_table_slope(pairs: Pairs, probs: Float[Array, "V"]) -> Float[Array, "Q"]:
    """⟨∇ log π(y_w), ∇m⟩ of a table of logits that all positions share: Σ_v (n_w - N π)(n_w - n_l), n the counts.

    1 - N (π_B - π_C), `closed_forms.displacement_slope`, for y_w = A…AB and y_l = A…AC.
    """
    one_hot = (jax.nn.one_hot(tokens[:, 1:], probs.shape[0]) for tokens in pairs)
    chosen, rejected = (each.sum(axis=1) for each in one_hot)
    length = float(pairs.chosen.shape[1] - 1)
    return ((chosen - length * probs[None]) * (chosen - rejected)).sum(axis=-1)


def chain_log_probs(key: jax.Array, vocab_size: int, concentration: float) -> Float[Array, "V V"]:
    """A random Markov chain: log P(next | last), a Dirichlet draw a row; the key is consumed."""
    draws = jax.random.loggamma(key, concentration, (vocab_size, vocab_size))
    return jax.nn.log_softmax(draws, axis=-1)


def bring_to_chain(
    policy: Policy, log_probs: Float[Array, "V V"], *, key: jax.Array, steps: int, rows: int, length: int
) -> tuple[Params, Float[Array, ""]]:
    """A fresh network after Adam steps on the exact KL(chain ‖ policy), and the last of these; the key is consumed.

    Prefixes are uniform. Rows of `log_probs` that are all alike make it the bandit's reference.
    """
    init_key, prefix_key = jax.random.split(key)
    params = policy.init(init_key)
    optimizer = adam()
    vocab_size = log_probs.shape[0]

    def loss(params: Params, tokens: Array) -> Array:
        now = jax.nn.log_softmax(policy.logits(params, tokens), axis=-1)
        wanted = log_probs[tokens]
        return (jnp.exp(wanted) * (wanted - now)).sum(axis=-1).mean()

    def step(carry: tuple[Params, Any], at: Array) -> tuple[tuple[Params, Any], Array]:
        params, state = carry
        tokens = jax.random.randint(jax.random.fold_in(prefix_key, at), (rows, length), 0, vocab_size)
        value, gradient = jax.value_and_grad(loss)(params, tokens)
        updates, state = optimizer.update(gradient, state)
        size = 1.5e-3 * (1.0 + jnp.cos(jnp.pi * at.astype(jnp.float32) / steps))
        return (jax.tree.map(lambda p, u: p - size * u, params, updates), state), value

    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
    return params, losses[-1]


def displace(
    policy: Policy, params: Params, pair: Int[Array, "2 S"], rate: Array, nats: Array, *, steps: int
) -> Float[Array, "2"]:
    """Train on one pair by itself: how log π of chosen and rejected changes, nats.

    Args:
        policy: its functions.
        params: the start.
        pair: chosen and rejected.
        rate: of steps of equal size; 0 where they are to gain equal margins.
        nats: margin that each step gains to first order, where the rate is 0.
        steps: how many.
    """

    differ = (pair[0] != pair[1]).any()  # of two of the same the gradient is rounding, and there is nothing to do

    def step(params: Params, _: None) -> tuple[Params, None]:
        gradient = jax.grad(lambda params: _margin(policy, params, pair))(params)
        square = _inner(gradient, gradient)
        gaining = jnp.where(differ & (square > 0), nats / square, 0.0)
        size = jnp.where(rate > 0, rate, gaining)
        return jax.tree.map(lambda p, g: p + size * g, params, gradient), None

    end, _ = jax.lax.scan(step, params, None, length=steps)
    return score(policy, end, pair).sum(axis=-1) - score(policy, params, pair).sum(axis=-1)


def slopes(policy: Policy, params: Params, pair: Int[Array, "2 S"]) -> tuple[Array, Array]:
    """⟨∇ log π(y_w), ∇m⟩ and ‖∇m‖² of a pair: what a first step along ∇m does to y_w, and to the margin."""
    of_margin = jax.grad(lambda params: _margin(policy, params, pair))(params)
    of_chosen = jax.grad(lambda params: score(policy, params, pair[:1]).sum())(params)
    return _inner(of_chosen, of_margin), _inner(of_margin, of_margin)


def _margin(policy: Policy, params: Params, pair: Int[Array, "2 S"]) -> Array:
    log_probs = score(policy, params, pair).sum(axis=-1)
    return log_probs[0] - log_probs[1]


def _inner(first: Params, second: Params) -> Array:
    """⟨·, ·⟩ of two directions in parameters."""
    products = jax.tree.map(lambda a, b: (a * b).sum(), first, second)
    return sum(jax.tree.leaves(products), start=jnp.zeros(()))


@partial(jax.jit, static_argnames=("policy", "pairs", "length", "pretraining", "steps"))
def of_network(
    log_chain: Float[Array, "V V"],
    rewards: Float[Array, "V"],
    key: jax.Array,
    nats: Float[Array, ""],
    *,
    policy: Policy,
    pairs: int,
    length: int,
    pretraining: int,
    steps: int,
) -> tuple[Pairs, Displacements]:
    """A network, its pairs, and what became of each; the key is consumed.

    Args:
        log_chain: what the network is brought to.
        rewards: of tokens; a response's is their mean.
        key: of the network, the prompts and the responses.
        nats: margin that a step gains to first order: of each pair, or on average over pairs.
        policy: its functions.
        pairs: Q.
        length: T.
        pretraining: Adam steps that bring the network to the chain.
        steps: on a pair.
    """
    network_key, pair_key = jax.random.split(key)
    params, loss = bring_to_chain(policy, log_chain, key=network_key, steps=pretraining, rows=16, length=length)
    drawn = draw_pairs(policy, params, rewards, pairs, length, key=pair_key)
    both = jnp.stack(drawn, axis=1)  # [Q, 2, S]
    slope, square = jax.lax.map(lambda pair: slopes(policy, params, pair), both, batch_size=16)
    paced = lambda rate: jax.lax.map(
        lambda pair: displace(policy, params, pair, rate, nats, steps=steps), both, batch_size=16
    )
    equal_steps, equal_margins = paced(nats / square.mean()), paced(jnp.zeros(()))
    (chosen, last_chosen), (rejected, last_rejected) = (hidden_sums(policy, params, tokens) for tokens in drawn)
    probs = jnp.exp(jax.nn.log_softmax(policy.logits(params, drawn.chosen[:, :-1]), axis=-1)).mean(axis=(0, 1))
    scores = {
        "ches": ches(chosen, rejected),
        "last_embedding": (last_chosen * last_rejected).sum(axis=-1),
        "first_order": -slope,
        "shared_table": -shared_table_slope(drawn, probs),
    }
    return drawn, Displacements(equal_steps, equal_margins, square, scores, loss)


def draw_pairs(
    policy: Policy, params: Params, rewards: Float[Array, "V"], pairs: int, length: int, *, key: jax.Array
) -> Pairs:
    """Pairs that share from none to all but one of their tokens, the better first; the key is consumed."""
    prompt_key, sample_key, share_key, place_key = jax.random.split(key, 4)
    prompts = jnp.repeat(jax.random.randint(prompt_key, (pairs,), 0, rewards.shape[0]), 2)
    first, second = sample(policy, params, prompts, length, key=sample_key).tokens.reshape(pairs, 2, -1).swapaxes(0, 1)
    shared = jax.random.randint(share_key, (pairs, 1), 0, length)
    rank = jnp.argsort(jax.random.uniform(place_key, (pairs, length)), axis=-1)  # which places are shared
    second = second.at[:, 1:].set(jnp.where(rank < shared, first[:, 1:], second[:, 1:]))
    earned = jnp.stack([rewards[tokens[:, 1:]].mean(axis=-1) for tokens in (first, second)])
    swapped = (earned[1] > earned[0])[:, None]
    return Pairs(jnp.where(swapped, second, first), jnp.where(swapped, first, second))


@dataclasses.dataclass(frozen=True)
class Displacing:
    """Networks of one kind, one a seed.

    Attributes:
        kind: `reference` or `chain`.
        concentration: of the Dirichlet distribution that a row of the chain is drawn from.
        vocab_size: V.
        length: T.
        pairs: Q.
        pretraining: Adam steps.
        steps: on a pair.
        nats: margin that a step gains to first order.
    """

    kind: str
    concentration: float = 0.1
    vocab_size: int = 100
    length: int = 10
    pairs: int = 48
    pretraining: int = 500
    steps: int = 5
    nats: float = 0.2


PACES = ("equal_steps", "equal_margins")


def displacing(setup: Displacing, protocol: Protocol) -> xarray.Dataset:
    """The networks of the fresh seeds. Pairs of which both are the same take no part, and are NaN.

    Returns:
        `[seed, pair, of]`: `score`, by the names of `SCORES`; `[seed, pair, pace]`: `change` of log π(y_w), nats, and
        `margin`, what the margin gained; `[seed, of, pace]`: `order`, Spearman's rank correlation of score and fall of
        log π(y_w); `[seed]`: `loss`, KL(wanted ‖ network) of a token, nats.
    """
    found: list[tuple[np.ndarray, ...]] = []
    policy = gpt_policy(setup.vocab_size, setup.length)
    rewards = jnp.asarray(token_rewards("R1", setup.vocab_size), jnp.float32)
    for seed in seeds_of(protocol):
        chain_key, key = jax.random.split(jax.random.key(seed))
        drawn, became = of_network(
            _wanted(setup, chain_key),
            rewards,
            key,
            jnp.float32(setup.nats),
            policy=policy,
            pairs=setup.pairs,
            length=setup.length,
            pretraining=setup.pretraining,
            steps=setup.steps,
        )
        edits = [-edit_distance(w[1:], v[1:]) for w, v in zip(*(np.asarray(each) for each in drawn), strict=True)]
        named = {name: np.asarray(each) for name, each in became.scores.items()} | {"edit_similarity": np.array(edits)}
        scores = np.stack([named[name] for name in SCORES], axis=-1).astype(np.float32)
        changes = np.stack([np.asarray(each) for each in (became.equal_steps, became.equal_margins)], axis=-1)
        same = named["edit_similarity"] == 0
        scores[same], changes[same] = np.nan, np.nan
        found.append((scores, changes[:, 0], changes[:, 0] - changes[:, 1], np.asarray(became.loss)))
    score_, change, margin, loss = (np.stack(each) for each in zip(*found, strict=True))
    return xarray.Dataset(
        {
            "score": (("seed", "pair", "of"), score_),
            "change": (("seed", "pair", "pace"), change),
            "margin": (("seed", "pair", "pace"), margin),
            "order": (("seed", "of", "pace"), np.stack([orders(a, -b) for a, b in zip(score_, change, strict=True)])),
            "loss": ("seed", loss),
        },
        {"seed": list(seeds_of(protocol)), "of": list(SCORES), "pace": list(PACES)},
    )


def orders(scores: Float[np.ndarray, "Q s"], falls: Float[np.ndarray, "Q p"]) -> Float[np.ndarray, "s p"]:
    """Spearman's rank correlation of each score with each fall, over the pairs that have both."""
    from scipy.stats import spearmanr

    there = np.isfinite(scores).all(axis=-1) & np.isfinite(falls).all(axis=-1)
    each = [[spearmanr(score[there], fall[there]).statistic for fall in falls.T] for score in scores.T]
    return np.array(each)


def _wanted(setup: Displacing, key: jax.Array) -> Float[Array, "V V"]:
    """Log-probabilities of the next token after each token; the key is consumed."""
    if setup.kind == "chain":
        return chain_log_probs(key, setup.vocab_size, setup.concentration)
    reference = np.log(reference_probs(ReferenceRecipe(), "clip", setup.vocab_size))
    return jnp.broadcast_to(jnp.asarray(reference, jnp.float32)[None], (setup.vocab_size, setup.vocab_size))
