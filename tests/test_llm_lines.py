"""Records of prompts, responses and texts, as people give them: from files of any name, pipes and standard input."""

import io
import json
from pathlib import Path

import pytest
from llm_cases import command, golden

from modeseek.llm.commands.lines import read_records, write


def test_records_from_files_and_standard_input(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("one\n\ntwo {x}\n")
    assert read_records([], tmp_path / "a.txt") == [{"prompt": "one"}, {"prompt": ""}, {"prompt": "two {x}"}]
    monkeypatch.setattr("sys.stdin", given('{"prompt": "a"}\n"b"\n'))
    assert read_records([], Path("-")) == [{"prompt": "a"}, {"prompt": "b"}]
    monkeypatch.setattr("sys.stdin", given("a\r\nb\n"))
    assert read_records([], Path("-")) == [{"prompt": "a"}, {"prompt": "b"}]
    for wrong in ('{"prompt": 3}', "[1]", '{"prompt_ids": ["a"]}', '{"messages": ["a"]}'):
        (tmp_path / "b.jsonl").write_text(wrong)
        with pytest.raises(ValueError, match=r"line 1 of .*b.jsonl"):
            read_records([], tmp_path / "b.jsonl")


def test_json_is_read_as_json_whatever_its_file_is_called(tmp_path, monkeypatch):
    row, rows = {"prompt": "a", "response": "b"}, [{"prompt": "a"}, {"prompt": "c"}]
    for name, text, found in (
        ("A.JSONL", json.dumps(row), [row]),
        ("a.ndjson", json.dumps(row) + "\n", [row]),
        ("a.json", json.dumps(rows, indent=1), rows),
        ("b.json", "".join(json.dumps(each) + "\n" for each in rows), rows),
        ("c.json", json.dumps(row, indent=1), [row]),
        ("pipe", json.dumps(row), [row]),  # as /dev/fd/63 is called
        ("bom.jsonl", "\ufeff" + json.dumps(row), [row]),
        ("bom.txt", "\ufeffone", [{"prompt": "one"}]),
        ("brace.txt", "{one", [{"prompt": "{one"}]),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_records([], tmp_path / name) == found, name
    for text, found in (
        ('\ufeff{"prompt": "é"}', [{"prompt": "é"}]),
        (json.dumps(row, indent=1), [row]),
        (json.dumps(rows), rows),
        ("[INST] a [/INST]\n[1]", [{"prompt": "[INST] a [/INST]"}, {"prompt": "[1]"}]),
        ("[1]", [{"prompt": "[1]"}]),
    ):
        monkeypatch.setattr("sys.stdin", given(text, encoding="latin-1"))
        assert read_records([], Path("-")) == found


def given(text: str, encoding: str = "utf-8") -> io.TextIOWrapper:
    """Standard input that holds UTF-8, in a terminal of any encoding."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding=encoding)


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match="there are no prompts: standard input is closed"):
        read_records([], Path("-"))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(ValueError, match=r"cannot read .*a\.txt: it is not text in UTF-8"):
        read_records([], tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    assert read_records([], tmp_path / "b.txt") == [{"prompt": '{"prompt": "a"}'}, {"prompt": '{"prompt": "b"}'}]
    assert "every line of" in capsys.readouterr().err
    (tmp_path / "b.txt").write_text('{"prompt": "a"}\n{one\n')
    read_records([], tmp_path / "b.txt")
    assert capsys.readouterr().err == ""


HALVES = [
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, "has chosen, rejected, which is not read: known are prompt, "),
    ({"prompt": "a", "completion": "b"}, "has completion, which is not read: known are prompt, messages, prompt_ids, "),
    ({"text": "a", "prompt": "b"}, "record 0 has text and prompt: give a text, or a prompt and its response"),
    ({"prompt": "a", "messages": [], "response": "b"}, "record 0 has prompt and messages: give one of them"),
]


@pytest.mark.parametrize(("row", "message"), HALVES)
def test_no_record_is_read_by_half(row, message, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert command("score", str(golden("pythia")), "--file", str(tmp_path / "a.jsonl")) == 2
    assert message in capsys.readouterr().err


def test_generating_reads_no_texts(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}')
    assert command("generate", str(golden("pythia")), "--file", str(tmp_path / "a.jsonl")) == 2
    assert "has text, which is not read: known are prompt, messages, prompt_ids" in capsys.readouterr().err


def test_what_is_written_by_name_is_read_by_name(tmp_path):
    """And a .json file is JSON."""
    rows = [{"prompt": "a", "response": "é"}, {"prompt": "b", "response": "c"}]
    for name in ("a.jsonl", "A.JSONL", "a.ndjson", "a.json"):
        write(rows, ["text"], tmp_path / name, "auto")
        assert read_records([], tmp_path / name) == rows
    assert json.loads((tmp_path / "a.json").read_text()) == rows
    write(rows, ["text"], tmp_path / "a.txt", "auto")
    assert (tmp_path / "a.txt").read_text() == "text\n"
