"""The exact flow of any method of the registry on the simplex: its own objective, averaged over all that can be drawn.

`methods` has closed forms of six of them; here one construction serves every row. One prompt, K responses, N of them
drawn from μ: all K^N draws are batches of one prompt, the row's objective is asked of each, and the mean is taken with
their exact probabilities. A KL that the loop puts into rewards is the caller's to put there (`penalized`). What a
method estimates across prompts (KTO's KL) it takes from these N responses.
"""

import itertools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modeseek.bandit.categorical.methods import preference_probabilities
from modeseek.bandit.objectives.advantages import kl_shaped_rewards
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.games import last_half
from modeseek.bandit.objectives.log_probs import kept
from modeseek.bandit.objectives.method import Method
from modeseek.checks import require

Judged = Literal["rewards", "preferences"]
"""Who ranks the responses: their rewards, or one comparison of two by Bradley and Terry, P(i ≻ j) = σ(r_i - r_j)."""

LARGEST = 100_000
"""Draws that are enumerated at most: 5 of 10 responses, 3 of 46."""

EXACT = Options(self_normalize=False)
"""RWR's weights as the paper has them: divided by their mean over a batch of one prompt, they would be others."""


class Situation(NamedTuple):
    """One prompt with K responses.

    Attributes:
        log_behavior: log μ, nats; -inf for what is never drawn. The policy's own log-probs, if it samples itself.
        log_reference: log π_ref, nats.
        rewards: r.
        log_opponents: log of what the last half of the draws come from, where a game has two sides; None for μ too.
    """

    log_behavior: Float[Array, "K"]
    log_reference: Float[Array, "K"]
    rewards: Float[Array, "K"]
    log_opponents: Float[Array, "K"] | None = None

    def log_sources(self, count: int) -> Float[Array, "N K"]:
        """What each of `count` responses is drawn from."""
        opponents = self.log_behavior if self.log_opponents is None else self.log_opponents
        return jnp.where(last_half(count)[:, None], opponents, self.log_behavior)


class Draws(NamedTuple):
    """D batches of one prompt and N responses each, and how probable each is.

    Attributes:
        responses: which of the K responses are drawn.
        rewards: what ranks them.
        probabilities: of the draws; they sum to 1.
    """

    responses: Int[Array, "D N"]
    rewards: Float[Array, "D N"]
    probabilities: Float[Array, "D"]


def enumerated(situation: Situation, count: int, judged: Judged = "rewards") -> Draws:
    """All ordered draws of `count` responses from μ, with every outcome of their comparison.

    Raises:
        ValueError: more than `LARGEST` draws, or a preference among other than two responses.
    """
    k = situation.rewards.shape[-1]
    require(
        k**count <= LARGEST, f"{count} draws of {k} responses have {k**count} outcomes; at most {LARGEST} are tried"
    )
    responses = jnp.asarray(np.array(list(itertools.product(range(k), repeat=count)), np.int32))
    probabilities = jnp.exp(situation.log_sources(count)[jnp.arange(count), responses].sum(axis=-1))
    if judged == "rewards":
        return Draws(responses, situation.rewards[responses], probabilities)
    require(count == 2, f"a preference is of 2 responses, got {count}")
    first = preference_probabilities(situation.rewards)[responses[:, 0], responses[:, 1]]
    wins = jnp.broadcast_to(jnp.asarray([1.0, 0.0], first.dtype), responses.shape)
    return Draws(
        jnp.concatenate([responses, responses]),
        jnp.concatenate([wins, wins[:, ::-1]]),
        jnp.concatenate([probabilities * first, probabilities * (1.0 - first)]),
    )


def penalized(situation: Situation, kl_coefficient: Float[Array, ""] | float) -> Situation:
    """Rewards with the KL of eq. 2 in them, as the loop has them: r - β log μ/π_ref of what may be drawn.

    For methods that have no KL in their own loss (`Method.has_kl_in_its_loss`).
    """
    log_mu, rewards = situation.log_behavior, situation.rewards
    shaped = kl_shaped_rewards(rewards, log_mu, situation.log_reference, kl_coefficient)
    return situation._replace(rewards=jnp.where(jnp.isfinite(log_mu), shaped, rewards))


def advantages(situation: Situation) -> Float[Array, "K"]:
    """Rewards standardised by their mean and deviation under μ: eq. 19 of all samples."""
    mu, rewards = jnp.exp(situation.log_behavior), situation.rewards
    centered = kept(rewards - (mu * kept(rewards, mu > 0)).sum(), mu > 0)
    deviation = jnp.sqrt((mu * jnp.square(centered)).sum())
    return centered / jnp.where(deviation > 0, deviation, 1.0)


def batches(situation: Situation, draws: Draws, log_probs: Float[Array, "K"]) -> Batch:
    """The draws as batches of one prompt and of responses of one token, stacked: `[D, 1, N]` and `[D, 1, N, 1]`."""
    count = draws.responses.shape[-1]
    of = lambda values: values[draws.responses][:, None, :]
    of_tokens = lambda values: of(values)[..., None]
    sampled = situation.log_sources(count)[jnp.arange(count), draws.responses]
    # A draw that never comes has probability 0, which times a loss of -inf log-probs would be NaN.
    sampled = kept(sampled, sampled > -jnp.inf)
    return Batch(
        token_log_probs=of_tokens(log_probs),
        behavior_token_log_probs=sampled[:, None, :, None],
        reference_token_log_probs=of_tokens(situation.log_reference),
        rewards=draws.rewards[:, None, :],
        advantages=of(advantages(situation)),
        opponents=None
        if situation.log_opponents is None
        else jnp.broadcast_to(last_half(count), (len(draws.responses), 1, count)),
    )


def expected_loss(
    method: Method,
    situation: Situation,
    draws: Draws,
    log_probs: Float[Array, "K"],
    hyper: HyperParameters,
    options: Options = EXACT,
) -> Float[Array, ""]:
    """E[Σ w l] / E[Σ w] over the draws: what the reduced loss of ever more prompts goes to.

    The behavior policy is a constant, as samples are, also where it is the policy itself.
    """
    stacked = batches(situation, draws, log_probs)
    losses, weights = jax.vmap(lambda batch: method.objective(batch, hyper, options))(stacked)
    each = tuple(range(1, losses.ndim))
    total = (draws.probabilities * (weights * kept(losses, weights > 0)).sum(axis=each)).sum()
    count = (draws.probabilities * weights.sum(axis=each)).sum()
    return total / jnp.where(count > 0, count, 1.0)


def expected_gradient(
    method: Method,
    situation: Situation,
    draws: Draws,
    log_probs: Float[Array, "K"],
    hyper: HyperParameters,
    options: Options = EXACT,
) -> Float[Array, "K"]:
    """The gradient of `expected_loss` in the logits of a softmax policy: g_i - p_i Σ_j g_j, g that in log p. Sums to 0.

    The flow is its negative.
    """
    loss = lambda policy: expected_loss(method, situation, draws, policy, hyper, options)
    slope: Array = jax.grad(loss)(log_probs)
    return slope - jnp.exp(log_probs) * slope.sum()
