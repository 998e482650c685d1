"""How much memory a model needs, from its configuration alone: before anything is loaded or compiled.

What a step holds beside weights is counted where JAX can say it: a layer is differentiated abstractly, without numbers,
and the sizes of what its backward pass asks for are added up. The rest is counted by hand and measured by
tests/test_llm_memory.py against what the compiler sets aside.
"""

import dataclasses
import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from modeseek.llm.models import attention
from modeseek.llm.models.config import Head, ModelConfig
from modeseek.llm.models.model import BLOCKS, REMAT_POLICIES, Compute
from modeseek.llm.models.parameters import adapters, parameters, shapes
from modeseek.llm.models.rotary import frequencies, rotary
from modeseek.llm.parallel.mesh import MeshShape, numbers_per_device

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


class MemoryEstimate(NamedTuple):
    """Bytes on each device, by what they are for."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())


class OptimizerSize(NamedTuple):
    """What an optimizer keeps.

    Attributes:
        name: of its part in an estimate.
        numbers: for each trained one, in at least float32.
    """

    name: str
    numbers: float


ADAM = OptimizerSize("Adam's moments", 2)


class Work(NamedTuple):
    """A training step's work, whatever is trained.

    Attributes:
        compute: how the model is computed.
        mesh: the devices that share the work.
        batch: rows, on all devices together.
        length: tokens that are read of each row.
        chunk: tokens whose logits exist at once, on all devices together.
        accumulate: parts that the rows are taken in.
        optimizer: what it keeps.
    """

    compute: Compute
    mesh: MeshShape
    batch: int
    length: int
    chunk: int = 4096
    accumulate: int = 1
    optimizer: OptimizerSize = ADAM


def parameter_count(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> int:
    """Numbers in the parameter tree."""
    return sum(count_by_part(config, heads).values())


def count_by_part(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> dict[str, int]:
    """Numbers in the embedding, the layers, the last norm and the heads."""
    parts: dict[str, int] = {}
    for p in parameters(config, heads):
        parts[p.path[0]] = parts.get(p.path[0], 0) + math.prod(p.shape)
    return parts


def inference(
    config: ModelConfig, compute: Compute, mesh: MeshShape, batch: int, length: int, prompt: int | None = None
) -> MemoryEstimate:
    """Generating `batch` rows of `length` tokens, the first `prompt` of them (all, if not given) read at once.

    Weights as `Model.for_decoding` gives them, once; the cache with all its keys and values; one layer at work on the
    prompts; and one step's logits with what drawing from them makes (four times their size, measured).
    """
    width, rows = _BYTES[compute.dtype], _rows(batch, mesh)
    cached = 2 * config.layers * rows * length * config.kv_heads * config.head_size // mesh.tensor
    return MemoryEstimate(
        {
            "parameters": width * _share(config, mesh),
            "cache": width * cached,
            "prompts": rows * _read_by_a_layer(config, compute, mesh, length if prompt is None else prompt, copies=2),
            "logits": 4 * 4 * rows * config.vocab_size // mesh.tensor,
        }
    )


def unstacking(config: ModelConfig, compute: Compute, mesh: MeshShape) -> MemoryEstimate:
    """`Model.for_decoding` that gives up the stacks: weights once, and the largest stack of layers twice."""
    width = _BYTES[compute.dtype]
    largest = max(numbers_per_device(p, mesh) for p in parameters(config) if p.stacked)
    return MemoryEstimate({"parameters": width * _share(config, mesh), "the largest stack again": width * largest})


def scoring(
    config: ModelConfig, compute: Compute, mesh: MeshShape, batch: int, length: int, chunk: int
) -> MemoryEstimate:
    """Scoring `batch` rows of `length` tokens without a gradient: weights in the dtype of computing, one layer at
    work, and logits of `chunk` tokens, which are used where they lie."""
    width, rows = _BYTES[compute.dtype], _rows(batch, mesh)
    return MemoryEstimate(
        {
            "parameters": width * _share(config, mesh),
            "activations": rows * _read_by_a_layer(config, compute, mesh, length, copies=1),
            "logits": 4 * _tokens_at_once(chunk, rows, length, mesh) * config.vocab_size // mesh.tensor,
        }
    )


def training(
    config: ModelConfig,
    compute: Compute,
    mesh: MeshShape,
    batch: int,
    length: int,
    parameter_dtype: str = "float32",
    chunk: int = 4096,
    accumulate: int = 1,
    optimizer: OptimizerSize = ADAM,
) -> MemoryEstimate:
    """One step on `batch` rows of `length` tokens, taken in `accumulate` parts.

    Parameters, gradients (where parts are added up, their sum too, in at least float32), the optimizer's state in at
    least float32, what the forward pass keeps for the backward one, and logits of `chunk` tokens with their gradient.
    On a mesh with `fsdp` also one layer's parameters, gathered, with their gradient.
    """
    own, share = _BYTES[parameter_dtype], _share(config, mesh)
    parts = {
        "parameters": own * share,
        "gradients": share * (own if accumulate == 1 else own + max(own, 4)),
        optimizer.name: round(optimizer.numbers * max(own, 4) * share),
    }
    parts |= _at_work(config, compute, mesh, batch, length, chunk, accumulate)
    if mesh.fsdp > 1:
        parts["gathered"] = 2 * own * _gathered(config, mesh)
    return MemoryEstimate(parts)


def training_adapters(
    config: ModelConfig,
    compute: Compute,
    mesh: MeshShape,
    batch: int,
    length: int,
    rank: int,
    parameter_dtype: str = "float32",
    chunk: int = 4096,
    accumulate: int = 1,
    optimizer: OptimizerSize = ADAM,
) -> MemoryEstimate:
    """As `training`, of float32 adapters of this rank (`modeseek.llm.training.lora`); the model's own are only read.

    Raises:
        ValueError: a rank that no adapters have.
    """
    own = _BYTES[parameter_dtype]
    numbers = sum(numbers_per_device(p, mesh) for p in adapters(config, rank))
    parts = {
        "parameters": own * _share(config, mesh),
        "adapters": 4 * numbers,
        "their gradients": 4 * numbers * (1 if accumulate == 1 else 2),
        optimizer.name: round(optimizer.numbers * 4 * numbers),
    }
    parts |= _at_work(config, compute, mesh, batch, length, chunk, accumulate)
    if mesh.fsdp > 1:
        parts["gathered"] = own * _gathered(config, mesh)
    return MemoryEstimate(parts)


def _at_work(
    config: ModelConfig, compute: Compute, mesh: MeshShape, batch: int, length: int, chunk: int, accumulate: int
) -> dict[str, int]:
    """What a step keeps of a batch: every layer's residuals, one layer's as if nothing were computed again, logits."""
    rows = math.ceil(_rows(batch, mesh) / accumulate)
    fused = _fused(config, compute)
    local = _local(config, mesh)
    kept = config.layers * residual_bytes(local, compute.dtype, compute.remat, fused, length)
    if compute.remat != "none":
        kept += residual_bytes(local, compute.dtype, "none", fused, length)
    tokens = _tokens_at_once(chunk, rows, length, mesh)
    return {"activations": rows * kept, "logits": 2 * 4 * tokens * config.vocab_size // mesh.tensor}


def _tokens_at_once(chunk: int, rows: int, length: int, mesh: MeshShape) -> int:
    """Tokens of one device's rows whose logits exist together: its share of a chunk, whole columns, at least one."""
    return min(max(math.ceil(chunk / (mesh.data * mesh.fsdp)), rows), rows * length)


@functools.lru_cache
def residual_bytes(config: ModelConfig, dtype: str, remat: str, fused: bool, length: int) -> int:
    """Bytes a row of `length` tokens that one layer's backward pass needs from its forward pass.

    Counted by JAX: the layer is differentiated abstractly with one row and with two, and the difference is what grows
    with rows (the weights, which are there anyway, do not).
    """
    block, _ = BLOCKS[config.architecture]
    attend = _fused_attention if fused else attention.causal(config.window, "xla")

    def layer(params: Any, x: Array) -> Array:
        turn = rotary(jnp.arange(length)[None, :], frequencies(config.rotary_size, config.rotary_base))
        residual: Array = block(config, jnp.dtype(dtype)).apply({"params": params}, x, turn, attend)[0]
        return residual

    if remat != "none":
        layer = jax.checkpoint(layer, policy=REMAT_POLICIES[remat], prevent_cse=False)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes(config)["layers"])

    def size(rows: int) -> int:
        x = jax.ShapeDtypeStruct((rows, length, config.width), jnp.dtype(dtype))
        # JAX's own attention promotes 16-bit floats implicitly.
        with jax.numpy_dtype_promotion("standard"):
            backward = jax.eval_shape(lambda p, x: jax.vjp(layer, p, x)[1], params, x)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))

    return size(2) - size(1)


@jax.custom_vjp
def _fused_kernel(q: Array, k: Array, v: Array) -> Array:
    """Stands for cuDNN's kernel: it keeps its operands, its result and one number a query, and no weights."""
    return jnp.zeros_like(q)


_fused_kernel.defvjp(
    lambda q, k, v: (jnp.zeros_like(q), (q, k, v, jnp.zeros_like(q), jnp.zeros(q.shape[:3], jnp.float32))),
    lambda saved, cotangent: saved[:3],
)


def _fused_attention(q: Array, k: Array, v: Array) -> tuple[Array, None]:
    return _fused_kernel(q, k, v), None


def _fused(config: ModelConfig, compute: Compute) -> bool:
    """Whether attention's weights stay inside a kernel."""
    if compute.attention == "auto":
        return attention.cudnn_works(config.head_size, compute.dtype)
    return compute.attention == "cudnn"


def _read_by_a_layer(
    config: ModelConfig, compute: Compute, mesh: MeshShape, length: int, *, copies: Literal[1, 2]
) -> int:
    """Bytes a row that one layer holds at once without a gradient: the residual stream and a normed copy, the larger
    of what attention and MLP have at hand, and, without a fused kernel, attention's float32 scores with its weights
    beside them (2 copies), or in their place, if they are float32 too (1 copy)."""
    width, local = _BYTES[compute.dtype], _local(config, mesh)
    queries = local.heads * local.head_size
    attending = 2 * (queries + 2 * local.kv_heads * local.head_size)
    features = width * (2 * config.width + max(attending, 2 * local.mlp_width))
    beside = width if copies == 2 or width < 4 else 0
    weights = 0 if _fused(config, compute) else (4 + beside) * local.heads * length
    return length * (features + weights)


def _local(config: ModelConfig, mesh: MeshShape) -> ModelConfig:
    """The layer that one device computes: its share of heads and of the MLP's features."""
    if mesh.tensor == 1:
        return config
    part = lambda n: math.ceil(n / mesh.tensor)
    kv_heads = part(config.kv_heads)
    heads = kv_heads * math.ceil(part(config.heads) / kv_heads)
    return dataclasses.replace(config, heads=heads, kv_heads=kv_heads, mlp_width=part(config.mlp_width))


def _rows(batch: int, mesh: MeshShape) -> int:
    return math.ceil(batch / (mesh.data * mesh.fsdp))


def _share(config: ModelConfig, mesh: MeshShape) -> int:
    """Parameters on one device: as the sharding rules cut each of them, not all of them alike."""
    return sum(numbers_per_device(p, mesh) for p in parameters(config))


def _gathered(config: ModelConfig, mesh: MeshShape) -> int:
    """Numbers of one layer, whole along fsdp."""
    whole = mesh._replace(fsdp=1)
    return sum(numbers_per_device(p, whole) for p in parameters(config) if p.stacked) // config.layers
