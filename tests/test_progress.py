"""Progress: a bar that moves where someone watches, a line every ten seconds where nobody does."""

import io
import sys

import pytest
import tqdm.std

from modeseek.progress import progress, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


Notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})


@pytest.fixture
def clock(monkeypatch):
    """Half a second passes whenever tqdm looks."""
    now = [1000.0]

    def time():
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(tqdm.std, "time", time)
    monkeypatch.setattr(tqdm.std.tqdm, "monitor_interval", 0)
    return now


@pytest.mark.parametrize("delay", [0, 2])
def test_a_file_has_a_line_every_ten_seconds(clock, monkeypatch, delay):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    began = clock[0]
    assert list(progress("steps", delay)(range(1000))) == list(range(1000))
    lines = written.getvalue().splitlines()
    assert "\r" not in written.getvalue()
    assert 2 < len(lines) <= (clock[0] - began) / 10 + 1
    assert all(line.startswith("steps:") for line in lines)


@pytest.mark.parametrize("kind", [Terminal, Notebook])
def test_a_terminal_and_a_notebook_have_a_bar(clock, monkeypatch, kind):
    written = kind()
    monkeypatch.setattr(sys, "stderr", written)
    began = clock[0]
    for _ in progress("steps", 0)(range(100)):
        pass
    assert written.getvalue().count("\r") > (clock[0] - began) / 2
    assert "\n" not in written.getvalue()


def test_a_bar_that_stays_says_its_end(clock, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with progress_bar(total=3, desc="runs") as bar:
        bar.update(3)
    assert "runs: 100%" in written.getvalue().splitlines()[-1]
    with progress_bar(total=3, desc="hidden", disable=True) as bar:
        bar.update(3)
    assert "hidden" not in written.getvalue()
