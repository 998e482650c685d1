"""What is written is what was there: no leaf and no tensor's type is lost on the way to a folder."""

import jax
import numpy as np
import pytest
from llm_cases import CASES, random_params

from llm import lora
from llm.models.hugging_face import config_from
from llm.weights.checkpoint import open_checkpoint
from llm.weights.load import load
from llm.weights.save import save


def test_adapters_are_merged_before_they_are_written(tmp_path):
    """Beside their kernels they would be lost, and the base model written."""
    config = config_from(CASES["mistral"])
    params = random_params(config)
    adapters = jax.tree.map(lambda a: a + 0.5, lora.init(config, 2, key=jax.random.key(0)))
    with pytest.raises(ValueError, match=r"adapters are not written \(layers/.*/lora_a …\).*llm\.lora\.merge"):
        save(tmp_path / "out", config, lora.attach(params, adapters, 1.0))
    merged = lora.merge(params, adapters, 1.0)
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
