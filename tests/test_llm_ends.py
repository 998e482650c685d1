"""What ends an answer in a chat: all that the configuration, the tokenizer and the chat template end one with."""

import json
from pathlib import Path

import pytest
from llm_cases import command, copied, needs_transformers, write_word_tokenizer

from modeseek.llm.data.records import Completion

pytestmark = needs_transformers

TURNS = (
    "{% for m in messages %}{% if m.role == 'user' %}w5{% else %}w6{% endif %} {{ m.content }} w7 {% endfor %}"
    "{% if add_generation_prompt %}w6 {% endif %}"
)
SPECIAL = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The golden Pythia, whose EOS is 2; its turns end with w7, and its tokenizer's EOS is w8."""
    made = copied("pythia", tmp_path)
    write_word_tokenizer(made, [f"w{i}" for i in range(53)], "w1", TURNS)
    for name, change in (
        ("tokenizer.json", {"added_tokens": [{"id": i, "content": f"w{i}", **SPECIAL} for i in (7, 8)]}),
        ("tokenizer_config.json", {"eos_token": "w8"}),
    ):
        (made / name).write_text(json.dumps({**json.loads((made / name).read_text()), **change}))
    return made


def test_the_end_of_a_turn_is_read_off_the_template(folder):
    from modeseek.llm.inference.ends import end_of_turn
    from modeseek.llm.inference.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    assert end_of_turn(tokenizer) == 7
    for template, end in (
        (TURNS.replace("w7", "w8"), 8),
        (TURNS.replace("w7", "w9"), None),  # an ordinary word
        (TURNS.replace("w7", ""), None),
        ("{{ raise_exception('no answers here') }}", None),
        (None, None),
    ):
        tokenizer.chat_template = template
        assert end_of_turn(tokenizer) == end


def test_ends_are_united_and_what_is_new_is_said(folder, capsys):
    from modeseek.llm.inference.ends import chat_ends
    from modeseek.llm.inference.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    assert chat_ends([2], tokenizer, 53) == [2, 7, 8]
    assert (
        "the chat's turns end with 'w7' and 'w8', which the model's configuration does not" in capsys.readouterr().err
    )
    assert chat_ends([8, 7], tokenizer, 53) == [8, 7]
    assert capsys.readouterr().err == ""
    assert chat_ends([2], tokenizer, 8) == [2, 7]


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        (["w9", "--chat"], [2, 7, 8]),
        (["--file", "CHAT"], [2, 7, 8]),
        (["w9"], [2]),
        (["w9", "--chat", "--ignore-eos"], []),
    ],
)
def test_a_chat_stops_at_each_of_them(folder, given, ends, monkeypatch, tmp_path, capsys):
    asked = {}

    def stopped(*_, stops, **__):
        asked["ids"] = stops.ids
        raise KeyboardInterrupt

    monkeypatch.setattr("modeseek.llm.inference.batched.generate_rows", stopped)
    (tmp_path / "chat.jsonl").write_text('{"messages": [{"role": "user", "content": "w9"}]}')
    given = [str(tmp_path / "chat.jsonl") if each == "CHAT" else each for each in given]
    assert command("generate", str(folder), *given, "--max-new-tokens", "8") == 130
    assert asked["ids"] == [[end] for end in ends]
    assert ("the chat's turns end with" in capsys.readouterr().err) == (len(ends) > 1)


def test_a_model_in_python_stops_there_too(folder, monkeypatch):
    import modeseek.llm.inference.language_model as language_model

    asked = []
    monkeypatch.setattr(language_model, "generate_rows", lambda *_, stops, **__: asked.append(stops.ids) or [])
    model = language_model.load_model(folder)
    model.generate(["w9"], max_new_tokens=8)
    model.generate([[{"role": "user", "content": "w9"}]], max_new_tokens=8)
    assert asked == [[[2]], [[2], [7], [8]]]


def test_what_is_trained_ends_as_the_template_ends_it(folder, capsys):
    from modeseek.llm.commands.texts import reading_of, template
    from modeseek.llm.data.tokenization import tokenize
    from modeseek.llm.inference.language_model import open_language_model

    checkpoint = open_language_model(str(folder))
    plain, chat = reading_of(checkpoint), reading_of(checkpoint, "chat")
    assert (plain.eos, plain.tokens.eos) == ([2], 2)
    assert (chat.eos, chat.tokens.eos) == ([2, 7, 8], 7)
    (example,), _, _ = tokenize([Completion("w9", "w20")], chat.tokens, template("chat", chat.tokenizer))
    assert (example.prompt.tolist(), example.responses[0].tolist()) == ([5, 9, 7, 6], [20, 7])
