"""A value head that is trained beside a policy: one number for each position, read from the policy's hidden states.

The value of a response's token is read before the token is: from the hidden state of the token before it, as its
log-prob is. The trunk is the policy's own, so that a value costs one product, and its loss shapes the trunk too.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh

from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.parameters import Params, shapes
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import parameter_shardings
from modeseek.llm.training.trainable import Trainable


def init(config: ModelConfig) -> Params:
    """A head of zeros, without a key: before its first step it expects nothing, and moves nothing in the trunk."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _head(shapes(config, ("value",))))


@dataclasses.dataclass(frozen=True)
class WithValueHead:
    """A `modeseek.llm.training.trainable.Trainable`: another one, and a value head beside it.

    What it trains is `{"policy": …, "value": …}`, of which the other trainable knows the first part alone; so all
    parameters of a policy and adapters of it have their value head in the same way.

    Attributes:
        policy: what is trained of the policy.
        config: of the model.
    """

    policy: Trainable
    config: ModelConfig

    @property
    def HELD(self) -> tuple[str, ...]:
        """The policy's; the head is some thousand numbers."""
        return self.policy.HELD

    def complete(self, trained: Params, frozen: Any) -> Params:
        """The policy's parameters with the value head among the heads."""
        params = self.policy.complete(trained["policy"], frozen)
        return {**params, "heads": {**params["heads"], "value": trained["value"]}}

    def shapes(self) -> Params:
        """Those of both."""
        return {"policy": self.policy.shapes(), "value": _head(shapes(self.config, ("value",)))}

    def shardings(self, mesh: jax.sharding.Mesh | AbstractMesh) -> Params:
        """Those of both."""
        head = _head(parameter_shardings(mesh, self.config, ("value",)))
        return {"policy": self.policy.shardings(mesh), "value": head}

    def memory(self, trained: Params, frozen: Any, work: memory.Work) -> memory.MemoryEstimate:
        """The policy's."""
        return self.policy.memory(trained["policy"], frozen, work)


def _head(params: Params) -> Params:
    return params["heads"]["value"]
