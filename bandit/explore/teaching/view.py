"""A state of an explorer that shows one thing, with a sentence that is computed from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from modeseek.bandit.explore import explorer_class
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.model import opening


class Finding(NamedTuple):
    """What a view shows.

    Attributes:
        holds: whether what the view is there to show is so.
        says: it in numbers.
    """

    holds: bool
    says: str


@dataclass(frozen=True)
class View:
    """One thing to see.

    Attributes:
        name: of its files.
        title: what is so.
        belief: what many think before.
        state: of the explorer that shows it.
        look: where in the picture.
        finds: what the view-model in that state says.
    """

    name: str
    title: str
    belief: str
    state: str
    look: str
    finds: Callable[[Any], Finding]

    @property
    def kind(self) -> type[Explorer]:
        """The explorer's class, by the first word of the state."""
        return explorer_class(self.state.partition("?")[0])

    def finding(self) -> Finding:
        """Open the state's view-model, and look."""
        return self.finds(self.kind.Model.from_state(self.state))

    @property
    def again(self) -> str:
        """What opens it in a notebook."""
        return opening(self.state.partition("?")[0], self.state)
