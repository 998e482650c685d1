"""Folders that say two things at once are read as transformers reads them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import CASES, TOKENS, edit, random_params, torch_outputs

from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.save import convert, save
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model

EMBEDDING, HEAD = "gpt_neox.embed_in.weight", "embed_out.weight"


def tied(tmp_path, change):
    """A folder of a tied model, its tensors changed."""
    config = config_from(CASES["neox_tied"])
    params = random_params(config)
    save(tmp_path / "tied", config, params)
    return edit(tmp_path / "tied", change), config, params


def logits_of_transformers(folder):
    pytest.importorskip("torch", reason="torch is for tests alone")
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return torch_outputs(model.eval(), TOKENS)


def logits(folder):
    checkpoint = open_checkpoint(folder)
    params, model = load(checkpoint), Model(checkpoint.config)
    return np.asarray(jax.jit(lambda p, t: model.logits(p, model.hidden(p, t)))(params, jnp.asarray(TOKENS)))


def test_a_tied_configuration_beside_an_unembedding_of_its_own_is_not_tied(tmp_path):
    """What the file holds is the model: the head is used, and an export says so."""

    def change(arrays):
        arrays[HEAD] = arrays[EMBEDDING].copy()
        arrays[HEAD][-1, -1] += 3.0  # in the last number alone

    folder, config, _ = tied(tmp_path, change)
    assert config.tied
    assert not open_checkpoint(folder).config.tied
    convert(open_checkpoint(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    theirs = logits_of_transformers(folder)
    np.testing.assert_allclose(logits(tmp_path / "out"), theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_tied_models_one_matrix_may_have_the_unembeddings_name(tmp_path):
    folder, config, params = tied(tmp_path, lambda arrays: arrays.update({HEAD: arrays.pop(EMBEDDING)}))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == config
    jax.tree.map(np.testing.assert_array_equal, load(checkpoint), params)
    convert(checkpoint, tmp_path / "out")
    assert EMBEDDING in open_checkpoint(tmp_path / "out").tensors
    theirs = logits_of_transformers(folder)
    np.testing.assert_allclose(logits(folder), theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_misshapen_unembedding_of_a_tied_model_is_told(tmp_path):
    folder, _, _ = tied(tmp_path, lambda arrays: arrays.update({HEAD: arrays[EMBEDDING][:-1].copy()}))
    with pytest.raises(ValueError, match=rf"misshapen: {HEAD} should be \[53, 48\], is \[52, 48\]"):
        open_checkpoint(folder)


def test_a_single_file_is_read_where_an_index_stands_beside_it(tmp_path):
    folder, _, params = tied(tmp_path, lambda arrays: None)
    convert(open_checkpoint(folder), tmp_path / "shards", shard_bytes=20_000)
    for file in (tmp_path / "shards").glob("model*"):
        file.rename(folder / file.name)
    edit(folder, lambda arrays: arrays[EMBEDDING].fill(0.25))
    assert (folder / INDEX).exists()
    assert (folder / SINGLE).exists()
    embedding = load(open_checkpoint(folder))["embed"]["embedding"]
    np.testing.assert_array_equal(embedding, np.full_like(params["embed"]["embedding"], 0.25))
    pytest.importorskip("torch", reason="torch is for tests alone")
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight
    np.testing.assert_array_equal(theirs.detach().numpy(), embedding)
