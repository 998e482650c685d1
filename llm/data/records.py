"""What one row of data says, whatever its columns were called: a pair, a completion, or a prompt."""

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


def chosen_completions(pairs: list[PreferencePair]) -> list[Completion]:
    """The preferred responses alone, as Pref-FT trains on them."""
    return [Completion(pair.prompt, pair.chosen) for pair in pairs]


def distinct_prompts(records: list[Record]) -> list[Prompt]:
    """Each prompt once, in the order in which they come first."""
    return [Prompt(prompt) for prompt in dict.fromkeys(record.prompt for record in records)]
