"""Prompts as ids and as text: tokenizers, chat templates, what a model cannot read, and where models come from."""

import json
from pathlib import Path

import pytest
from llm_cases import CASES, golden, needs_transformers, write_word_tokenizer
from llm_data_cases import real_responses, real_tokenizer

from modeseek.llm.checkpoints.hub import CONFIGURATION, local_folder
from modeseek.llm.inference.padding import bucket, check_ids, pad_right
from modeseek.llm.models.hugging_face import config_from


def test_prompts_that_a_model_cannot_read_are_all_named():
    config = config_from(CASES["pythia"])
    check_ids([[1, 2], [52]], config)
    check_ids([[5] * 59], config, new_tokens=5)  # fills the context of 64 to its end
    with pytest.raises(ValueError) as error:
        check_ids([[1], [], [3, 53], [-1], [5] * 60], config, new_tokens=5)
    assert str(error.value) == (
        "prompt 1 is empty: begin it with a token, such as the tokenizer's BOS or EOS; "
        "prompt 2 holds id 53, outside the vocabulary of 53; prompt 3 holds id -1, outside the vocabulary of 53; "
        "prompt 4 has 60 tokens and 5 new ones, more than the context of 64"
    )
    with pytest.raises(ValueError, match="there are no prompts"):
        check_ids([], config)


def test_rows_are_padded_on_the_right():
    rows = pad_right([[5, 6, 7], [8]], pad_id=1)
    assert rows.tokens.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert rows.lengths.tolist() == [3, 1]
    assert pad_right([[5]], 4).tokens.shape == (1, 4)
    with pytest.raises(ValueError, match="a row of 3 tokens does not fit in 2"):
        pad_right([[5, 6, 7]], 2)


def test_buckets_hold_what_they_are_for():
    sizes = sorted({bucket(n) for n in range(1, 200)})
    assert sizes == [16, 24, 32, 48, 64, 96, 128, 192, 256]
    assert all(bucket(n) >= n for n in range(1, 3000))
    assert all(bucket(n) <= 1.5 * n for n in range(16, 3000))
    assert bucket(0, least=4) == bucket(3, least=4) == 4


@pytest.fixture
def words(tmp_path) -> Path:
    """A folder with a tokenizer that the test makes itself."""
    write_word_tokenizer(tmp_path, ["<pad>", "<unk>", "how", "are", "you", "user", "assistant"], "<unk>")
    return tmp_path


@needs_transformers
def test_tokenizers_and_chat_templates(words):
    from modeseek.llm.inference.tokenizer import decode_responses, encode, encode_chats, load_tokenizer

    tokenizer = load_tokenizer(words)
    assert encode(tokenizer, ["how are you", "you"]) == [[2, 3, 4], [4]]
    assert encode(tokenizer, []) == []
    assert decode_responses(tokenizer, [[2, 0, 4]]) == ["how <pad> you"]
    with pytest.raises(ValueError, match="no chat template"):
        encode_chats(tokenizer, [[{"role": "user", "content": "how"}]])
    for broken in (
        "{{ 1 / 0 }}",
        "{{ messages.a.b }}",
        "{{ raise_exception('not these') }}",
        "{% for m in 3 %}{% endfor %}",
    ):
        (words / "chat_template.jinja").write_text(broken)
        with pytest.raises(ValueError, match="the chat template does not take these messages: "):
            encode_chats(load_tokenizer(words), [[{"role": "user", "content": "how"}]])
    template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}assistant"
    (words / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(words)
    assert encode_chats(tokenizer, [[{"role": "user", "content": "how are you"}]]) == [[5, 2, 3, 4, 6]]
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="does not take these messages: roles must alternate"):
        encode_chats(tokenizer, [[{"role": "user", "content": "how"}]])


@needs_transformers
def test_folders_without_a_tokenizer_and_code_from_the_hub_are_refused(words):
    from modeseek.llm.inference.tokenizer import load_tokenizer

    with pytest.raises(ValueError, match="no tokenizer could be read from"):
        load_tokenizer(golden("pythia"))
    (words / "evil.py").write_text("raise SystemExit('code from the hub ran')")
    settings = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (words / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        load_tokenizer(words)  # another class stands in, or it is refused
    except ValueError as error:
        assert "no tokenizer could be read" in str(error)


@needs_transformers
@pytest.mark.parametrize("name", ["pythia_tokenizer.json", "mistral_v1_tokenizer.model"])
def test_real_tokenizers_round_trip(name, tmp_path):
    """Real answers, encoded and decoded; `words` above covers the same calls where the files are not there."""
    from modeseek.llm.inference.tokenizer import decode_responses, encode

    tokenizer, texts = real_tokenizer(name, tmp_path), real_responses(200)
    neox = name.endswith("json")
    rows = encode(tokenizer, texts)
    sizes = {"vocab_size": 50_304 if neox else 32_000, "max_position_embeddings": 10**6}
    config = config_from(CASES["pythia"] | sizes)
    kept = [(row, text) for row, text in zip(rows, texts, strict=True) if row]
    check_ids([row for row, _ in kept], config)
    decoded = decode_responses(tokenizer, [row for row, _ in kept])
    same = [ours.removeprefix("<s>").strip() == text.strip() for ours, (_, text) in zip(decoded, kept, strict=True)]
    assert all(same)


@needs_transformers
def test_names_on_the_hub_are_fetched_without_code_and_pickles(monkeypatch):
    asked = {}

    def snapshot(name, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(golden("pythia"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert local_folder("EleutherAI/pythia-70m@step1000") == golden("pythia")
    assert (asked["name"], asked["revision"]) == ("EleutherAI/pythia-70m", "step1000")
    assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in asked["patterns"])

    def fails(*_, **__):
        raise OSError("no way out\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(ValueError, match=r"the hub did not give 'EleutherAI/pythia': no way out$"):
        local_folder("EleutherAI/pythia")


@needs_transformers
@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["config.json", "pytorch_model.bin"], r"only pickled ones \(pytorch_model.bin\).*never read here.*save_pre"),
        (["config.json"], "neither model.safetensors nor model.safetensors.index.json"),
        (None, "neither model.safetensors nor"),
    ],
)
def test_a_name_on_the_hub_without_safetensors_is_told_with_what_is_there(listed, message, monkeypatch, tmp_path):
    """Pickles are not fetched, so that the folder does not tell; without a way to the hub neither does the list."""

    def names(name, revision):
        assert (name, revision) == ("owner/old", "main")
        if listed is None:
            raise OSError("no way out")
        return listed

    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.list_repo_files", names)
    with pytest.raises(ValueError, match=f"^owner/old@main on the hub holds no safetensors weights, {message}"):
        local_folder("owner/old@main")
    assert local_folder("owner/old@main", CONFIGURATION) == tmp_path


def test_the_home_of_a_user_that_there_is_not_is_no_folder():
    with pytest.raises(ValueError, match="there is no folder ~nobody_of_this_name/model"):
        local_folder("~nobody_of_this_name/model")
