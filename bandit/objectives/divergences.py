"""Exact divergences between categorical distributions that are given by their log-probabilities.

Always written KL(p ‖ q) = Σ p log(p/q), in nats. Reverse = KL(policy ‖ reference), forward = KL(target ‖ policy).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _plogq(log_p: Array, log_q: Array) -> Array:
    """p · log q with 0 · log 0 = 0, safe to differentiate where p = 0 (or underflows to it)."""
    p = jnp.exp(log_p)
    inside = p > 0
    return jnp.where(inside, p * jnp.where(inside, log_q, 0.0), 0.0)


def entropy(log_p: Float[Array, "*B V"]) -> Float[Array, "*B"]:
    """H(p) = -Σ p log p, over the last axis; 0 log 0 = 0."""
    return -_plogq(log_p, log_p).sum(axis=-1)


def kl(log_p: Float[Array, "*B V"], log_q: Float[Array, "*B V"]) -> Float[Array, "*B"]:
    """KL(p ‖ q) = Σ p (log p - log q), over the last axis; +inf where q misses mass that p has."""
    return (_plogq(log_p, log_p) - _plogq(log_p, log_q)).sum(axis=-1)


def expectation(log_p: Float[Array, "*B V"], values: Float[Array, "V"]) -> Float[Array, "*B"]:
    """E_p[values] = Σ p(v) values(v), over the last axis."""
    return jnp.matmul(jnp.exp(log_p), values, precision=jax.lax.Precision.HIGHEST)


def _bounded(log_ratios: Array) -> Array:
    """At most what an exponential can take: the smaller of two terms must not be inf beside a larger one that is."""
    return jnp.minimum(log_ratios, math.log(float(jnp.finfo(log_ratios.dtype).max)) - 1.0)


def sampled_kl(log_ratios: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Unbiased, never negative estimate of KL(behavior ‖ policy) from samples of the behavior policy.

    k3 = (r - 1) - log r with r = policy/behavior (Schulman, *Approximating KL divergence*, 2020): its mean under
    the behavior policy is KL(behavior ‖ policy), and each sample is ≥ 0. +inf where one of the two misses the sample
    (log r = ±inf), and where r is above what a float holds.

    Args:
        log_ratios: log policy - log behavior of sampled responses.
    """
    return jnp.expm1(log_ratios) - _bounded(log_ratios)


def bounded_sampled_kl(log_ratios: Float[Array, "*B"], largest: float) -> Float[Array, "*B"]:
    """`sampled_kl`, and its tangent from log r = `largest` on: a loss whose gradient is finite whatever log r is.

    Args:
        log_ratios: log r, nats; r = reference/policy for samples of the policy, where this estimates KL(policy ‖
            reference).
        largest: nats.
    """
    beyond = jnp.maximum(log_ratios - largest, 0.0)
    return jnp.expm1(jnp.minimum(log_ratios, largest)) + math.exp(largest) * beyond - _bounded(log_ratios)


def sampled_reverse_kl(log_ratios: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Unbiased, never negative estimate of KL(policy ‖ behavior) from samples of the behavior policy.

    r log r - (r - 1) with r = policy/behavior: 1 where the policy misses the sample (r = 0), +inf where r is above what
    a float holds.

    Args:
        log_ratios: log policy - log behavior of sampled responses.
    """
    return _plogq(log_ratios, log_ratios) - jnp.expm1(_bounded(log_ratios))
