"""What one row of data says, whatever its columns were called: a pair, a completion, or a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


Conversation = tuple[Message, ...]
PromptText = str | Conversation
"""What a response answers: plain text, or the turns so far."""


@dataclass(frozen=True)
class PreferencePair:
    """Two responses to a prompt, the first of them preferred.

    Attributes:
        prompt: text, or the turns so far.
        chosen: the preferred response.
        rejected: the other.
        scores: rewards of chosen and rejected, where the data has them.
        reference_response: what the reference policy answered, where the data has it.
    """

    prompt: PromptText
    chosen: str
    rejected: str
    scores: tuple[float, float] | None = None
    reference_response: str | None = None

    @property
    def responses(self) -> tuple[str, ...]:
        """Chosen, then rejected."""
        return (self.chosen, self.rejected)


@dataclass(frozen=True)
class Completion:
    """One response to a prompt; `label` says whether it is a good one, where the data is unpaired judgements."""

    prompt: PromptText
    completion: str
    label: bool | None = None

    @property
    def responses(self) -> tuple[str, ...]:
        """The completion alone."""
        return (self.completion,)


@dataclass(frozen=True)
class Prompt:
    """A prompt that the policy itself shall answer."""

    prompt: PromptText

    @property
    def responses(self) -> tuple[str, ...]:
        """None yet."""
        return ()


Record = PreferencePair | Completion | Prompt


def as_pairs(records: Sequence[Record]) -> list[PreferencePair]:
    """The same records, known to be pairs.

    Raises:
        ValueError: one of them is none.
    """
    for number, record in enumerate(records, 1):
        if not isinstance(record, PreferencePair):
            raise ValueError(f"preference pairs are needed, but record {number} is {_named(record)}")
    return [record for record in records if isinstance(record, PreferencePair)]


def as_completions(records: Sequence[Record]) -> list[Completion]:
    """Completions as they are, and the chosen response of each pair, as Pref-FT trains on it.

    Raises:
        ValueError: one of them is a bare prompt.
    """
    found = []
    for number, record in enumerate(records, 1):
        if isinstance(record, Prompt):
            raise ValueError(f"completions are needed, but record {number} is {_named(record)}")
        found.append(record if isinstance(record, Completion) else Completion(record.prompt, record.chosen))
    return found


def as_prompts(records: Sequence[Record]) -> list[Prompt]:
    """Each prompt once, in the order in which they come first."""
    return [Prompt(prompt) for prompt in dict.fromkeys(record.prompt for record in records)]


def _named(record: Record) -> str:
    names = {PreferencePair: "a preference pair", Completion: "a completion", Prompt: "a prompt alone"}
    return names[type(record)]
