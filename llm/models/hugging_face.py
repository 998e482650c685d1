"""`config.json`: from Hugging Face's keys, the old and the new, to a ModelConfig."""

from pathlib import Path
from typing import Any

from modeseek.files import read_json
from modeseek.llm.models.config import Architecture, Head, ModelConfig
from modeseek.llm.models.keys import check_keys
from modeseek.llm.models.rotary import LinearScaling, Llama3Scaling, Scaling

_FAMILIES: dict[Architecture, str] = {
    "gpt_neox": "GPTNeoX",
    "mistral": "Mistral",
    "llama": "Llama",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
}
CLASSES: dict[tuple[Architecture, Head], str] = {
    (architecture, head): f"{family}For{task}"
    for architecture, family in _FAMILIES.items()
    for head, task in (("lm", "CausalLM"), ("reward", "SequenceClassification"), ("value", "TokenClassification"))
}
"""transformers' class of each architecture with each head: a value head is a token classifier with one label."""


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a `config.json`, or of another file beside it.

    Raises:
        ValueError: it is not there, or is not a JSON object.
    """
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(raw).__name__}")
    return raw


def config_from(raw: dict[str, Any]) -> ModelConfig:
    """A ModelConfig from the keys of `config.json`; absent keys have transformers' defaults.

    Where a key means less to transformers than its name says, it means that here too: Llama, Mistral and Qwen turn
    whole heads, whatever `partial_rotary_factor` says. `auto_map`, which asks a reader to run code from the hub, is
    never followed.

    Raises:
        ValueError: an architecture that is not known, a key of the wrong kind, a size that is missing or impossible,
            or a feature (other scalings of rotary positions, layers of several types, quantised weights) that would
            change the model's output and is not there.
    """
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError(f"the architecture {kind!r} is not known; known are {', '.join(_READERS)}")
    if raw.get("quantization_config"):
        raise ValueError("the weights are quantised; name a checkpoint in float32, bfloat16 or float16")
    if raw.get("per_layer_config"):
        raise ValueError("layers of several sizes (per_layer_config) are not there: every layer must be alike")
    check_keys(raw)
    return _READERS[kind](raw)


def _shared(raw: dict[str, Any]) -> dict[str, Any]:
    """The keys that all families have in common."""
    width, heads = raw["hidden_size"], raw["num_attention_heads"]
    if width % heads and raw["model_type"] in ("gpt_neox", "llama"):  # transformers refuses it, head_dim or not
        raise ValueError(f"hidden_size ({width}) must be a multiple of num_attention_heads ({heads})")
    return {
        "architecture": raw["model_type"],
        "vocab_size": raw["vocab_size"],
        "width": width,
        "layers": raw["num_hidden_layers"],
        "heads": heads,
        "mlp_width": raw["intermediate_size"],
        "tied": raw.get("tie_word_embeddings", False),
        "init_std": _number(raw, "initializer_range", 0.02),
    }


def _gpt_neox(raw: dict[str, Any]) -> ModelConfig:
    shared = _shared(raw)
    head_size = shared["width"] // shared["heads"]
    if _or(raw.get("head_dim"), head_size) != head_size:  # transformers' GPT-NeoX has no such key
        raise ValueError(f"head_dim must be hidden_size / num_attention_heads in GPT-NeoX, got {raw['head_dim']}")
    if set(raw.get("layer_types") or ()) - {"full_attention"}:
        raise ValueError(f"GPT-NeoX attends to all positions, but layer_types says {raw['layer_types']}")
    context = raw.get("max_position_embeddings", 2048)
    given = _rotary_keys(raw)
    return ModelConfig(
        **shared,
        rotary_base=_number(given, "rope_theta", _number(raw, "rotary_emb_base", 10_000.0)),
        rotary_fraction=_number(given, "partial_rotary_factor", _number(raw, "rotary_pct", 0.25)),
        rotary_scaling=_scaling(raw, given, context),
        head_size=head_size,
        kv_heads=shared["heads"],
        context=context,
        activation=raw.get("hidden_act", "gelu"),
        norm_epsilon=_number(raw, "layer_norm_eps", 1e-5),
        parallel_residual=raw.get("use_parallel_residual", True),
        attention_bias=raw.get("attention_bias", True),
        mlp_bias=True,
    )


def _gated(
    raw: dict[str, Any], *, context: int, kv_heads: int | None, head_size: int | None = None, **switches: Any
) -> ModelConfig:
    """Mistral, Llama, Qwen2 and Qwen3: what they share, beside the defaults of their own."""
    shared = _shared(raw)
    context = raw.get("max_position_embeddings", context)
    given = _rotary_keys(raw)
    scaling = _scaling(raw, given, context)
    fraction = _number(given, "partial_rotary_factor", _number(raw, "partial_rotary_factor", 1.0))
    if scaling is not None and fraction != 1:  # transformers fails there; without a scaling it ignores the key
        raise ValueError(f"partial_rotary_factor ({fraction}) beside scaled rotary positions is not there")
    return ModelConfig(
        **shared,
        rotary_base=_number(given, "rope_theta", _number(raw, "rope_theta", 10_000.0)),
        rotary_scaling=scaling,
        head_size=_or(raw.get("head_dim", head_size), shared["width"] // shared["heads"]),
        kv_heads=_or(raw.get("num_key_value_heads", kv_heads), shared["heads"]),
        context=context,
        activation=raw.get("hidden_act", "silu"),
        norm_epsilon=_number(raw, "rms_norm_eps", 1e-6),
        **switches,
    )


def _mistral(raw: dict[str, Any]) -> ModelConfig:
    window = raw.get("sliding_window", 4096)
    types = _or(raw.get("layer_types"), ["full_attention" if window is None else "sliding_attention"])
    return _gated(raw, context=131_072, kv_heads=8, window=_window(window, types))


def _llama(raw: dict[str, Any]) -> ModelConfig:
    return _gated(
        raw,
        context=2048,
        kv_heads=None,
        window=_window(None, _or(raw.get("layer_types"), ["full_attention"])),
        attention_bias=raw.get("attention_bias", False),
        mlp_bias=raw.get("mlp_bias", False),
    )


def _qwen2(raw: dict[str, Any]) -> ModelConfig:
    return _gated(raw, context=32_768, kv_heads=32, window=_qwen_window(raw), attention_bias=True)


def _qwen3(raw: dict[str, Any]) -> ModelConfig:
    return _gated(
        raw,
        context=32_768,
        kv_heads=32,
        head_size=128,
        window=_qwen_window(raw),
        attention_bias=raw.get("attention_bias", False),
    )


def _qwen_window(raw: dict[str, Any]) -> int | None:
    """The window is off unless `use_sliding_window`, and then it is that of layers from `max_window_layers` on."""
    window = raw.get("sliding_window", 4096) if raw.get("use_sliding_window", False) else None
    layers, first = raw["num_hidden_layers"], 0 if window is None else raw.get("max_window_layers", 28)
    full = layers if window is None else min(first, layers)
    types = ["full_attention"] * min(full, 1) + ["sliding_attention"] * min(layers - full, 1)
    return _window(window, _or(raw.get("layer_types"), types))


def _window(window: int | None, types: list[str]) -> int | None:
    """The one window of all layers, from their types."""
    kinds = set(types)
    if kinds == {"full_attention"}:
        return None
    if kinds == {"sliding_attention"} and window is not None:
        return window
    if kinds == {"sliding_attention"}:
        raise ValueError("layer_types says sliding_attention, but no sliding_window is set")
    named = ", ".join(sorted(kinds))
    raise ValueError(f"layers of several types (layer_types: {named}) are not there: every layer must be alike")


def _rotary_keys(raw: dict[str, Any]) -> dict[str, Any]:
    """`rope_scaling` if there is one, else `rope_parameters` (transformers 5)."""
    given: dict[str, Any] = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    if any(isinstance(value, dict) for value in given.values()):
        raise ValueError(f"rotary positions that differ by layer are not there, got {given}")
    return given


def _scaling(raw: dict[str, Any], given: dict[str, Any], context: int) -> Scaling | None:
    kind = _or(given.get("rope_type", given.get("type")), "default")
    if kind == "default":
        return None
    needed = _SCALED.get(kind)
    if needed is None:
        known = ", ".join(("default", *_SCALED))
        raise ValueError(f"rotary positions of type {kind!r} are not there: known are {known}")
    missing = [key for key in needed if given.get(key) is None]
    if missing:
        raise ValueError(f"rotary positions of type {kind!r} need {', '.join(missing)}")
    if kind == "linear":
        return LinearScaling(float(given["factor"]))
    # A key of the configuration itself comes first, as in transformers.
    original = raw.get("original_max_position_embeddings", given.get("original_max_position_embeddings"))
    factor, low, high = (float(given[key]) for key in needed)
    return Llama3Scaling(factor, low, high, _or(original, context))


def _number(raw: dict[str, Any], key: str, default: float) -> float:
    return float(_or(raw.get(key), default))


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


_READERS = {"gpt_neox": _gpt_neox, "mistral": _mistral, "llama": _llama, "qwen2": _qwen2, "qwen3": _qwen3}
_SCALED = {"linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}
"""Scalings of rotary positions, and the keys that they need."""


def head_of(raw: dict[str, Any]) -> Head:
    """The head that a checkpoint with this configuration holds, by its class's name (a language model's, without one).

    Raises:
        ValueError: a class that is not known, or a classifier with more than one label.
    """
    known = {name: head for (kind, head), name in CLASSES.items() if kind == raw["model_type"]}
    names = raw.get("architectures") or list(known)[:1]
    if len(names) != 1 or names[0] not in known:
        raise ValueError(f"the checkpoint is of class {names}; known are {', '.join(known)}")
    named = raw.get("id2label")
    labels = _or(raw.get("num_labels"), 2) if named is None else len(named)  # transformers' own rule
    if known[names[0]] != "lm" and labels != 1:
        raise ValueError(f"a reward or value model must have one label, got {labels}")
    return known[names[0]]
