"""Small models that differ where implementations go wrong, and transformers' own modules of them."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZES = {"vocab_size": 53, "num_hidden_layers": 3, "max_position_embeddings": 64, "pad_token_id": 1}
NEOX = {"model_type": "gpt_neox", **SIZES, "hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 80}
MISTRAL = {
    "model_type": "mistral",
    **SIZES,
    "hidden_size": 36,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 52,
    "sliding_window": None,
}

CASES: dict[str, dict[str, Any]] = {
    # Pythia's own settings: a quarter of each head turned, parallel residual, biases, untied.
    "pythia": {**NEOX, "rotary_pct": 0.25, "use_parallel_residual": True},
    "neox_whole_rotary": {**NEOX, "rotary_pct": 1.0, "rotary_emb_base": 500.0},
    "neox_sequential": {**NEOX, "rotary_pct": 0.5, "use_parallel_residual": False, "attention_bias": False},
    "neox_tied": {**NEOX, "tie_word_embeddings": True, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
    "mistral": {**MISTRAL, "rope_theta": 1e6},
    "mistral_window": {**MISTRAL, "sliding_window": 4, "rms_norm_eps": 1e-3},
    "mistral_head_size": {**MISTRAL, "head_dim": 10, "tie_word_embeddings": True},
    "llama": {**MISTRAL, "model_type": "llama", "attention_bias": True, "mlp_bias": True, "rope_theta": 500.0},
    # Of its three frequencies one is kept, one is scaled in part, one wholly.
    "llama3": {
        **MISTRAL,
        "model_type": "llama",
        "rope_theta": 100.0,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 40,
        },
    },
    "neox_linear": {**NEOX, "rotary_pct": 0.5, "rope_scaling": {"type": "linear", "factor": 3.0}},
    # Qwen2's own settings name a window and do not use it.
    "qwen2": {**MISTRAL, "model_type": "qwen2", "sliding_window": 4, "rope_theta": 1e6, "tie_word_embeddings": True},
    "qwen2_window": {
        **MISTRAL,
        "model_type": "qwen2",
        "sliding_window": 4,
        "use_sliding_window": True,
        "max_window_layers": 0,
    },
    "qwen3": {**MISTRAL, "model_type": "qwen3", "head_dim": 10},
}
"""The keys of a `config.json`, as the hub's older files have them. No size is a power of two, nor are heads, layers."""

GOLDEN = {
    "pythia": "lm",
    "mistral_window": "lm",
    "llama": "reward",
    "llama3": "lm",
    "qwen2_window": "reward",
    "qwen3": "lm",
}
"""What is committed under tests/golden: cases and their heads."""

TOKENS = np.random.default_rng(7).integers(2, SIZES["vocab_size"], (3, 11)).astype(np.int32)
LENGTHS = np.array([11, 4, 7], np.int32)
AUTO = {
    "lm": "AutoModelForCausalLM",
    "reward": "AutoModelForSequenceClassification",
    "value": "AutoModelForTokenClassification",
}


def padded() -> np.ndarray:
    """TOKENS with the padding id after each row's length."""
    return np.where(np.arange(TOKENS.shape[1])[None] < LENGTHS[:, None], TOKENS, SIZES["pad_token_id"])


def random_params(config: Any, heads: tuple[str, ...] = ("lm",), std: float = 0.3) -> Any:
    """A parameter tree of large random numbers, without compiling a draw for each shape."""
    import jax
    import jax.numpy as jnp

    from modeseek.llm.models.parameters import shapes

    rng = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: jnp.asarray(std * rng.normal(size=leaf.shape), leaf.dtype), shapes(config, heads))


def params_of(module: Any, config: Any) -> Any:
    """Our parameter tree from a torch module's tensors by their names, without a file between."""
    import jax.numpy as jnp

    from modeseek.llm.models.parameters import NAMES, parameters, tree_of

    # A value head has other names than transformers' tied or plain unembedding; modules' own names stand for the rest.
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    state.setdefault(f"{NAMES[config.architecture].lm}.weight", state.get("lm_head.weight"))

    def leaf(p: Any) -> Any:
        tensors = [state[name].T if p.transposed else state[name] for name in p.tensors]
        return jnp.asarray(np.stack(tensors) if p.stacked else tensors[0])

    return tree_of({p.path: leaf(p) for p in parameters(config)})


def full_step(model: Any, mesh: Any = None, *, accumulate: int = 1, chunk: int = 4096) -> Any:
    """A step of the mean cross-entropy on all of a model's parameters."""
    from modeseek.llm.training.cross_entropy import CrossEntropy
    from modeseek.llm.training.step import make_step
    from modeseek.llm.training.trainable import AllParameters

    return make_step(CrossEntropy(model, chunk), AllParameters(model.config), mesh=mesh, accumulate=accumulate)


def adapter_step(model: Any, mesh: Any = None, *, accumulate: int = 1, chunk: int = 4096) -> Any:
    """A step of the mean cross-entropy on adapters."""
    from modeseek.llm.training import lora
    from modeseek.llm.training.cross_entropy import CrossEntropy
    from modeseek.llm.training.step import make_step

    return make_step(CrossEntropy(model, chunk), lora.Adapters(model.config), mesh=mesh, accumulate=accumulate)


def torch_model(case: str, head: str = "lm", std: float = 0.3) -> Any:
    """transformers' own module with large random weights: with its own start of .02 every layer is nearly nothing."""
    import torch
    import transformers

    keys = dict(CASES[case]) | ({} if head == "lm" else {"num_labels": 1})
    config = transformers.AutoConfig.for_model(**keys)
    torch.manual_seed(sum(map(ord, case)))
    model = getattr(transformers, AUTO[head]).from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, std)
    return model


def torch_outputs(model: Any, tokens: np.ndarray) -> np.ndarray:
    """What the module calls logits: of every position, or of every row for a reward model."""
    import torch

    mask = torch.ones(tokens.shape, dtype=torch.long)
    with torch.no_grad():
        return model(torch.tensor(tokens.astype(np.int64)), attention_mask=mask).logits.float().numpy()


def golden(case: str) -> Path:
    """The committed folder of a case: a checkpoint, and `outputs.npy`."""
    return Path(__file__).parent / "golden" / case


needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="tokenizers come with the llm extra"
)


def command(*arguments: str) -> int:
    """The exit status of `modeseek llm …`."""
    from modeseek.cli import main

    with pytest.raises(SystemExit) as exit_:
        main(["llm", *arguments])
    return exit_.value.code


def write_word_tokenizer(folder: Path, words: list[str], unknown: str, template: str | None = None) -> None:
    """A tokenizer of whole words, numbered as they are listed, and a chat template."""
    backend = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "decoder": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": unknown},
    }
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": unknown, "pad_token": words[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


def copied(case: str, folder: Path) -> Path:
    """A copy of a golden checkpoint, to be spoilt."""
    return Path(shutil.copytree(golden(case), folder / case))


def edit(folder: Path, change: Any) -> Path:
    """Rewrite a folder's single file, its tensors changed as `change` changes a dictionary of arrays."""
    from modeseek.llm.checkpoints.checkpoint import SINGLE
    from modeseek.llm.checkpoints.safetensors import DTYPES, Pending, read_header, write_file

    header = read_header(folder / SINGLE)[0]
    arrays = {name: np.array(stored.read()) for name, stored in header.items()}
    change(arrays)
    names = {dtype: name for name, dtype in DTYPES.items()}
    pending = [Pending(n, names[a.dtype], a.shape, lambda a=a: a) for n, a in arrays.items()]
    write_file(folder / "new", pending)
    (folder / "new").rename(folder / SINGLE)
    return folder
