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


def reading_of(checkpoint: "Checkpoint", template: TemplateName = "plain") -> Reading:
    """How a model reads texts and ends responses: by its generation settings, else by its tokenizer; in a chat with
    the end of a turn, as the chat template writes it.

    Raises:
        ValueError: no tokenizer can be read, or neither has an EOS.
    """
    from modeseek.llm.data.tokens import text_tokens
    from modeseek.llm.inference.ends import chat_ends, end_of_turn
    from modeseek.llm.inference.language_model import eos_ids
    from modeseek.llm.inference.tokenizer import load_tokenizer

    tokenizer, eos = load_tokenizer(checkpoint.folder), eos_ids(checkpoint)
    learnt = eos[0] if eos and tokenizer.eos_token_id not in eos else None  # of several the tokenizer's own
    if template == "chat":
        turn = end_of_turn(tokenizer)
        learnt = learnt if turn is None or turn >= checkpoint.config.vocab_size else turn
        eos = chat_ends(eos, tokenizer, checkpoint.config.vocab_size)
    tokens = text_tokens(tokenizer, eos=learnt)
    return Reading(tokenizer, tokens, eos or [tokens.eos])


def template(name: TemplateName, tokenizer: Any) -> "Template":
    """The template of that name.

    Raises:
        ValueError: the tokenizer has no chat template.
    """
    from modeseek.llm.data.templates import PAPER, PLAIN, Chat
    from modeseek.llm.inference.ends import end_of_turn

    if name != "chat":
        return {"plain": PLAIN, "paper": PAPER}[name]
    turn = end_of_turn(tokenizer) if getattr(tokenizer, "chat_template", None) else None
    return Chat(tokenizer, None if turn is None else str(tokenizer.convert_ids_to_tokens(turn)))
