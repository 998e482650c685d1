"""Standard output and error that fail, are closed or have few letters: the work goes on, and is said in one line."""

import io
import json
import os
import subprocess
import sys

import pytest

from modeseek import cli
from modeseek.bandit.commands.common import save_figures
from modeseek.llm.commands.cli import COMMANDS as LANGUAGE_COMMANDS
from modeseek.llm.commands.lines import write
from modeseek.report import Report
from modeseek.streams import steady_streams

PRINTING = [["--version"], ["--help"], ["methods"], ["bandit", "--help"], ["llm", "--help"]]
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")  # noqa: PTH110


def _code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _unread() -> io.TextIOWrapper:
    """A pipe that nobody reads any more."""
    read, written = os.pipe()
    os.close(read)
    return os.fdopen(written, "w", encoding="utf-8")


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_closed_pipe_ends_nothing(arguments, monkeypatch, capsys):
    with _unread() as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert _code(arguments) == 0
    assert capsys.readouterr().err == ""


@FULL
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_device_is_one_line_and_status_2(arguments, monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        assert _code(arguments) == 2
    assert capsys.readouterr().err == "modeseek: error: cannot write to standard output: No space left on device\n"


def test_standard_error_that_nobody_reads_hides_no_status(monkeypatch, capsys):
    with _unread() as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        assert _code(["nonsense"]) == 2
    monkeypatch.setattr(sys, "stderr", None)  # closed before the start
    assert _code(["nonsense"]) == 2
    assert _code(["methods"]) == 0
    assert "Best-of-N" in capsys.readouterr().out


def test_closed_streams_leave_their_numbers_to_nobody(tmp_path):
    """Otherwise the next file that is opened is number 2, and what libraries say on standard error goes into it."""
    code = (
        "import os, sys\nfrom modeseek.streams import steady_streams\n"
        "with steady_streams():\n"
        "    print('nobody'); print('reads', file=sys.stderr)\n"
        "    file = open(sys.argv[1], 'w')\n"
        "    os.write(2, b'a library complains'); os.write(1, b'and talks'); file.write('results')\n"
        "    sys.exit(sys.stdin.read() != '')\n"
    )
    shell = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, code, str(tmp_path / "file")]
    assert subprocess.run(shell, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == "results"


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", "KL(policy || ref) 0.5 +- 0.1, beta0 <- theta, caf\\xe9 \\u65e5"),
        ("cp1252", "KL(policy || ref) 0.5 ± 0.1, beta0 <- theta, café \\u65e5"),
        ("utf-8", "KL(policy ‖ ref) 0.5 ± 0.1, β₀ ← θ, café 日"),
    ],
)
def test_any_encoding_takes_any_text(encoding, printed, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with steady_streams():
        print("KL(policy ‖ ref) 0.5 ± 0.1, β₀ ← θ, café 日")
    assert raw.getvalue().decode(encoding).rstrip() == printed


def test_every_text_of_ours_has_a_spelling_in_ascii(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    for arguments in (["--help"], ["methods"], *([name, "--help"] for name in cli.COMMANDS)):
        assert _code(arguments) == 0
    for name in LANGUAGE_COMMANDS:
        assert _code(["llm", name, "--help"]) == 0
    unspelled = [line for line in raw.getvalue().decode("ascii").splitlines() if "\\u" in line or "\\x" in line]
    assert unspelled == []


def test_records_on_a_narrow_stream_are_escaped_and_whole(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    with steady_streams():
        write([{"response": "π ‖ 日 𝒳 é"}], [], None, "jsonl")
    assert json.loads(raw.getvalue().decode("ascii")) == {"response": "π ‖ 日 𝒳 é"}


def test_what_fails_is_raised_where_a_traceback_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MODESEEK_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        save_figures(tmp_path, Report(), {"ratio": lambda: 1 / 0})


@pytest.mark.parametrize("given", [None, "rubbish"])
def test_a_command_starts_matplotlib_whatever_backend_is_named(given, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if given:
        monkeypatch.setenv("MPLBACKEND", given)
    with cli._drawing_to_files():
        assert os.environ["MPLBACKEND"] == "agg"
    assert os.environ.get("MPLBACKEND") == given
