"""Explorers whose curves have to be trained: recorded at first, then on request, in a thread, and never in secret.

The view-model knows what a training depends on and takes its parts as they come; the explorer starts and cancels it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from modeseek.bandit.explore.toolkit.controls import Choice, Control
from modeseek.bandit.explore.toolkit.explorer import Explorer, ExtraRow
from modeseek.bandit.explore.toolkit.model import R, ViewModel
from modeseek.bandit.explore.toolkit.recording import Part
from modeseek.bandit.explore.toolkit.values import MethodTitles, SteppedValues
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment

DRAW_SECONDS = 0.25
"""Partial curves are drawn this often at most."""
KEPT = 12
"""Trainings that a view-model remembers."""

T = TypeVar("T", bound=SteppedValues)


class Drawn(NamedTuple):
    """What the curves are of, whatever the controls ask for.

    Attributes:
        values: with which it was trained.
        run: what was trained or recorded.
        share: of the training that was done; 1 if all of it was.
        here: whether it was trained here, not recorded.
        settings: all that the training depended on, as `TrainingModel.settings` had it then.
    """

    values: Any
    run: Any
    share: float = 1.0
    here: bool = False
    settings: tuple[Any, ...] = ()


class TrainingModel(ViewModel[T, R]):
    """A view-model with a `run`: recorded for its presets, trained for other settings.

    While there is none for the present settings it keeps the last one, `stale` says so, and `drawn` what it is of.

    Attributes:
        recorded_for: names of values for each of which a preset was recorded.
        drawn: the run that is shown, and its settings.
    """

    recorded_for: ClassVar[tuple[str, ...]] = ()
    drawn: Drawn

    def __init__(self, preset: str | None = None, **values: Any) -> None:
        """As `ViewModel`."""
        self.drawn = Drawn(None, None)  # until the preset, which is recorded, is taken over
        self._trained: dict[tuple[Any, ...], Drawn] = {}
        super().__init__(preset, **values)

    @property
    def run(self) -> Any:
        """What was trained or recorded."""
        return self.drawn.run

    @property
    def stale(self) -> bool:
        """Whether the run is of other settings than the present ones."""
        return self.drawn.settings != self.settings(self.values)

    def of_others(self) -> str:
        """A caption's last sentence where the run is of other settings: in what they differ."""
        if not self.stale:
            return ""
        drawn, values = self.drawn.values, self.values
        apart = [c for c in self.controls if self.depends(c) and getattr(drawn, c.name) != getattr(values, c.name)]
        labels = ", ".join(control.label for control in apart) or "the method was defined anew"
        return f" These curves are of other settings than those set here ({labels}): press Train."

    def depends(self, control: Control) -> bool:
        """Whether a training depends on this control."""
        return not (control.view or control.derived or control.name == "preset")

    def settings(self, values: T) -> tuple[Any, ...]:
        """All that a training depends on; of a method also its row, as one of one's own may be defined anew."""

        def meant(control: Control) -> Any:
            value = getattr(values, control.name)
            of_methods = isinstance(control, Choice) and isinstance(control.options, MethodTitles)
            return variant(value) if of_methods else value

        return tuple(meant(control) for control in self.controls if self.depends(control))

    def recorded(self, values: T) -> Any:
        """The recorded run of these values' preset, and of what is in `recorded_for`."""
        raise NotImplementedError

    def training(self, values: T) -> Iterator[Part]:
        """Train with these values; whoever iterates may stop at any part.

        Raises:
            ValueError: they cannot be trained with.
        """
        raise NotImplementedError

    def experiments(self, values: T) -> list[Experiment]:
        """What a training with these values runs, one after the other."""
        raise NotImplementedError

    def compiles(self, values: T) -> bool:
        """Whether a training with these values would have to compile first."""
        from modeseek.bandit.explore.toolkit.runs import compiled

        return not all(compiled(each) for each in self.experiments(values))

    def last_step(self, run: Any) -> int:
        """How far a run can be scrubbed."""
        raise NotImplementedError

    def limits(self, name: str) -> tuple[float, float]:
        """Scrubbing ends where the run does."""
        return (0.0, float(self.last_step(self.run))) if name == "step" else super().limits(name)

    def take(self, values: T, run: Any, share: float) -> None:
        """Keep a training's run so far, of which this share is done.

        It is shown at its end, unless the reader looks at an earlier step of it, or by now at another run.
        """
        key = self.settings(values)
        elsewhere = key != self.settings(self.values) and not self.stale
        behind = key in self._trained and self.values.step < self.last_step(self.run)
        self._trained.pop(key, None)
        while len(self._trained) >= KEPT:
            self._trained.pop(next(iter(self._trained)))
        self._trained[key] = Drawn(values, run, share, here=True, settings=key)
        if not elsewhere:
            self.drawn = self._trained[key]
        step = self.values.step if elsewhere or behind else self.last_step(run)
        self._take(replace(self.values, step=step), fresh=True)

    def reset(self) -> None:
        """As `ViewModel`; parts of trainings are forgotten, so that a recorded run is seen again."""
        self._trained = {key: drawn for key, drawn in self._trained.items() if drawn.share >= 1}
        super().reset()

    def look_up(self, values: T) -> Drawn | None:
        """The run of these settings: trained here, or recorded; None if there is neither."""
        key = self.settings(values)
        if key in self._trained:
            return self._trained[key]
        base = self._preset_values(values.preset, {})
        base = replace(base, **{name: getattr(values, name) for name in self.recorded_for})
        return Drawn(values, self.recorded(values), settings=key) if key == self.settings(base) else None

    def _take(self, values: T, *, fresh: bool) -> None:
        before = self.drawn
        if fresh:
            self.drawn = self.look_up(values) or self.drawn
        try:
            super()._take(replace(values, step=min(values.step, self.last_step(self.run))), fresh=fresh)
        except ValueError:
            self.drawn = before
            raise


class Status(NamedTuple):
    """How the training stands that is under way, or was the last; what is drawn of it, `TrainingModel.drawn` says.

    Attributes:
        running: whether it is under way.
        share: of the work that is done.
        says: what is going on, or why nothing came of it.
        failed: whether `says` is an error.
    """

    running: bool = False
    share: float = 0.0
    says: str = ""
    failed: bool = False


class TrainingExplorer(Explorer):
    """An explorer that can train.

    Attributes:
        status: of its training.
    """

    model: TrainingModel[Any, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As `Explorer`."""
        self.status = Status()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        super().__init__(*args, **kwargs)

    def train(self, *, wait: bool = True) -> "TrainingExplorer":
        """Train with the present settings, in a thread; the picture follows.

        Args:
            wait: come back when it has ended; Ctrl-C cancels it then. Otherwise come back at once.

        Raises:
            ValueError: a training is under way, or, if it is waited for, the settings cannot be trained with.
        """
        with self.lock:
            if self.status.running:
                raise ValueError("a training is under way: cancel it, or wait for its end")
            values = self.model.values
            self._cancelled = threading.Event()
            self.status = Status(True, 0.0, "starting")
            self._thread = threading.Thread(
                target=self._work, args=(values, self._cancelled), name=f"train-{self.model.kind}", daemon=True
            )
            self._thread.start()
            self._show()
        if wait:
            self.wait()
            if self.status.failed:
                raise ValueError(self.status.says)
        return self

    def wait(self) -> None:
        """Until the training has ended; Ctrl-C cancels it, and what was trained stays."""
        thread = self._thread
        while thread is not None and thread.is_alive():
            try:
                thread.join(0.2)
            except KeyboardInterrupt:
                self.cancel()

    def cancel(self) -> None:
        """Stop the training after the collection that it is at; what was trained stays."""
        self._cancelled.set()
        if self.status.running:
            self.status = self.status._replace(says=f"{self.status.says}; stopping")

    def extra_row(self, button: Callable[..., Any]) -> ExtraRow:
        """Train, progress, cancel."""
        from modeseek.bandit.explore.toolkit.train_row import TrainRow

        return TrainRow(self, button)

    def reset(self) -> "TrainingExplorer":
        """Back to how it was made; a training under way is cancelled, and what it still brings is not shown."""
        with self.lock:
            self.cancel()
            self._cancelled = threading.Event()
            if not self.status.running:
                self.status = Status()
            super().reset()
        return self

    def close(self) -> None:
        """As `Explorer`; a training under way is cancelled."""
        self.cancel()
        super().close()

    def _work(self, values: SteppedValues, cancelled: threading.Event) -> None:
        """The thread: take part after part; the lock is free while one is computed."""
        last: Any = None
        began = began_share = None
        drawn = 0.0
        share, failed, stopped = 0.0, "", False
        try:
            for part in self.model.training(values):
                if stopped := cancelled.is_set():
                    break
                now = time.monotonic()
                if part.share > 0 and began is None:
                    began, began_share = now, part.share
                share = part.share
                fresh = part.run is not None and part.run is not last
                last = part.run
                says = part.doing
                if began is not None and began_share is not None and share > began_share:
                    left = (now - began) / (share - began_share) * (1 - share)
                    says += f", about {left:z.0f} s left"
                with self.lock:
                    self.status = Status(True, share, says)
                    if fresh and now - drawn > DRAW_SECONDS and cancelled is self._cancelled:
                        self.model.take(values, part.run, share)
                        self._show()
                        drawn = time.monotonic()
                    elif self._shell is not None:
                        self._shell.show_extra()
        except ValueError as error:
            failed = str(error)
        except Exception as error:
            failed = f"this should not happen, please report it: {error!r}"
        with self.lock:
            let_go = cancelled is not self._cancelled  # by a reset
            if last is not None and not let_go:
                self.model.take(values, last, share if stopped or failed else 1.0)
            if failed:
                self.status = Status(False, share, failed, True)
            else:
                nothing = stopped and last is None and not let_go
                self.status = Status(False, share, "Cancelled: nothing was trained." * nothing)
            self._show()
