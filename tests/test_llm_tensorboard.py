"""TensorBoard's events hold the numbers of metrics.jsonl, and no others."""

import json
import struct
import sys

import pytest

from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.tensorboard import EVENTS, Mirror

RECORDS = [
    {"collection": 1, "step": 0, "reward": -2.5, "generate_seconds": 0.25},
    {"collection": 1, "step": 1, "loss": 0.5},
    {"stage": "sft", "step": 7, "loss": 4.0},
]


def scalars(folder):
    """(tag, step) → value, from the records of the event files: a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            data = data[12 + length + 4 :]
    return found


def expected(path):
    wanted = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        before = f"{record['stage']}/" if "stage" in record else ""
        numbers = {name: value for name, value in record.items() if name not in ("step", "stage")}
        wanted |= {(before + name, record["step"]): value for name, value in numbers.items()}
    return wanted


def test_the_same_numbers_and_again_after_a_second_process(tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoard comes with the tensorboard extra")
    for part in (RECORDS[:2], RECORDS[2:]):  # the second process finds the lines of the first
        with RunFolder(tmp_path, {"seed": 0}) as run, Mirror(run, tensorboard=True) as mirror:
            for record in part:
                mirror.append(record)
        assert scalars(tmp_path / EVENTS) == pytest.approx(expected(tmp_path / "metrics.jsonl"))
    assert len(expected(tmp_path / "metrics.jsonl")) == 4 + 3 + 2  # the seconds of each line among them


def test_without_the_option_there_are_lines_alone(tmp_path):
    with RunFolder(tmp_path, {"seed": 0}) as run, Mirror(run, tensorboard=False) as mirror:
        mirror.append(RECORDS[0])
    assert (tmp_path / "metrics.jsonl").exists()
    assert not (tmp_path / EVENTS).exists()


def test_the_extra_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with RunFolder(tmp_path, {"seed": 0}) as run, pytest.raises(ValueError, match=r"'\.\[tensorboard\]' in a clone"):
        Mirror(run, tensorboard=True)
