"""`modeseek llm demo`, as small as it can be: every stage, what an interrupted one leaves, and what is printed."""

import json

import pytest
from llm_cases import command

pytest.importorskip("transformers")

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.commands.demo import figure, table
from modeseek.llm.data.records import Completion
from modeseek.llm.runs.length_demo import run, tune_config
from modeseek.llm.runs.sizes import DemoSizes
from modeseek.llm.runs.stages import Watch, stage

CORPUS = [Completion(f"def f{i}(x)\n", " ".join(["word"] * (1 + i % 7))) for i in range(120)]

SIZES = DemoSizes(
    scenarios=("min_length",),
    methods=("dpo", "on_policy_dpo"),
    width=32,
    layers=1,
    vocab_size=300,
    max_prompt=30,
    max_response=20,
    sft_steps=2,
    batch=8,
    pair_prompts=128,
    reward_epochs=0.1,
    collections=1,
    evaluate_every=1,
    evaluate_prompts=4,
)


def test_a_stage_is_made_once_and_never_half(tmp_path):
    made = []

    def stopped(own):
        (own / "half").touch()
        raise KeyboardInterrupt

    def whole(own):
        made.append(sorted(path.name for path in own.iterdir()))
        return {"x": 1.5}

    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, "a/b", stopped)
    for _ in range(2):
        assert stage(tmp_path, "a/b", whole) == {"x": 1.5}
    assert made == [[]]  # once, in a folder without what the stopped one left


@pytest.mark.slow  # every program of every stage is compiled, two minutes on one core
def test_stages_go_on_where_they_were_stopped(tmp_path, monkeypatch):
    """Stopped within the second method's training: what is done is not done again, and the rest is done."""
    monkeypatch.setattr("modeseek.llm.runs.length_data.python_docstrings", lambda limits: CORPUS)
    said = []

    def stop(record):
        if record["stage"].endswith("on_policy_dpo") and "loss" in record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, SIZES, Watch(report=stop))
    results = run(tmp_path, SIZES, Watch(say=said.append))
    assert said[-1] == "min_length/on_policy_dpo …"
    assert {line.partition(":")[2] for line in said[:-1]} == {" done before"}
    methods = results["min_length"]
    assert [*methods] == ["sft", "dpo", "on_policy_dpo"]
    start = methods["sft"]["evaluations"][0]
    assert start["kl"] == pytest.approx(0.0, abs=1e-4)
    for name in SIZES.methods:
        first, last = methods[name]["evaluations"]
        assert first == pytest.approx(start, abs=1e-4)  # every method begins with the reference
        assert last["kl"] != first["kl"]
        assert open_checkpoint(tmp_path / "min_length" / name / "policy").raw["eos_token_id"] == 0
    pairs = json.loads((tmp_path / "min_length" / "pairs" / "result.json").read_text())["pairs"]
    assert all(len(pair["chosen"]) <= len(pair["rejected"]) for pair in pairs)  # shorter was chosen
    printed = table(methods)
    assert printed.splitlines()[0] == "| method | length | gold | proxy | KL | EOS |"
    assert len(figure(results).axes) == 4


def test_where_the_policy_answers_it_answers_four_times():
    assert tune_config("rwr", SIZES).responses_per_prompt == 4
    assert tune_config("offline_rwr", SIZES).responses_per_prompt == 2


def test_sizes_that_no_demo_has_are_refused(tmp_path, capsys):
    assert command("demo", "--out", str(tmp_path), "--width", "33") == 2
    assert "width must be a multiple of 32, got 33" in capsys.readouterr().err
