"""Weights from and to Hugging Face folders: the same bytes, the same logits, and every fault of a folder at once."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from llm_cases import (
    AUTO,
    CASES,
    GOLDEN,
    LENGTHS,
    TOKENS,
    copied,
    golden,
    padded,
    random_params,
    torch_model,
    torch_outputs,
)

from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, open_checkpoint
from modeseek.llm.checkpoints.load import _of_tensor, load
from modeseek.llm.checkpoints.safetensors import DTYPES, Pending, read_header, write_file
from modeseek.llm.checkpoints.save import convert, save
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import parameters, shapes
from modeseek.llm.training.optimizer import Adam, apply, start


def tensors(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every tensor of a folder, read by the safetensors library where it can (NumPy has no bfloat16 for it)."""
    found = {}
    for file in folder.glob("*.safetensors"):
        for name, stored in read_header(file)[0].items():
            found[name] = (stored.dtype, stored.read().tobytes())
    return found


# --- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN)
@pytest.mark.parametrize("shard_bytes", [10_000, 10_000_000])
def test_import_then_export_gives_the_same_bytes(case, shard_bytes, tmp_path):
    checkpoint = open_checkpoint(golden(case))
    head = checkpoint.heads[0]
    save(
        tmp_path / "out",
        checkpoint.config,
        load(checkpoint),
        head=head,
        dtype="bfloat16",
        shard_bytes=shard_bytes,
        like=checkpoint,
    )
    assert tensors(tmp_path / "out") == tensors(golden(case))
    again = open_checkpoint(tmp_path / "out")
    assert (again.config, again.heads) == (checkpoint.config, checkpoint.heads)
    files = list((tmp_path / "out").glob("*.safetensors"))
    assert ((tmp_path / "out" / INDEX).exists(), len(files) > 1) == (shard_bytes == 10_000,) * 2
    largest = max(s.dtype.itemsize * s.size for s in (t.read() for t in again.tensors.values()))
    assert max(f.stat().st_size for f in files) < max(shard_bytes, largest) + 5_000
    if shard_bytes == 10_000:
        total = sum(t.read().nbytes for t in again.tensors.values())
        assert json.loads((tmp_path / "out" / INDEX).read_text())["metadata"] == {"total_size": total}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_float_type_survives_the_journey(dtype, tmp_path):
    """Numbers that have the type, written, read as float32, written again."""
    config = config_from(CASES["mistral_head_size"])
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a).astype(kind).astype(np.float32)), random_params(config))
    save(tmp_path / "one", config, params, dtype=dtype)
    checkpoint = open_checkpoint(tmp_path / "one")
    assert checkpoint.dtype == dtype
    loaded = load(checkpoint)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    save(tmp_path / "two", config, loaded, dtype=dtype)
    assert (tmp_path / "one" / SINGLE).read_bytes() == (tmp_path / "two" / SINGLE).read_bytes()
    assert load(checkpoint, dtype="bfloat16")["norm"]["scale"].dtype == jnp.bfloat16


def test_our_files_are_what_the_safetensors_library_reads_and_writes(tmp_path):
    safe = pytest.importorskip("safetensors.numpy", reason="comes with the llm extra")
    arrays = {
        "a": np.float32([[1, 2, 3], [4, 5, 6]]),
        "b": np.float16([1.5]),
        "c": np.zeros((0, 4), np.int64),
    }
    names = {dtype: name for name, dtype in DTYPES.items()}
    write_file(tmp_path / "ours", [Pending(n, names[a.dtype], a.shape, lambda a=a: a) for n, a in arrays.items()])
    safe.save_file(arrays, tmp_path / "theirs")
    for length in range(
        1, 9
    ):  # data begin at a multiple of eight, however long the header is: a map of them is aligned
        write_file(tmp_path / "aligned", [Pending("a" * length, "F32", (2, 3), lambda: arrays["a"])])
        (stored,) = read_header(tmp_path / "aligned")[0].values()
        assert stored.offset % 8 == 0
        np.testing.assert_array_equal(stored.read(), arrays["a"])
    for read in (
        safe.load_file(tmp_path / "ours"),
        {n: t.read() for n, t in read_header(tmp_path / "theirs")[0].items()},
    ):
        assert set(read) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].dtype == array.dtype
    write_file(tmp_path / "empty", [Pending("c", "I64", (0, 4), lambda: arrays["c"])])
    assert read_header(tmp_path / "empty")[0]["c"].read().shape == (0, 4)


# --- the same model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "head"),
    [
        *((case, "lm") for case in ("pythia", "neox_tied", "mistral_window", "llama", "llama3", "qwen2_window")),
        ("qwen3", "reward"),
        *(("pythia", "reward"), ("mistral_head_size", "reward"), ("pythia", "value"), ("mistral", "value")),
    ],
)
def test_transformers_opens_an_export_and_gives_the_same_outputs(case, head, tmp_path):
    pytest.importorskip("torch", reason="torch is for tests alone; the golden files stand for it")
    import transformers

    config = config_from(CASES[case])
    params = random_params(config, (head,))
    save(tmp_path / "out", config, params, head=head, shard_bytes=30_000, pad_id=1)
    theirs, problems = getattr(transformers, AUTO[head]).from_pretrained(
        tmp_path / "out", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(problems[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model = Model(config)
    hidden = jax.jit(model.hidden)(params, jnp.asarray(padded()), jnp.asarray(LENGTHS))
    expected = torch_outputs(theirs.eval(), padded())
    if head == "reward":
        np.testing.assert_allclose(
            model.reward(params, hidden, jnp.asarray(LENGTHS)), expected[:, 0], rtol=1e-4, atol=1e-4
        )
        return
    ours = model.logits(params, hidden) if head == "lm" else model.values(params, hidden)[..., None]
    real = np.arange(TOKENS.shape[1])[None] < LENGTHS[:, None]
    np.testing.assert_allclose(np.asarray(ours)[real], expected[real], atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("max_shard_size", ["20KB", "5GB"])
def test_a_folder_that_transformers_wrote_is_read(max_shard_size, tmp_path):
    """Sharded or not, in float16: the parameters are the module's own numbers."""
    torch = pytest.importorskip("torch", reason="torch is for tests alone; the golden files stand for it")
    module = torch_model("mistral_window").to(torch.float16)
    module.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / INDEX).exists() == (max_shard_size == "20KB")
    params = load(open_checkpoint(tmp_path))
    module.requires_grad_(False)
    kernel = module.model.layers[2].mlp.down_proj.weight.float().numpy()
    np.testing.assert_array_equal(params["layers"]["contract"]["kernel"][2], kernel.T)
    np.testing.assert_array_equal(params["heads"]["lm"]["kernel"], module.lm_head.weight.float().numpy().T)


def test_parameters_are_loaded_where_they_belong():
    """Two devices: kernels cut along either axis, loaded in parts, are the whole ones."""
    mesh = jax.make_mesh((2,), ("fsdp",), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
    checkpoint = open_checkpoint(golden("pythia"))

    def sharding(leaf):
        spec = [None] * len(leaf.shape)
        spec[-1] = "fsdp" if leaf.shape[-1] % 2 == 0 else None
        return NamedSharding(mesh, PartitionSpec(*spec))

    shardings = jax.tree.map(sharding, shapes(checkpoint.config))
    params = load(checkpoint, shardings=shardings)
    jax.tree.map(np.testing.assert_array_equal, params, load(checkpoint))
    kernel = params["layers"]["expand"]["kernel"]
    assert kernel.sharding.spec == PartitionSpec(None, None, "fsdp")
    assert kernel.addressable_shards[0].data.shape == (3, 48, 40)
    # What a device reads of Hugging Face's transposed tensor is its own part, not another that is sent on.
    expand = next(p for p in parameters(checkpoint.config) if p.path == ("layers", "expand", "kernel"))
    assert _of_tensor(shardings["layers"]["expand"]["kernel"], expand).spec == PartitionSpec("fsdp", None)
    shardings["layers"]["expand"]["bias"] = NamedSharding(mesh, PartitionSpec("fsdp"))
    with pytest.raises(ValueError, match=r"the layers' axis must not be cut, got .*fsdp.* for layers/expand/bias"):
        load(checkpoint, shardings=shardings)


def test_a_step_on_loaded_parameters_is_compiled_once():
    """Its first state mixes them with fresh moments, its second is its own result: for JAX two programs, if parameters
    were tied to their device and moments were not."""
    state = start(load(open_checkpoint(golden("pythia"))))
    step = jax.jit(lambda state: apply(state, state.params, Adam().transformation()))
    for _ in range(2):
        state = step(state)
    assert step._cache_size() == 1


def test_a_reward_model_starts_from_a_language_model():
    checkpoint = open_checkpoint(golden("pythia"))
    with pytest.raises(ValueError, match=r"has no reward head \(it has: lm\); to start one afresh, give a key"):
        load(checkpoint, ("reward",))
    params = load(checkpoint, ("reward",), key=jax.random.key(0))
    assert set(params["heads"]) == {"reward"}
    assert float(jnp.abs(params["heads"]["reward"]["kernel"]).max()) < 0.02 * 5
    trunk = load(checkpoint)
    jax.tree.map(np.testing.assert_array_equal, params["layers"], trunk["layers"])


def test_a_checkpoint_is_of_the_type_that_most_of_its_tensors_have():
    """Some keep their norms in another type, wherever those stand in the file."""
    checkpoint = open_checkpoint(golden("pythia"))
    first, *rest = checkpoint.tensors.items()
    one_wide = {first[0]: first[1]._replace(dtype="F32"), **dict(rest)}
    assert checkpoint.dtype == dataclasses.replace(checkpoint, tensors=one_wide).dtype == "bfloat16"


def test_convert_changes_the_type_alone(tmp_path):
    checkpoint = open_checkpoint(golden("pythia"))
    (tmp_path / "out").mkdir()
    convert(checkpoint, tmp_path / "out", dtype="float32", shard_bytes=50_000)
    converted = open_checkpoint(tmp_path / "out")
    assert (converted.dtype, converted.config) == ("float32", checkpoint.config)
    for name, stored in checkpoint.tensors.items():
        np.testing.assert_array_equal(converted.tensors[name].read(), stored.read().astype(np.float32))
    convert(converted, tmp_path / "back", dtype="bfloat16")
    assert tensors(tmp_path / "back") == tensors(golden("pythia"))


def test_the_tokenizer_goes_along_and_code_does_not(tmp_path):
    folder = copied("pythia", tmp_path)
    (folder / "tokenizer.json").write_text('{"a": 1}')
    for name in ("tekken.json", "tokenizer.model.v3"):
        (folder / name).touch()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ documents }}")
    (folder / "additional_chat_templates" / "rag.py").write_text("raise SystemExit")
    (folder / "modeling.py").write_text("raise SystemExit")
    raw = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoModel": "modeling.py"}}
    (folder / "config.json").write_text(json.dumps(raw))
    convert(open_checkpoint(folder), tmp_path / "out", dtype="float16")
    copied_files = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    tokenizer = {"tokenizer.json", "tokenizer.model.v3", "tekken.json", "additional_chat_templates/rag.jinja"}
    assert copied_files == {"config.json", SINGLE, *tokenizer}
    assert (tmp_path / "out" / "tokenizer.json").read_text() == '{"a": 1}'
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "auto_map" not in written
    assert written["dtype"] == written["torch_dtype"] == "float16"


def test_a_tied_model_may_repeat_its_embedding_under_the_heads_name(tmp_path):
    """As older files do; the repetition is not among the tensors, and an untied model lacks it."""
    config = config_from(CASES["mistral_head_size"])
    save(tmp_path / "one", config, random_params(config))
    arrays = {name: stored.read() for name, stored in read_header(tmp_path / "one" / SINGLE)[0].items()}
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    write_file(tmp_path / SINGLE, [Pending(n, "F32", a.shape, lambda a=a: a) for n, a in arrays.items()])
    (tmp_path / SINGLE).replace(tmp_path / "one" / SINGLE)
    checkpoint = open_checkpoint(tmp_path / "one")
    assert set(checkpoint.tensors) == set(arrays) - {"lm_head.weight"}
    jax.tree.map(np.testing.assert_array_equal, load(checkpoint), random_params(config))


# --- bad input --------------------------------------------------------------------------------------------------------


def test_exports_that_cannot_be_written_are_refused(tmp_path):
    config = config_from(CASES["mistral"])
    params = random_params(config)
    with pytest.raises(ValueError, match=r"parameters lack heads/reward/kernel \[36, 1\]: got None"):
        save(tmp_path / "out", config, params, head="reward")
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, got 'int8'"):
        save(tmp_path / "out", config, params, dtype="int8")
    with pytest.raises(ValueError, match="a shard must hold at least 1 byte"):
        save(tmp_path / "out", config, params, shard_bytes=0)
    params["norm"]["scale"] = params["norm"]["scale"].at[2].set(1e6)
    with pytest.raises(ValueError, match=r"model.norm.weight holds 1e\+06, beyond float16's 65504"):
        save(tmp_path / "out", config, params, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(ValueError, match="is there already and is not overwritten"):
        save(tmp_path / "out", config, params)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]
