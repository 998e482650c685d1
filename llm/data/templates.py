"""How a prompt and its responses are written for a model: plain, in the paper's frame, or by its own chat template.

A template gives the prompt's text and each response's text apart, and neither ever holds a part of the other. EOS is no
part of a text: `tokenization` appends its id.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from modeseek.foreign import foreign
from modeseek.llm.data.records import Conversation, Message, Record

PROMPTER_MARK = "<|prompter|>"
ASSISTANT_MARK = "<|assistant|>"
END_MARK = "<|endoftext|>"


class Written(NamedTuple):
    """A record as text: the prompt, and what follows it in each response."""

    prompt: str
    responses: tuple[str, ...]


@runtime_checkable
class Template(Protocol):
    """A way to write records.

    Attributes:
        writes_special_tokens: the texts hold special tokens already, such as BOS and the ends of turns. If not, the
            tokenizer adds its BOS, and a special token's name within a response is ordinary text.
    """

    @property
    def writes_special_tokens(self) -> bool:
        """See above."""
        ...

    def write(self, record: Record) -> Written:
        """The record's texts. Raises a `ValueError` if it has no such form."""
        ...


@dataclass(frozen=True)
class Frame:
    """Fixed texts around an instruction; the response follows as it is.

    Attributes:
        before: stands before the instruction.
        after: stands between the instruction and the response.
    """

    before: str = ""
    after: str = ""

    @property
    def writes_special_tokens(self) -> bool:
        """The tokenizer's BOS, if it has one, is still to be added."""
        return False

    def write(self, record: Record) -> Written:
        """`before`, the instruction and `after`; the responses.

        Raises:
            ValueError: the prompt is a conversation of more than one turn.
        """
        prompt = record.prompt
        if not isinstance(prompt, str):
            if [turn.role for turn in prompt] != ["user"]:
                roles = ", ".join(turn.role for turn in prompt) or "no turns"
                raise ValueError(f"a prompt of several turns ({roles}) needs a chat template")
            prompt = prompt[0].content
        return Written(self.before + prompt + self.after, record.responses)


PLAIN = Frame()
"""The prompt as it stands, and nothing between it and the response."""

PAPER = Frame(PROMPTER_MARK, END_MARK + ASSISTANT_MARK)
"""The paper's `<|prompter|>{instruction}<|endoftext|><|assistant|>{response}`; its input is in the instruction's second
line (`columns`), and the closing `<|endoftext|>` is EOS. The first is a token to Pythia, and plain text to a tokenizer
that has no such token."""


def instruction_within(text: str) -> str:
    """A prompt without the paper's marks around it."""
    return text.removeprefix(PROMPTER_MARK).removesuffix(ASSISTANT_MARK).removesuffix(END_MARK)


def response_within(text: str) -> str:
    """A response without the paper's marks around it; a closing mark stands there as often as the row was padded."""
    return re.sub(rf"({re.escape(END_MARK)})+$", "", text.removeprefix(ASSISTANT_MARK))


@dataclass(frozen=True)
class Chat:
    """The chat template that a tokenizer brings.

    The prompt is what the template writes up to where the assistant is to answer; a response is what it writes from
    there on, up to the end of the assistant's turn. A template that writes the prompt otherwise once an answer follows
    is refused: the policy would be trained behind other tokens than it is asked behind.

    Attributes:
        tokenizer: transformers' tokenizer.
        end_of_turn: the token that ends the assistant's turn, by its name; the tokenizer's EOS if not given. It is cut
            off here, as `tokenization` appends it.
    """

    tokenizer: Any
    end_of_turn: str | None = None

    def __post_init__(self) -> None:
        if not getattr(self.tokenizer, "chat_template", None):
            raise ValueError("the tokenizer has no chat template: use a plain frame, or a model that was made for chat")

    @property
    def writes_special_tokens(self) -> bool:
        """Chat templates write BOS and the ends of turns."""
        return True

    def write(self, record: Record) -> Written:
        """The template's texts.

        Raises:
            ValueError: the template does not take these turns, or writes the prompt in two ways.
        """
        turns = (Message("user", record.prompt),) if isinstance(record.prompt, str) else record.prompt
        prompt = self._render(turns, ask=True)
        return Written(prompt, tuple(self._after(prompt, turns, response) for response in record.responses))

    def _after(self, prompt: str, turns: Conversation, response: str) -> str:
        whole = self._render((*turns, Message("assistant", response)), ask=False)
        if not whole.startswith(prompt):
            raise ValueError(
                "the chat template writes the prompt otherwise when an answer follows: "
                f"{_end(prompt)!r} where an answer is asked for, then {_end(whole)!r}"
            )
        text = whole[len(prompt) :]
        end = self.end_of_turn or self.tokenizer.eos_token
        # What stands behind the end of the turn (a line's end, mostly) is never sampled, and so never trained.
        answer, found, rest = text.rpartition(end) if end else (text, "", "")
        return answer if found and not rest.strip() else text

    def _render(self, turns: Conversation, *, ask: bool) -> str:
        messages = [turn._asdict() for turn in turns]
        with foreign("the chat template does not take these messages"):
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))


def _end(text: str) -> str:
    return text if len(text) <= 60 else f"…{text[-60:]}"
