"""Checkpoints that cannot be used: every fault of a folder in one error, and pickles never opened."""

import json
import re

import numpy as np
import pytest
from llm_cases import copied, edit

from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.safetensors import Pending, read_header, write_file
from modeseek.llm.checkpoints.save import convert


@pytest.fixture
def pythia(tmp_path):
    """A copy of the golden Pythia."""
    return copied("pythia", tmp_path)


def test_every_fault_of_a_folder_is_in_one_error(pythia):
    def spoil(arrays):
        del arrays["gpt_neox.final_layer_norm.bias"]
        arrays["gpt_neox.layers.3.mlp.dense_h_to_4h.bias"] = np.zeros(80, np.float32)
        arrays["gpt_neox.layers.0.attention.bias"] = np.ones((1, 1, 4, 4), bool)  # a buffer of older files
        arrays["embed_out.weight"] = arrays["embed_out.weight"].T.copy()
        arrays["gpt_neox.layers.0.mlp.dense_4h_to_h.bias"][1] = np.inf
        arrays["gpt_neox.layers.1.mlp.dense_4h_to_h.bias"] = np.zeros(48, np.int64)

    edit(pythia, spoil)
    with pytest.raises(ValueError) as error:
        open_checkpoint(pythia)
    lines = str(error.value).splitlines()
    assert "(5 problems)" in lines[0]
    assert sorted(line.strip() for line in lines[1:]) == [
        "corrupt: gpt_neox.layers.0.mlp.dense_4h_to_h.bias holds NaN or infinity",
        "extra: gpt_neox.layers.3.mlp.dense_h_to_4h.bias",
        "misshapen: embed_out.weight should be [53, 48], is [48, 53]",
        "misshapen: gpt_neox.layers.1.mlp.dense_4h_to_h.bias should hold floats, holds I64",
        "missing: gpt_neox.final_layer_norm.bias",
    ]


def test_a_truncated_file_names_the_tensors_that_are_cut_off(pythia):
    content = (pythia / SINGLE).read_bytes()
    (pythia / SINGLE).write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"2 problems.*\n  corrupt: .* is cut off: it ends at byte \d+ of a file of"):
        open_checkpoint(pythia)
    (pythia / SINGLE).write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r"corrupt: model.safetensors is cut short or not safetensors"):
        open_checkpoint(pythia)
    (pythia / SINGLE).write_bytes(b"")
    with pytest.raises(ValueError, match=r"cut short or not safetensors: a file of 0 bytes"):
        open_checkpoint(pythia)
    (pythia / SINGLE).write_bytes((9).to_bytes(8, "little") + b"not JSON!" + bytes(50))
    with pytest.raises(ValueError, match=r"corrupt: the header of model.safetensors is not JSON"):
        open_checkpoint(pythia)


GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (GOOD, None),
        (GOOD | {"data_offsets": [0, 20]}, r"has 20 bytes, but F32\[2, 3\] needs another number"),
        (GOOD | {"data_offsets": [0, 28]}, r"has 28 bytes, but F32\[2, 3\] needs another number"),
        (GOOD | {"data_offsets": [8, 32]}, r"is cut off: it ends at byte \d+ of a file of \d+"),
        (GOOD | {"data_offsets": [24, 0]}, r"has -24 bytes"),
        (GOOD | {"data_offsets": [-24, 0]}, "has no readable dtype, shape and data_offsets"),
        (GOOD | {"shape": [-2, -3]}, "has no readable dtype"),
        (GOOD | {"shape": [2, 3.0]}, "has no readable dtype"),
        (GOOD | {"shape": 6}, "has no readable dtype"),
        (GOOD | {"data_offsets": [24]}, "has no readable dtype"),
        (GOOD | {"dtype": "F8_E4M3"}, r"is of type F8_E4M3, which is not read \(only F64, F32"),
        (GOOD | {"dtype": ["F32"]}, "has no readable dtype"),
        ({"dtype": "F32"}, "has no readable dtype"),
        ("F32", "has no readable dtype"),
    ],
)
def test_every_fault_of_a_files_header_is_told(entry, problem, tmp_path):
    """The file has 28 bytes of data, four more than the good tensor."""
    header = json.dumps({"__metadata__": {}, "a": entry}).encode()
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header + bytes(28))
    tensors, problems = read_header(tmp_path / "file")
    if problem is None:
        assert not problems
        assert tensors["a"].read().shape == (2, 3)
    else:
        assert not tensors
        assert len(problems) == 1
        assert re.match(f"a in file {problem}", problems[0])


@pytest.mark.parametrize("length", [51, 100_000_001])
def test_a_header_longer_than_its_file_or_the_formats_limit_is_not_read(length, tmp_path):
    (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + b"{}".ljust(50))
    with pytest.raises(ValueError, match="cut short or not safetensors: a file of 58 bytes"):
        read_header(tmp_path / "file")


def test_a_tensor_that_is_not_what_was_announced_is_not_written(tmp_path):
    pending = Pending("a", "F32", (2, 3), lambda: np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"a was to be F32\[2, 3\], got float32\[3, 2\]"):
        write_file(tmp_path / "file", [pending])


def test_numbers_that_are_none_are_listed(pythia):
    def spoil(arrays):
        arrays["embed_out.weight"][3, 4] = np.nan
        arrays["gpt_neox.layers.2.attention.dense.bias"][0] = np.inf

    checkpoint = open_checkpoint(edit(pythia, spoil))
    with pytest.raises(ValueError) as error:
        load(checkpoint)
    assert "(2 problems)" in str(error.value)
    assert "corrupt: embed_out.weight holds NaN or infinity" in str(error.value)
    assert "corrupt: gpt_neox.layers.2.attention.dense.bias holds NaN or infinity" in str(error.value)
    with pytest.raises(ValueError) as again:
        convert(checkpoint, pythia / "out")
    assert sorted(str(again.value).splitlines()) == sorted(str(error.value).splitlines())
    assert not list(pythia.glob("*out")) + list(pythia.glob(".out*"))  # nothing half-written stays


def test_a_wrong_index_is_told(pythia, tmp_path):
    checkpoint = open_checkpoint(pythia)
    out = tmp_path / "sharded"
    convert(checkpoint, out, shard_bytes=30_000)
    index = json.loads((out / INDEX).read_text())
    files = sorted(set(index["weight_map"].values()))
    first, second = (next(n for n, f in index["weight_map"].items() if f == file) for file in files[:2])
    index["weight_map"][first] = files[1]
    del index["weight_map"][second]
    (out / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError) as error:
        open_checkpoint(out)
    assert f"astray: {first} is in {files[0]}, the index says {files[1]}" in str(error.value)
    assert f"corrupt index: {second} in {files[1]} is not listed" in str(error.value)
    # The same tensor in two files, one of them listed.
    (out / files[1]).write_bytes((out / files[0]).read_bytes())
    with pytest.raises(ValueError, match=f"twice: {first} is in {files[0]} and in {files[1]}"):
        open_checkpoint(out)
    (out / files[0]).unlink()
    with pytest.raises(ValueError, match=f"corrupt: cannot read {files[0]}: No such file"):
        open_checkpoint(out)
    index["weight_map"][first] = "../elsewhere.safetensors"
    (out / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match="names of files beside it"):
        open_checkpoint(out)


def test_pickles_are_refused(pythia):
    (pythia / SINGLE).rename(pythia / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pickled ones \(pytorch_model.bin\).*never read here.*save_pretrained"):
        open_checkpoint(pythia)
    (pythia / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"neither model.safetensors nor model.safetensors.index.json"):
        open_checkpoint(pythia)
