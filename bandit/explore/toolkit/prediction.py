"""Commit before you see: a question with options whose answer shows only after one was chosen."""

import html
from collections.abc import Callable, Sequence
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
        self._watchers: list[Callable[[], Any]] = []
        self.reveal = Reveal(self)

    def watch(self, committed: Callable[[], Any]) -> None:
        """Call this when an option is committed; it returns the widgets that it opens by that, or None."""
        self._watchers.append(committed)

    def commit(self, option: int) -> list[Any]:
        """Settle on an option, by its index; it can be done once.

        Returns:
            What opens by that and should be looked at next.

        Raises:
            ValueError: there is no such option, or one was committed before.
        """
        if self.chosen is not None:
            raise ValueError(f"already committed: {self.options[self.chosen]}")
        if not 0 <= option < len(self.options):
            raise ValueError(f"option must be from 0 to {len(self.options) - 1}, got {option}")
        self.chosen = option
        opened = [watcher() for watcher in self._watchers]
        self.refresh()
        return [box for box in opened if box is not None]

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


class Reveal(Displayed):
    """A prediction's answer: closed in a live notebook until the reader has committed, and folded in a saved one."""

    leads = False

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self._prediction = prediction
        self.after(prediction)
        prediction.watch(self.refresh)

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
