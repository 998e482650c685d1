"""`modeseek llm info`: what a model is, and the memory that it needs."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from modeseek.checks import whole
from modeseek.llm.commands.common import Source

if TYPE_CHECKING:
    from modeseek.llm.models.config import ModelConfig
    from modeseek.llm.parallel.memory import MemoryEstimate


@dataclasses.dataclass(frozen=True)
class Info:
    """A model's sizes, its parameters, and the memory that inference and training need on each device.

    Only the configuration is read (from the hub, only it is fetched). Memory is an estimate, in float32 within a
    quarter of what the compiler sets aside. Training is with Adam: of all parameters, and of adapters (LoRA) alone.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        batch: sequences at once, on all devices together.
        length: tokens of each, prompt and response; 384, or the model's context if that is shorter, if not given.
        data: devices that share the sequences.
        fsdp: devices that share the sequences and the parameters.
        tensor: devices that share each layer's features.
        dtype: of computing.
        parameter_dtype: of parameters and gradients in training; Adam's moments are float32.
        remat: what the backward pass computes again: nothing, all but products with weights, or all inside a layer.
        attention: xla keeps a layer's attention weights, cudnn does not.
        rank: of the adapters; 16, or the smallest side of a kernel if that is less, if not given.
        chunk: tokens whose logits exist at once in training; a CPU takes 128 at most.
    """

    source: Source
    batch: int = 8
    length: int | None = None
    data: int = 1
    fsdp: int = 1
    tensor: int = 1
    dtype: Literal["bfloat16", "float32", "float16"] = "bfloat16"
    parameter_dtype: Literal["float32", "bfloat16"] = "float32"
    remat: Literal["none", "dots", "full"] = "full"
    attention: Literal["xla", "cudnn"] = "xla"
    rank: int | None = None
    chunk: int = 4096

    def run(self) -> int:
        """Read, estimate, print.

        Raises:
            ValueError: the source has no configuration of a known model, or a number is impossible.
        """
        for field in ("batch", "length", "data", "fsdp", "tensor", "chunk"):
            value = getattr(self, field)
            if value is not None:
                whole(field, value, 1)
        from modeseek.llm.checkpoints.hub import CONFIGURATION, local_folder
        from modeseek.llm.models.hugging_face import config_from, head_of, read_config
        from modeseek.llm.models.model import Compute
        from modeseek.llm.models.parameters import largest_rank
        from modeseek.llm.parallel import memory
        from modeseek.llm.parallel.mesh import MeshShape, check_mesh

        raw = read_config(local_folder(self.source, CONFIGURATION) / "config.json")
        config, head = config_from(raw), head_of(raw)
        length = min(384, config.context) if self.length is None else self.length
        if length > config.context:
            raise ValueError(f"length ({length}) is more than the model's context of {config.context}")
        compute = Compute(self.dtype, self.remat, self.attention)
        mesh = MeshShape(self.data, self.fsdp, self.tensor)
        check_mesh(config, mesh, self.batch)
        rank = min(16, largest_rank(config)) if self.rank is None else self.rank
        work = config, compute, mesh, self.batch, length
        adapters = memory.training_adapters(*work, rank, self.dtype, self.chunk)
        print(_sizes(config, head))
        print(
            f"\nper device, {self.batch} sequences of {length} tokens, data {self.data} x fsdp {self.fsdp} x "
            f"tensor {self.tensor}:"
        )
        how = f"({self.parameter_dtype} parameters, {self.dtype} computing, remat {self.remat})"
        print(_table("inference", memory.inference(*work)))
        print(_table(f"training {how}", memory.training(*work, self.parameter_dtype, self.chunk)))
        frozen = f"({self.dtype} parameters, float32 adapters, remat {self.remat})"
        print(_table(f"training adapters of rank {rank} {frozen}", adapters))
        return 0


def _sizes(config: "ModelConfig", head: str) -> str:
    from modeseek.llm.parallel.memory import count_by_part

    lines = [f"{field.name:<20}{getattr(config, field.name)}" for field in dataclasses.fields(config)]
    lines.append(f"{'head':<20}{head}")
    parts = count_by_part(config, (head,))  # type: ignore[arg-type]
    lines.append(f"\n{'parameters':<20}{sum(parts.values()):>18,}")
    lines += [f"  {part:<18}{count:>18,}" for part, count in parts.items()]
    return "\n".join(lines)


def _table(title: str, memory: "MemoryEstimate") -> str:
    from modeseek.memory import readable

    lines = [f"{title:<84}{readable(memory.total):>12}"]
    lines += [f"  {part:<82}{readable(count):>12}" for part, count in memory.parts.items()]
    return "\n".join(lines)
