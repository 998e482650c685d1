"""Adapters in PEFT's format: against PEFT itself, against plain matrices, and every fault of a folder by its name."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import TOKENS, command, golden, torch_outputs

from modeseek.llm.checkpoints.adapters import CONFIG, WEIGHTS, kernel_modules, open_adapter, save_adapter
from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.inference.language_model import load_model, load_parameters
from modeseek.llm.models.hugging_face import config_from, read_config
from modeseek.llm.models.low_rank import Adapter
from modeseek.llm.models.parameters import adapters, parameters, tree_of

QKV = ("q_proj", "k_proj", "v_proj")
SOME = {"pythia": ("query_key_value", "dense"), "qwen3": (*QKV, "down_proj")}
"""Targets by PEFT's names: GPT-NeoX's fused product, and one beside it; some of Qwen's."""


def config_of(case: str):
    return config_from(read_config(golden(case) / "config.json"))


def written(case: str, folder: Path, change=None, rank: int = 3, **keys) -> dict[str, np.ndarray]:
    """A folder as PEFT writes it, by the safetensors library alone; its matrices by module and half."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(5)
    matrices = {}
    for p in parameters(config_of(case), ()):
        for tensor in p.tensors:
            module = tensor.removesuffix(".weight")
            if p.path[-1] == "kernel" and module.rpartition(".")[2] in SOME[case]:
                out, read = p.tensor_shape
                matrices[f"{module}.lora_A"] = rng.normal(size=(rank, read)).astype(np.float32)
                matrices[f"{module}.lora_B"] = rng.normal(size=(out, rank)).astype(np.float32)
    tensors = {f"base_model.model.{name}.weight": matrix for name, matrix in matrices.items()}
    if change:
        change(tensors)
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS)
    raw = {"peft_type": "LORA", "r": rank, "lora_alpha": 6, "target_modules": list(SOME[case]), "bias": "none"}
    (folder / CONFIG).write_text(json.dumps(raw | keys))
    return matrices


def random_adapter(case: str, scale: float = 0.5) -> Adapter:
    """Of every kernel, none of it zero."""
    rng = np.random.default_rng(8)
    leaves = {p.path: jnp.asarray(0.3 * rng.normal(size=p.shape), jnp.float32) for p in adapters(config_of(case), 3)}
    return Adapter(tree_of(leaves)["layers"], scale)


def tensors_of(params, config) -> dict[str, np.ndarray]:
    """Hugging Face's tensors of a parameter tree."""
    found = {}
    for p in parameters(config):
        leaf = params
        for key in p.path:
            leaf = leaf[key]
        for layer, name in enumerate(p.tensors):
            part = np.asarray(leaf[layer] if p.stacked else leaf)
            found[name] = part.T if p.transposed else part
    return found


def ours_of(case: str, adapter: Path) -> np.ndarray:
    model = load_model(golden(case), adapter=adapter)
    return np.asarray(
        jax.jit(lambda p: model.model.logits(p, model.model.hidden(p, jnp.asarray(TOKENS))))(model.params)
    )


# --- what an adapter is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rslora", "scale"), [(False, 6 / 3), (True, 6 / 3**0.5)])
@pytest.mark.parametrize("case", SOME)
def test_a_merged_adapter_is_w_plus_s_ba(case, rslora, scale, tmp_path):
    matrices = written(case, tmp_path / "a", use_rslora=rslora)
    checkpoint = open_checkpoint(golden(case))
    adapter = open_adapter(str(tmp_path / "a"), checkpoint.config)
    _, params = load_parameters(checkpoint, "float32", adapter=adapter)
    before = tensors_of(load(checkpoint), checkpoint.config)
    for name, tensor in tensors_of(params, checkpoint.config).items():
        module = name.removesuffix(".weight")
        expected = before[name].astype(np.float64)
        if f"{module}.lora_A" in matrices:
            b, a = (matrices[f"{module}.lora_{half}"].astype(np.float64) for half in "BA")
            expected = expected + scale * b @ a
            assert np.abs(expected - before[name]).max() > 1.0
        np.testing.assert_allclose(tensor, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", SOME)
def test_what_is_written_is_what_peft_writes(case, tmp_path):
    """Names and orientation by the safetensors library; and it is read again as it was."""
    from safetensors.numpy import load_file

    adapter = random_adapter(case)
    save_adapter(tmp_path / "a", config_of(case), adapter, base="the base")
    stored = load_file(tmp_path / "a" / WEIGHTS)
    modules = kernel_modules(config_of(case))
    assert len(stored) == 2 * sum(len(layers) for layers in modules.values())
    for name, layers in modules.items():
        for layer, module in enumerate(layers):
            for half, leaf in (("A", "lora_a"), ("B", "lora_b")):
                given = stored[f"base_model.model.{module}.lora_{half}.weight"]
                np.testing.assert_array_equal(given, adapter.tree[name][leaf][layer].T)
    raw = json.loads((tmp_path / "a" / CONFIG).read_text())
    assert (raw["r"], raw["lora_alpha"], raw["base_model_name_or_path"]) == (3, 1.5, "the base")
    again = open_adapter(str(tmp_path / "a"), config_of(case))
    assert again.scale == adapter.scale
    jax.tree.map(np.testing.assert_array_equal, again.tree, adapter.tree)


def test_nothing_is_overwritten_and_nothing_else_is_written(tmp_path):
    with pytest.raises(ValueError, match="is there already and is not overwritten"):
        save_adapter(golden("pythia"), config_of("pythia"), random_adapter("pythia"))
    with pytest.raises(ValueError, match=r"adapters must be of some of query_key_value, .*, got lm"):
        save_adapter(tmp_path / "a", config_of("pythia"), Adapter({"lm": {}}, 1.0))
    assert list(tmp_path.iterdir()) == []


# --- PEFT itself ------------------------------------------------------------------------------------------------------


# PEFT asks transformers by a name that the latter is about to drop.
old_name = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def peft():
    pytest.importorskip("torch", reason="torch is for tests alone")
    return pytest.importorskip("peft", reason="PEFT is for tests alone: the tests above stand for it")


def torch_base(case: str):
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(golden(case), dtype=torch.float32).eval()


@old_name
@pytest.mark.parametrize("case", SOME)
def test_peft_opens_what_is_written(case, peft, tmp_path):
    save_adapter(tmp_path / "a", config_of(case), random_adapter(case), base=str(golden(case)))
    theirs = torch_outputs(peft.PeftModel.from_pretrained(torch_base(case), tmp_path / "a"), TOKENS)
    assert np.abs(theirs - torch_outputs(torch_base(case), TOKENS)).max() > 0.1 * np.abs(theirs).max()
    assert np.abs(ours_of(case, tmp_path / "a") - theirs).max() < 1e-5 * np.abs(theirs).max()


@old_name
@pytest.mark.parametrize(("case", "rslora"), [("pythia", False), ("qwen3", True)])
def test_what_peft_writes_is_read(case, rslora, peft, tmp_path):
    import torch

    how = peft.LoraConfig(
        r=5, lora_alpha=7, target_modules=list(SOME[case]), use_rslora=rslora, task_type="CAUSAL_LM", lora_dropout=0.1
    )
    torch.manual_seed(0)
    adapted = peft.get_peft_model(torch_base(case), how).eval()
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_" in name:
                tensor.normal_(0.0, 0.3)
    adapted.save_pretrained(tmp_path / "a")
    theirs = torch_outputs(adapted, TOKENS)
    assert np.abs(theirs - torch_outputs(torch_base(case), TOKENS)).max() > 0.1 * np.abs(theirs).max()
    assert np.abs(ours_of(case, tmp_path / "a") - theirs).max() < 1e-5 * np.abs(theirs).max()


# --- what is refused --------------------------------------------------------------------------------------------------

KEYS = [
    ({"peft_type": "IA3"}, "peft_type must be LORA, got 'IA3'"),
    ({"use_dora": True}, "an adapter with use_dora True is not read"),
    ({"bias": "all"}, "an adapter with bias 'all' is not read"),
    ({"modules_to_save": ["lm_head"]}, r"an adapter with modules_to_save \['lm_head'\] is not read"),
    ({"rank_pattern": {"q_proj": 8}}, "an adapter with rank_pattern .* is not read"),
    ({"alpha_pattern": {"q_proj": 8}}, "an adapter with alpha_pattern .* is not read"),
    ({"layers_to_transform": [0]}, "an adapter with layers_to_transform .* is not read"),
    ({"init_lora_weights": "pissa"}, "an adapter with init_lora_weights 'pissa' is not read"),
    ({"fan_in_fan_out": True}, "an adapter with fan_in_fan_out True is not read"),
    ({"what_comes_next": {"of": "peft"}}, "an adapter with what_comes_next .* is not read"),
    ({"r": "3"}, "r must be a whole number of at least 1, got '3'"),
    ({"lora_alpha": True}, "lora_alpha must be a number, got True"),
    ({"r": 10**400}, "r must be at most 9223372036854775807, got 1000"),
    ({"lora_alpha": 10**400}, "lora_alpha must be a number, got 1000"),
    ({"use_rslora": "false"}, "use_rslora must be true or false, got 'false'"),
    ({"target_modules": [*SOME["qwen3"], "lm_head"]}, "target_modules names lm_head, which is no kernel of a layer"),
    ({"target_modules": [*SOME["qwen3"], "up_proj"]}, r"missing: model\.layers\.0\.mlp\.up_proj, which target_modules"),
    ({"target_modules": ["q_proj"]}, r"extra: model\.layers\.0\.mlp\.down_proj, which target_modules does not name"),
]


@pytest.mark.parametrize(("keys", "message"), KEYS)
def test_adapters_of_another_kind_are_named(keys, message, tmp_path):
    written("qwen3", tmp_path / "a", **keys)
    with pytest.raises(ValueError, match=message):
        open_adapter(str(tmp_path / "a"), config_of("qwen3"))


def test_a_pattern_of_targets_is_what_its_tensors_say(tmp_path):
    written("qwen3", tmp_path / "a", target_modules="all-linear", use_dora=False, rank_pattern={}, corda_config=None)
    assert set(open_adapter(str(tmp_path / "a"), config_of("qwen3")).tree) == {"query", "key", "value", "contract"}


def test_all_faults_of_the_tensors_are_listed(tmp_path):
    def spoil(tensors):
        base = "base_model.model.model.layers.0.self_attn"
        del tensors[f"{base}.q_proj.lora_B.weight"]
        tensors[f"{base}.k_proj.lora_A.weight"] = np.zeros((3, 5), np.float32)
        tensors["base_model.model.lm_head.lora_A.weight"] = np.zeros((3, 36), np.float32)

    written("qwen3", tmp_path / "a", spoil)
    with pytest.raises(ValueError, match="does not fit its base") as said:
        open_adapter(str(tmp_path / "a"), config_of("qwen3"))
    for fault in (
        "missing: model.layers.0.self_attn.q_proj.lora_B.weight",
        "misshapen: model.layers.0.self_attn.k_proj.lora_A should be floats [3, 36], is F32[3, 5]",
        "extra: base_model.model.lm_head.lora_A.weight",
    ):
        assert fault in str(said.value)
    written("qwen3", tmp_path / "b")
    with pytest.raises(ValueError, match=r"should be floats \[3, 48\]"):
        open_adapter(str(tmp_path / "b"), dataclasses.replace(config_of("qwen3"), width=48))


def test_numbers_that_are_none_and_pickles_are_refused(tmp_path):
    def spoil(tensors):
        tensors["base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"][0, 0] = np.nan

    written("qwen3", tmp_path / "a", spoil)
    with pytest.raises(ValueError, match=r"corrupt: model\.layers\.1\.self_attn\.q_proj's adapter holds NaN"):
        open_adapter(str(tmp_path / "a"), config_of("qwen3"))
    (tmp_path / "a" / WEIGHTS).rename(tmp_path / "a" / "adapter_model.bin")
    with pytest.raises(ValueError, match="only pickled ones"):
        open_adapter(str(tmp_path / "a"), config_of("qwen3"))


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands_take_an_adapter(tmp_path, capsys):
    """Scores are those of the model with it; alone it is no model."""
    written("qwen3", tmp_path / "a")
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3, 9], "response_ids": [7, 4]}\n')
    row = ["--file", str(tmp_path / "ids.jsonl"), "--format", "jsonl"]
    assert command("score", str(golden("qwen3")), "--adapter", str(tmp_path / "a"), *row) == 0
    given = json.loads(capsys.readouterr().out)["log_prob"]
    scored = load_model(golden("qwen3"), adapter=tmp_path / "a").score([[3, 9]], [[7, 4]])[0].log_prob
    assert given == pytest.approx(float(scored), abs=1e-5)
    plain = load_model(golden("qwen3")).score([[3, 9]], [[7, 4]])[0].log_prob
    assert abs(given - float(plain)) > 0.1
    assert command("generate", str(golden("qwen3")), "--adapter", str(tmp_path / "none"), *row[:2]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert command("score", str(tmp_path / "a"), *row) == 2
    assert "holds an adapter and no model: name its base as the model" in capsys.readouterr().err
