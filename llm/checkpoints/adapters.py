"""Adapters (LoRA) in the format of PEFT: `adapter_config.json` beside `adapter_model.safetensors`.

PEFT's A is `[r, in]` and its B `[out, r]`, each the transpose of ours, one pair a layer; the names are those of the
base's own tensors. GPT-NeoX's fused `query_key_value` has one adapter here and there, of the same order of features.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.checks import finite, require, whole
from modeseek.llm.checkpoints.checkpoint import damaged, not_finite, without_safetensors
from modeseek.llm.checkpoints.hub import local_folder
from modeseek.llm.checkpoints.safetensors import FLOATS, Pending, Stored, read_header, write_file
from modeseek.llm.checkpoints.save import gather, new_folder
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.hugging_face import read_config
from modeseek.llm.models.low_rank import Adapter
from modeseek.llm.models.parameters import parameters
from modeseek.processes import together

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight")

NEUTRAL = {
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "base_model_class",
    "revision",
    "peft_version",
    "inference_mode",
    "lora_dropout",
    "auto_mapping",
    "megatron_core",
    "qalora_group_size",
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
}
"""Keys that change nothing of what an adapter computes, or are read; any other that says something is refused."""

PLAIN = {"bias": ("none",), "init_lora_weights": (True, False, "gaussian", "orthogonal")}
"""Keys that may say these things. Other starts of the weights change the base too."""


def save_adapter(folder: Path, config: ModelConfig, adapter: Adapter, *, base: str = "") -> None:
    """Write an adapter as PEFT writes it: `PeftModel.from_pretrained(base, folder)` opens it.

    With several hosts all must call it; the first writes.

    Args:
        folder: a new one; it appears when it is complete.
        config: of the base.
        adapter: of some of its kernels.
        base: the base's name or folder, which PEFT looks for.

    Raises:
        ValueError: the folder is there already, or an adapter of what is no kernel of a layer.
    """
    modules = kernel_modules(config)
    strange = [name for name in adapter.tree if name not in modules]
    if strange or not adapter.tree:
        raise ValueError(f"adapters must be of some of {', '.join(modules)}, got {', '.join(strange) or 'none'}")
    tensors: dict[str, np.ndarray] = {}
    for name, pair in adapter.tree.items():
        for half, leaf in (("A", pair["lora_a"]), ("B", pair["lora_b"])):
            for layer, module in enumerate(modules[name]):
                part = gather(leaf, layer).astype(np.float32).T
                tensors[f"base_model.model.{module}.lora_{half}.weight"] = part
    rank = next(iter(adapter.tree.values()))["lora_a"].shape[-1]
    alpha = float(adapter.scale) * rank
    raw = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules[name][0].rpartition(".")[2] for name in adapter.tree),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "inference_mode": True,
    }
    with together():
        made = new_folder(folder) if jax.process_index() == 0 else None
    with together():
        if made is None:
            return
        with made as filled:
            pending = [Pending(n, "F32", t.shape, functools.partial(np.asarray, t)) for n, t in tensors.items()]
            write_file(filled / WEIGHTS, pending)
            (filled / CONFIG).write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def open_adapter(source: str, config: ModelConfig) -> Adapter:
    """The adapter in a folder, or on the hub, of a base with this configuration.

    Raises:
        ValueError: no such source; an adapter of another kind than plain LoRA of the layers' kernels, all layers alike,
            which is named; tensors that are missing, left over, misshapen or hold NaN: all of them are listed.
    """
    folder = local_folder(source, (CONFIG, WEIGHTS))
    raw = read_config(folder / CONFIG)
    rank, scale = _rank_and_scale(raw)
    if not (folder / WEIGHTS).is_file():
        raise without_safetensors(str(folder), [file.name for file in folder.iterdir()])
    stored, problems = read_header(folder / WEIGHTS)
    modules = kernel_modules(config)
    where = {module: (name, layer) for name, layers in modules.items() for layer, module in enumerate(layers)}
    found: dict[str, dict[str, Stored]] = {}
    for tensor, entry in stored.items():
        match = TENSOR.fullmatch(tensor)
        if match is None or match["module"] not in where:
            problems.append(f"extra: {tensor} (adapters are of {', '.join(_targets(modules))} of the layers)")
        else:
            found.setdefault(match["module"], {})[match["half"]] = entry
    problems += _gaps(found, where, modules)
    shapes = {p.tensors[layer]: p.tensor_shape for p in parameters(config, ()) for layer in range(len(p.tensors))}
    for module, halves in found.items():
        written, read = shapes[f"{module}.weight"]
        for half, expected in (("A", (rank, read)), ("B", (written, rank))):
            given = halves.get(half)
            if given is not None and (given.shape != expected or given.dtype not in FLOATS):
                kind = f"{given.dtype}{list(given.shape)}"
                problems.append(f"misshapen: {module}.lora_{half} should be floats {list(expected)}, is {kind}")
    problems += _untargeted(raw.get("target_modules"), set(found), set(where))
    if problems or not found:
        listed = "\n  ".join(problems) or "it holds no adapters"
        raise ValueError(f"the adapter in {folder} does not fit its base ({len(problems)} problems):\n  {listed}")
    return Adapter(_read(found, modules, folder), scale)


def kernel_modules(config: ModelConfig) -> dict[str, tuple[str, ...]]:
    """Each kernel of a layer, by our name → Hugging Face's module of every layer."""
    return {
        p.path[1]: tuple(tensor.removesuffix(".weight") for tensor in p.tensors)
        for p in parameters(config, ())
        if p.stacked and p.path[-1] == "kernel"
    }


def _rank_and_scale(raw: dict[str, Any]) -> tuple[int, float]:
    if raw.get("peft_type") != "LORA":
        raise ValueError(f"the adapter's peft_type must be LORA, got {raw.get('peft_type')!r}")
    for key, value in raw.items():
        allowed = PLAIN.get(key)
        said = value not in allowed if allowed else key not in NEUTRAL and bool(value)
        if said:
            raise ValueError(f"an adapter with {key} {value!r} is not read: only plain LoRA of the layers' kernels is")
    rank, alpha, by_root = raw.get("r"), raw.get("lora_alpha"), raw.get("use_rslora", False)
    whole("the adapter's r", rank, 1)
    require(finite(alpha), f"the adapter's lora_alpha must be a number, got {alpha!r}")
    require(isinstance(by_root, bool), f"the adapter's use_rslora must be true or false, got {by_root!r}")
    assert isinstance(rank, int)
    assert isinstance(alpha, int | float)
    return rank, alpha / (rank**0.5 if by_root else rank)


def _targets(modules: dict[str, tuple[str, ...]]) -> list[str]:
    return [layers[0].rpartition(".")[2] for layers in modules.values()]


def _gaps(
    found: dict[str, dict[str, Stored]], where: dict[str, tuple[str, int]], modules: dict[str, tuple[str, ...]]
) -> list[str]:
    """What is missing where a kernel of some layer has an adapter: both halves, in every layer."""
    adapted = {where[module][0] for module in found}
    return [
        f"missing: {module}.lora_{half}.weight"
        for name in modules
        if name in adapted
        for module in modules[name]
        for half in "AB"
        if half not in found.get(module, {})
    ]


def _untargeted(targets: Any, found: set[str], known: set[str]) -> list[str]:
    """Where the list of names in the configuration and the tensors disagree; a pattern's tensors say what it meant."""
    if not isinstance(targets, list):
        return []
    meant = {module for module in known for t in targets if module == t or module.endswith(f".{t}")}
    strange = [t for t in targets if not any(module == t or module.endswith(f".{t}") for module in known)]
    problems = [f"target_modules names {t}, which is no kernel of a layer" for t in strange]
    problems += [f"missing: {module}, which target_modules names" for module in sorted(meant - found)]
    return problems + [f"extra: {module}, which target_modules does not name" for module in sorted(found - meant)]


def _read(found: dict[str, dict[str, Stored]], modules: dict[str, tuple[str, ...]], folder: Path) -> Any:
    tree, wrong = {}, []
    for name, layers in modules.items():
        if layers[0] not in found:
            continue
        halves = {}
        for half, leaf in (("A", "lora_a"), ("B", "lora_b")):
            parts = [found[module][half].read().astype(np.float32) for module in layers]
            wrong += [m for m, part in zip(layers, parts, strict=True) if not np.isfinite(part).all()]
            halves[leaf] = jnp.asarray(np.stack([part.T for part in parts]))
        tree[name] = halves
    if wrong:
        raise damaged(folder, [not_finite(f"{module}'s adapter") for module in wrong])
    return tree
