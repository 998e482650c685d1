"""What became of the data: how much was read, kept, cut and dropped, and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Report:
    """Counts of one step, or of several one after another (`then`); printed, it is plain lines.

    Attributes:
        read: rows that came in.
        kept: rows that went on.
        dropped: reason → rows that did not; `read` is `kept` and these together.
        duplicates: rows that repeat an earlier one, whether kept or not.
        cut_prompts: prompts that lost tokens on their left.
        cut_responses: responses that lost tokens on their right, and so their EOS.
        altered_prompts: prompts whose ids decode to another text (a tokenizer that normalises, for instance).
        altered_responses: responses of which the same is true.
    """

    read: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    duplicates: int = 0
    cut_prompts: int = 0
    cut_responses: int = 0
    altered_prompts: int = 0
    altered_responses: int = 0

    def then(self, later: "Report") -> "Report":
        """This step's counts and those of the next, which read what this one kept.

        Raises:
            ValueError: the next read another number of rows.
        """
        if later.read != self.kept:
            raise ValueError(f"a step that kept {self.kept} rows is not followed by one that read {later.read}")
        return Report(
            read=self.read,
            kept=later.kept,
            dropped=dict(Counter(self.dropped) + Counter(later.dropped)),
            duplicates=self.duplicates + later.duplicates,
            cut_prompts=self.cut_prompts + later.cut_prompts,
            cut_responses=self.cut_responses + later.cut_responses,
            altered_prompts=self.altered_prompts + later.altered_prompts,
            altered_responses=self.altered_responses + later.altered_responses,
        )

    def require_rows(self) -> "Report":
        """This report, if anything is left to train on.

        Raises:
            ValueError: nothing is; the reasons are in the message.
        """
        if self.kept == 0:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in self.dropped.items())
            raise ValueError(f"no usable row is left of {self.read}" + (f": {reasons}" if reasons else ""))
        return self

    def __str__(self) -> str:
        lines = [f"{self.read} rows read, {self.kept} kept"]
        lines += [f"{count} dropped: {reason}" for reason, count in sorted(self.dropped.items())]
        notes = (
            (self.duplicates, "repeat an earlier row"),
            (self.cut_prompts, "prompts cut on the left"),
            (self.cut_responses, "responses cut on the right, without EOS"),
            (self.altered_prompts, "prompts that the tokenizer writes otherwise than they were given"),
            (self.altered_responses, "responses that the tokenizer writes otherwise than they were given"),
        )
        return "\n".join(lines + [f"{count} {what}" for count, what in notes if count])
