"""`modeseek llm generate` and `score`: what goes in, what comes out, and what is refused."""

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest
from llm_cases import golden

from bandit.cli import main
from llm import available
from llm.available import available_bytes, check_room
from llm.commands.lines import read_records
from llm.memory import Memory

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="tokenizers come with the llm extra"
)


def run(*arguments: str) -> int:
    """The command's exit status."""
    with pytest.raises(SystemExit) as exit_:
        main(["llm", *arguments])
    return exit_.value.code


@pytest.fixture
def words(tmp_path) -> Path:
    """The golden Pythia with a tokenizer of 53 whole words, w0 … w52, and a chat template."""
    folder = tmp_path / "model"
    shutil.copytree(golden("pythia"), folder)
    backend = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "decoder": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {f"w{i}": i for i in range(53)}, "unk_token": "w1"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w1"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}w5 {{ m.content }} {% endfor %}w6")
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_generated_scores_the_same(tmp_path, capsys):
    """From ids to ids in a folder without a tokenizer; another batch size and other neighbours change no response."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt_ids": ids}) + "\n" for ids in ([5, 6], [7], [8, 9, 10])))
    out, again, scores = tmp_path / "out.jsonl", tmp_path / "again.jsonl", tmp_path / "scores.jsonl"
    common = ["generate", str(golden("pythia")), "--file", str(prompts), "--samples", "2", "--max-new-tokens", "9"]
    assert run(*common, "--out", str(out)) == 0
    assert run(*common, "--out", str(again), "--batch", "4") == 0
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
    assert run("score", str(golden("pythia")), *arguments, "--batch", "4") == 0
    for row, scored in zip(rows, lines(scores), strict=True):
        assert scored["tokens"] == len(row["response_ids"])
        assert scored["log_prob"] == pytest.approx(row["log_prob"], abs=1e-3)
        assert sum(scored["log_probs_per_token"]) == pytest.approx(scored["log_prob"], abs=1e-3)
        assert 0 < scored["entropy"] < scored["tokens"] * math.log(53)
        assert scored["kl"] == pytest.approx(0.0, abs=1e-5)
    assert run(*common, "--out", str(out)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert list(tmp_path.glob(".*")) == []


@needs_transformers
def test_texts_chats_and_stops(words, tmp_path, capsys):
    common = ["--max-new-tokens", "9", "--temperature", "0", "--ignore-eos"]
    assert run("generate", str(words), "w9 w8", *common) == 0
    text = capsys.readouterr().out.strip()
    assert len(text.split()) == 9
    stop = text.split()[0]
    assert run("generate", str(words), "w9 w8", *common, "--stop", stop) == 0
    assert capsys.readouterr().out.strip() == stop
    out = tmp_path / "chat.jsonl"
    assert run("generate", str(words), "w9 w8", *common, "--chat", "--out", str(out)) == 0
    (row,) = lines(out)
    assert (row["prompt"], row["prompt_ids"]) == ("w9 w8", [5, 9, 8, 6])
    assert row["response"].split() == [f"w{i}" for i in row["response_ids"]]
    capsys.readouterr()
    assert run("score", str(words), "w9 w8 w7", "w3 w4") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["tokens", "log_prob"]
    assert [line.split()[0] for line in table[1:]] == ["2", "1"]


BAD = [
    (("generate", "MODEL"), "there are no prompts: give some as arguments"),
    (("generate", "MODEL", "w2", "--file", "x.txt"), "prompts came as arguments and in a file"),
    (("generate", "MODEL", "--file", "x.txt"), "cannot read x.txt: No such file"),
    (("generate", "MODEL", "--file", "EMPTY"), "empty.txt is empty"),
    (("generate", "MODEL", "--file", "BROKEN"), "line 2 of"),
    (
        ("generate", "MODEL", "--file", "IDS", "--max-new-tokens", "9"),
        "prompt 1 holds id 53, outside the vocabulary of 53",
    ),
    (
        ("generate", "MODEL", "--file", "IDS", "--max-new-tokens", "63"),
        "prompt 2 has 3 tokens and 63 new ones, more than",
    ),
    (("generate", "MODEL", "--file", "IDS"), "prompt 0 is empty"),
    (("generate", "MODEL", "hello"), "no tokenizer could be read from"),
    (("generate", "MODEL", "w2", "--temperature", "-1"), "temperature must be a number of at least 0"),
    (("generate", "MODEL", "w2", "--top-p", "0"), "top_p must be more than 0"),
    (("generate", "MODEL", "w2", "--batch", "0"), "batch must be at least 1, got 0"),
    (("generate", "MODEL", "w2", "--out", "nowhere/x.txt"), "there is no folder nowhere"),
    (("generate", "REWARD", "w2"), "has a reward head: this needs a language model"),
    (("score", "MODEL", "--file", "IDS"), "record 0 has neither a response nor a text"),
    (("score", "MODEL", "--file", "ONE"), "record 0 has 1 token(s): nothing predicts the first one"),
    (("score", "MODEL", "w2 w3", "--chunk", "0"), "chunk must be at least 1, got 0"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_ends_with_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "EMPTY": ("empty.txt", ""),
        "BROKEN": ("broken.jsonl", '{"prompt_ids": [3]}\n{"prompt_ids": [3\n'),
        "IDS": ("ids.jsonl", '{"prompt_ids": []}\n{"prompt_ids": [53]}\n{"prompt_ids": [1, 2, 3]}\n'),
        "ONE": ("one.jsonl", '{"text_ids": [3]}\n'),
    }
    for name, content in files.values():
        Path(name).write_text(content)
    places = {"MODEL": str(golden("pythia")), "REWARD": str(golden("llama"))} | {k: v[0] for k, v in files.items()}
    assert run(*(places.get(argument, argument) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_records_from_files_and_standard_input(tmp_path, monkeypatch):
    import io

    (tmp_path / "a.txt").write_text("one\n\ntwo {x}\n")
    assert read_records([], tmp_path / "a.txt") == [{"prompt": "one"}, {"prompt": ""}, {"prompt": "two {x}"}]
    monkeypatch.setattr("sys.stdin", io.StringIO('{"prompt": "a"}\n"b"\n'))
    assert read_records([], Path("-")) == [{"prompt": "a"}, {"prompt": "b"}]
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    assert read_records([], Path("-")) == [{"prompt": "a"}, {"prompt": "b"}]
    for wrong in ('{"prompt": 3}', "[1]", '{"prompt_ids": ["a"]}', '{"messages": ["a"]}'):
        (tmp_path / "b.jsonl").write_text(wrong)
        with pytest.raises(ValueError, match=r"line 1 of .*b.jsonl"):
            read_records([], tmp_path / "b.jsonl")


def test_too_little_memory_is_said_before_anything_is_loaded(monkeypatch, capsys, tmp_path):
    needed = Memory({"parameters": 2048, "cache": 1024})
    check_room(needed, "this", "do that", available=3072)
    with pytest.raises(
        ValueError, match=r"this needs about 3.00 KiB \(parameters 2.00 KiB, cache 1.00 KiB\), and 2.00 KiB"
    ):
        check_room(needed, "this", "do that", available=2048)
    free = available_bytes()
    assert free is None or free > 2**20
    monkeypatch.setattr(available, "available_bytes", lambda: 1000)
    monkeypatch.setattr("llm.weights.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt_ids": [3, 4]}\n')
    assert run("generate", str(golden("pythia")), "--file", str(prompts), "--max-new-tokens", "4") == 2
    said = capsys.readouterr().err
    assert "generating 1 responses at once needs about" in said
    assert "1000 B are free: take a smaller --batch" in said
    prompts.write_text('{"text_ids": [3, 4]}\n')
    assert run("score", str(golden("pythia")), "--file", str(prompts)) == 2
    assert "scoring 1 sequences at once needs about" in capsys.readouterr().err


def test_help_reads_well(capsys):
    for command in ("generate", "score"):
        assert run(command, "--help") == 0
        said = capsys.readouterr().out
        assert "a local folder, or a name on the Hugging Face hub" in " ".join(said.replace("│", " ").split())
