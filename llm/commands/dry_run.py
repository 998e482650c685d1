"""`--dry-run`: what a command would take, before anything is downloaded, loaded or written."""

import dataclasses
import math
from typing import TYPE_CHECKING

from modeseek.checks import positive, require, whole

if TYPE_CHECKING:
    from modeseek.llm.runs.plans import Model, Plan, Rate


@dataclasses.dataclass(frozen=True)
class DryRun:
    """Options of a dry run.

    Attributes:
        dry_run: print sizes, memory by part, steps, tokens and hours, and stop. Pythia and Mistral-7B need no network.
        device: that memory and hours are counted for: h200, h100, a100, a100-40gb, a40, l4, tpu-v4, tpu-v5e, tpu-v5p or
            tpu-v6e.
        tflops: of the device in bfloat16, where it is another.
        mfu: the share of them that is assumed for updates and scoring.
        rows: of the data, where they cannot be counted yet.
    """

    dry_run: bool = False
    device: str = "h200"
    tflops: float | None = None
    mfu: float = 0.36
    rows: int | None = None

    def rate(self) -> "Rate":
        """How fast the device is taken to be.

        Raises:
            ValueError: an unknown device, or impossible numbers.
        """
        from modeseek.llm.parallel.accelerators import accelerator
        from modeseek.llm.runs.plans import Rate

        device = accelerator(self.device)
        if self.tflops is not None:
            positive("tflops", self.tflops)
            device = device._replace(flops=1e12 * self.tflops)
        return Rate(device, self.mfu)

    def model(self, source: str, dtype: str) -> "Model":
        """A model's sizes, as it is computed on the device.

        Raises:
            ValueError: as `modeseek.llm.runs.known.model_sizes`.
        """
        from modeseek.llm.runs.known import model_sizes
        from modeseek.llm.runs.plans import Model

        return Model(model_sizes(source), dtype, self.rate().device.fused)

    def count(self, data: str, split: str | None, limit: int | None, held_out: float = 0.0) -> int:
        """Rows of the data that are trained on, before any is dropped.

        Raises:
            ValueError: nobody knows them.
        """
        from modeseek.llm.runs.known import data_rows

        if self.rows is not None:
            whole("rows", self.rows, 1)
        rows = self.rows if self.rows is not None else data_rows(data, split, limit)
        require(rows is not None, f"how many rows {data} has is not known before it is downloaded: give --rows")
        assert rows is not None
        return rows - math.ceil(held_out * rows)

    def show(self, plan: "Plan") -> int:
        """Print the plan; 0."""
        from modeseek.llm.runs.plans import table

        print(table(plan, self.rate(), self.device))
        return 0
