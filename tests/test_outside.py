"""What comes from outside the project, JSON and other people's code, ends with one line that says where."""

import json
import os
import sys

import pytest
from llm_cases import CASES, command, copied, needs_transformers, write_word_tokenizer

from modeseek.files import DEEPEST, parse_json, read_json
from modeseek.foreign import foreign
from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.data.read import read_rows
from modeseek.llm.data.records import Completion
from modeseek.llm.data.templates import Chat
from modeseek.llm.inference.language_model import eos_ids
from modeseek.llm.inference.tokenizer import encode_chats, encode_prompts, load_tokenizer
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.runs.recorded import read_runs
from modeseek.llm.runs.stages import stage


def nested(depth: int, opened: str = "[", closed: str = "]") -> str:
    return opened * depth + closed * depth


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", r"it is not JSON: Expecting ',' delimiter in column 6"),
        ('{\n"a": }', r"it is not JSON: Expecting value in line 2, column 6"),
        (b"\xff", "it is not JSON: it is not text in UTF-8"),
        ("9" * 5000, r"it is not JSON that is read: .*digits"),
        (
            '[{"a": 1, "b": 2}, {"b": 1, "a": 2, "b": 3}]',
            "it is not JSON that is read: an object has the key 'b' twice",
        ),
        (nested(DEEPEST + 1), "it is nested too deeply to be read"),
        (nested(100_000), "it is nested too deeply to be read"),
        ('{"a": [0, ' * 60 + "0" + "]}" * 60, "it is nested too deeply to be read"),
    ],
)
def test_json_that_cannot_be_read_is_told_with_its_place(text, message):
    with pytest.raises(ValueError, match=message) as said:
        parse_json(text, "it")
    assert "\n" not in str(said.value)


def test_json_is_read_down_to_a_depth_and_at_any_length():
    assert parse_json(nested(DEEPEST)) != []
    assert parse_json("[" + ", ".join(["[1, {}]"] * 10_000) + "]") == [[1, {}]] * 10_000
    assert [parse_json(text) for text in ("3", '"a[{"', "null", b'{"\xc3\xa9": []}')] == [3, "a[{", None, {"é": []}]


def test_what_is_no_file_of_json_is_named(tmp_path):
    for path, message in ((tmp_path / "none", "No such file"), (tmp_path, "it is not a file")):
        with pytest.raises(ValueError, match=f"cannot read {path}: {message}"):
            read_json(path)


class Panic(BaseException):
    """As Rust's in Python: no Exception."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero\nand more"), "it fails: by zero"),
        (ValueError(), "it fails: ValueError"),
        (RecursionError(), "it fails: RecursionError"),
        (Panic("index out of bounds"), "it fails: index out of bounds"),
        (RuntimeError("x" * 10_000), f"it fails: {'x' * 300}…"),
    ],
)
def test_whatever_fails_in_foreign_code_is_one_line(error, said):
    with pytest.raises(ValueError) as raised, foreign("it fails"):
        raise error
    assert str(raised.value) == said
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_wants_to_leave_foreign_code_may(error):
    with pytest.raises(error), foreign("it fails"):
        raise error


TEMPLATES = {
    "divides by zero": "{{ 1 / 0 }}",
    "adds a text to a number": "{{ messages[0]['content'] + 1 }}",
    "knows no such name": "{{ nothing.of.this }}",
    "goes on for ever": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "is no template": "{% if %}",
    "counts too far": "{% for i in range(10 ** 9) %}a{% endfor %}",
    "looks where it may not": "{{ messages.__class__.__mro__ }}{{ ''.__class__.mro() }}",
}


@needs_transformers
@pytest.mark.parametrize("which", TEMPLATES)
def test_a_chat_template_that_fails_is_one_line(which, tmp_path):
    write_word_tokenizer(tmp_path, ["<pad>", "a", "b"], "<pad>", template=TEMPLATES[which])
    tokenizer = load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"^the chat template does not take these messages: .+$"):
        encode_chats(tokenizer, [[{"role": "user", "content": "a"}]])
    with pytest.raises(ValueError, match=r"^the chat template does not take these messages: .+$"):
        Chat(tokenizer).write(Completion("a", "b"))


@needs_transformers
def test_a_tokenizer_that_cannot_read_a_text_says_so(tmp_path):
    """An unknown word, in a tokenizer whose token for unknown words is not among its words."""
    write_word_tokenizer(tmp_path, ["<pad>", "a"], "<none>")
    with pytest.raises(ValueError, match=r"^the tokenizer cannot read these texts: .*$"):
        encode_prompts(load_tokenizer(tmp_path), ["a stranger"])


@needs_transformers
@pytest.mark.skipif(sys.platform == "win32", reason="pipes have no names there")
@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"])
def test_a_pipe_beside_a_tokenizer_is_not_waited_for(name, tmp_path):
    write_word_tokenizer(tmp_path, ["<pad>", "a"], "<pad>")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"no tokenizer could be read from {tmp_path}: {name} is not a file"):
        load_tokenizer(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have no names there")
def test_a_pipe_is_no_data_and_no_record(tmp_path):
    for name in ("rows.jsonl", "rows.json", "rows.jsonl.gz", "rows.parquet", "metrics.jsonl"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=f"cannot read {tmp_path / name}: it is not a file"):
            read_runs(tmp_path) if name == "metrics.jsonl" else list(read_rows(tmp_path / name))
    folder = copied("pythia", tmp_path)
    os.mkfifo(folder / "generation_config.json")
    with pytest.raises(ValueError, match=r"cannot read .*generation_config.json: it is not a file"):
        eos_ids(open_checkpoint(folder))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"step": 1}\n[2]\n', "line 2 of .* must be a JSON object, got list"),
        ('{"step": 1}\n{"step": 2]\n', "line 2 of .* is not JSON: Expecting"),
        ('{"step": "two", "loss": 1.0}\n', "line 1 of .* has the step 'two'"),
    ],
)
def test_damaged_lines_of_a_run_are_named(lines, message, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(lines)
    with pytest.raises(ValueError, match=message):
        read_runs(tmp_path)


def test_a_damaged_stage_is_named(tmp_path):
    (tmp_path / "samples").mkdir()
    for content, message in (("[1]", "is damaged: delete the folder"), ("{", "is not JSON: Expecting")):
        (tmp_path / "samples" / "result.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            stage(tmp_path, "samples", lambda folder: {})


def test_a_number_beyond_every_float_is_no_number():
    with pytest.raises(ValueError, match=r"^rope_theta must be a number, got 1000\d+\.\.\.\d+$"):
        config_from(CASES["mistral"] | {"rope_theta": 10**400})
    with pytest.raises(
        ValueError, match=r"^vocab_size must be a whole number of at least 1, got \[0, 0, 0, 0, 0, 0, \.\.\.\]$"
    ):
        config_from(CASES["mistral"] | {"vocab_size": [0] * 10**6})


@needs_transformers
def test_more_responses_than_a_run_holds_are_refused_before_the_model_is_loaded(tmp_path, monkeypatch, capsys):
    """`generate` has its own test; a list of so many rows would take the machine's memory, and then its day."""
    monkeypatch.setattr("modeseek.llm.checkpoints.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    folder = copied("pythia", tmp_path)
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "w2"}))
    (tmp_path / "asked.jsonl").write_text('{"prompt": "w3 w4"}\n')
    how = [
        "--data",
        str(tmp_path / "asked.jsonl"),
        "--max-prompt",
        "8",
        "--max-new-tokens",
        "8",
        "--samples",
        "20000000",
    ]
    for arguments in (["evaluate", str(folder)], ["scenario", "min_length", "--model", str(folder)]):
        assert command(*arguments, *how, "--out", str(tmp_path / "out")) == 2
        assert "these would be 20000000 responses, and at most 10000000 are made" in capsys.readouterr().err
