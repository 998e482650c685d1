"""A folder whose tokenizer is a `tokenizer.model` alone reads as sentencepiece itself reads."""

import json
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import needs_transformers
from llm_data_cases import DATA, real_responses

from modeseek.llm.data.python_docstrings import python_docstrings
from modeseek.llm.inference.tokenizer import decode_responses, encode, encode_prompts, encode_responses, load_tokenizer
from modeseek.llm.inference.tokenizer import readings as readings_of

pytestmark = needs_transformers

IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True}
MODELS = {
    "Mistral's": {"model_type": "bpe", **IDENTITY, "allow_whitespace_only_pieces": True},
    "no blank before": {"model_type": "bpe", **IDENTITY, "add_dummy_prefix": False},
    "blanks squeezed": {"model_type": "unigram", "byte_fallback": True},
}
CLASSES: dict[str, dict[str, Any] | None] = {
    "none": None,
    "LlamaTokenizer": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True},
    "legacy": {"tokenizer_class": "LlamaTokenizer", "legacy": True},
}
# Of control characters sentencepiece strips some that tokenizers does not, and the other way round.
LETTERS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), max_size=8)
PIECES = st.one_of(LETTERS, st.sampled_from([" ", "  ", "   ", "\n", "The name", "of", "ing", "é", "😀"]))
TEXTS = st.lists(PIECES, max_size=6).map(lambda pieces: "".join(pieces).replace("▁", "_"))


def folder_of(file: Path, architecture: str, given: dict[str, Any] | None, folder: Path) -> Path:
    """A checkpoint's folder with that file alone."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / "tokenizer.model")
    (folder / "config.json").write_text(json.dumps({"model_type": architecture}))
    if given is not None:
        ends = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        (folder / "tokenizer_config.json").write_text(json.dumps({**ends, **given}))
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Files that sentencepiece trains here."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("sentencepiece")
    records = python_docstrings(root=Path(sysconfig.get_path("stdlib")) / "email")
    texts = [line for record in records for line in record.completion.split("\n") if line.strip()]
    for number, options in enumerate(MODELS.values()):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*texts, *(f"a{' ' * n}b" for n in range(2, 6) for _ in range(300))]),
            model_prefix=str(folder / str(number)),
            vocab_size=500,
            minloglevel=2,
            **options,
        )
    rescore(folder / "0.model")
    return {name: folder / f"{number}.model" for number, name in enumerate(MODELS)}


def rescore(file: Path) -> None:
    """Give pieces of blanks the lowest score, as Mistral's have it: ids are not the order of merging then."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(file.read_bytes())
    blanks = [piece for piece in model.pieces if len(piece.piece) > 1 and set(piece.piece) == {"▁"}]
    assert blanks
    for piece in blanks:
        piece.score = -1e9
    file.write_bytes(model.SerializeToString())


def processor(file: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(file))


def own(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Ids of whole texts without BOS."""
    before = len(readings_of(tokenizer).prefix)
    return [ids[before:] for ids in encode(tokenizer, texts)]


READ = [("blanks squeezed", "none"), *((name, kind) for name in ("Mistral's", "no blank before") for kind in CLASSES)]
"""The class is for a BPE that squeezes nothing."""


@pytest.mark.parametrize(("name", "kind"), READ)
def test_ids_are_sentencepieces_own(models, name, kind, tmp_path):
    theirs = processor(models[name])
    for architecture in ("mistral", "llama"):
        agrees(load_tokenizer(folder_of(models[name], architecture, CLASSES[kind], tmp_path / architecture)), theirs)


def agrees(tokenizer: Any, theirs: Any) -> None:
    """Raises AssertionError for a text that the two read otherwise."""

    @settings(max_examples=100, deadline=None, database=None)
    @given(st.lists(TEXTS, max_size=5))
    def holds(texts):
        assert own(tokenizer, texts) == theirs.encode(texts)

    holds()
    texts = ["The name", " The name", "a  b", "a     b", "end.  The"]
    assert own(tokenizer, texts) == theirs.encode(texts)


@pytest.mark.parametrize("name", MODELS)
def test_prompt_and_response_are_one_text(models, name, tmp_path):
    tokenizer = load_tokenizer(folder_of(models[name], "mistral", None, tmp_path))
    tokens = readings_of(tokenizer)
    for prompt, response in (("Fra", "nce"), ("is", " Paris"), ("is ", "Paris"), (" is\n", "Paris"), ("é", "😀")):
        (before,), (after,) = encode_prompts(tokenizer, [prompt]), encode_responses(tokenizer, [response])
        joined = tokens.decode([[*before, *after]])[0]
        shown = decode_responses(tokenizer, [after])[0]
        if name == "blanks squeezed":  # by its own rule a newline is a blank, and blanks before a text are none
            assert joined == (prompt + response).strip().replace("\n", " ")
        else:
            assert (joined, shown) == (prompt + response, response)


def test_thousands_of_texts_through_mistrals_own_file(tmp_path):
    """Mistral's piece of two blanks has a low id, and the lowest score of all."""
    import sentencepiece

    file = DATA / "mistral_v1_tokenizer.model"
    if not file.is_file():
        pytest.skip("Mistral's tokenizer is not in shared/data beside this clone")
    theirs, texts = processor(file), real_responses(1500)
    texts += [" " * n + text for n in (1, 2, 3) for text in texts[:200]] + ["", " ", "end.  Improving"]
    assert isinstance(theirs, sentencepiece.SentencePieceProcessor)
    for architecture, kind in (("mistral", "none"), ("llama", "LlamaTokenizer")):
        folder = folder_of(file, architecture, CLASSES[kind], tmp_path / architecture)
        assert own(load_tokenizer(folder), texts) == theirs.encode(texts)


def test_a_file_of_another_kind_is_let_alone(tmp_path):
    """A `tokenizer.json` has the word, whatever stands beside it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (tmp_path / "tokenizer.model").write_text("no pieces")
    assert encode(load_tokenizer(tmp_path), ["b a"]) == [[1, 0]]
