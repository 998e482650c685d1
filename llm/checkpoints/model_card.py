"""A model card: what a model is, what it was trained on and how, and its numbers, as the hub shows `README.md`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modeseek.markdown import markdown_table


@dataclass(frozen=True)
class ModelCard:
    """What a person who finds the folder must know (`text` writes it).

    Attributes:
        title: of the model.
        summary: one or two sentences.
        method: of training, as the registry or the stage names it ("sft", "dpo", …).
        base: the model that training began with; None for one that was trained from scratch.
        data: lines about the data: where from, how many rows, what was cut.
        settings: of the training.
        numbers: measured → value.
    """

    title: str
    summary: str
    method: str
    base: str | None = None
    data: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)

    def text(self) -> str:
        """The card in Markdown, after the few keys that the hub reads."""
        origin = f"It began with `{self.base}`." if self.base else "It was trained from scratch."
        parts = [
            f"---\nlibrary_name: transformers\ntags: [modeseek, {self.method}]\n---",
            f"# {self.title}",
            f"{self.summary} {origin}",
            "## Data",
            "\n".join(f"- {line}" for line in self.data) or "Not said.",
            "## Method",
            f"`{self.method}`, by modeseek.",
        ]
        if self.settings:
            parts.append(markdown_table([("setting", "left"), ("value", "right")], list(self.settings.items())))
        if self.numbers:
            rows = [(name, _written(value)) for name, value in self.numbers.items()]
            parts += ["## Numbers", markdown_table([("measured", "left"), ("value", "right")], rows)]
        return "\n\n".join(parts) + "\n"


def _written(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
