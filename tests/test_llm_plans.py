"""Dry runs: counts that can be derived, and every preset through the real command line, without a network."""

import pytest
from llm_cases import command, golden
from test_llm_sizes import PYTHIA, VERSIONS

from modeseek.llm.commands.cli import parse
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.accelerators import ACCELERATORS
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.parallel.roofline import decoding_bytes, training_flop
from modeseek.llm.runs.known import KNOWN_MODELS, model_sizes
from modeseek.llm.runs.plans import Model, Rate, generation_seconds, plan_epochs, plan_tune, table
from modeseek.llm.runs.presets import GRIDS, NAMES, POLICIES, TASKS, stages
from modeseek.llm.training.settings import RewardModelConfig, SFTConfig
from modeseek.llm.training.tune_config import TuneConfig

SMALL = Model(config_from(KNOWN_MODELS["EleutherAI/pythia-70m"]), "bfloat16", True)
RATE = Rate(ACCELERATORS["h100"], mfu=0.5, decoding=0.25)


def test_known_models_have_their_published_numbers_of_parameters():
    published = {f"EleutherAI/pythia-{size}": row[-1] for size, row in PYTHIA.items()}
    published |= {f"mistralai/Mistral-7B-{version}": count for version, (_, count) in VERSIONS.items()}
    published["HuggingFaceH4/mistral-7b-sft-beta"] = published["mistralai/Mistral-7B-v0.1"]
    for name in KNOWN_MODELS:
        assert memory.parameter_count(model_sizes(name)) == published[name], name
    assert model_sizes("EleutherAI/pythia-70m@step1000") == model_sizes("EleutherAI/pythia-70m")
    assert model_sizes(str(golden("pythia"))).vocab_size == 53  # a folder says its own


def test_sft_is_six_flop_a_parameter_and_token_and_attention():
    plan = plan_epochs(SMALL, SFTConfig(epochs=2.0, batch=8), 100, 384, RATE)
    assert plan.sizes["gradient steps"] == 24  # 12 whole batches of 8, twice
    flop = 24 * training_flop(SMALL.config, 8, 384)
    assert plan.seconds["update"] == pytest.approx(flop / (0.5 * 989e12))
    trained = SMALL.parameters - SMALL.config.vocab_size * SMALL.config.width  # the embedding is looked up
    assert 1 < flop / (6 * trained * 24 * 8 * 384) < 1.2
    assert sum(plan.held.values()) == 3 * 4 * SMALL.parameters  # parameters and Adam's two moments
    whole = memory.training(SMALL.config, SMALL.compute, MeshShape(), 8, 384)
    assert plan.peak == whole.total


def test_a_reward_model_reads_two_rows_a_pair():
    config = RewardModelConfig(batch=8, accumulate=1)
    pairs = plan_epochs(SMALL, config, 80, 128, RATE, responses=2, chunk=1)
    assert pairs.sizes["tokens, at most"] == 10 * 8 * 2 * 128
    assert pairs.seconds["update"] == pytest.approx(10 * training_flop(SMALL.config, 16, 128) / (0.5 * 989e12))


def test_algorithm_1_generates_scores_and_updates():
    """Offline: the reference's pass, and a pass with a step. On-policy also sampling and the policy's own pass."""
    sizes = {"samples_per_collection": 16, "minibatch_size": 8, "responses_per_prompt": 2, "collections": 5}
    row = training_flop(SMALL.config, 1, 96)
    offline = plan_tune(SMALL, TuneConfig("dpo", **sizes), 40, 32, 64, RATE)
    assert "generate" not in offline.seconds
    assert offline.sizes["gradient steps"] == 10
    assert offline.sizes["passes over the prompts"] == 1.0
    flops = 0.5 * 989e12
    assert offline.seconds["score"] == pytest.approx(5 * 16 * row / 3 / flops, rel=1e-6)
    assert offline.seconds["update"] == pytest.approx(10 * 8 * row * 4 / 3 / flops, rel=1e-6)
    assert sum(offline.held.values()) == 4 * 4 * SMALL.parameters  # policy, Adam's moments, reference
    config = TuneConfig("on_policy_dpo", max_new_tokens=64, generation_batch=8, **sizes)
    sampled = plan_tune(SMALL, config, 40, 32, 999, RATE, scorer=SMALL)
    assert sampled.seconds["score"] == pytest.approx(5 * 16 * 3 * row / 3 / flops, rel=1e-6)
    once = generation_seconds(SMALL, 16, 8, 32, 64, RATE)
    assert sampled.seconds["generate"] == pytest.approx(5 * once)
    read = training_flop(SMALL.config, 16, 32) / 3 / flops
    assert once == pytest.approx(read + 2 * 64 * decoding_bytes(SMALL.config, 8, 64) / (0.25 * 3.35e12))
    adapted = plan_tune(SMALL, TuneConfig("dpo", lora_rank=4, **sizes), 40, 32, 64, RATE)
    assert adapted.held["policy and reference"] == 4 * SMALL.parameters
    assert sum(adapted.held.values()) < sum(offline.held.values()) / 3
    with pytest.raises(ValueError, match="a collection takes 8 prompts, but there are 7"):
        plan_tune(SMALL, TuneConfig("dpo", **sizes), 7, 32, 64, RATE)


def test_what_does_not_fit_is_said():
    large = Model(model_sizes("mistralai/Mistral-7B-v0.1"), "bfloat16", True)
    plan = plan_tune(large, TuneConfig("dpo"), 1000, 128, 256, RATE)
    assert "does NOT fit one h100" in table(plan, RATE, "h100")
    assert "assumed: 989 TFLOP/s at 50 %" in table(plan, RATE, "h100")
    assert plan.sizes["parameters"] == 7_241_732_096


def first_and_last(name):
    """Of the tunings alone: they differ in the numbers of the grid."""
    found = stages(name)
    tuned = [stage for stage in found if stage.name == "tune"]
    return [stage for stage in found if stage.name not in ("tune", "evaluate")], tuned[0], tuned[-1], found[-1]


@pytest.mark.parametrize("task", TASKS)
def test_every_preset_is_understood_and_planned(task, monkeypatch):
    """Offline: a way to the hub would be a failure."""
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("a dry run downloads"))
    for policy in POLICIES:
        before = None
        for method in GRIDS:
            setup, first, last, evaluation = first_and_last(f"{task}-{policy}-{method}")
            assert before in (None, setup), "presets of one setting share their first stages"
            fresh = () if before == setup else setup
            before = setup
            for stage in (*fresh, first):
                planned = parse([*stage.planned])
                assert planned.dry.dry_run
                plan = planned.plan()
                assert plan.hours > 0
                assert plan.peak <= 0.95 * ACCELERATORS["h200"].memory, stage.arguments
            asked = parse([*last.arguments])
            assert not asked.dry.dry_run
            assert parse([*evaluation.arguments]).source == f"{asked.out}/policy"


def test_grids_are_those_of_the_tables():
    """Table 4 (64 prompts a step, 8 rows at once), Table 5 (256 new tokens), and the values of Tables 6 to 10: Table 6,
    Table 7, Table 8, Table 9 and Table 10."""
    counts = {name: len(list(grid.points())) for name, grid in GRIDS.items()}
    assert counts == {
        "dpo": 20,
        "pref-ft": 4,
        "binary-feedme": 4,
        "ppo": 5,
        "rwr": 20,
        "best-of-4": 5,
        "best-of-10": 5,
        "on-policy-dpo": 20,
    }
    assert len(NAMES) == 5 * 2 * 8
    config = parse([*first_and_last("min-length-pythia-rwr")[2].arguments]).config
    assert (config.hyper.learning_rate, config.hyper.temperature) == (1e-5, 20.0)
    assert (config.responses_per_prompt, config.minibatch_size // config.accumulate) == (1, 8)
    assert config.max_new_tokens == 256
    ppo = parse([*first_and_last("min-length-pythia-ppo")[1].arguments]).config
    assert ppo.valued
    assert (ppo.value.coefficient, ppo.hyper.kl_coefficient, ppo.kl.target) == (0.1, 0.2, 6.0)
    for name in GRIDS:  # 64 prompts a step: table 4's B
        assert parse([*first_and_last(f"alpacafarm-pythia-{name}")[1].arguments]).config.prompts_per_minibatch == 64


def test_the_command_lists_and_plans(capsys):
    assert command("preset") == 0
    assert capsys.readouterr().out.split() == list(NAMES)
    assert command("preset", "min-length-pythia-ppo", "--dry-run", "--device", "a40") == 0
    told = capsys.readouterr().out
    assert told.count("modeseek llm tune") == 5
    assert "hours of all commands but the evaluations, on one a40:" in told
    assert told.count("as the one before") == 4
    assert command("preset", "min-length-pythia-pp") == 2
    assert "min-length-pythia-ppo" in capsys.readouterr().err
    asked = ["--model", "EleutherAI/pythia-70m", "--data", "owner/name", "--dry-run"]
    assert command("sft", *asked) == 2
    assert "give --rows" in capsys.readouterr().err
    assert command("sft", "--model", "EleutherAI/pythia-70m", "--data", "nosuch.jsonl", "--dry-run") == 2
    assert "there is no file or folder nosuch.jsonl" in capsys.readouterr().err
    assert command("sft", *asked, "--rows", "1000", "--device", "h10") == 2
    assert "the device 'h10' is not known" in capsys.readouterr().err
    assert command("sft", *asked, "--rows", "1000", "--tflops", "100") == 0
    assert "assumed: 100 TFLOP/s" in capsys.readouterr().out
