"""From a parameter tree to a folder that transformers opens, one tensor at a time; and from one folder to another."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from modeseek.files import NewFolder
from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, Checkpoint, beyond, damaged, without_numbers
from modeseek.llm.checkpoints.safetensors import Pending, write_file
from modeseek.llm.models.config import HEADS, Head, ModelConfig
from modeseek.llm.models.export import config_to
from modeseek.llm.models.parameters import Parameter, Params, parameters
from modeseek.processes import together

FORMATS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer.model.v?",
    "tekken.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)
"""What goes with the weights from folder to folder, as patterns: the tokenizer's files, never code."""

Progress = Callable[[Any], Any]


def save(
    folder: Path,
    config: ModelConfig,
    params: Params,
    *,
    head: Head = "lm",
    dtype: str = "float32",
    shard_bytes: int = 5_000_000_000,
    like: Checkpoint | None = None,
    tokenizer: Path | None = None,
    pad_id: int | None = None,
    eos_id: int | None = None,
    card: str | None = None,
    progress: Progress = lambda items: items,
) -> None:
    """Write a model as Hugging Face writes it: `AutoModelFor…` opens it.

    The host holds one tensor at a time. With several hosts all must call it; the first writes, and what it
    cannot write is an error on all.

    Args:
        folder: a new one; it appears when it is complete.
        config: the model.
        params: its parameters, with layers stacked.
        head: the head to write; a folder holds one. `lm` opens with AutoModelForCausalLM, `reward` with
            AutoModelForSequenceClassification, `value` with AutoModelForTokenClassification (one label).
        dtype: of the file: float32, bfloat16 or float16.
        shard_bytes: the most that one file holds (a larger tensor has a file for itself).
        like: a checkpoint whose tokenizer and other configuration go along.
        tokenizer: a folder whose tokenizer goes along, where no checkpoint does.
        pad_id: of the configuration; AutoModelForSequenceClassification finds a row's last token by it.
        eos_id: of the configuration: what ends a response.
        card: the text of `README.md` (`modeseek.llm.checkpoints.model_card`).
        progress: wraps the tensors that are written.

    Raises:
        ValueError: the folder is there already, a type that is not offered, a head that the parameters lack, leaves
            that no file holds (adapters: merge them first), or a number beyond the type's range.
    """
    kind = _format(dtype)
    entries = parameters(config, (head,))
    for p in entries:
        shape = getattr(_leaf(params, p), "shape", None)
        if shape != p.shape:
            raise ValueError(f"parameters lack {'/'.join(p.path)} {list(p.shape)}: got {shape}")
    _check_known(config, params)
    pending = [
        Pending(name, kind, p.tensor_shape, functools.partial(_tensor, _leaf(params, p), p, layer, name, dtype))
        for p in entries
        for layer, name in enumerate(p.tensors)
    ]
    raw = config_to(config, head, dtype, like.raw if like else None)
    if pad_id is not None:
        raw["pad_token_id"] = pad_id
    if eos_id is not None:
        raw["eos_token_id"] = eos_id
    _write(Path(folder), raw, pending, shard_bytes, like.folder if like else tokenizer, progress, card)


def convert(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    dtype: str | None = None,
    shard_bytes: int = 5_000_000_000,
    progress: Progress = lambda items: items,
) -> None:
    """Write a checkpoint to a new folder in another type and other shards; nothing else changes.

    With no type given every tensor keeps its own, whatever the others have.

    Raises:
        ValueError: as `save`, or tensors that hold NaN or infinity: all of them are listed.
    """
    kind = None if dtype is None else _format(dtype)
    pending = [
        Pending(name, kind or stored.dtype, stored.shape, functools.partial(_converted, checkpoint, name, dtype))
        for name, stored in checkpoint.tensors.items()
    ]
    raw = {key: value for key, value in checkpoint.raw.items() if key != "auto_map"}
    named = dtype or raw.get("dtype") or raw.get("torch_dtype") or checkpoint.dtype
    raw |= {"dtype": named, "torch_dtype": named}
    _write(Path(folder), raw, pending, shard_bytes, checkpoint.folder, progress)


def _format(dtype: str) -> str:
    if dtype not in FORMATS:
        raise ValueError(f"dtype must be one of {', '.join(FORMATS)}, got {dtype!r}")
    return FORMATS[dtype]


def _check_known(config: ModelConfig, params: Params) -> None:
    """Raises ValueError for leaves that no file of this model holds, whatever its head: they would be lost."""
    known = {"/".join(p.path) for p in parameters(config, HEADS)}
    paths = (
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    )
    unknown = [path for path in paths if path not in known]
    if any("/lora_" in path for path in unknown):
        raise ValueError(
            f"adapters are not written ({unknown[0]} …): merge them first (modeseek.llm.models.low_rank.merge)"
        )
    if unknown:
        raise ValueError(f"no file of a {config.architecture} model holds {', '.join(unknown)}: leave them out")


def _leaf(params: Params, parameter: Parameter) -> Any:
    for key in parameter.path:
        params = params.get(key) if isinstance(params, dict) else None
    return params


def _tensor(leaf: Array, p: Parameter, layer: int, name: str, dtype: str) -> np.ndarray:
    """One tensor of Hugging Face's from a leaf, gathered if it is spread over devices."""
    part = gather(leaf, layer if p.stacked else None)
    return _cast(part.T if p.transposed else part, name, dtype)


def gather(leaf: Array, layer: int | None) -> np.ndarray:
    """A leaf, or one layer of it, on this host, wherever it lives; with several hosts all must call it."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        assert isinstance(leaf.sharding, NamedSharding)
        everywhere = NamedSharding(leaf.sharding.mesh, PartitionSpec())
        pick = jax.jit(lambda a: a if layer is None else a[layer], out_shardings=everywhere)
        return np.asarray(pick(leaf).addressable_data(0))
    return np.asarray(leaf if layer is None else leaf[layer])


def _converted(checkpoint: Checkpoint, name: str, dtype: str | None) -> np.ndarray:
    tensor = checkpoint.tensors[name].read()
    if not np.isfinite(tensor).all():
        raise damaged(checkpoint.folder, without_numbers(checkpoint.tensors))
    return tensor if dtype is None else _cast(tensor, name, dtype)


def _cast(tensor: np.ndarray, name: str, dtype: str) -> np.ndarray:
    target = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    if tensor.dtype == target:
        return tensor
    with np.errstate(over="ignore"):
        converted = tensor.astype(target)
    if not np.isfinite(converted).all() and np.isfinite(tensor).all():
        raise ValueError(beyond(tensor, name, dtype))
    return converted


def _write(
    folder: Path,
    raw: dict[str, Any],
    pending: list[Pending],
    shard_bytes: int,
    like: Path | None,
    progress: Progress,
    card: str | None = None,
) -> None:
    if shard_bytes < 1:
        raise ValueError(f"a shard must hold at least 1 byte, got {shard_bytes}")
    first = jax.process_index() == 0
    with together():
        made = new_folder(folder) if first else None
    with together():
        if made is None:  # takes part in gathering, writes nothing
            for tensor in pending:
                tensor.make()
            return
        with made as filled:
            _fill(filled, raw, pending, shard_bytes, like, progress)
            if card is not None:
                (filled / "README.md").write_text(card, encoding="utf-8")


def _fill(
    folder: Path, raw: dict[str, Any], pending: list[Pending], shard_bytes: int, like: Path | None, progress: Progress
) -> None:
    made = 0

    def counted(make: Callable[[], np.ndarray]) -> np.ndarray:
        nonlocal made
        made += 1
        return make()

    try:
        if like is not None:
            _copy_companions(like, folder)
        shards = _shards([t._replace(make=functools.partial(counted, t.make)) for t in pending], shard_bytes)
        turn = iter(progress(pending))
        where: dict[str, str] = {}
        for number, shard in enumerate(shards, start=1):
            file = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            write_file(folder / file, shard, lambda: next(turn))
            where |= {tensor.name: file for tensor in shard}
        next(turn, None)  # ends the progress bar
        if len(shards) > 1:
            metadata = {"total_size": sum(tensor.size for tensor in pending)}
            (folder / INDEX).write_text(json.dumps({"metadata": metadata, "weight_map": where}, indent=2))
        (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n")
    except OSError:
        if jax.process_count() > 1:  # the others gather all tensors, and would wait for this host
            for tensor in pending[made:]:
                tensor.make()
        raise


def _copy_companions(source: Path, folder: Path) -> None:
    for pattern in COMPANIONS:
        for file in source.glob(pattern):
            if file.is_file():
                copy = folder / file.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, copy)


def _shards(pending: list[Pending], shard_bytes: int) -> list[list[Pending]]:
    shards: list[list[Pending]] = [[]]
    size = 0
    for tensor in pending:
        if shards[-1] and size + tensor.size > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.size
    return shards


def check_new(folder: Path) -> None:
    """Raises ValueError if the folder is there and not empty: nothing is overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and is not overwritten: name a new folder")


def new_folder(folder: Path) -> NewFolder:
    """An empty folder beside the new one, whose name it takes when everything is in it.

    Raises:
        ValueError: it is there and not empty, or nothing can be made beside it.
    """
    check_new(folder)
    return NewFolder(folder)
