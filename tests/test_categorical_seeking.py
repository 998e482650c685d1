"""Mode-seeking or mass-covering: the pull on a good response that the policy has lost, for every row and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import every_method

from modeseek.bandit.categorical import seeking
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import METHODS, Variant


@every_method
def test_a_row_says_what_its_flow_seeks(name):
    """Of data that stay; and of the policy's own samples always modes."""
    method = METHODS[name]
    assert seeking.seeking(method) == method.seeking == Variant(method, False).seeking
    assert seeking.seeking(method, on_policy=True) == Variant(method, True).seeking == "mode"


@pytest.mark.parametrize("beta", [0.005, 0.05, 1.0])
def test_dpos_pull_on_a_lost_response_is_by_hand_up_to_twice_that_at_the_reference(beta):
    """Its pull is β σ(-β m) of its pairs with the bad response: m is 0 at the reference, log p + log 2 once lost."""
    expected = 2.0 / (1.0 + np.exp(beta * (seeking.VANISHED + np.log(2))))
    assert seeking.relative_pull(METHODS["dpo"], HyperParameters(beta=beta)) == pytest.approx(expected, rel=1e-4)


def test_ppos_pull_is_in_proportion_to_what_the_policy_has():
    """∂(ρ r̄)/∂f of an unclipped ratio is ρ r̄ less p times the others' shares: to first order in p itself."""
    method = METHODS["ppo"]
    uniform = jnp.full(3, -jnp.log(3.0))
    pulls = []
    for p in (1e-3, 1e-6):
        log_probs = jnp.log(jnp.asarray([p, (1 - p) / 2, (1 - p) / 2]))
        pulls.append(float(seeking.pull(method, uniform, log_probs, HyperParameters(clip_epsilon=100.0))))
    np.testing.assert_allclose(pulls[0] / pulls[1], 1e3, rtol=0.01)
