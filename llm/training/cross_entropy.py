"""The cross-entropy of tokens: its mean over real ones (pre-training, SFT), or weighted by what an objective says.

A value head is learnt in the same pass, its values weighted in the same way.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives.log_probs import shift
from modeseek.checks import whole
from modeseek.llm.inference.chunked_logits import columns_per_chunk, cross_entropy
from modeseek.llm.inference.scoring import response_mask
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params


class TokenBatch(NamedTuple):
    """Sequences that a model learns from.

    Attributes:
        tokens: prompt and response, padded on the right with any id, `[B, S]`.
        lengths: real tokens of each row, `[B]`.
        starts: where each row's response begins, at least 1, `[B]`: earlier tokens are read and not learnt. None learns
            every token after the first.
        weights: of each token's log-prob, `[B, S-1]`, column t of token t + 1: -∂L/∂log π, as an objective gives it.
            None weighs all alike and takes their mean.
        value_weights: of each token's value, `[B, S-1]`: ∂L/∂V, as `value_function.value_weights` gives it. None where
            no value head is trained.
        segments: of rows that hold several sequences (`modeseek.llm.data.packing`), which one each token belongs to,
            `[B, S]`; a sequence reads itself alone.
        targets: of such rows, which tokens are learnt, `[B, S]`: the first of a sequence never is. In place of
            `lengths` and `starts`.
    """

    tokens: Int[Array, "B S"]
    lengths: Int[Array, "B"]
    starts: Int[Array, "B"] | None = None
    weights: Float[Array, "B T"] | None = None
    value_weights: Float[Array, "B T"] | None = None
    segments: Int[Array, "B S"] | None = None
    targets: Bool[Array, "B S"] | None = None


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """-Σ w log π(y_{t+1} | y_≤t) + Σ u V(y_≤t) over the rows' real tokens, the logits of `chunk` tokens at a time.

    Without weights it is divided by the number of those tokens: a mean. With weights it is not divided by anything: an
    objective L that sees the parameters through log-probs alone has the gradient of this loss at w = -∂L/∂log π, which
    holds L's own normalisers. Pairs, groups and standardisation are then in the weights, so that rows may be learnt in
    parts of any size. The same holds for a loss of values, with u = ∂L/∂V; without such weights there is no V.

    Attributes:
        model: with a language-model head, and a value head where values are weighted.
        chunk: tokens whose logits exist at once.
    """

    model: Model
    chunk: int = 4096

    def __post_init__(self) -> None:
        """Raises ValueError for a chunk below 1."""
        whole("chunk", self.chunk, 1)

    def summed(self, params: Params, batch: TokenBatch) -> Float[Array, ""]:
        """The loss before it is divided: the sum over parts of a batch is the whole batch's."""
        inputs, targets = shift(batch.tokens)
        segments = None if batch.segments is None else batch.segments[:, :-1]
        hidden = self.model.hidden(params, inputs, segments=segments)
        tied = self.model.config.tied
        head = {"embed": params["embed"]} if tied else {"heads": {"lm": params["heads"]["lm"]}}
        columns = columns_per_chunk(self.chunk, targets.shape)
        total = cross_entropy(self.model, columns, head, hidden, targets, _weights(batch))
        if batch.value_weights is None:
            return total
        weights = jnp.where(_mask(batch), batch.value_weights, 0.0)
        return total + (weights * self.model.values(params, hidden)).sum()

    def divisor(self, batch: TokenBatch) -> Float[Array, ""]:
        """What the whole batch's sum is divided by: its tokens, at least 1, or 1 where the batch has weights."""
        if batch.weights is not None:
            return jnp.ones((), jnp.float32)
        return jnp.maximum(_mask(batch).sum(), 1).astype(jnp.float32)


def _mask(batch: TokenBatch) -> Array:
    if batch.targets is not None:
        return shift(batch.targets.astype(jnp.int32))[1] > 0
    starts = jnp.ones_like(batch.lengths) if batch.starts is None else batch.starts
    return response_mask(starts, batch.lengths, batch.tokens.shape[1])


def _weights(batch: TokenBatch) -> Array:
    """1 for each real token, or its own weight; whatever a pad's weight is, even NaN, it counts for nothing."""
    mask = _mask(batch)
    return mask.astype(jnp.float32) if batch.weights is None else jnp.where(mask, batch.weights, 0.0)
