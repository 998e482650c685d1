"""Finished rows of an interrupted command: the same command goes on from them to the same bytes, or refuses them."""

import dataclasses
import json
import random

import pytest
from llm_cases import command, golden

from modeseek.llm.commands.partial import PartialRows
from modeseek.llm.inference.batched import Response, in_batches


@pytest.mark.parametrize("name", ["generate", "score"])
def test_what_is_interrupted_goes_on_by_the_same_command(name, tmp_path, capsys, monkeypatch):
    """The same file as without the interruption, and no finished row made again."""
    import modeseek.llm.inference.batched as batched

    rows, made, whole = tmp_path / "ids.jsonl", [], batched.pad_right
    rows.write_text("".join(json.dumps({"prompt_ids": [3, i], "response_ids": [4, i]}) + "\n" for i in range(5, 10)))
    command_of = lambda out, *more: command(
        name, str(golden("pythia")), "--file", str(rows), "--batch", "2", "--out", str(out), *more
    )
    more = ("--max-new-tokens", "4") if name == "generate" else ("--entropy",)
    assert command_of(tmp_path / "whole.jsonl", *more) == 0

    def interrupted(ids, *rest):
        made.append(len(ids))
        if len(made) == 2:
            raise KeyboardInterrupt
        return whole(ids, *rest)

    monkeypatch.setattr(batched, "pad_right", interrupted)
    out, kept = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    assert command_of(out, *more) == 130
    assert f"2 finished rows are in {kept}; the same command goes on" in capsys.readouterr().err
    assert not out.exists()
    with kept.open("a") as file:
        file.write('{"row": 4, "fie')  # a line that a kill has cut
    made.clear()
    monkeypatch.setattr(batched, "pad_right", lambda ids, *rest: made.append(len(ids)) or whole(ids, *rest))
    other = ("--max-new-tokens", "5") if name == "generate" else ()
    assert command_of(out, *other) == 2
    said = capsys.readouterr().err
    assert f"holds rows of another command ({'max_new_tokens' if name == 'generate' else 'entropy'} changed)" in said
    assert made == []
    assert command_of(out, *more) == 0
    assert f"2 finished rows are taken from {kept}" in capsys.readouterr().err
    assert made == [2, 2]  # of five rows, two were there
    assert not kept.exists()
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_damaged_file_of_finished_rows_is_named(tmp_path, capsys):
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3], "response_ids": [4]}')
    for content in ("[]\n", "{}\n[3]\n", '{"a": 1}\n{"row": 1}\n', "[" * 100_000, "\x00\n"):
        (tmp_path / "out.jsonl.partial").write_text(content)
        options = ["--file", str(tmp_path / "ids.jsonl"), "--out", str(tmp_path / "out.jsonl")]
        assert command("score", str(golden("pythia")), *options) == 2
        assert "out.jsonl.partial is damaged (" in capsys.readouterr().err


COMMAND = {"seed": 0, "model": "mine"}
ROWS = {3: Response([1, 2], [5], -0.1, True), 0: Response([7], [6, 6], -1 / 3, False), 1: Response([7], [], 0.0, True)}


def read(fields):
    return Response(**fields)


@pytest.fixture
def out(tmp_path):
    """An output whose rows were made, and which was then interrupted."""
    with pytest.raises(KeyboardInterrupt), PartialRows(tmp_path / "out", COMMAND, read) as keeper:
        for number, row in ROWS.items():
            keeper.add({number: row})
        raise KeyboardInterrupt
    return tmp_path / "out"


def test_a_file_that_was_cut_anywhere_has_the_rows_before(out):
    """And takes the others then, as if nothing had happened."""
    partial = out.with_name("out.partial")
    written = partial.read_bytes()
    for cut in range(len(written) + 1):
        partial.write_bytes(written[:cut])
        keeper = PartialRows(out, COMMAND, read)
        whole = max(written[:cut].count(b"\n") - 1, 0)
        assert keeper.found == dict(list(ROWS.items())[:whole])
        keeper.add({n: row for n, row in ROWS.items() if n not in keeper.found})
        assert PartialRows(out, COMMAND, read).found == ROWS
        keeper.__exit__(KeyboardInterrupt, None, None)
        assert partial.read_bytes() == written


def test_a_changed_byte_is_seen(out):
    """Wherever it is, the rows are right or refused."""
    partial, draw, refused = out.with_name("out.partial"), random.Random(0), 0
    written = partial.read_bytes()
    for place in range(len(written)):
        partial.write_bytes(
            written[:place] + bytes([(written[place] + draw.randrange(1, 256)) % 256]) + written[place + 1 :]
        )
        try:
            found = PartialRows(out, COMMAND, read).found
        except ValueError as error:
            refused += 1
            assert "is damaged (" in str(error) or "holds rows of another command (" in str(error)
        else:  # the last line's end is gone, and with it the line
            assert found == {n: row for n, row in ROWS.items() if n != 1}
    assert refused == len(written) - 1


def test_rows_without_an_output_are_said_to_be_lost(capsys):
    with pytest.raises(KeyboardInterrupt), PartialRows(None, COMMAND, read) as keeper:
        keeper.add(ROWS)
        raise KeyboardInterrupt
    assert "3 finished rows are lost; --out PATH would have kept them" in capsys.readouterr().err


@dataclasses.dataclass
class Kept:
    found: dict[int, str]

    def add(self, rows):
        self.found |= rows


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_what_is_kept_changes_no_batch(size):
    """A row's neighbours are those that it has without an interruption, since its last bits hang on them."""
    rows = [[0] * n for n in (3, 1, 4, 1, 5, 9, 2)]
    run = lambda made: lambda numbers: made.append(tuple(numbers)) or [f"{n} in {numbers}" for n in numbers]
    every: list[tuple[int, ...]] = []
    expected = in_batches(rows, size, run(every))
    for finished, batch in enumerate(every):
        before = {n: expected[n] for whole in every[:finished] for n in whole}
        own = list(dict.fromkeys(batch))  # the last one is filled up with its first row
        for cut in range(len(own)):  # a kill within the writing of a batch
            made: list[tuple[int, ...]] = []
            kept = Kept(before | {n: expected[n] for n in own[:cut]})
            assert in_batches(rows, size, run(made), keeper=kept) == expected
            assert made == every[finished:]
    assert in_batches(rows, size, run([]), keeper=Kept(dict(enumerate(expected)))) == expected
