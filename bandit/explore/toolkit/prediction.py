"""Commit before you see: a question with options whose answer shows only after one was chosen."""

import contextlib
import html
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from modeseek.bandit.explore.toolkit.display import Displayed, Still, paragraphs

CLOSED = "Closed until you commit to your prediction above."


class Truth(NamedTuple):
    """What is so.

    Attributes:
        option: index of the right option.
        because: the explanation, with its equation numbers and computed figures.
    """

    option: int
    because: str


class Prediction(Displayed):
    """A question. Display it to answer it; display its `reveal` to compare.

    Attributes:
        question: what is asked.
        options: what may be answered.
        chosen: index of the committed option; None before.
        reveal: its answer, which opens when an option is committed.
    """

    interactive = True

    def __init__(self, question: str, options: Sequence[str], truth: Callable[[], Truth]) -> None:
        """A question whose truth is computed when it is revealed.

        Raises:
            ValueError: fewer than two options.
        """
        super().__init__()
        if len(options) < 2:
            raise ValueError(f"a prediction needs at least 2 options, got {len(options)}")
        self.question, self.options, self._truth = question, tuple(options), truth
        self.chosen: int | None = None
        self._gates: list[tuple[Displayed, Callable[[], Any]]] = []
        self._watchers: list[Callable[[], Any]] = []
        self.reveal = Reveal(self)

    def watch(self, changed: Callable[[], Any]) -> None:
        """Call this when an option was committed or taken back, and when something that waits for it opens."""
        self._watchers.append(changed)

    def watch_gate(self, waiting: Displayed, follow: Callable[[], Any]) -> None:
        """Call this when an option is committed or taken back: a gate before `waiting`, which opens or closes.

        It returns a widget to lead to, or None.
        """
        self._gates.append((waiting, follow))

    @property
    def waiting(self) -> int | None:
        """Predictions that are to be committed until all is open that waits for this one; None if nothing does."""
        if not self._gates:
            return None
        closed = [each for each, _ in self._gates if not each.opened]
        return max((sum(p.chosen is None for p in each.predictions) for each in closed), default=0)

    def commit(self, option: int) -> list[Any]:
        """Settle on an option, by its index; it can be done once, or again after `take_back`.

        Returns:
            What opens by that and should be looked at next.

        Raises:
            ValueError: there is no such option, or one was committed before.
            Exception: what went wrong first with what opens by that; everything else is open then.
        """
        if self.chosen is not None:
            raise ValueError(f"already committed: {self.options[self.chosen]}")
        if type(option) is not int or not 0 <= option < len(self.options):
            raise ValueError(f"option must be a whole number from 0 to {len(self.options) - 1}, got {option!r}")
        self.chosen = option
        return self._follow()

    def take_back(self) -> None:
        """As if nothing had been committed: what waits for it closes, also what was opened without a prediction.

        Raises:
            ValueError: nothing was committed.
            Exception: what went wrong first with what closes by that; everything else is closed then.
        """
        if self.chosen is None:
            raise ValueError("nothing was committed that could be taken back")
        self.chosen = None
        for waiting in {id(each): each for each in (self.reveal, *(waiting for waiting, _ in self._gates))}.values():
            waiting.shut()
        self._follow()

    def _follow(self) -> list[Any]:
        """Bring gates, views and saved outputs to what is chosen; returns what opens and should be looked at next."""
        errors: list[Exception] = []
        opened: dict[int, Any] = {}  # of what is displayed more than once, where it was displayed last
        for waiting, follow in self._gates:
            with _kept(errors):
                opened[id(waiting)] = follow()
        others = {id(other): other for waiting, _ in self._gates for other in waiting.predictions}
        for each in ({id(self): self} | others).values():
            errors += each.tell()
        for displayed in (self, self.reveal):
            with _kept(errors):
                displayed.refresh()
        if errors:
            raise errors[0]
        return [box for box in opened.values() if box is not None]

    def tell(self) -> list[Exception]:
        """Bring its views up to date; returns what went wrong with any of them."""
        errors: list[Exception] = []
        for changed in self._watchers:
            with _kept(errors):
                changed()
        return errors

    def truth(self) -> Truth:
        """The answer."""
        return self._truth()

    def still(self) -> Still:
        """The question, its options, and which was committed."""
        said = "" if self.chosen is None else f"Committed: {self.options[self.chosen]}"
        items = "".join(f"<li>{html.escape(option)}</li>" for option in self.options)
        lines = "\n".join(f"- {option}" for option in self.options)
        return Still(
            f"<p>{paragraphs(f'**Predict:** {self.question}')}</p><ul>{items}</ul>" + f"<p>{html.escape(said)}</p>",
            f"Predict: {self.question}\n{lines}" + f"\n{said}" * bool(said),
        )

    def live(self) -> Any:
        """The question with its options to choose from."""
        from modeseek.bandit.explore.toolkit.question import Question

        return Question(self).box


@contextlib.contextmanager
def _kept(errors: list[Exception]) -> Iterator[None]:
    """An error ends this one thing, and is kept for when all the others are done."""
    try:
        yield
    except Exception as error:
        errors.append(error)


class Reveal(Displayed):
    """A prediction's answer: closed in a live notebook until the reader has committed, and folded in a saved one."""

    leads = False

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self._prediction = prediction
        self.after(prediction)

    def text(self) -> str:
        """The answer in words, and whether it was foreseen."""
        prediction = self._prediction
        truth = prediction.truth()
        answer = f"**{prediction.options[truth.option]}** {truth.because}"
        if prediction.chosen is None:
            return answer
        verdict = "You predicted it." if prediction.chosen == truth.option else "You predicted otherwise: "
        other = "" if prediction.chosen == truth.option else f"“{prediction.options[prediction.chosen]}”"
        return f"{verdict}{other}\n\n{answer}"

    def still(self) -> Still:
        """The answer, folded under the sentence that says why it is closed."""
        answer = f"<p style='line-height:1.4'>{paragraphs(self.text())}</p>"
        if self.opened:
            return Still(answer, self.text().replace("**", ""))
        return Still(f"<details><summary>{CLOSED} Unfold it anyway.</summary>{answer}</details>", CLOSED)
