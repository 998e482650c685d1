"""What a step trains: all parameters of a model, or something beside frozen ones that completes them."""

import dataclasses
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
from jax.sharding import AbstractMesh

from modeseek.llm.models.config import Head, ModelConfig
from modeseek.llm.models.parameters import Params, shapes
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import parameter_shardings


@runtime_checkable  # the tests execute every annotation
class Trainable(Protocol):
    """How trained numbers become a model's parameters, where they live, and what training them needs.

    `trained` is the tree that a step changes; `frozen` is what the step is given beside it and does not change.
    `modeseek.llm.training.lora.Adapters` and `modeseek.llm.training.value_head.WithValueHead` are others.
    """

    @property
    def HELD(self) -> tuple[str, ...]:
        """The parts of the memory estimate, but for the optimizer's, that are on the device before a step."""
        ...

    def __hash__(self) -> int:
        """Equal trainables share their compiled programs."""
        ...

    def complete(self, trained: Params, frozen: Any) -> Params:
        """The model's parameters; no gradient reaches `frozen`."""
        ...

    def shapes(self) -> Params:
        """A tree like `trained`, of `jax.ShapeDtypeStruct`."""
        ...

    def shardings(self, mesh: jax.sharding.Mesh | AbstractMesh) -> Params:
        """A tree like `trained`, of shardings."""
        ...

    def memory(self, trained: Params, frozen: Any, work: memory.Work) -> memory.MemoryEstimate:
        """Bytes on each device that a step on these parameters needs."""
        ...


@dataclasses.dataclass(frozen=True)
class AllParameters:
    """Every parameter of a model is trained, and nothing is frozen.

    Attributes:
        config: of the model.
        heads: that it has.
    """

    config: ModelConfig
    heads: tuple[Head, ...] = ("lm",)

    HELD: ClassVar[tuple[str, ...]] = ("parameters",)

    def complete(self, trained: Params, frozen: None) -> Params:
        """The parameters as they are."""
        return trained

    def shapes(self) -> Params:
        """The model's."""
        return shapes(self.config, self.heads)

    def shardings(self, mesh: jax.sharding.Mesh | AbstractMesh) -> Params:
        """The model's."""
        return parameter_shardings(mesh, self.config, self.heads)

    def memory(self, trained: Params, frozen: None, work: memory.Work) -> memory.MemoryEstimate:
        """`modeseek.llm.parallel.memory.training`, in the parameters' dtype."""
        return memory.training(self.config, **work._asdict(), parameter_dtype=str(trained["norm"]["scale"].dtype))
