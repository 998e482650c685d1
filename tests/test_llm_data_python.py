"""The offline corpus: what Python's files say of themselves, and a tokenizer trained on it."""

import sys

import pytest
from llm_cases import needs_transformers

from modeseek.llm.data.python_docstrings import DocstringLimits, python_docstrings
from modeseek.llm.data.records import Completion
from modeseek.llm.data.train_tokenizer import EOS, PAD, train_tokenizer

SOURCE = '''
"""A module's own docstring is nobody's signature."""
raise SystemExit("files are parsed, never run")

class Shape(Base, metaclass=Meta):
    """Hold a shape of any kind.

    Each kind has
        an area.
    """
    def area(self, *, unit: str = "m") -> float:
        """Give the area in square units."""
        def inner(a, /, b=2, *c, **d):
            """Help within a function."""

    async def later(self):
        """Come back at another time."""

if True:
    def hidden():
        """Stand under a condition."""

def again():
    """Give the area in square units."""

def short():
    """Too short."""

def long():
    """%s"""

def odd():
    "An odd escape \\d is here."

def undocumented():
    pass
''' % ("long " * 300)


@pytest.fixture
def library(tmp_path):
    (tmp_path / "package" / "test").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text(SOURCE)
    (tmp_path / "package" / "test" / "tests.py").write_text(SOURCE.replace("area", "volume"))
    (tmp_path / "broken.py").write_text("def no(:\n")
    (tmp_path / "latin.py").write_bytes(b"# \xff\n" + b'def f():\n    """Not in UTF-8, and not declared."""\n')
    (tmp_path / "zeta.py").write_text('def lone():\n    """A lone surrogate: \\ud800 is no text."""\n')
    return tmp_path


def test_signatures_are_prompts_and_docstrings_responses(library):
    assert python_docstrings(root=library) == [
        Completion("class package.Shape(Base)\n", "Hold a shape of any kind.\n\nEach kind has\n    an area."),
        Completion("def package.Shape.area(self, *, unit: str='m') -> float\n", "Give the area in square units."),
        Completion("def package.Shape.area.inner(a, /, b=2, *c, **d)\n", "Help within a function."),
        Completion("async def package.Shape.later(self)\n", "Come back at another time."),
        Completion("def package.hidden()\n", "Stand under a condition."),
        Completion("def package.odd()\n", r"An odd escape \d is here."),
    ]


def test_limits(library):
    assert len(python_docstrings(DocstringLimits(least=1), library)) == 7
    assert len(python_docstrings(DocstringLimits(most=None), library)) == 7
    assert len(python_docstrings(DocstringLimits(most_signature=30), library)) == 4
    with pytest.raises(ValueError, match="most must be a whole number of at least 20, got 10"):
        DocstringLimits(most=10)
    (library / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no documented Python files"):
        python_docstrings(root=library / "empty")


@pytest.fixture(scope="module")
def corpus():
    return python_docstrings()


def test_the_standard_library_is_a_corpus(corpus):
    """Real text enough to train on, without importing what it is about."""
    assert len(corpus) > 3000
    assert python_docstrings(first=40) == corpus[:40]
    assert sum(len(record.completion) for record in corpus) > 500_000
    assert len({record.completion for record in corpus}) == len(corpus)
    assert all(record.prompt.endswith("\n") and record.completion.strip() == record.completion for record in corpus)
    assert "turtledemo" not in sys.modules


@needs_transformers
def test_a_tokenizer_learns_it(corpus, tmp_path):
    from transformers import AutoTokenizer

    texts = [record.prompt + record.completion for record in corpus[:1000]]
    first = train_tokenizer(texts, tmp_path / "first", vocab_size=1024)
    second = train_tokenizer(iter(texts), tmp_path / "deep" / "second", vocab_size=1024)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(first)
    assert len(tokenizer) == 1024
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == (EOS, 0)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == (PAD, 1)
    for text in (*texts[:50], "  \r\n\x00", "日本 😀 e\u0301", " leading"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    held_out = "".join(record.completion for record in corpus[1000:1200])
    assert len(held_out) / len(tokenizer(held_out)["input_ids"]) > 2.5  # characters a token; bytes alone give 1


@needs_transformers
def test_tokenizers_that_cannot_be_trained(tmp_path):
    with pytest.raises(ValueError, match="vocab_size must be a whole number of at least 258, got 257"):
        train_tokenizer(["a"], tmp_path, vocab_size=257)
    assert train_tokenizer(["a"], tmp_path / "small", vocab_size=300).is_dir()  # fewer merges than there is room for
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not writable"):
        train_tokenizer(["a"], tmp_path / "file")
