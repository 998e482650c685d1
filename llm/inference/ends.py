"""What ends a response in a chat: the end of the assistant's turn, which a configuration may not name."""

import sys
from collections.abc import Sequence
from typing import Any

from modeseek.llm.inference.tokenizer import encode_responses

ANSWER = "an answer"


def end_of_turn(tokenizer: Any) -> int | None:
    """The special token that the chat template writes behind an answer of the assistant; None if it writes none."""
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # a template is a program of its own; what it does not take is told where it is used
        return None
    _, found, behind = text.rpartition(ANSWER)
    ids = encode_responses(tokenizer, [behind.lstrip()])[0] if found and behind.strip() else []
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return ids[0] if ids and ids[0] in special else None


def chat_ends(ends: Sequence[int], tokenizer: Any, vocab_size: int) -> list[int]:
    """Every id that ends an answer in a chat: those that the model's configuration names, the tokenizer's EOS, and
    what its chat template ends a turn with; one that the configuration does not name is told on standard error.

    Args:
        ends: the configuration's.
        tokenizer: with a chat template.
        vocab_size: of the model, which writes no id beyond.
    """
    others = (end_of_turn(tokenizer), tokenizer.eos_token_id)
    more = [i for i in dict.fromkeys(others) if i is not None and i not in ends and i < vocab_size]
    if more:
        names = " and ".join(f"{token!r}" for token in tokenizer.convert_ids_to_tokens(more))
        print(
            f"modeseek: note: the chat's turns end with {names}, which the model's configuration does not name as EOS: "
            "answers end there too",
            file=sys.stderr,
        )
    return [*ends, *more]
