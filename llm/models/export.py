"""`config.json`: from a ModelConfig to Hugging Face's keys, the old and the new."""

from typing import Any

from modeseek.llm.models.config import Head, ModelConfig
from modeseek.llm.models.hugging_face import CLASSES
from modeseek.llm.models.rotary import LinearScaling, Scaling

_REWRITTEN = (
    "auto_map",
    "rope_scaling",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "layer_types",
    "max_window_layers",
    "use_sliding_window",
)
"""Keys that are left out, or said anew from the sizes."""


def config_to(config: ModelConfig, head: Head, dtype: str, raw: dict[str, Any] | None = None) -> dict[str, Any]:
    """The keys of `config.json` for a model with this head; `raw` gives the keys that are not the model's sizes.

    Both the older and the newer keys are written, so that transformers 4 and 5 and this project read the same model.
    """
    written = {key: value for key, value in (raw or {}).items() if key not in _REWRITTEN}
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
    if config.rotary_scaling is not None:
        scaled = _scaled(config.rotary_scaling)
        rotary |= scaled
        written |= {"rope_scaling": scaled}
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
    if config.architecture == "llama":
        return written | {"attention_bias": config.attention_bias, "mlp_bias": config.mlp_bias}
    written |= {"sliding_window": config.window}
    if config.architecture == "mistral":
        return written
    slides = config.window is not None
    written |= {"use_sliding_window": slides, "max_window_layers": 0 if slides else config.layers}
    return written if config.architecture == "qwen2" else written | {"attention_bias": config.attention_bias}


def _scaled(scaling: Scaling) -> dict[str, Any]:
    if isinstance(scaling, LinearScaling):
        return {"rope_type": "linear", "factor": scaling.factor}
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_turns,
        "high_freq_factor": scaling.high_turns,
        "original_max_position_embeddings": scaling.original_context,
    }
