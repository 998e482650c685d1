"""`config.json`: from Hugging Face's keys, the old and the new, to a ModelConfig, and back."""

import json
from pathlib import Path
from typing import Any

from modeseek.checks import whole
from modeseek.llm.models.config import Architecture, Head, ModelConfig

CLASSES: dict[tuple[Architecture, Head], str] = {
    (architecture, head): f"{family}For{task}"
    for architecture, family in (("gpt_neox", "GPTNeoX"), ("mistral", "Mistral"), ("llama", "Llama"))
    for head, task in (("lm", "CausalLM"), ("reward", "SequenceClassification"), ("value", "TokenClassification"))
}
"""transformers' class of each architecture with each head: a value head is a token classifier with one label."""


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a `config.json`.

    Raises:
        ValueError: it is not there, or is not a JSON object.
    """
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the model's configuration {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(raw).__name__}")
    return raw


def config_from(raw: dict[str, Any]) -> ModelConfig:
    """A ModelConfig from the keys of `config.json`; absent keys have transformers' defaults.

    `auto_map`, which asks a reader to run code from the hub, is never followed.

    Raises:
        ValueError: an architecture that is not known, a size that is missing or impossible, or a feature
            (scaled rotary positions, quantised weights) that would change the model's output and is not there.
    """
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError(f"the architecture {kind!r} is not known; known are {', '.join(_READERS)}")
    if raw.get("quantization_config"):
        raise ValueError("the weights are quantised; name a checkpoint in float32, bfloat16 or float16")
    needed = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    missing = [key for key in needed if raw.get(key) is None]
    if missing:
        raise ValueError(f"the configuration lacks {', '.join(missing)}")
    for key in needed:
        whole(key, raw[key], 1)
    return _READERS[kind](raw)


def _shared(raw: dict[str, Any]) -> dict[str, Any]:
    """The keys that all families have in common."""
    width, heads = raw["hidden_size"], raw["num_attention_heads"]
    if width % heads and raw["model_type"] != "mistral":  # transformers refuses it of the others, head_dim or not
        raise ValueError(f"hidden_size ({width}) must be a multiple of num_attention_heads ({heads})")
    return {
        "architecture": raw["model_type"],
        "vocab_size": raw["vocab_size"],
        "width": width,
        "layers": raw["num_hidden_layers"],
        "heads": heads,
        "head_size": _or(raw.get("head_dim"), width // heads),
        "mlp_width": raw["intermediate_size"],
        "tied": bool(raw.get("tie_word_embeddings", False)),
        "init_std": _number(raw, "initializer_range", 0.02),
    }


def _rotary(raw: dict[str, Any], base_key: str, fraction_key: str, fraction: float) -> dict[str, Any]:
    """Base and fraction: from `rope_scaling` if there is one, else `rope_parameters` (transformers 5); what neither
    holds, from the family's older keys."""
    objects = _object(raw, "rope_scaling"), _object(raw, "rope_parameters")
    kinds = [given[key] for given in objects for key in ("rope_type", "type") if given.get(key) is not None]
    strange = next((kind for kind in kinds if kind != "default"), None)
    if strange is not None:
        raise ValueError(f"rotary positions of type {strange!r} are not there: only 'default' is")
    given = objects[0] or objects[1]
    if any(isinstance(value, dict) for value in given.values()):
        raise ValueError(f"rotary positions that differ by layer are not there, got {given}")
    return {
        "rotary_base": _number(given, "rope_theta", _number(raw, base_key, 10_000.0)),
        "rotary_fraction": _number(given, "partial_rotary_factor", _number(raw, fraction_key, fraction)),
    }


def _gpt_neox(raw: dict[str, Any]) -> ModelConfig:
    shared = _shared(raw)
    if shared["head_size"] != shared["width"] // shared["heads"]:  # transformers' GPT-NeoX has no such key
        raise ValueError(f"head_dim must be hidden_size / num_attention_heads in GPT-NeoX, got {raw['head_dim']}")
    return ModelConfig(
        **shared,
        **_rotary(raw, "rotary_emb_base", "rotary_pct", 0.25),
        kv_heads=shared["heads"],
        context=raw.get("max_position_embeddings", 2048),
        activation=raw.get("hidden_act", "gelu"),
        norm_epsilon=_number(raw, "layer_norm_eps", 1e-5),
        parallel_residual=bool(raw.get("use_parallel_residual", True)),
        attention_bias=bool(raw.get("attention_bias", True)),
        mlp_bias=True,
    )


def _mistral(raw: dict[str, Any]) -> ModelConfig:
    if isinstance(raw.get("layer_types"), list) and len(set(raw["layer_types"])) > 1:
        raise ValueError("layers of several types (layer_types) are not there: every layer must be alike")
    return ModelConfig(
        **_shared(raw),
        **_rotary(raw, "rope_theta", "partial_rotary_factor", 1.0),
        kv_heads=_or(raw.get("num_key_value_heads", 8), raw["num_attention_heads"]),
        context=raw.get("max_position_embeddings", 131_072),
        activation=raw.get("hidden_act", "silu"),
        norm_epsilon=_number(raw, "rms_norm_eps", 1e-6),
        window=raw.get("sliding_window", 4096),
    )


def _llama(raw: dict[str, Any]) -> ModelConfig:
    return ModelConfig(
        **_shared(raw),
        **_rotary(raw, "rope_theta", "partial_rotary_factor", 1.0),
        kv_heads=_or(raw.get("num_key_value_heads"), raw["num_attention_heads"]),
        context=raw.get("max_position_embeddings", 2048),
        activation=raw.get("hidden_act", "silu"),
        norm_epsilon=_number(raw, "rms_norm_eps", 1e-6),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
    )


def _number(raw: dict[str, Any], key: str, default: float) -> float:
    value = default if raw.get(key) is None else raw[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} must be a number, got {value!r}")
    return float(value)


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object, got {value!r}")
    return value


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


_READERS = {"gpt_neox": _gpt_neox, "mistral": _mistral, "llama": _llama}


def head_of(raw: dict[str, Any]) -> Head:
    """The head that a checkpoint with this configuration holds, by its class's name (a language model's, without one).

    Raises:
        ValueError: a class that is not known, or a classifier with more than one label.
    """
    known = {name: head for (kind, head), name in CLASSES.items() if kind == raw["model_type"]}
    names = raw.get("architectures") or list(known)[:1]
    if not isinstance(names, list) or len(names) != 1 or names[0] not in known:
        raise ValueError(f"the checkpoint is of class {names}; known are {', '.join(known)}")
    labels = raw.get("num_labels") or len(raw.get("id2label") or ("one",))
    if known[names[0]] != "lm" and labels != 1:
        raise ValueError(f"a reward or value model must have one label, got {labels}")
    return known[names[0]]


def config_to(config: ModelConfig, head: Head, dtype: str, raw: dict[str, Any] | None = None) -> dict[str, Any]:
    """The keys of `config.json` for a model with this head; `raw` gives the keys that are not the model's sizes.

    Both the older and the newer keys are written, so that transformers 4 and 5 and this project read the same model.
    """
    written = {key: value for key, value in (raw or {}).items() if key not in ("auto_map", "rope_scaling")}
    rotary = {
        "rope_type": "default",
        "rope_theta": config.rotary_base,
        "partial_rotary_factor": config.rotary_fraction,
    }
    written |= {
        "model_type": config.architecture,
        "architectures": [CLASSES[config.architecture, head]],
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.context,
        "hidden_act": config.activation,
        "tie_word_embeddings": config.tied,
        "initializer_range": config.init_std,
        "rope_parameters": rotary,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
    if head != "lm":
        written |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    if config.architecture == "gpt_neox":
        return written | {
            "layer_norm_eps": config.norm_epsilon,
            "rotary_pct": config.rotary_fraction,
            "rotary_emb_base": config.rotary_base,
            "use_parallel_residual": config.parallel_residual,
            "attention_bias": config.attention_bias,
        }
    del rotary["partial_rotary_factor"]
    written |= {
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rotary_base,
    }
    if config.architecture == "mistral":
        return written | {"sliding_window": config.window}
    return written | {"attention_bias": config.attention_bias, "mlp_bias": config.mlp_bias}
