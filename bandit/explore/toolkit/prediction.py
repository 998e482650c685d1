"""Commit before you see: a question with options whose answer shows only after one was chosen."""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Truth(NamedTuple):
    """What is so.

    Attributes:
        option: index of the right option.
        because: the explanation, with its equation numbers and computed figures.
    """

    option: int
    because: str


class Prediction:
    """A question. Display it to answer it; display its `reveal` to compare.

    Attributes:
        question: what is asked.
        options: what may be answered.
        chosen: index of the committed option; None before.
    """

    def __init__(self, question: str, options: Sequence[str], truth: Callable[[], Truth]) -> None:
        """A question whose truth is computed when it is revealed.

        Raises:
            ValueError: fewer than two options.
        """
        if len(options) < 2:
            raise ValueError(f"a prediction needs at least 2 options, got {len(options)}")
        self.question, self.options, self._truth = question, tuple(options), truth
        self.chosen: int | None = None
        self.reveal = Reveal(self)

    def commit(self, option: int) -> None:
        """Settle on an option, by its index; it can be done once.

        Raises:
            ValueError: there is no such option, or one was committed before.
        """
        if self.chosen is not None:
            raise ValueError(f"already committed: {self.options[self.chosen]}")
        if not 0 <= option < len(self.options):
            raise ValueError(f"option must be from 0 to {len(self.options) - 1}, got {option}")
        self.chosen = option
        self.reveal.show()

    def truth(self) -> Truth:
        """The answer."""
        return self._truth()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        lines = "\n".join(f"- {option}" for option in self.options)
        data: dict[str, Any] = {
            "text/markdown": f"**Predict:** {self.question}\n\n{lines}",
            "text/plain": f"Predict: {self.question}\n{lines}",
        }
        box = self._widget()
        return data if box is None else data | {WIDGET_VIEW: _view(box)}

    def _widget(self) -> Any:
        try:
            import ipywidgets as w
        except ImportError:
            return None
        radio = w.RadioButtons(options=list(enumerate(self.options)), index=None, layout=w.Layout(width="98%"))
        radio.options = [(text, i) for i, text in enumerate(self.options)]
        radio.index = self.chosen
        button = w.Button(description="Commit", tooltip="settle on this answer; the reveal below opens")
        said = w.HTML()

        def commit(_: Any) -> None:
            try:
                if radio.index is None:
                    raise ValueError("choose one of the options first")
                self.commit(radio.index)
                said.value = "<p role='status'>Committed. The reveal further down is open now.</p>"
                radio.disabled = button.disabled = True
            except ValueError as error:
                look = "border-left:5px solid #C04A2B;padding-left:8px"  # the text has the theme's own colour
                said.value = f"<p role='alert' style='{look}'>{html.escape(str(error))}</p>"

        button.on_click(commit)
        title = w.HTML(f"<b>Predict:</b> {html.escape(self.question)}")
        return w.VBox([title, radio, button, said])


class Reveal:
    """A prediction's answer: closed in a live notebook until the reader has committed; open wherever nobody can."""

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction
        self._shown: list[Any] = []

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

    def show(self) -> None:
        """Open every reveal that is on the screen."""
        for shown in self._shown:
            shown.value = self._html()

    def _html(self) -> str:
        if self._prediction.chosen is None:
            return "<p><i>Closed until you commit to a prediction above.</i></p>"
        text = html.escape(self.text()).replace("\n\n", "<br>")
        bold = text.split("**")
        return (
            "<p style='line-height:1.4'>" + "".join(f"<b>{s}</b>" if i % 2 else s for i, s in enumerate(bold)) + "</p>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        text = self.text()
        data: dict[str, Any] = {"text/markdown": text, "text/plain": text.replace("**", "")}
        try:
            import ipywidgets as w
        except ImportError:
            return data
        self._shown.append(w.HTML(self._html()))
        return data | {WIDGET_VIEW: _view(self._shown[-1])}


def _view(widget: Any) -> dict[str, Any]:
    return {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
