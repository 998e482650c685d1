"""Generation against scoring, against transformers, and against itself in other company."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import CASES, golden, params_of, random_params, torch_model

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.inference.generate import ANY, NEVER, _generate, generate, row_keys, stop_table
from modeseek.llm.inference.padding import pad_right
from modeseek.llm.inference.sampling import Sampling
from modeseek.llm.inference.scoring import ModelWithParams, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.low_rank import merge
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.training import lora

RNG = np.random.default_rng(11)
PROMPTS = pad_right([RNG.integers(2, 53, n).tolist() for n in (5, 2, 9)])


@functools.lru_cache
def tiny(case: str = "pythia") -> ModelWithParams:
    config = config_from(CASES[case])
    return ModelWithParams(Model(config), random_params(config, std=0.15))


def run(policy, tokens, lengths, new_tokens, *, key=0, first=0, **how):
    params = policy.model.for_decoding(policy.params)
    keys = row_keys(jax.random.key(key), tokens.shape[0], first)
    return generate(policy.model, params, tokens, lengths, new_tokens, keys=keys, **how)


def joined(prompts, out) -> tuple[np.ndarray, np.ndarray]:
    """Prompts and responses as rows of one array, and their lengths."""
    rows = [
        [*tokens[:length].tolist(), *new[:count].tolist()]
        for tokens, length, new, count in zip(*prompts, np.asarray(out.tokens), np.asarray(out.lengths), strict=True)
    ]
    return pad_right(rows)


def scored(policy, prompts, out) -> list[np.ndarray]:
    """Uncached log-probs of each row's response."""
    rows = joined(prompts, out)
    run = jax.jit(lambda p, *given: score(ModelWithParams(policy.model, p), *given))
    scores = run(policy.params, rows.tokens, rows.lengths, prompts.lengths)
    return [np.asarray(row)[np.asarray(mask)] for row, mask in zip(scores.log_probs, scores.mask, strict=True)]


# --- whole responses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["pythia", "mistral_window", "qwen3"])
def test_cached_generation_is_uncached_scoring(case):
    policy = tiny(case)
    out = run(policy, *PROMPTS, 20)
    np.testing.assert_array_equal(out.lengths, 20)
    np.testing.assert_array_equal(np.asarray(out.log_probs)[:, 20:], 0.0)
    np.testing.assert_allclose(out.log_probs, out.behavior_log_probs, atol=1e-5)  # temperature 1, all entries
    for ours, given in zip(scored(policy, PROMPTS, out), np.asarray(out.log_probs)[:, :20], strict=True):
        np.testing.assert_allclose(given, ours, atol=1e-4)
    cooled = run(policy, *PROMPTS, 20, sampling=Sampling(0.7, 10, 0.9))
    for ours, given in zip(scored(policy, PROMPTS, cooled), np.asarray(cooled.log_probs)[:, :20], strict=True):
        np.testing.assert_allclose(given, ours, atol=1e-4)
    assert (np.asarray(cooled.behavior_log_probs)[:, :20] > np.asarray(cooled.log_probs)[:, :20]).mean() > 0.9


def lively(name: str, leaf):
    """Weights with which greedy responses vary, and with which each kind of bias, if it is dropped, changes them.

    As drawn, large biases decide alone: every greedy token is the same one.
    """
    if name.endswith("bias"):
        return 0.5 * leaf
    if "norm" in name:
        return 1.0 + leaf
    return 3.0 * leaf if "embed_in" in name or "embed_tokens" in name else leaf


@pytest.mark.parametrize(
    "case",
    ["pythia", "neox_sequential", "mistral", "mistral_window", "llama", "llama3", "qwen2", "qwen2_window", "qwen3"],
)
def test_greedy_ids_are_those_of_transformers(case):
    torch = pytest.importorskip("torch", reason="torch is for tests alone; the golden test below stands in for it")
    module = torch_model(case)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(lively(name, parameter))
    config = config_from(CASES[case])
    policy = ModelWithParams(Model(config), params_of(module, config))
    ours = run(policy, *PROMPTS, 20, sampling=Sampling(0.0))
    assert min(len(np.unique(ids)) for ids in np.asarray(ours.tokens)[:, :20]) >= (6 if case == "qwen3" else 8)
    for row, length, ids in zip(*PROMPTS, np.asarray(ours.tokens)[:, :20], strict=True):
        prompt = torch.tensor(row[None, :length].astype(np.int64))
        # No EOS: both go on for 20 tokens.
        how = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": None, "pad_token_id": 1}
        theirs = module.generate(prompt, attention_mask=torch.ones_like(prompt), **how)
        np.testing.assert_array_equal(ids, theirs[0, length:].numpy())


GOLDEN_IDS = [
    [17, 17, 17, 21, 17, 17, 47, 7, 11, 7, 29, 17, 21, 51, 2, 17, 17, 21, 51, 17],
    [17, 2, 17, 21, 7, 29, 17, 8, 4, 2, 17, 21, 7, 10, 51, 7, 32, 51, 7, 32],
    [4, 51, 7, 49, 17, 51, 7, 49, 21, 17, 46, 2, 7, 49, 17, 46, 0, 2, 7, 10],
]


def test_greedy_ids_of_the_golden_model():
    """What transformers 5.23 with torch 2.13 generates from the committed folder, lively, each of PROMPTS alone."""
    checkpoint = open_checkpoint(golden("pythia"))
    # Our paths' ends, as the names that `lively` knows.
    names = {"bias": "bias", "scale": "norm", "embedding": "embed_in", "kernel": "kernel"}
    params = jax.tree_util.tree_map_with_path(lambda path, a: lively(names[path[-1].key], a), load(checkpoint))
    out = run(ModelWithParams(Model(checkpoint.config), params), *PROMPTS, 20, sampling=Sampling(0.0))
    np.testing.assert_array_equal(np.asarray(out.tokens)[:, :20], GOLDEN_IDS)


def test_an_adapted_model_generates_what_the_merged_one_does():
    policy = tiny()
    fresh = lora.init(policy.model.config, 4, key=jax.random.key(1))
    rng = np.random.default_rng(2)
    moved = jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), leaf.dtype), fresh)
    attached, merged = (policy._replace(params=f(policy.params, moved, 0.5)) for f in (lora.attach, merge))
    ours, theirs = run(attached, *PROMPTS, 20), run(merged, *PROMPTS, 20)
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    np.testing.assert_allclose(ours.log_probs, theirs.log_probs, atol=1e-3)
    assert not np.array_equal(ours.tokens, run(policy, *PROMPTS, 20).tokens)


def test_generating_in_16_bits_is_near():
    policy = tiny()
    half = policy._replace(model=Model(policy.model.config, Compute("bfloat16")))
    out = run(half, *PROMPTS, 20)
    assert out.log_probs.dtype == jnp.float32
    for ours, given in zip(scored(policy, PROMPTS, out), np.asarray(out.log_probs)[:, :20], strict=True):
        np.testing.assert_allclose(given, ours, atol=0.3)


def test_a_row_depends_on_its_own_prompt_and_key_alone():
    """Other neighbours, another number of rows, more padding, more tokens asked for: the same ids."""
    policy = tiny()
    together = np.asarray(run(policy, *PROMPTS, 20).tokens)
    for row in range(3):
        alone = run(policy, PROMPTS.tokens[row : row + 1], PROMPTS.lengths[row : row + 1], 20, first=row)
        np.testing.assert_array_equal(alone.tokens[0, :20], together[row, :20])
    turned = PROMPTS.tokens[::-1], PROMPTS.lengths[::-1]
    keys = row_keys(jax.random.key(0), 3)[::-1]
    wide = np.pad(turned[0], ((0, 0), (0, 12)), constant_values=7)  # another bucket, another id for padding
    params = policy.model.for_decoding(policy.params)
    other = generate(policy.model, params, wide, turned[1], 30, keys=keys)
    np.testing.assert_array_equal(np.asarray(other.tokens)[::-1, :20], together[:, :20])
    same = run(policy, np.repeat(PROMPTS.tokens[:1], 3, 0), np.repeat(PROMPTS.lengths[:1], 3), 20)
    assert len({tuple(row) for row in np.asarray(same.tokens)}) == 3  # one prompt, three keys


def test_turns_and_rows_draw_independently():
    """From a model that knows nothing every token is as likely, whatever came before and stands beside: differences
    between turns and between rows are uniform modulo V. χ² with 52 degrees of freedom exceeds 110 once in 200 000."""
    policy = tiny()
    flat = jax.tree.map(jnp.zeros_like, policy.params["heads"])
    blind = ModelWithParams(policy.model, {**policy.params, "heads": flat})
    drawn = np.stack([np.asarray(run(blind, *PROMPTS, 20, key=key).tokens)[:, :20] for key in range(40)])
    turns, two_turns, rows = (
        drawn[:, :, 1:] - drawn[:, :, :-1],
        drawn[:, :, 2:] - drawn[:, :, :-2],
        np.diff(drawn, axis=1),
    )
    for sample in (drawn, turns, two_turns, rows):
        counts = np.bincount(sample.ravel() % 53, minlength=53)
        expected = counts.sum() / 53
        assert ((counts - expected) ** 2 / expected).sum() < 110


def test_rows_end_with_their_stops_and_the_others_go_on():
    policy = tiny()
    free = np.asarray(run(policy, *PROMPTS, 20).tokens)
    eos, pair = int(free[0, 3]), [int(t) for t in free[2, 6:8]]
    out = run(policy, *PROMPTS, 20, stops=[[eos], pair], pad_id=1)
    for row in range(3):
        ids = list(free[row, :20])
        ends = [i + 1 for i in range(20) if ids[i] == eos or (i and ids[i - 1 : i + 1] == pair)]
        length = ends[0] if ends else 20
        assert int(out.lengths[row]) == length
        assert bool(out.stopped[row]) == bool(ends)
        np.testing.assert_array_equal(out.tokens[row, :length], free[row, :length])
        np.testing.assert_array_equal(np.asarray(out.tokens)[row, length:], 1)
        np.testing.assert_array_equal(np.asarray(out.log_probs)[row, length:], 0.0)
        np.testing.assert_array_equal(np.asarray(out.behavior_log_probs)[row, length:], 0.0)
    assert int(out.lengths[0]) <= 4
    assert int(out.lengths[2]) <= 8


def test_no_stop_reaches_back_into_the_prompt():
    policy = tiny()
    free = np.asarray(run(policy, *PROMPTS, 20).tokens)
    # Its last token, its first, and what padding or an empty row might be made of.
    before = [int(PROMPTS.tokens[0, 4]), int(PROMPTS.tokens[0, 0]), 0, 1]
    straddling = [[token, int(free[0, 0])] for token in before]
    assert int(run(policy, *PROMPTS, 20, stops=straddling).lengths[0]) > 1


def test_the_loop_ends_when_all_rows_have(monkeypatch):
    """Turns are counted by a callback that only this test plants."""
    policy = tiny()
    turns = []
    original = Model.step

    def counted(self, params, token, cache):
        jax.debug.callback(lambda: turns.append(1))
        return original(self, params, token, cache)

    free = np.asarray(run(policy, *PROMPTS, 20).tokens)
    monkeypatch.setattr(Model, "step", counted)
    _generate.clear_cache()
    out = run(policy, *PROMPTS, 20, stops=[[int(t)] for t in free[:, 1]])
    jax.effects_barrier()
    assert len(turns) == int(out.lengths.max()) <= 2
    turns.clear()
    run(policy, *PROMPTS, 17).tokens.block_until_ready()
    jax.effects_barrier()
    assert len(turns) == 17
    _generate.clear_cache()


def test_nothing_is_compiled_twice_within_a_bucket():
    policy = tiny()
    run(policy, *PROMPTS, 20)
    compiled = _generate._cache_size()
    longer = pad_right([[3] * 12, [4], [5] * 16])
    for rows, new_tokens, sampling, stops in (
        (PROMPTS, 17, Sampling(0.0), ()),
        (longer, 24, Sampling(1.5, 3, 0.5), [[1], [2, 3]]),
        (pad_right([[1], [2], [3]]), 21, Sampling(), [[1, 2, 3, 4]]),
    ):
        run(policy, *rows, new_tokens, sampling=sampling, stops=stops, key=new_tokens)
    assert _generate._cache_size() == compiled
    run(policy, *PROMPTS, 25)
    assert _generate._cache_size() == compiled + 1  # the next bucket


def test_stop_tables():
    table = stop_table([[5], [6, 7]])
    np.testing.assert_array_equal(table[:2], [[ANY, ANY, ANY, 5], [ANY, ANY, 6, 7]])
    np.testing.assert_array_equal(table[2:], NEVER)
    for wrong in ([[]], [[-1]]):
        with pytest.raises(ValueError, match="a stop must be a sequence of at least one id"):
            stop_table(wrong)


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="new_tokens must be a whole number of at least 1, got 0"):
        run(tiny(), *PROMPTS, 0)
    with pytest.raises(ValueError, match=r"keys must be one a row, \(3,\), got \(2,\)"):
        policy = tiny()
        generate(policy.model, policy.params, *PROMPTS, 5, keys=row_keys(jax.random.key(0), 2))
    with pytest.raises(ValueError, match="top_p must be"):
        run(tiny(), *PROMPTS, 5, sampling=Sampling(1.0, 0, 1.5))
