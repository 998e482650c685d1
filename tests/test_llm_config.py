"""`config.json`: read in its older and newer keys, written, and refused where it cannot be run."""

import json

import pytest
from llm_cases import CASES, needs_transformers

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.models.hugging_face import config_from, config_to, head_of, read_config


def test_configurations_survive_writing_and_reading():
    for case, raw in CASES.items():
        config = config_from(raw)
        written = config_to(config, "reward", "bfloat16", {"eos_token_id": 7, "auto_map": {"AutoModel": "evil.py"}})
        assert config_from(json.loads(json.dumps(written))) == config, case
        assert head_of(written) == "reward"
        assert written["eos_token_id"] == 7
        assert "auto_map" not in written


CONFIGURATIONS = [
    ({"model_type": "gpt2"}, "the architecture 'gpt2' is not known; known are gpt_neox, mistral, llama"),
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
    ({"rope_scaling": {"type": "linear", "factor": 2}}, "rotary positions of type 'linear' are not there"),
    ({"rope_parameters": {"rope_type": "llama3"}}, "rotary positions of type 'llama3' are not there"),
    ({"rope_parameters": {"type": "linear", "rope_theta": 500.0}}, "rotary positions of type 'linear' are not there"),
    (
        {"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "llama3"}},
        "rotary positions of type 'llama3' are not there",
    ),
    ({"rope_scaling": {"rope_type": "default", "type": "yarn"}}, "rotary positions of type 'yarn' are not there"),
    ({"rope_parameters": {"sliding_attention": {"rope_theta": 500.0}}}, "that differ by layer are not there"),
    ({"rope_parameters": 3}, "rope_parameters must be an object, got 3"),
    ({"rms_norm_eps": "small"}, "rms_norm_eps must be a number, got 'small'"),
    ({"quantization_config": {"bits": 4}}, "the weights are quantised"),
    ({"hidden_act": "mish"}, "activation must be one of"),
    ({"layer_types": ["sliding_attention", "full_attention"]}, "layers of several types"),
    ({"architectures": ["MistralForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}, "one label, got 2"),
]


@pytest.mark.parametrize(("change", "message"), CONFIGURATIONS)
def test_configurations_that_cannot_be_run_are_refused(change, message):
    raw = CASES["mistral"] | change
    with pytest.raises(ValueError, match=message):
        head_of(raw) if "architectures" in change else config_from(raw)


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
    with pytest.raises(ValueError, match="cannot read the model's configuration"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold a JSON object, got list"):
        read_config(tmp_path / "config.json")
    with pytest.raises(ValueError, match="is not a folder"):
        open_checkpoint(tmp_path / "nowhere")
