"""`config.json`: read in its older and newer keys, written, and refused where it cannot be run."""

import json
import math

import numpy as np
import pytest
from llm_cases import CASES, needs_transformers

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.models.export import config_to
from modeseek.llm.models.hugging_face import config_from, head_of, read_config
from modeseek.llm.models.keys import KEYS
from modeseek.llm.models.rotary import Llama3Scaling, frequencies


def test_configurations_survive_writing_and_reading():
    for case, raw in CASES.items():
        config = config_from(raw)
        written = config_to(config, "reward", "bfloat16", {"eos_token_id": 7, "auto_map": {"AutoModel": "evil.py"}})
        assert config_from(json.loads(json.dumps(written))) == config, case
        assert head_of(written) == "reward"
        assert written["eos_token_id"] == 7
        assert "auto_map" not in written


CONFIGURATIONS = [
    ({"model_type": "gpt2"}, "the architecture 'gpt2' is not known; known are gpt_neox, mistral, llama, qwen2, qwen3"),
    ({"model_type": ["mistral"]}, "is not known; known are"),
    (
        {"architectures": ["MistralForQuestionAnswering"]},
        r"of class .*QuestionAnswering.*known are Mistral",
    ),
    ({"hidden_size": None, "vocab_size": None}, "lacks vocab_size, hidden_size"),
    ({"hidden_size": "36"}, "hidden_size must be a whole number of at least 1, got '36'"),
    (
        {"model_type": "llama", "hidden_size": 38, "head_dim": 6},
        r"hidden_size \(38\) must be a multiple of num_attention_heads \(6\)",
    ),
    (
        {"model_type": "gpt_neox", "head_dim": 8},
        "head_dim must be hidden_size / num_attention_heads in GPT-NeoX, got 8",
    ),
    ({"rope_scaling": {"type": "yarn", "factor": 2}}, "type 'yarn' are not there: known are default, linear, llama3"),
    ({"rope_parameters": {"rope_type": "dynamic", "factor": 2}}, "type 'dynamic' are not there"),
    ({"rope_scaling": {"rope_type": "longrope", "type": "linear"}}, "type 'longrope' are not there"),
    ({"rope_scaling": {"type": "linear"}}, "rotary positions of type 'linear' need factor"),
    (
        {"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "llama3", "factor": 8}},
        "rotary positions of type 'llama3' need low_freq_factor, high_freq_factor",
    ),
    ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor must be a positive number, got 0.0"),
    (
        {"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}},
        r"low_freq_factor \(4.0\) must be less than high_freq_factor \(4.0\)",
    ),
    (
        {"rope_scaling": {"type": "linear", "factor": 2}, "partial_rotary_factor": 0.5},
        r"partial_rotary_factor \(0.5\) beside scaled rotary positions is not there",
    ),
    ({"rope_parameters": {"sliding_attention": {"rope_theta": 500.0}}}, "that differ by layer are not there"),
    ({"quantization_config": {"bits": 4}}, "the weights are quantised"),
    ({"per_layer_config": {"0": {"head_dim": 8}}}, r"layers of several sizes \(per_layer_config\) are not there"),
    ({"hidden_act": "mish"}, "activation must be one of"),
    ({"layer_types": ["sliding_attention", "full_attention"]}, "layers of several types"),
    ({"layer_types": ["sliding_attention"] * 3}, "layer_types says sliding_attention, but no sliding_window is set"),
    ({"layer_types": ["chunked_attention"] * 3, "sliding_window": 4}, "layer_types: chunked_attention.* are not there"),
    ({"layer_types": []}, "layers of several types"),
    (
        {"model_type": "gpt_neox", "layer_types": ["sliding_attention"]},
        "GPT-NeoX attends to all positions, but layer_types says",
    ),
    (
        {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": True, "max_window_layers": 2},
        "layers of several types .layer_types: full_attention, sliding_attention. are not there",
    ),
    ({"architectures": ["MistralForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}, "one label, got 2"),
    ({"architectures": ["MistralForSequenceClassification"]}, "one label, got 2"),  # as transformers has it, unsaid
]


@pytest.mark.parametrize(("change", "message"), CONFIGURATIONS)
def test_configurations_that_cannot_be_run_are_refused(change, message):
    raw = CASES["mistral"] | change
    with pytest.raises(ValueError, match=message):
        head_of(raw) if "architectures" in change else config_from(raw)


@pytest.mark.parametrize("kind", ["a text", 1.5, True, [3], {"a": 1}, float("inf")])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_wrong_kind_is_named_and_no_traceback(key, kind):
    """Every key that is read against every kind of JSON: taken for what it says, or refused with its name."""
    raw = CASES["mistral"] | {key: kind}
    try:
        config_from(raw)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    if KEYS[key].fits(kind):
        assert not refused or not refused.startswith(f"{key} must be {KEYS[key].says}")
    else:
        assert refused == f"{key} must be {KEYS[key].says}, got {kind!r}"


def test_all_keys_of_the_wrong_kind_are_named_at_once():
    raw = CASES["llama"] | {
        "tie_word_embeddings": "false",
        "attention_bias": "no",
        "mlp_bias": 0.0,
        "hidden_act": ["silu"],
        "rope_parameters": {"rope_theta": "big"},
        "architectures": 3,
        "id2label": ["a"],
        "layer_types": "full_attention",
        "rms_norm_eps": "small",
        "rope_scaling": 3,
    }
    with pytest.raises(ValueError, match="must be") as said:
        config_from(raw)
    assert set(str(said.value).split("; ")) == {
        "tie_word_embeddings must be true or false, got 'false'",
        "attention_bias must be true or false, got 'no'",
        "mlp_bias must be true or false, got 0.0",
        "hidden_act must be a string, got ['silu']",
        "rope_parameters's rope_theta must be a number, got 'big'",
        "architectures must be a list of strings, got 3",
        "id2label must be an object, got ['a']",
        "layer_types must be a list of strings, got 'full_attention'",
        "rms_norm_eps must be a number, got 'small'",
        "rope_scaling must be an object, got 3",
    }


WINDOWS = [
    ("mistral", {"sliding_window": 4}),
    ("mistral", {"sliding_window": 4, "layer_types": ["full_attention"] * 3}),
    ("mistral", {"sliding_window": 4, "layer_types": ["sliding_attention"] * 3}),
    ("mistral", {"sliding_window": None, "layer_types": None}),
    ("llama", {"sliding_window": 4}),
    *((kind, keys) for kind in ("qwen2", "qwen3") for keys in (
        {"sliding_window": 4},
        {"sliding_window": 4, "max_window_layers": 0},
        {"sliding_window": 4, "use_sliding_window": True},
        {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 0},
        {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 3},
        {"sliding_window": None, "use_sliding_window": True, "max_window_layers": 0},
        {"sliding_window": 4, "use_sliding_window": True, "layer_types": ["sliding_attention"] * 3},
        {"sliding_window": 4, "use_sliding_window": True, "layer_types": ["full_attention"] * 3},
    )),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "keys"), WINDOWS)
@needs_transformers
def test_windows_are_those_of_transformers(kind, keys, tmp_path):
    """Whatever of `sliding_window`, `use_sliding_window`, `max_window_layers` and `layer_types` a file has."""
    import transformers

    raw = CASES["mistral"] | {"model_type": kind} | keys
    (tmp_path / "config.json").write_text(json.dumps(raw))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    slides = kind != "llama" and set(getattr(theirs, "layer_types", None) or {"sliding_attention"}) != {
        "full_attention"
    }
    config = config_from(raw)
    assert config.window == (theirs.sliding_window if slides else None)
    assert config_from(config_to(config, "lm", "float32", raw)) == config


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("keys", [{"partial_rotary_factor": 0.5}, {"rope_parameters": {"partial_rotary_factor": 0.5}}])
def test_whole_heads_are_turned_whatever_the_factor(kind, keys):
    """transformers reads no `partial_rotary_factor` in these families (the next test looks)."""
    raw = CASES["mistral"] | {"model_type": kind}
    config = config_from(raw | keys)
    assert config == config_from(raw)
    assert config_from(config_to(config, "lm", "float32", raw | keys)) == config


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@needs_transformers
def test_transformers_turns_whole_heads_whatever_the_factor(kind):
    pytest.importorskip("torch", reason="torch is for tests alone")
    import transformers

    keys = CASES["mistral"] | {"model_type": kind, "head_dim": 10, "partial_rotary_factor": 0.4}
    module = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**keys))
    assert 2 * len(module.rotary_emb.inv_freq) == config_from(keys).rotary_size == 10


SCALED = {
    "llama 3.1": (128, 5e5, {"factor": 8.0, "original_max_position_embeddings": 8192}),
    "llama 3.2": (64, 5e5, {"factor": 32.0, "original_max_position_embeddings": 8192}),
    "unsaid": (64, 5e5, {"factor": 32.0}),
    "linear": (64, 1e4, {"rope_type": "linear", "factor": 4.0}),
}


@pytest.mark.parametrize("case", SCALED)
@needs_transformers
def test_scaled_frequencies_are_those_of_transformers(case):
    pytest.importorskip("torch", reason="torch is for tests alone")
    import transformers
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    size, base, scaling = SCALED[case]
    given = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0} | scaling
    if given["rope_type"] == "linear":
        given = scaling
    keys = CASES["llama"] | {"head_dim": size, "rope_theta": base, "rope_scaling": given}
    if case == "unsaid":  # a key of the configuration itself comes first
        keys |= {"original_max_position_embeddings": 4096}
    theirs, _ = ROPE_INIT_FUNCTIONS[given["rope_type"]](
        transformers.AutoConfig.for_model(**json.loads(json.dumps(keys)))
    )
    config = config_from(keys)
    ours = frequencies(config.rotary_size, config.rotary_base, config.rotary_scaling)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_llama_3s_frequencies_are_the_definition():
    """A loop in float64: wavelengths beyond 8192 / 1 tokens are stretched, those below 8192 / 4 kept."""
    scaling, expected = Llama3Scaling(8.0, 1.0, 4.0, 8192), []
    for i in range(64):
        frequency = 500_000.0 ** (-2 * i / 128)
        wavelength = 2 * math.pi / frequency
        if wavelength < 8192 / 4:
            expected.append(frequency)
        elif wavelength > 8192 / 1:
            expected.append(frequency / 8)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
    np.testing.assert_allclose(frequencies(128, 500_000.0, scaling), expected, rtol=2e-6)


ROTARY = [
    {},
    {"rope_theta": 300.0, "rotary_emb_base": 300.0},
    {"rope_theta": 300.0, "rotary_emb_base": 300.0, "rope_scaling": {"type": "default", "rope_theta": 500.0}},
    {"rope_theta": 300.0, "rotary_emb_base": 300.0, "rope_parameters": {"rope_theta": 500.0}},
    {"rope_parameters": {"rope_theta": 500.0}, "rope_scaling": {"rope_type": "default", "rope_theta": 700.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rope_scaling": {"rope_type": "default"}},
    {"rope_scaling": {"rope_type": "default"}, "rope_theta": 300.0, "rotary_emb_base": 300.0},
]


@pytest.mark.parametrize("family", ["pythia", "mistral", "llama"])
@pytest.mark.parametrize("keys", ROTARY)
@needs_transformers
def test_rotary_positions_are_those_of_transformers(family, keys):
    import transformers

    raw = {key: value for key, value in CASES[family].items() if not key.startswith(("rope", "rotary"))} | keys
    theirs = transformers.AutoConfig.for_model(**json.loads(json.dumps(raw))).rope_parameters
    ours = config_from(raw)
    assert ours.rotary_base == theirs["rope_theta"]
    assert ours.rotary_fraction == theirs.get("partial_rotary_factor", 1.0)


@needs_transformers
def test_sizes_of_heads_are_those_of_transformers():
    """Mistral rounds down where the width is no multiple; GPT-NeoX may repeat what follows from its sizes."""
    import transformers

    raw = CASES["mistral"] | {"hidden_size": 38}
    assert config_from(raw).head_size == transformers.AutoConfig.for_model(**raw).head_dim == 6
    llama = CASES["llama"] | {"hidden_size": 38, "head_dim": 6}
    with pytest.raises(Exception, match="not a multiple of the number of attention heads"):
        transformers.AutoConfig.for_model(**llama)
    assert config_from(CASES["pythia"] | {"head_dim": 16}) == config_from(CASES["pythia"])


def test_configuration_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*config\.json: No such file"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold a JSON object, got list"):
        read_config(tmp_path / "config.json")
    with pytest.raises(ValueError, match="is not a folder"):
        open_checkpoint(tmp_path / "nowhere")
