"""What is written is what was there: no leaf and no tensor's type is lost on the way to a folder."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from llm_cases import CASES, copied, edit, random_params

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.save import convert, save
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.low_rank import merge
from modeseek.llm.parallel.mesh import MeshShape, make_mesh, parameter_shardings
from modeseek.llm.training import lora


def test_adapters_are_merged_before_they_are_written(tmp_path):
    """Beside their kernels they would be lost, and the base model written."""
    config = config_from(CASES["mistral"])
    params = random_params(config)
    adapters = jax.tree.map(lambda a: a + 0.5, lora.init(config, 2, key=jax.random.key(0)))
    with pytest.raises(
        ValueError, match=r"adapters are not written \(layers/.*/lora_a …\).*llm\.models\.low_rank\.merge"
    ):
        save(tmp_path / "out", config, lora.attach(params, adapters, 1.0))
    merged = merge(params, adapters, 1.0)
    save(tmp_path / "out", config, merged)
    jax.tree.map(np.testing.assert_array_equal, load(open_checkpoint(tmp_path / "out")), merged)


def test_leaves_that_no_file_holds_are_refused(tmp_path):
    """Another head is another file's; a tied model has no unembedding of its own."""
    config = config_from(CASES["mistral_head_size"])
    params = random_params(config, ("lm", "value"))
    save(tmp_path / "out", config, params)
    params["heads"]["lm"] = {"kernel": np.zeros((36, 53), np.float32)}
    with pytest.raises(ValueError, match="no file of a mistral model holds heads/lm/kernel: leave them out"):
        save(tmp_path / "tied", config, params)
    assert not (tmp_path / "tied").exists()


MIXED = {"model.norm.weight": np.float32, "model.embed_tokens.weight": np.float16, "lm_head.weight": np.float64}
"""Beside a majority in bfloat16."""


def mixed(tmp_path):
    """A golden checkpoint whose tensors are of four types, with numbers that only theirs holds."""

    def change(arrays):
        for name, dtype in MIXED.items():
            arrays[name] = arrays[name].astype(dtype) + np.finfo(dtype).eps

    return open_checkpoint(edit(copied("mistral_window", tmp_path), change))


def test_convert_with_no_type_keeps_every_tensors_own(tmp_path):
    checkpoint = mixed(tmp_path)
    assert {stored.dtype for stored in checkpoint.tensors.values()} == {"BF16", "F32", "F16", "F64"}
    convert(checkpoint, tmp_path / "out", shard_bytes=20_000)
    converted = open_checkpoint(tmp_path / "out")
    assert converted.dtype == "bfloat16"
    for name, stored in checkpoint.tensors.items():
        assert converted.tensors[name].dtype == stored.dtype, name
        assert converted.tensors[name].read().tobytes() == stored.read().tobytes(), name


@pytest.mark.parametrize("named", ["float32", None])
def test_convert_with_no_type_keeps_the_configurations_own(named, tmp_path):
    """Which is that of most tensors only where it names none."""
    folder = copied("mistral_window", tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    raw = {key: value for key, value in raw.items() if key not in ("dtype", "torch_dtype")}
    (folder / "config.json").write_text(json.dumps(raw | ({"torch_dtype": named} if named else {})))
    convert(open_checkpoint(folder), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["dtype"] == written["torch_dtype"] == (named or "bfloat16")


def test_float64_is_read_as_float32_on_one_device_and_on_many(tmp_path):
    checkpoint = mixed(tmp_path)
    mesh = make_mesh(MeshShape(fsdp=2), checkpoint.config, 2, jax.devices()[:2])
    head = checkpoint.tensors["lm_head.weight"].read().astype(np.float32).T
    for shardings in (None, parameter_shardings(mesh, checkpoint.config)):
        np.testing.assert_array_equal(load(checkpoint, shardings=shardings)["heads"]["lm"]["kernel"], head)


@pytest.mark.parametrize(
    ("stored", "value", "dtype", "message"),
    [
        (np.float32, 1e5, "float16", r"holds 1e\+05, beyond float16's 65504: choose bfloat16 or float32"),
        (np.float32, 3.4e38, "bfloat16", r"holds 3.4e\+38, beyond bfloat16's 3.3895e\+38"),
        (np.float64, 1e300, "float32", r"holds 1e\+300, beyond float32's 3.4028e\+38"),
        (ml_dtypes.bfloat16, np.nan, "float16", "holds NaN or infinity"),
    ],
)
def test_numbers_beyond_a_type_are_told_on_reading_and_on_writing(stored, value, dtype, message, tmp_path):
    def change(arrays):
        arrays["model.embed_tokens.weight"] = arrays["model.embed_tokens.weight"].astype(stored)
        arrays["model.embed_tokens.weight"][3, 3] = value

    checkpoint = open_checkpoint(edit(copied("mistral_window", tmp_path), change))
    with pytest.raises(ValueError, match=rf"1 problems\):\n  [a-z ]+: model.embed_tokens.weight {message}"):
        load(checkpoint, dtype=dtype)
    with pytest.raises(ValueError, match=f"model.embed_tokens.weight {message}"):
        convert(checkpoint, tmp_path / "out", dtype=dtype)
