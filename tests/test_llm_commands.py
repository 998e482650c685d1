"""`modeseek llm`, tokenizers, prompts, and the memory that is promised."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from llm_cases import CASES, golden

from bandit.cli import main
from llm import memory
from llm.memory import parameter_count, readable
from llm.models.hugging_face import config_from
from llm.models.model import Compute, Model
from llm.models.parameters import shapes
from llm.prompts import check_ids, pad_right
from llm.sharding import Mesh, check_mesh
from llm.source import local_folder
from llm.weights.checkpoint import open_checkpoint
from llm.weights.safetensors import read_header

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="tokenizers come with the llm extra"
)


def run(*arguments: str) -> int:
    """The command's exit status."""
    with pytest.raises(SystemExit) as exit_:
        main(["llm", *arguments])
    return exit_.value.code


# --- commands ---------------------------------------------------------------------------------------------------------


def test_convert_writes_a_folder_that_opens(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("convert", str(golden("pythia")), str(out), "--dtype", "float32", "--shard-gigabytes", "1e-4") == 0
    said = capsys.readouterr().out
    assert "40 tensors of gpt_neox, " in said
    assert f"saved in {out}" in said
    assert open_checkpoint(out).dtype == "float32"
    assert len(list(out.glob("*.safetensors"))) > 1
    assert run("convert", str(golden("pythia")), str(out)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_info_prints_sizes_parameters_and_memory(capsys):
    assert run("info", str(golden("mistral_window")), "--batch", "4", "--length", "32", "--fsdp", "2") == 0
    said = capsys.readouterr().out
    checkpoint = open_checkpoint(golden("mistral_window"))
    stored = sum(tensor.read().size for tensor in checkpoint.tensors.values())
    assert f"{stored:>18,}" in said
    assert "window              4" in said
    assert "per device, 4 sequences of 32 tokens, data 1 x fsdp 2 x tensor 1" in said
    assert "inference" in said
    assert "training (float32 parameters, bfloat16 computing, remat full)" in said


BAD = [
    (("info", "nowhere/at/all"), "there is no folder nowhere/at/all"),
    (("info", "./nowhere"), "there is no folder ./nowhere"),
    (("info", "PYTHIA", "--batch", "0"), "batch must be at least 1, got 0"),
    (("info", "PYTHIA", "--length", "65"), "length (65) is more than the model's context of 64"),
    (("info", "PYTHIA", "--length", "9", "--tensor", "2"), "does not divide the model: heads (3) by tensor (2)"),
    (("convert", "PYTHIA", "out", "--shard-gigabytes", "0"), "shard_gigabytes must be positive, got 0.0"),
    (("convert", "EMPTY", "out"), "cannot read the model's configuration"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_ends_with_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"PYTHIA": str(golden("pythia")), "EMPTY": "empty"}
    assert run(*(places.get(argument, argument) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_commands_import_nothing_of_the_language_models():
    """`modeseek --help` stays as quick as it was, and the language models' own help does without transformers."""
    program = (
        "import sys; from bandit.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'transformers', 'torch', 'huggingface_hub', 'llm'}))"
    )
    for arguments, expected in ((["--help"], "[]"), (["bench", "--help"], "[]"), (["llm", "--help"], "['llm']")):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == expected, arguments
    assert "convert" in done.stdout


# --- where models come from -------------------------------------------------------------------------------------------


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


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remat", ["none", "full"])
def test_memory_estimate_is_near_what_the_compiler_asks_for(remat):
    """XLA's own count of a gradient's temporaries on this backend, within a factor of two."""
    config = config_from(CASES["pythia"] | {"num_hidden_layers": 6, "hidden_size": 96, "intermediate_size": 384})
    model = Model(config, Compute("float32", remat))
    tokens = jax.ShapeDtypeStruct((8, 64), jnp.int32)
    loss = lambda p, t: jax.nn.logsumexp(model.logits(p, model.hidden(p, t)), axis=-1).mean()
    analysis = jax.jit(jax.grad(loss)).lower(shapes(config), tokens).compile().memory_analysis()
    estimate = memory.training(config, model.compute, Mesh(), 8, 64).parts
    ours = estimate["activations"] + estimate["logits"]
    assert 0.5 < ours / analysis.temp_size_in_bytes < 2.0
    assert estimate["parameters"] == estimate["gradients"] == 4 * parameter_count(config)


def test_memory_is_divided_among_devices():
    config = config_from(CASES["mistral"])
    alone = memory.training(config, Compute(), Mesh(), 8, 32)
    shared = memory.training(config, Compute(), Mesh(2, 2, 2), 8, 32)
    assert shared.total < alone.total / 3
    cache = memory.inference(config, Compute("bfloat16"), Mesh(), 8, 32).parts["cache"]
    made = Model(config, Compute("bfloat16")).empty_cache(8, 32)
    assert cache == sum(leaf.nbytes for leaf in jax.tree.leaves(made.layers))


def test_mesh_that_does_not_divide_is_refused():
    config = config_from(CASES["mistral"])
    with pytest.raises(ValueError, match=r"heads \(6\) by tensor \(4\), kv_heads \(2\) by tensor \(4\), .*batch \(3\)"):
        check_mesh(config, Mesh(2, 1, 4), 3)


def test_bytes_are_readable():
    assert [readable(n) for n in (0, 7, 2048, 3 * 2**30)] == ["0 B", "7 B", "2.00 KiB", "3.00 GiB"]


# --- prompts and tokenizers -------------------------------------------------------------------------------------------


def test_prompts_that_a_model_cannot_read_are_all_named():
    config = config_from(CASES["pythia"])
    check_ids([[1, 2], [52]], config)
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


@pytest.fixture
def words(tmp_path) -> Path:
    """A folder with a tokenizer of whole words that the test makes itself."""
    vocabulary = {"<pad>": 0, "<unk>": 1, "how": 2, "are": 3, "you": 4, "user": 5, "assistant": 6}
    backend = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "decoder": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(backend))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


@needs_transformers
def test_tokenizers_and_chat_templates(words):
    from llm.tokenizer import decode, encode, encode_chats, load_tokenizer

    tokenizer = load_tokenizer(words)
    assert encode(tokenizer, ["how are you", "you"]) == [[2, 3, 4], [4]]
    assert encode(tokenizer, []) == []
    assert decode(tokenizer, [[2, 0, 4]]) == ["how <pad> you"]
    with pytest.raises(ValueError, match="no chat template"):
        encode_chats(tokenizer, [[{"role": "user", "content": "how"}]])
    template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}assistant"
    (words / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(words)
    assert encode_chats(tokenizer, [[{"role": "user", "content": "how are you"}]]) == [[5, 2, 3, 4, 6]]
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="does not take these messages: roles must alternate"):
        encode_chats(tokenizer, [[{"role": "user", "content": "how"}]])


@needs_transformers
def test_folders_without_a_tokenizer_and_code_from_the_hub_are_refused(words):
    from llm.tokenizer import load_tokenizer

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
    import gzip
    import itertools

    from llm.tokenizer import decode, encode, load_tokenizer

    if not (DATA / name).exists():
        pytest.skip(f"{name} is a file of the workplace, not of the project")
    neox = name.endswith("json")
    shutil.copyfile(DATA / name, tmp_path / ("tokenizer.json" if neox else "tokenizer.model"))
    settings = {"tokenizer_class": "GPTNeoXTokenizer" if neox else "LlamaTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(tmp_path)
    with gzip.open(DATA / "instruction_responses.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["response"] for line in itertools.islice(lines, 200)]
    rows = encode(tokenizer, texts)
    sizes = {"vocab_size": 50_304 if neox else 32_000, "max_position_embeddings": 10**6}
    config = config_from(CASES["pythia"] | sizes)
    kept = [(row, text) for row, text in zip(rows, texts, strict=True) if row]
    check_ids([row for row, _ in kept], config)
    decoded = decode(tokenizer, [row for row, _ in kept])
    same = [ours.removeprefix("<s>").strip() == text.strip() for ours, (_, text) in zip(decoded, kept, strict=True)]
    assert all(same)


def test_headers_are_quick_to_read():
    """No weights are read to check a folder: the views are there, their bytes are not touched."""
    tensors, problems = read_header(golden("pythia") / "model.safetensors")
    assert problems == []
    assert {stored.dtype for stored in tensors.values()} == {"BF16"}
