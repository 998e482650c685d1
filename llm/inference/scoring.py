"""Scoring given sequences: log-probs, entropy and KL of every position, without ever holding all logits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives.divergences import entropy, kl
from modeseek.bandit.objectives.log_probs import sequence_log_probs, shift
from modeseek.checks import whole
from modeseek.llm.inference.chunked_logits import columns_per_chunk, join_columns, split_columns, token_log_probs
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params


class ModelWithParams(NamedTuple):
    """A model and its parameters, layers stacked, as loaded and trained."""

    model: Model
    params: Params


class Scores(NamedTuple):
    """What a policy says of given tokens; column t is of token t + 1, after tokens 0 … t. Zero where `mask` is false.

    Attributes:
        log_probs: log π of each token, nats, `[B, S-1]`.
        mask: whether the token is real and of the response, `[B, S-1]`.
        entropy: of the whole next-token distribution, nats, exact; None if it was not asked for.
        kl: KL(policy ‖ other) of the next-token distributions, nats, exact; None without another model.
        values: what the value head says before the token is drawn; None where the policy's parameters have none.
    """

    log_probs: Float[Array, "B T"]
    mask: Bool[Array, "B T"]
    entropy: Float[Array, "B T"] | None
    kl: Float[Array, "B T"] | None
    values: Float[Array, "B T"] | None = None

    @property
    def sums(self) -> Float[Array, "B"]:
        """log π(response | prompt), nats."""
        return sequence_log_probs(self.log_probs, self.mask)


def response_mask(starts: Int[Array, "B"], lengths: Int[Array, "B"], length: int) -> Bool[Array, "B T"]:
    """Which of S - 1 scored positions are of the response: tokens `starts`, …, `lengths` - 1 of rows of S tokens."""
    _, scored = shift(jnp.arange(length))
    return (scored[None, :] >= starts[:, None]) & (scored[None, :] < lengths[:, None])


def score(
    policy: ModelWithParams,
    tokens: Int[Array, "B S"],
    lengths: Int[Array, "B"],
    starts: Int[Array, "B"] | None = None,
    *,
    other: ModelWithParams | None = None,
    with_entropy: bool = False,
    chunk: int = 1024,
) -> Scores:
    """Score every token after the first, or after the prompt.

    Logits are made for `chunk` tokens at a time, used, dropped, and made again in the backward pass: what is held is
    chunk · V numbers, not B · S · V. To be called inside `jax.jit`. Differentiable in both policies' parameters: stop
    the gradient where it is not wanted.

    Args:
        policy: with a language-model head.
        tokens: prompt and response, padded on the right.
        lengths: real tokens of each row.
        starts: where each row's response begins, at least 1, since nothing predicts the first token; 1 if not given.
        other: the second model of the KL.
        with_entropy: whether the entropies are wanted.
        chunk: tokens whose logits are held at once; whole columns, so at least B.

    Raises:
        ValueError: sequences of one token, which have nothing to score; a second model of another vocabulary; a chunk
            below 1.
    """
    if tokens.shape[1] < 2:
        raise ValueError(f"sequences must have at least 2 tokens to score, got {tokens.shape[1]}")
    whole("chunk", chunk, 1)
    if other is not None and other.model.config.vocab_size != policy.model.config.vocab_size:
        sizes = policy.model.config.vocab_size, other.model.config.vocab_size
        raise ValueError(f"the KL of two models needs one vocabulary, got {sizes[0]} and {sizes[1]} entries")
    policies = (policy,) if other is None else (policy, other)
    inputs, targets = shift(tokens)
    mask = response_mask(jnp.ones_like(lengths) if starts is None else starts, lengths, tokens.shape[1])
    hidden = tuple(p.model.hidden(p.params, inputs, lengths - 1) for p in policies)

    def of_chunk(params: tuple[Params, ...], hidden: tuple[Array, ...], targets: Array) -> tuple[Array | None, ...]:
        logits = [p.model.logits(q, h) for p, q, h in zip(policies, params, hidden, strict=True)]
        whole = [log_softmax(z) for z in logits] if with_entropy or other is not None else []
        return (
            token_log_probs(logits[0], targets),
            entropy(whole[0]) if with_entropy else None,
            kl(whole[0], whole[1]) if other is not None else None,
        )

    pieces = split_columns(columns_per_chunk(chunk, inputs.shape), targets, *hidden)
    params = tuple(p.params for p in policies)
    results = jax.lax.map(lambda piece: jax.checkpoint(of_chunk)(params, piece[1:], piece[0]), pieces)
    joined = jax.tree.map(lambda array: jnp.where(mask, join_columns(array, inputs.shape[1]), 0.0), results)
    valued = "value" in policy.params["heads"]
    values = jnp.where(mask, policy.model.values(policy.params, hidden[0]), 0.0) if valued else None
    return Scores(joined[0], mask, joined[1], joined[2], values)


def log_softmax(logits: Float[Array, "*B V"]) -> Float[Array, "*B V"]:
    """log softmax over the last axis."""
    return jax.nn.log_softmax(logits, axis=-1)
