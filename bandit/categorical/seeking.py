"""Mode-seeking or mass-covering, measured on a method's exact flow.

A good response is in the data, and the policy has lost it. Forward KL, KL(target ‖ policy), pulls it back as hard as
any other: q - p on its logit, whatever p is. Reverse KL, KL(policy ‖ target), has the pull p (log q/p + KL): nothing
where p is nothing (Lemma E.4). So the criterion is the good response's pull, the push of the flow on its logit, as its
probability vanishes, against that at the reference: it stays (`mass`) or goes to 0 (`mode`).

The data stay the same meanwhile. A policy that samples its own draws the response with probability p, so any pull that
is bounded gets p as a factor: methods seek modes on-policy (Lemma E.1). GRPO's KL alone is not: its π_ref/π undoes the
factor, and its mean pull is forward KL's, β π_ref.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.categorical.expected import Situation, enumerated, expected_gradient
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.method import Method, Seeking

RESPONSES = 3
GOOD, BAD = (0, 1), 2
"""Two good responses of equal reward, and a bad one."""

VANISHED = -80.0
"""log p of the lost response, nats: p = 2e-35, which float32 has; p^β at DPO's default β = .1 is 3e-4."""

HALF = 0.5
"""A pull that has lost half of its size there goes to 0: pulls are powers of p, or powers of log p that grow."""


TYPICAL = HyperParameters(top_k=1.0)
"""ReST keeps one of two draws; the default, three, would keep both, whatever they are."""


@functools.partial(jax.jit, static_argnames="method")
def pull(
    method: Method, log_behavior: Float[Array, "K"], log_probs: Float[Array, "K"], hyper: HyperParameters
) -> Float[Array, ""]:
    """The flow's push on the logit of the first response. The reference is uniform; the best of two draws is known."""
    uniform = jnp.full(RESPONSES, -jnp.log(float(RESPONSES)))
    rewards = jnp.ones(RESPONSES).at[BAD].set(0.0)
    situation = Situation(log_behavior, uniform, rewards)
    draws = enumerated(situation, max(2, method.min_responses))
    return -expected_gradient(method, situation, draws, log_probs, hyper)[GOOD[0]]


def relative_pull(method: Method, hyper: HyperParameters = TYPICAL, *, on_policy: bool = False) -> float:
    """The pull on a response that is lost, divided by its pull at the reference, where p = 1/3.

    The other two responses share the rest of the policy. Off-policy data are uniform.
    """
    known = jnp.full(RESPONSES, -jnp.log(float(RESPONSES)))
    lost = jnp.full(RESPONSES, jnp.log(-jnp.expm1(VANISHED) / (RESPONSES - 1))).at[GOOD[0]].set(VANISHED)
    there, here = (pull(method, p if on_policy else known, p, hyper) for p in (lost, known))
    return float(there / here)


def seeking(method: Method, hyper: HyperParameters = TYPICAL, *, on_policy: bool = False) -> Seeking:
    """`mass` if the pull on a good response stays as the policy loses it, `mode` if it vanishes."""
    return "mass" if relative_pull(method, hyper, on_policy=on_policy) > HALF else "mode"
