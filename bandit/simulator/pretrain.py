"""Bringing the policy to the reference: minimise KL(policy ‖ reference) with Adam. Paper I.3."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.divergences import kl
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.optimizer import adam
from modeseek.bandit.simulator.policy import Params, Policy
from modeseek.bandit.simulator.problem import sample_prompts
from modeseek.bandit.simulator.sampling import sample


class Pretrained(NamedTuple):
    """A policy at the reference.

    Attributes:
        params: its parameters.
        kl_to_reference: KL(policy ‖ reference) of a response at the last step, nats.
        steps: Adam steps taken.
    """

    params: Params
    kl_to_reference: Float[Array, ""]
    steps: Int[Array, ""]


class _Carry(NamedTuple):
    params: Params
    optimizer: Any
    divergence: Array
    step: Array


def pretrain(
    policy: Policy,
    reference_log_probs: Float[Array, "V"],
    prompts: Int[Array, "D"],
    config: Static,
    *,
    key: jax.Array,
) -> Pretrained:
    """Initialise a policy and fit it to the reference; the key is consumed.

    `exact` (the default): the KL of every next-token distribution is exact, along prefixes of which half are drawn
    from the reference and half uniformly, so that the policy starts at the reference also on prefixes that only a
    trained policy visits; ends at the tolerance. `sampled`: the released code's 100 steps of one prompt and one
    response sampled from the policy. `prompt_set`: the same, of all the run's own `prompts`, as its
    one-token bandit has it.
    """
    exact = config.conventions.pretraining == "exact"
    numbers = config.pretraining
    steps = numbers.steps if exact else 100
    init_key, run_key = jax.random.split(key)
    optimizer = adam()

    def step_size(step: Array) -> Array:
        """Cosine decay to a hundredth: Adam at a constant rate hovers above the tolerance."""
        if not exact:
            return jnp.asarray(numbers.learning_rate)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * step.astype(jnp.float32) / steps))
        return numbers.learning_rate * (0.01 + 0.99 * cosine)

    def prefixes(params: Params, key: jax.Array) -> Int[Array, "B S"]:
        if not exact:
            prompt_key, sample_key = jax.random.split(key)
            own = config.conventions.pretraining == "prompt_set"
            read = prompts if own else sample_prompts(1, config.prompt_count, key=prompt_key)
            return sample(policy, params, read, config.new_tokens, key=sample_key).tokens[:, :-1]
        uniform = jax.random.uniform(key, (numbers.rows, config.new_tokens))
        column, row = jnp.arange(config.new_tokens), jnp.arange(numbers.rows)
        kinds = jnp.where(column == 0, float(config.prompt_count), float(config.vocab_size))
        anything = (uniform * kinds[None]).astype(jnp.int32)
        cumulative = jnp.cumsum(jnp.exp(reference_log_probs))
        from_reference = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right").astype(jnp.int32)
        # Prompts are uniform; of the rest, every second row is drawn from the reference.
        reference_drawn = (row % 2 == 0)[:, None] & (column > 0)[None, :]
        return jnp.where(reference_drawn, from_reference, anything)

    def divergence(params: Params, inputs: Int[Array, "B S"], key: jax.Array) -> Float[Array, ""]:
        # An exact KL is of the policy that will be sampled, which never drops; the released code's steps drop.
        logits = policy.logits(params, inputs) if exact else policy.train_logits(params, inputs, key)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        reference = jnp.broadcast_to(reference_log_probs[None, None, :], log_probs.shape)
        return kl(log_probs, reference).sum(axis=-1).mean()

    def step(carry: _Carry) -> _Carry:
        prefix_key, dropout_key = jax.random.split(jax.random.fold_in(run_key, carry.step))
        inputs = prefixes(carry.params, prefix_key)
        value, gradient = jax.value_and_grad(divergence)(carry.params, inputs, dropout_key)
        updates, state = optimizer.update(gradient, carry.optimizer)
        size = step_size(carry.step)
        params = jax.tree.map(lambda p, u: p - size * u, carry.params, updates)
        return _Carry(params, state, value, carry.step + 1)

    def unfinished(carry: _Carry) -> Array:
        return (carry.step < steps) & ((carry.divergence > numbers.tolerance) | (not exact))

    params = policy.init(init_key)
    if exact and config.policy.kind == "tabular":  # a table holds the reference itself
        table = jax.tree.map(lambda p: jnp.broadcast_to(reference_log_probs[None], p.shape), params)
        return Pretrained(table, jnp.zeros(()), jnp.asarray(0))
    start = _Carry(params, optimizer.init(params), jnp.asarray(jnp.inf), jnp.asarray(0))
    end = jax.lax.while_loop(unfinished, step, start)
    return Pretrained(end.params, end.divergence, end.step)
