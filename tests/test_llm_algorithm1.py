"""Algorithm 1 on a language model: collections, passes, minibatches, sampling, mixing, adapters."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm1_cases import EOS, MODEL, OFFLINE, ON_POLICY, SGD, length_reward, pairs, policy, run, same

from modeseek.bandit.objectives.batch import HyperParameters, Options
from modeseek.bandit.objectives.reduce import response_weights
from modeseek.bandit.objectives.registry import METHODS
from modeseek.llm.data.order import order
from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.collection import minibatches, preferences, rewards_of, trimmed
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.idle import idle
from modeseek.llm.training.objective import Labelled, as_batch, make_method_step
from modeseek.llm.training.optimizer import start
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.trainable import AllParameters
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS, TuneConfig


def test_offline_is_steps_on_the_data_in_its_order():
    """Two collections of four pairs, a step each, against the pieces put together by hand."""
    tuned, records = run(OFFLINE, optimizer=SGD, reward=None)
    step = make_method_step(METHODS["dpo"], CrossEntropy(MODEL), AllParameters(MODEL.config), optimizer=SGD)
    score = Algorithm1(policy(), pairs(), OFFLINE).score_reference
    state, losses = start(jax.tree.map(jnp.copy, policy().params), SGD), []
    chosen_first = np.tile(np.array([[1.0, 0.0]], np.float32), (4, 1))
    rows_of = order(OFFLINE.seed, 0, 10)
    for collection in range(2):
        rows = pad_rows([pairs()[i] for i in rows_of[4 * collection : 4 * collection + 4]], multiple=16)
        data = Labelled(*rows, rewards=chosen_first)
        reference = score(policy().params, data).log_probs
        state, numbers = step(state, data._replace(reference_log_probs=reference), OFFLINE.hyper)
        losses.append(float(numbers["loss"]))
    np.testing.assert_allclose([r["loss"] for r in records if "loss" in r], losses, rtol=1e-6)
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    for ours, theirs in zip(jax.tree.leaves(tuned.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
    assert tuned.steps == 2


@pytest.mark.slow
def test_the_start_is_not_given_up_and_the_same_seed_gives_the_same_bits():
    before = jax.tree.map(np.array, policy().params)
    one, records = run(ON_POLICY)
    two, _ = run(ON_POLICY)
    assert same(one.params, two.params)
    assert same(policy().params, before)
    assert not same(one.params, before)
    other, _ = run(dataclasses.replace(ON_POLICY, seed=1))
    assert not same(one.params, other.params)
    phases = {name for record in records for name in record if name.endswith("_seconds")}
    assert phases == {"generate_seconds", "score_seconds", "update_seconds"}


def test_on_policy_the_first_step_has_ratio_one_and_no_kl_and_later_ones_have_not():
    _, records = run(dataclasses.replace(ON_POLICY, hyper=HyperParameters(learning_rate=3e-3)))
    steps = [record for record in records if "loss" in record]
    assert len(steps) == ON_POLICY.gradient_steps == 4
    for name in ("kl_to_reference", "kl_from_behavior", "fraction_clipped"):
        assert abs(steps[0][name]) < 1e-5, name
    assert steps[-1]["kl_from_behavior"] > 1e-5
    assert steps[-1]["kl_to_reference"] > 1e-5


def test_a_policy_that_has_not_moved_is_not_scored_again():
    """The first step of a collection takes what labelling found, which scoring would find again; later ones score."""
    loop = Algorithm1(policy(), pairs(), ON_POLICY, reward=length_reward, eos=[EOS])
    given, take = [], loop.step

    def step(state, data, hyper, frozen, scored):
        found = loop.score(state.params, data, frozen).log_probs
        given.append(None if scored is None else float(jnp.abs(scored.log_probs - found).max()))
        return take(state, data, hyper, frozen, scored)

    loop.step = step
    loop.turn(loop.start())
    assert len(given) == 4
    assert given[0] < 1e-5
    assert given[1:] == [None] * 3
    given.clear()
    mixed = dataclasses.replace(ON_POLICY, mixing=0.5)
    loop = Algorithm1(policy(), pairs(), mixed, reward=length_reward, eos=[EOS])
    loop.step = step
    loop.turn(loop.start())
    assert given == [None] * 4


def test_samples_are_judged_and_learnt_as_the_ids_that_were_drawn():
    """EOS is at the end of what the reward function reads, and among the targets; nothing stands behind it."""
    seen = []

    def judge(examples):
        seen.extend(examples)
        return length_reward(examples)

    loop = Algorithm1(policy(), pairs(), ON_POLICY, reward=judge, eos=range(2, 30))
    state = loop.start()
    examples, sampled, _ = loop.collect(state)
    assert sampled.all()
    labelled, _ = loop.label(state, examples, sampled, rewards_of(judge, examples, 2))
    asked = order(ON_POLICY.seed, 0, 10)[:4]
    ended = 0
    for p, example in enumerate(seen):
        assert (example.prompt == pairs()[asked[p]].prompt).all()
        for n, response in enumerate(example.responses):
            row = labelled.tokens[p, n, : labelled.lengths[p, n]]
            assert (row == [*example.prompt, *response]).all()
            assert labelled.starts[p, n] == len(example.prompt)
            assert 1 <= len(response) <= ON_POLICY.max_new_tokens
            assert not set(response[:-1]) & set(range(2, 30))
            assert response[-1] in range(2, 30) or len(response) == ON_POLICY.max_new_tokens
            ended += response[-1] in range(2, 30)
            column = labelled.lengths[p, n] - 2
            assert labelled.behavior_log_probs[p, n, column] < 0
            assert not labelled.behavior_log_probs[p, n, column + 1 :].any()
    assert ended > 0


def test_advantages_are_of_the_collection_and_the_kl_is_in_the_rewards():
    config = dataclasses.replace(ON_POLICY, hyper=HyperParameters(kl_coefficient=0.5))
    reference = jax.tree.map(lambda a: a * 0.9, policy().params)
    loop = Algorithm1(policy(), pairs(), config, reward=length_reward, eos=[EOS], reference=reference)
    state = loop.start()
    examples, sampled, _ = loop.collect(state)
    rewards = rewards_of(length_reward, examples, 2)
    labelled, _ = loop.label(state, examples, sampled, rewards)
    ratios = (labelled.behavior_log_probs - labelled.reference_log_probs).astype(np.float64).sum(-1)
    assert np.abs(ratios).max() > 0.01
    expected = rewards - 0.5 * ratios
    np.testing.assert_allclose(labelled.rewards, expected, rtol=1e-4)
    np.testing.assert_allclose(labelled.advantages, (expected - expected.mean()) / expected.std(ddof=1), rtol=1e-3)


def test_each_pass_takes_every_prompt_once_and_in_an_order_of_its_own():
    taken = [rows.tolist() for rows in minibatches(ON_POLICY, 1)]
    first, second = np.concatenate(taken[:2]).tolist(), np.concatenate(taken[2:]).tolist()
    assert sorted(first) == sorted(second) == [0, 1, 2, 3]
    later = [rows.tolist() for rows in minibatches(ON_POLICY, 2)]
    assert taken != later


def test_mixing_samples_a_share_of_the_prompts_and_takes_the_data_for_the_references():
    config = dataclasses.replace(ON_POLICY, mixing=0.5)
    loop = Algorithm1(policy(), pairs(), config, reward=length_reward, eos=[EOS])
    state = loop.start()
    state = state._replace(learner=state.learner._replace(params=jax.tree.map(lambda a: a * 1.1, policy().params)))
    examples, sampled, _ = loop.collect(state)
    assert sampled.tolist() == [True, True, False, False]
    asked = order(config.seed, 0, 10)[:4]
    assert all(examples[i] is pairs()[asked[i]] for i in (2, 3))
    labelled, _ = loop.label(state, examples, sampled, rewards_of(length_reward, examples, 2))
    assert (labelled.behavior_log_probs[2:] == labelled.reference_log_probs[2:]).all()
    assert (labelled.behavior_log_probs[:2] != labelled.reference_log_probs[:2]).any()


def test_the_kl_in_the_rewards_is_the_policys_whoever_answered():
    """Eq. 2: r - β log π(y | x)/π_ref(y | x) of the policy that is trained, on the data's responses too."""
    config = dataclasses.replace(ON_POLICY, mixing=0.5, hyper=HyperParameters(kl_coefficient=0.5))
    loop = Algorithm1(policy(), pairs(), config, reward=length_reward, eos=[EOS])
    state, moved = loop.start(), jax.tree.map(lambda a: a * 1.1, policy().params)
    state = state._replace(learner=state.learner._replace(params=moved))
    examples, sampled, _ = loop.collect(state)
    rewards = rewards_of(length_reward, examples, 2)
    labelled, _ = loop.label(state, examples, sampled, rewards)
    log_probs = np.asarray(loop.score(moved, labelled).log_probs).astype(np.float64).sum(-1)
    ratios = log_probs - np.asarray(labelled.reference_log_probs).astype(np.float64).sum(-1)
    assert np.abs(ratios[~sampled]).min() > 1e-3
    np.testing.assert_allclose(labelled.rewards, rewards - 0.5 * ratios, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_moving_reference_is_that_of_a_loop(rank):
    """Every second collection, in float64 by hand; what a collection is labelled with; the data's behavior stays."""
    config = dataclasses.replace(
        OFFLINE, collections=4, reference_every=2, reference_decay=0.75, lora_rank=rank, options=Options(ratio="token")
    )
    loop = Algorithm1(policy(), pairs(), config, optimizer=SGD)
    state = loop.start()
    wanted = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(policy().params)]
    for collection in range(1, 5):
        state = loop.turn(state)
        if collection % 2 == 0:
            moved = jax.tree.leaves(loop.params(state))
            wanted = [0.75 * old + 0.25 * np.asarray(new, np.float64) for old, new in zip(wanted, moved, strict=True)]
        for ours, theirs in zip(jax.tree.leaves(state.reference), wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    examples, sampled, _ = loop.collect(state)
    labelled, _ = loop.label(state, examples, sampled, rewards_of(length_reward, examples, 2))
    assert (labelled.reference_log_probs == loop.score_reference(state.reference, labelled).log_probs).all()
    assert (labelled.behavior_log_probs == loop.score_reference(policy().params, labelled).log_probs).all()
    assert (labelled.reference_log_probs != labelled.behavior_log_probs).any()


def test_a_reference_that_is_the_policy_leaves_dpo_at_log_two():
    """Synchronised after every step: each step begins at the reference. A fixed one is left."""
    config = dataclasses.replace(OFFLINE, collections=3, reference_every=1)
    losses = lambda config: [record["loss"] for record in run(config, optimizer=SGD)[1] if "loss" in record]
    assert losses(config) == pytest.approx([math.log(2)] * 3, rel=1e-5)
    assert losses(dataclasses.replace(config, reference_every=0))[-1] < math.log(2) - 2e-5


def test_a_loss_without_weight_is_told():
    step = {"step": 1, "gradient_norm": 0.5, "fraction_pushed_down": 0.0}
    assert idle([step, {**step, "fraction_pushed_down": 0.1}], METHODS["dpo"]) is None
    assert idle([step, {"reward": 1.0}], METHODS["rwr"]) is None
    assert "in none of 2 steps did it push one" in idle([step, step], METHODS["best_of_n_negative"])
    assert "the gradient was 0 in all 1 steps" in idle([{**step, "gradient_norm": 0.0}], METHODS["rwr"])
    assert idle([], METHODS["rwr"]) is None


def test_only_the_policys_own_samples_estimate_its_kl():
    for config, there in ((OFFLINE, False), (ON_POLICY, True), (dataclasses.replace(ON_POLICY, mixing=0.5), False)):
        _, records = run(config)
        steps = [record for record in records if "loss" in record]
        assert steps
        assert all(("kl_to_reference" in record) == there for record in steps)


@pytest.mark.slow
def test_rewards_rise():
    """REINFORCE on the share of a response's tokens that are of the vocabulary's second half."""

    def high(examples):
        return np.array([[float((r >= 27).mean()) for r in e.responses] for e in examples])

    config = TuneConfig(
        "reinforce", 64, 4, 64, collections=12, max_new_tokens=4, length_multiple=16, standardization="batch"
    )
    config = dataclasses.replace(config, hyper=HyperParameters(learning_rate=0.01))
    _, records = run(config, pairs(16), reward=high)
    rewards = [record["reward"] for record in records if "reward" in record]
    assert rewards[-1] > rewards[0] + 0.2


def test_adapters_start_at_the_policy_and_come_back_merged():
    config = dataclasses.replace(OFFLINE, lora_rank=2, hyper=HyperParameters(learning_rate=0.01))
    tuned, records = run(config, reward=None)
    steps = [record for record in records if "loss" in record]
    assert steps[0]["loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert jax.tree.structure(tuned.params) == jax.tree.structure(policy().params)
    assert (tuned.params["embed"]["embedding"] == policy().params["embed"]["embedding"]).all()
    assert not same(tuned.params, policy().params)


def test_fewer_responses_than_there_is_room_for():
    """Completions alone, offline RWR with a reward: one response a prompt where there is room for two."""
    data = [Example(e.prompt, e.responses[: 1 + i % 2]) for i, e in enumerate(pairs())]
    tuned, records = run(dataclasses.replace(OFFLINE, method="offline_rwr"), data)
    assert all(math.isfinite(record["loss"]) for record in records if "loss" in record)
    assert not same(tuned.params, policy().params)


def test_evaluations_are_reported_before_within_and_after():
    config = dataclasses.replace(OFFLINE, collections=3)
    _, records = run(config, evaluate=lambda params, step: {"seen": step}, evaluate_every=2)
    assert [record["seen"] for record in records if "seen" in record] == [0, 2, 3]


def test_the_data_s_own_preferences():
    good, bad = Example(np.array([1]), (np.array([2]),), True), Example(np.array([1]), (np.array([2]),), False)
    assert preferences([good, bad]).tolist() == [[1.0], [0.0]]
    assert preferences(pairs()[:2]).tolist() == [[1.0, 0.0], [1.0, 0.0]]
    # What KTO makes of lone judgements: the good one goes up, the bad one down.
    tokens, ones = np.ones((2, 1, 3), np.int32), np.ones((2, 1), np.int32)
    log_probs = jnp.full((2, 1, 2), -1.0)
    lone = Labelled(tokens, 3 * ones, ones, ones > 0, None, log_probs, preferences([good, bad]))
    weights = response_weights(METHODS["kto"], as_batch(lone, log_probs), HyperParameters(), LANGUAGE_OPTIONS)
    np.testing.assert_allclose(weights, [[0.1 / 4 / 2], [-0.1 / 4 / 2]], rtol=1e-6)  # ±β/4, mean of two


def test_rows_of_a_minibatch_are_as_long_as_they_need_to_be():
    tokens = np.arange(2 * 64, dtype=np.int32).reshape(2, 1, 64)
    lengths = np.array([[60], [17]], np.int32)
    scores = np.zeros((2, 1, 63), np.float32)
    data = Labelled(tokens, lengths, np.ones_like(lengths), lengths > 0, scores, None, scores[..., 0])
    assert trimmed(data, np.array([0]), 16).tokens.shape == (1, 1, 64)
    short = trimmed(data, np.array([1]), 16)
    assert short.tokens.shape == (1, 1, 32)
    assert short.behavior_log_probs.shape == (1, 1, 31)
    assert (short.tokens == tokens[1:, :, :32]).all()


@pytest.mark.slow
def test_nothing_is_compiled_after_the_second_collection(tmp_path):
    """Sampling, labels, steps, a reference that moves, evaluation and checkpoint of four collections."""
    compiled = [0]
    config = dataclasses.replace(ON_POLICY, collections=4, seed=3, reference_every=1, reference_decay=0.5)
    prompts = [pair.prompt.tolist() for pair in pairs()[:3]]

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled[-1] += 1

    def evaluation(params, step):
        how = {"eos": [EOS], "reference": policy(), "config": EvaluationConfig(1, 6, 4)}
        return evaluate(ModelWithParams(MODEL, params), prompts, key=jax.random.key(0), **how).numbers

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with RunFolder(tmp_path, {}) as folder, RunCheckpoints(folder, 1) as checkpoints:
            counted = lambda numbers: (compiled.append(0) or number for number in numbers)
            how = {"evaluate": evaluation, "evaluate_every": 1, "checkpoints": checkpoints, "progress": counted}
            run(config, **how)
        compiled.append(0)
        jax.jit(lambda x: x * 3 + 1)(1.0)  # the listener hears
    finally:
        jax.monitoring.clear_event_listeners()
    assert compiled[3:] == [0, 0, 1], compiled
