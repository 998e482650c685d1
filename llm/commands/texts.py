"""How commands read a model's tokenizer, and write data as text for it."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.data.templates import Template
    from modeseek.llm.data.tokens import TextTokens

TemplateName = Literal["plain", "paper", "chat"]


class Reading(NamedTuple):
    """A model's tokenizer, both its readings, and every id that ends a response (one at least)."""

    tokenizer: Any
    tokens: "TextTokens"
    eos: list[int]


def reading_of(checkpoint: "Checkpoint") -> Reading:
    """How a model reads texts and ends responses: by its generation settings, else by its tokenizer.

    Raises:
        ValueError: no tokenizer can be read, or neither has an EOS.
    """
    from modeseek.llm.data.tokens import text_tokens
    from modeseek.llm.inference.language_model import eos_ids
    from modeseek.llm.inference.tokenizer import load_tokenizer

    tokenizer, eos = load_tokenizer(checkpoint.folder), eos_ids(checkpoint)
    learnt = eos[0] if eos and tokenizer.eos_token_id not in eos else None  # of several the tokenizer's own
    tokens = text_tokens(tokenizer, eos=learnt)
    return Reading(tokenizer, tokens, eos or [tokens.eos])


def template(name: TemplateName, tokenizer: Any) -> "Template":
    """The template of that name.

    Raises:
        ValueError: the tokenizer has no chat template.
    """
    from modeseek.llm.data.templates import PAPER, PLAIN, Chat

    return Chat(tokenizer) if name == "chat" else {"plain": PLAIN, "paper": PAPER}[name]
