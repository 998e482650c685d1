"""Sizes of models and data sets of the hub that a plan may be made for before anything is downloaded."""

from typing import Any

from modeseek.checks import require
from modeseek.files import expanded
from modeseek.llm.models.config import ModelConfig

_NEOX: dict[str, Any] = {
    "model_type": "gpt_neox",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
    "rotary_pct": 0.25,
    "rotary_emb_base": 10_000,
    "use_parallel_residual": True,
    "vocab_size": 50_304,
}

_MISTRAL: dict[str, Any] = {
    "model_type": "mistral",
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "max_position_embeddings": 32_768,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "sliding_window": 4096,
    "vocab_size": 32_000,
}


def _pythia(layers: int, width: int, heads: int) -> dict[str, Any]:
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}
    return _NEOX | sizes | {"intermediate_size": 4 * width}


_FULL: dict[str, Any] = {"rope_theta": 1e6, "sliding_window": None}

KNOWN_MODELS: dict[str, dict[str, Any]] = {
    "EleutherAI/pythia-14m": _pythia(6, 128, 4),
    "EleutherAI/pythia-70m": _pythia(6, 512, 8),
    "EleutherAI/pythia-160m": _pythia(12, 768, 12),
    "EleutherAI/pythia-410m": _pythia(24, 1024, 16),
    "EleutherAI/pythia-1b": _pythia(16, 2048, 8),
    "EleutherAI/pythia-1.4b": _pythia(24, 2048, 16),
    "EleutherAI/pythia-2.8b": _pythia(32, 2560, 32),
    "mistralai/Mistral-7B-v0.1": _MISTRAL,
    "mistralai/Mistral-7B-v0.3": _MISTRAL | _FULL | {"vocab_size": 32_768},
    "HuggingFaceH4/mistral-7b-sft-beta": _MISTRAL,
}
"""Name on the hub → the keys of its `config.json` that say its sizes (Biderman et al. 2023, table 1; Jiang et al. 2023,
table 1)."""

KNOWN_ROWS: dict[tuple[str, str | None], int] = {
    ("tatsu-lab/alpaca", None): 52_002,
    ("Asap7772/relabeled_alpacafarm_pythiasft_20K_preference_data", None): 20_000,
    ("HuggingFaceH4/ultrafeedback_binarized", "train_prefs"): 61_135,
    ("HuggingFaceH4/ultrafeedback_binarized", "train_sft"): 61_135,
    ("HuggingFaceH4/ultrafeedback_binarized", "test_prefs"): 2_000,
}
"""Data set and split → its rows, as its page says them (of the second one, as its name does)."""


def model_sizes(source: str) -> ModelConfig:
    """The sizes of a model: of a folder by its `config.json`, of a name by the table above, else by the hub.

    Raises:
        ValueError: no such folder, and neither a known name nor a way to the hub.
    """
    from modeseek.llm.checkpoints.hub import CONFIGURATION, local_folder
    from modeseek.llm.models.hugging_face import config_from, read_config

    name = source.partition("@")[0]
    if not expanded(source).is_dir() and name in KNOWN_MODELS:
        return config_from(KNOWN_MODELS[name])
    return config_from(read_config(local_folder(source, CONFIGURATION) / "config.json"))


def data_rows(data: str, split: str | None, limit: int | None) -> int | None:
    """Rows of a data set: of a file or folder by counting, of the hub by the table above; None if it is not known.

    Raises:
        ValueError: a file that is not there or cannot be read.
    """
    from modeseek.llm.data.examples import PYTHON_DOCSTRINGS
    from modeseek.llm.data.python_docstrings import python_docstrings
    from modeseek.llm.data.read import is_of_hub, read_rows

    if data == PYTHON_DOCSTRINGS:
        rows: int | None = len(python_docstrings())
    elif expanded(data).exists():
        rows = sum(1 for _ in read_rows(data, split=split, limit=limit))
    else:
        require(is_of_hub(data), f"there is no file or folder {data}: where it is to come, give --rows")
        rows = KNOWN_ROWS.get((data, split))
    return limit if rows is None else rows if limit is None else min(rows, limit)
