"""Settings of training as objects: an optimizer's, and how long a run over data goes on. JAX is not imported here."""

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from modeseek.checks import choices, positive, require, whole
from modeseek.llm.data.rows import MULTIPLE

if TYPE_CHECKING:
    import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with clipped gradients, as `modeseek.llm.training.step.make_step` takes it (`transformation`).

    Attributes:
        learning_rate: the highest step size, which the warm-up reaches.
        schedule: what follows the warm-up: the same rate, or one that falls to 0 at the end, along a cosine or a line.
        warmup_steps: steps in which it rises linearly; the first step has the rate learning_rate / (warmup_steps + 1).
        clip_norm: gradients whose norm, over all parameters together, is larger are scaled down to it; None clips none.
        weight_decay: λ of θ ← θ - η λ θ, of every parameter.
        mean_decay: β₁, the decay of the running mean of gradients.
        square_decay: β₂, the decay of the running mean of their squares.
        epsilon: what is added to the root of the squares.
    """

    learning_rate: float = 1e-5
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = 1.0
    weight_decay: float = 0.0
    mean_decay: float = 0.9
    square_decay: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no optimizer can have."""
        choices(self)
        positive("learning_rate", self.learning_rate)
        positive("epsilon", self.epsilon)
        whole("warmup_steps", self.warmup_steps, 0)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)
        for name in ("mean_decay", "square_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} must be at least 0 and less than 1, got {value!r}")
        decay = self.weight_decay
        require(math.isfinite(decay) and decay >= 0, f"weight_decay must be a number of at least 0, got {decay!r}")

    def rate(self, steps: int) -> "optax.Schedule":
        """Step number, from 0 → learning rate, in a run of `steps` steps. With a falling schedule the step after the
        last would have the rate 0, so that none of the run's own is wasted.

        Raises:
            ValueError: the warm-up leaves no step, or there are no steps.
        """
        import optax

        whole("steps", steps, 1)
        if self.warmup_steps >= steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be fewer than the run's {steps} steps")
        after = {
            "constant": lambda: optax.constant_schedule(self.learning_rate),
            "cosine": lambda: optax.cosine_decay_schedule(self.learning_rate, steps - self.warmup_steps),
            "linear": lambda: optax.linear_schedule(self.learning_rate, 0.0, steps - self.warmup_steps),
        }[self.schedule]()
        first = self.learning_rate / (self.warmup_steps + 1)
        rise = optax.linear_schedule(first, self.learning_rate, max(self.warmup_steps, 1))
        return optax.join_schedules([rise, after], [self.warmup_steps])

    def transformation(self, steps: int) -> "optax.GradientTransformation":
        """Clipping, then AdamW with `rate`.

        Args:
            steps: of the whole run, which a falling rate and the warm-up are measured by.

        Raises:
            ValueError: as `rate`.
        """
        import optax

        adam = optax.adamw(
            self.rate(steps), self.mean_decay, self.square_decay, self.epsilon, weight_decay=self.weight_decay
        )
        return adam if self.clip_norm is None else optax.chain(optax.clip_by_global_norm(self.clip_norm), adam)


@dataclasses.dataclass(frozen=True)
class EpochsConfig:
    """How long a run over data goes on, and in which steps.

    Attributes:
        epochs: passes over the data, 1.5 for example.
        batch: how many rows a step takes.
        accumulate: parts that a step's rows are taken in, to save memory; they change no number.
        optimizer: how gradients become steps.
        evaluate_every: steps between two measurements of what is held out; it is always measured at the end.
        multiple: rows are padded to a multiple of so many tokens; each length is compiled once.
        seed: a whole number that the order of the rows and what is held out follow from.
    """

    ROWS: ClassVar[str] = "rows"
    """What a step takes, in errors."""

    epochs: float = 1.0
    batch: int = 32
    accumulate: int = 1
    optimizer: Annotated[OptimizerConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=OptimizerConfig)
    evaluate_every: int = 100
    multiple: int = MULTIPLE
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no run can have."""
        positive("epochs", self.epochs)
        for name in ("batch", "accumulate", "evaluate_every", "multiple"):
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0)
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate ({self.accumulate}) must divide the {self.batch} {self.ROWS} of a batch")

    def steps(self, rows: int) -> int:
        """The gradient steps of a run over so many rows, at least 1; an epoch leaves out what does not fill a batch.

        Raises:
            ValueError: not even one batch is filled.
        """
        if rows < self.batch:
            raise ValueError(
                f"{rows} {self.ROWS} do not fill a batch of {self.batch}: take a smaller batch, or more data"
            )
        return max(1, round(self.epochs * (rows // self.batch)))


@dataclasses.dataclass(frozen=True)
class SFTConfig(EpochsConfig):
    """How long SFT goes on, and in which steps.

    Attributes:
        optimizer: how gradients become steps.
        chunk: tokens whose logits exist at once.
        pack: put several examples of a batch into one row, to compute fewer pads; the loss is the same. Attention is
            then XLA's, not a fused kernel.
        pack_length: tokens of a packed row; if not given, as many as the longest example's row has.
    """

    optimizer: Annotated[OptimizerConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: OptimizerConfig(schedule="cosine")
    )
    chunk: int = 4096
    pack: bool = False
    pack_length: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no run can have."""
        super().__post_init__()
        whole("chunk", self.chunk, 1)
        if self.pack_length is not None:
            whole("pack_length", self.pack_length, 2)
            require(self.pack, "pack_length is the length of packed rows: it goes with pack")


@dataclasses.dataclass(frozen=True)
class RewardModelConfig(EpochsConfig):
    """How long a reward model is trained, and in which steps; its rows are pairs.

    Attributes:
        epochs: passes over the pairs, 1.5 for example; a second one mostly memorises.
        batch: how many pairs a step takes.
        accumulate: parts that a step's pairs are taken in, to save memory; they change no number.
        seed: a whole number that the fresh head, the order of the pairs and what is held out follow from.
    """

    ROWS: ClassVar[str] = "pairs"

    epochs: float = 1.0
    batch: int = 64
    accumulate: int = 8
    seed: int = 0
