"""`modeseek llm`: what goes in, what comes out, and what is refused."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from llm_cases import command, copied, golden, needs_transformers, write_word_tokenizer

from modeseek.llm.checkpoints.checkpoint import open_checkpoint


@pytest.fixture
def words(tmp_path) -> Path:
    """The golden Pythia with a tokenizer of 53 whole words, w0 … w52, and a chat template."""
    folder = copied("pythia", tmp_path)
    template = "{% for m in messages %}w5 {{ m.content }} {% endfor %}w6"
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1", template)
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_generated_scores_the_same(tmp_path, capsys):
    """From ids to ids in a folder without a tokenizer; another batch size and other neighbours change no response."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt_ids": ids}) + "\n" for ids in ([5, 6], [7], [8, 9, 10])))
    out, again, scores = tmp_path / "out.jsonl", tmp_path / "again.jsonl", tmp_path / "scores.jsonl"
    common = ["generate", str(golden("pythia")), "--file", str(prompts), "--samples", "2", "--max-new-tokens", "9"]
    assert command(*common, "--out", str(out)) == 0
    assert command(*common, "--out", str(again), "--batch", "4") == 0
    rows = lines(out)
    assert [row["response_ids"] for row in rows] == [row["response_ids"] for row in lines(again)]
    assert [row["prompt_ids"] for row in rows] == [[5, 6]] * 2 + [[7]] * 2 + [[8, 9, 10]] * 2
    for row in rows:
        assert row["stopped"] == (row["response_ids"][-1] == 2)  # the configuration's EOS
        assert row["stopped"] or len(row["response_ids"]) == 9
    arguments = [
        "--file",
        str(out),
        "--out",
        str(scores),
        "--per-token",
        "--entropy",
        "--against",
        str(golden("pythia")),
    ]
    assert command("score", str(golden("pythia")), *arguments, "--batch", "4") == 0
    for row, scored in zip(rows, lines(scores), strict=True):
        assert scored["tokens"] == len(row["response_ids"])
        assert scored["log_prob"] == pytest.approx(row["log_prob"], abs=1e-3)
        assert sum(scored["log_probs_per_token"]) == pytest.approx(scored["log_prob"], abs=1e-3)
        assert 0 < scored["entropy"] < scored["tokens"] * math.log(53)
        assert scored["kl"] == pytest.approx(0.0, abs=1e-5)
    assert command(*common, "--out", str(out)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert list(tmp_path.glob(".*")) == []


@needs_transformers
def test_texts_chats_and_stops(words, tmp_path, capsys):
    common = ["--max-new-tokens", "9", "--temperature", "0", "--ignore-eos"]
    assert command("generate", str(words), "w9 w8", *common) == 0
    text = capsys.readouterr().out.strip()
    assert len(text.split()) == 9
    stop = text.split()[0]
    assert command("generate", str(words), "w9 w8", *common, "--stop", stop) == 0
    assert capsys.readouterr().out.strip() == stop
    out = tmp_path / "chat.jsonl"
    assert command("generate", str(words), "w9 w8", *common, "--chat", "--out", str(out)) == 0
    (row,) = lines(out)
    assert (row["prompt"], row["prompt_ids"]) == ("w9 w8", [5, 9, 8, 6])
    assert row["response"].split() == [f"w{i}" for i in row["response_ids"]]
    capsys.readouterr()
    assert command("score", str(words), "w9 w8 w7", "w3 w4") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["tokens", "log_prob"]
    assert [line.split()[0] for line in table[1:]] == ["2", "1"]


def test_convert_writes_a_folder_that_opens(tmp_path, capsys):
    out = tmp_path / "out"
    assert command("convert", str(golden("pythia")), str(out), "--dtype", "float32", "--shard-gigabytes", "1e-4") == 0
    said = capsys.readouterr().out
    assert "40 tensors of gpt_neox, " in said
    assert f"saved in {out}" in said
    assert open_checkpoint(out).dtype == "float32"
    assert len(list(out.glob("*.safetensors"))) > 1
    assert command("convert", str(golden("pythia")), str(out)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_info_prints_sizes_parameters_and_memory(capsys):
    assert command("info", str(golden("mistral_window")), "--batch", "4", "--length", "32", "--fsdp", "2") == 0
    said = capsys.readouterr().out
    checkpoint = open_checkpoint(golden("mistral_window"))
    stored = sum(tensor.read().size for tensor in checkpoint.tensors.values())
    assert f"{stored:>18,}" in said
    assert "window              4" in said
    assert "per device, 4 sequences of 32 tokens, data 1 x fsdp 2 x tensor 1" in said
    assert "inference" in said
    assert "training (float32 parameters, bfloat16 computing, remat full)" in said


BAD = [
    (("info", "nowhere/at/all"), "there is no folder nowhere/at/all"),
    (("info", "./nowhere"), "there is no folder ./nowhere"),
    (("info", "PYTHIA", "--batch", "0"), "batch must be a whole number of at least 1, got 0"),
    (("info", "PYTHIA", "--length", "65"), "length (65) is more than the model's context of 64"),
    (("info", "PYTHIA", "--length", "9", "--tensor", "2"), "does not divide the model: heads (3) by tensor (2)"),
    (("info", "PYTHIA", "--rank", "9999"), "rank must be 1 to 48 (the smallest side of a kernel), got 9999"),
    (("convert", "PYTHIA", "out", "--shard-gigabytes", "0"), "shard_gigabytes must be positive and finite, got 0.0"),
    (("convert", "PYTHIA", "out", "--shard-gigabytes", "inf"), "shard_gigabytes must be positive and finite, got inf"),
    (("convert", "EMPTY", "out"), "cannot read"),
    (("generate", "PYTHIA"), "there are no prompts: give some as arguments"),
    (("generate", "PYTHIA", "w2", "--file", "x.txt"), "prompts came as arguments and in a file"),
    (("generate", "PYTHIA", "--file", "x.txt"), "cannot read x.txt: No such file"),
    (("generate", "PYTHIA", "--file", "NOTHING"), "empty.txt is empty"),
    (("generate", "PYTHIA", "--file", "BROKEN"), "line 2 of"),
    (
        ("generate", "PYTHIA", "--file", "IDS", "--max-new-tokens", "9"),
        "prompt 1 holds id 53, outside the vocabulary of 53",
    ),
    (
        ("generate", "PYTHIA", "--file", "IDS", "--max-new-tokens", "63"),
        "prompt 2 has 3 tokens and 63 new ones, more than",
    ),
    (("generate", "PYTHIA", "--file", "IDS"), "prompt 0 is empty"),
    (("generate", "PYTHIA", "hello"), "no tokenizer could be read from"),
    (("generate", "PYTHIA", "w2", "--temperature", "-1"), "temperature must be a number of at least 0"),
    (("generate", "PYTHIA", "w2", "--top-p", "0"), "top_p must be more than 0"),
    (("generate", "PYTHIA", "w2", "--temperature", "1e-40"), "got 1e-40"),
    (("generate", "PYTHIA", "w2", "--top-k", "10000000000"), "below 2^31, got 10000000000"),
    (("generate", "PYTHIA", "w2", "--seed", str(2**32)), f"seed must be a whole number from 0 to {2**32 - 1}, got"),
    (("generate", "PYTHIA", "w2", "--seed", "-1"), "seed must be a whole number from 0 to"),
    (("generate", "PYTHIA", "w2", "--stop", "a", ""), "a stop must be a text of at least one character"),
    (("generate", "PYTHIA", "--stop", "a", "w2"), "all 2 texts after --stop are stops; put prompts before it"),
    (("generate", "PYTHIA", "w\udcff"), "argument 1 is not text: it holds the lone surrogate '\\udcff'"),
    (("score", "PYTHIA", "--file", "HALF"), "line 2 of half.jsonl is not text: it holds the lone surrogate '\\ud800'"),
    (("generate", "PYTHIA", "w2", "--batch", "0"), "batch must be a whole number of at least 1, got 0"),
    (("generate", "PYTHIA", "w2", "--out", "nowhere/x.txt"), "there is no folder nowhere"),
    (("generate", "REWARD", "w2"), "has a reward head: this needs a language model"),
    (("score", "PYTHIA", "--file", "IDS"), "record 0 has neither a response nor a text"),
    (("score", "PYTHIA", "--file", "ONE"), "record 0 has 1 token(s): nothing predicts the first one"),
    (("score", "PYTHIA", "w2 w3", "--chunk", "0"), "chunk must be a whole number of at least 1, got 0"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_ends_with_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    files = {
        "NOTHING": ("empty.txt", ""),
        "BROKEN": ("broken.jsonl", '{"prompt_ids": [3]}\n{"prompt_ids": [3\n'),
        "IDS": ("ids.jsonl", '{"prompt_ids": []}\n{"prompt_ids": [53]}\n{"prompt_ids": [1, 2, 3]}\n'),
        "HALF": ("half.jsonl", '"w2"\n{"prompt": "w3", "response": "w5 \\ud800"}\n'),
        "ONE": ("one.jsonl", '{"text_ids": [3]}\n'),
    }
    for name, content in files.values():
        Path(name).write_text(content)
    places = {"PYTHIA": str(golden("pythia")), "REWARD": str(golden("llama")), "EMPTY": "empty"}
    places |= {name: file for name, (file, _) in files.items()}
    before = sorted(tmp_path.rglob("*"))
    assert command(*(places.get(argument, argument) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_leaves_nothing_half_done(tmp_path):
    """SIGINT while responses are generated: one line, status 130, and no file but that of the finished rows."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt_ids": [3]}\n' * 50_000)
    options = ["--file", str(prompts), "--batch", "1", "--max-new-tokens", "60", "--out", str(tmp_path / "out.jsonl")]
    # A shell that starts tests in the background has them ignore SIGINT, and their children with them; it is the child
    # that hears it again, as a function between fork and exec is refused by JAX, whose threads do not survive a fork.
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from modeseek import cli; "
    program = [sys.executable, "-c", heard + "sys.exit(cli.main())", "llm", "generate", str(golden("pythia")), *options]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    try:
        while "batches" not in (seen := process.stderr.read(1) + process.stderr.readline(200)):  # the bar is there
            assert seen, "it ended before it began"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "modeseek: interrupted"
    assert {file.name for file in tmp_path.iterdir()} <= {"prompts.jsonl", "out.jsonl.partial"}


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    program = f"{sys.executable} -m modeseek.cli llm info {golden('pythia')} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_cannot_be_written_is_known_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("modeseek.llm.checkpoints.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3], "response_ids": [4]}')
    for out in ("/proc/out.jsonl", str(tmp_path / ("n" * 240 + ".jsonl")), str(tmp_path / ("n" * 300))):
        for name in ("generate", "score"):
            assert command(name, str(golden("pythia")), "--file", str(tmp_path / "ids.jsonl"), "--out", out) == 2
            assert f"cannot write to {out}" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pipe_is_no_checkpoint(tmp_path, capsys):
    """It would be waited for; and so would each of its files."""
    for name in ("config.json", "model.safetensors", "model.safetensors.index.json"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(golden("pythia") / "config.json", folder / "config.json")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        assert command("score", str(folder), "w2 w3") == 2
        said = capsys.readouterr().err
        assert "not a file" in said or "holds no safetensors" in said


def test_deep_json_is_named(tmp_path, capsys):
    deep = "[" * 100_000
    (tmp_path / "deep.jsonl").write_text(deep)
    assert command("score", str(golden("pythia")), "--file", str(tmp_path / "deep.jsonl")) == 2
    assert "deep.jsonl is nested too deeply to be read" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"a": ' + deep)
    assert command("info", str(tmp_path)) == 2
    assert "is nested too deeply to be read" in capsys.readouterr().err


def test_sizes_beyond_reason_end_with_one_line(tmp_path, capsys):
    raw = json.loads((golden("pythia") / "config.json").read_text())
    for key, value in (("num_hidden_layers", 10**9), ("vocab_size", 10**30)):
        (tmp_path / "config.json").write_text(json.dumps(raw | {key: value}))
        assert command("info", str(tmp_path)) == 2
        assert "must be at most" in capsys.readouterr().err
    assert command("info", str(golden("pythia")), "--batch", str(2**63 - 1), "--length", "8") == 0
    for option in ("--batch", "--chunk", "--data", "--length"):
        assert command("info", str(golden("pythia")), option, str(10**400)) == 2
        assert f"{option[2:]} must be at most 9223372036854775807, got 1000" in capsys.readouterr().err
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3]}')
    rows = ["--file", str(tmp_path / "ids.jsonl"), "--samples", str(10**12)]
    assert command("generate", str(golden("pythia")), *rows, "--max-new-tokens", "2") == 2
    assert "these would be 1000000000000 responses" in capsys.readouterr().err


def test_help_reads_well(capsys):
    for name in ("generate", "score"):
        assert command(name, "--help") == 0
        said = capsys.readouterr().out
        assert "a local folder, or a name on the Hugging Face hub" in " ".join(said.replace("│", " ").split())


def test_other_commands_import_nothing_of_the_language_models():
    """`modeseek --help` stays as quick as it was, and the language models' own help does without transformers."""
    program = (
        "import sys; from modeseek.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'transformers', 'torch', 'huggingface_hub', 'modeseek.llm'} & set(sys.modules)))"
    )
    for arguments, expected in (
        (["--help"], "[]"),
        (["bench", "--help"], "[]"),
        (["llm", "--help"], "['modeseek.llm']"),
    ):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == expected, arguments
    assert "convert" in done.stdout
