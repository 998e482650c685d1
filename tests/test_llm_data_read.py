"""Rows from files, folders and the hub, and what is said of those that cannot be read."""

import gzip
import importlib.util
import json
import sys
import types

import pytest

from modeseek.llm.data.read import read_rows

ROWS = [{"prompt": "why?", "chosen": "so\u2028", "rejected": "no"}, {"prompt": "ß", "chosen": "a", "rejected": "b"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="datasets and pyarrow come with the llm extra"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", LINES),
        ("ROWS.JSONL", LINES),
        ("rows.jsonl", "\ufeff" + LINES),  # what Windows' editors put first
        ("rows.jsonl", LINES.replace("\n", "\r\n\r\n")),
        ("rows.jsonl", LINES.rstrip("\n")),
        ("rows.json", LINES),
        ("rows.json", json.dumps(ROWS, indent=2)),
        ("rows.json", "\n\ufeff".strip() + "\n " + json.dumps(ROWS)),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_json_in_its_ways(tmp_path, name, content, zipped):
    path = tmp_path / (name + ".gz" * zipped)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    assert list(read_rows(path)) == ROWS
    assert list(read_rows(str(path), limit=1)) == ROWS[:1]


def test_json_needs_nothing_but_python(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "rows.jsonl").write_text(LINES, encoding="utf-8")
    assert list(read_rows(tmp_path)) == ROWS
    (tmp_path / "rows.parquet").touch()
    with pytest.raises(ValueError, match=r"Parquet files need .* '\.\[llm\]' in a clone"):
        list(read_rows(tmp_path / "rows.parquet"))
    with pytest.raises(ValueError, match=r"data sets of the hub need .* '\.\[llm\]' in a clone"):
        read_rows("someone/some-data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "a"}\n{"prompt": ', "line 2 of .* is not JSON: Expecting value in column"),
        (b'{"prompt": "a"}\n"b"\n', "line 2 of .* must be a JSON object, got str"),
        (b'[{"prompt": "a"}, 3]', "element 2 of .* must be a JSON object, got int"),
        (b'{"a": ' + b"[" * 200_000, "line 1 of .* is nested too deeply"),
        (b'{"prompt": "\xff"}', "it is not text in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(path))


def test_damaged_gzip(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    whole = gzip.compress(LINES.encode() * 50)
    for damaged in (whole[:-20], b"no gzip", whole[:30] + b"\xff" * 30 + whole[60:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot read .*rows.jsonl.gz"):
            list(read_rows(path))


def test_folders_and_their_splits(tmp_path):
    (tmp_path / "b-00001.jsonl").write_text('{"prompt": "2"}')
    (tmp_path / "a-00000.jsonl").write_text('{"prompt": "1"}')
    (tmp_path / "README.md").write_text("not data")
    assert [row["prompt"] for row in read_rows(tmp_path)] == ["1", "2"]

    split = tmp_path / "split"
    (split / "test").mkdir(parents=True)
    (split / "train-00000-of-00002.jsonl").write_text('{"prompt": "3"}')
    (split / "train-00001-of-00002.jsonl").write_text('{"prompt": "4"}')
    (split / "test" / "rows.jsonl").write_text('{"prompt": "5"}')
    (split / "training-notes.jsonl").write_text('{"prompt": "no split"}')
    assert [row["prompt"] for row in read_rows(split, split="train")] == ["3", "4"]
    assert [row["prompt"] for row in read_rows(split, split="test")] == ["5"]
    with pytest.raises(ValueError, match="files of several splits: choose one of test, train"):
        read_rows(split)
    with pytest.raises(ValueError, match="no files of the split 'dev', but of"):
        read_rows(split, split="dev")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no file that ends in .jsonl"):
        read_rows(tmp_path / "empty")


def test_sources_that_are_not_there(tmp_path):
    for absent in (tmp_path / "absent", "rows.jsonl", "./rows", "a/b/c"):
        with pytest.raises(ValueError, match="there is no file or folder"):
            read_rows(absent)
    (tmp_path / "rows.csv").touch()
    with pytest.raises(ValueError, match=r"must end in .jsonl.*got '.csv'"):
        read_rows(tmp_path / "rows.csv")
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, got 0"):
        read_rows("someone/some-data", limit=0)
    with pytest.raises(ValueError, match="streaming and configuration are for data on the hub"):
        read_rows(tmp_path, streaming=True)


def test_the_hub_is_asked_for_what_was_asked(monkeypatch):
    calls = []

    def load_dataset(*arguments, **options):
        calls.append((arguments, options))
        return iter(ROWS)

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert list(read_rows("someone/some-data", configuration="en", split="test", streaming=True, limit=1)) == ROWS[:1]
    assert list(read_rows("some-data")) == ROWS
    assert calls == [
        (("someone/some-data", "en"), {"split": "test", "streaming": True}),
        (("some-data", None), {"split": "train", "streaming": False}),
    ]

    def fail(*_, **__):
        raise RuntimeError("Unknown split\nmany lines")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=fail))
    with pytest.raises(ValueError, match=r"data set could not be loaded: Unknown split$"):
        read_rows("someone/some-data")


@needs_datasets
def test_parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    nested = [{"chosen": [{"role": "user", "content": "why?"}], "rejected": [{"role": "user", "content": "no"}]}]
    for rows in (ROWS, nested):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
        assert list(read_rows(tmp_path / "rows.parquet")) == rows
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"cannot read .*rows.parquet"):
        list(read_rows(tmp_path / "rows.parquet"))


@needs_datasets
def test_what_datasets_saved(tmp_path):
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(tmp_path / "several")
    assert list(read_rows(tmp_path / "one")) == ROWS
    assert list(read_rows(tmp_path / "several", split="test")) == ROWS[1:]
    with pytest.raises(ValueError, match="several splits: choose one of test, train, got None"):
        read_rows(tmp_path / "several")
