"""A run of one's own in about a minute: SFT from scratch, then Algorithm 1 on Min Length, beside the recorded runs."""

import dataclasses
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray

from modeseek.bandit.figures.methods import styles_of
from modeseek.bandit.figures.panels import Curve, Panel, panels_figure
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.cells import fresh_runs
from modeseek.checks import install, require
from modeseek.llm.data.scenarios import min_length
from modeseek.llm.explore.recorded import Picture, stored
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.rewards.functions import of_examples, of_ids
from modeseek.llm.runs.length_data import Corpus, read_corpus
from modeseek.llm.runs.length_demo import POLICY, ROWS, fine_tuned, opened
from modeseek.llm.runs.stages import Watch, stage
from modeseek.llm.studies.cells import TOGETHER, LanguageCell
from modeseek.llm.studies.scales import LAPTOP
from modeseek.llm.training.tune import tune

SFT_STEPS = 150
"""A quarter of the recorded runs' reference's: enough to write until an EOS of its own."""

RATE = 3e-3
"""Of a method whose recorded runs are not stored: the middle of their grid."""

NEEDED = ("transformers", "tokenizers")

Say = Callable[[str], None]


def _say(text: str) -> None:
    print(text, flush=True)


class Start(NamedTuple):
    """What every method begins with: the prompts, and the policy that SFT left."""

    corpus: Corpus
    reference: ModelWithParams


class LiveRuns(Picture):
    """Runs beside recorded ones; display it in a notebook.

    Attributes:
        lengths: method → tokens of the responses that each gradient step was taken on, EOS not counted.
    """

    def __init__(self, lengths: Mapping[str, Sequence[float]]) -> None:
        self.lengths = dict(lengths)
        super().__init__(_figure(self.lengths), _caption(self.lengths))


def begin(sft_steps: int = SFT_STEPS, say: Say = _say) -> Start:
    """A tokenizer and a GPT-NeoX of 0.2 million parameters, trained on the docstrings of Python's own library.

    Args:
        sft_steps: gradient steps of SFT.
        say: takes lines of progress.

    Raises:
        ValueError: a package is missing; says how to install it.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    require(
        not missing,
        f"a live run trains a tokenizer, and {' and '.join(missing)} cannot be imported: "
        f"{install('notebooks,llm')}, then restart the kernel. "
        "The recorded runs need no more than is there",
    )
    sizes = dataclasses.replace(LAPTOP.sizes, sft_steps=sft_steps)
    watch = Watch(say=say, progress=lambda name: told(name, say))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = read_corpus(folder, sizes, watch)
        found = stage(folder, "sft", lambda own: fine_tuned(own, corpus, sizes, watch), watch)
        say(f"held-out loss: {found['held_out_loss_before']:z.2f}, then {found['held_out_loss']:z.2f} nats per token")
        return Start(corpus, opened(folder / "sft" / POLICY))


def tune_live(
    start: Start, *methods: str, learning_rate: float | None = None, seed: int = 0, say: Say = _say
) -> LiveRuns:
    """Algorithm 1 on Min Length with the recorded runs' settings; the gold reward itself takes the proxy's place.

    Args:
        start: what `begin` gives.
        methods: on-policy ones, as the registry names them: `rwr`, `on_policy_dpo`.
        learning_rate: of all of them; None for what the recorded runs were tuned to.
        seed: of the order of prompts and of the samples.
        say: takes lines of progress.

    Raises:
        ValueError: a method learns offline, or is unknown.
    """
    for method in methods:
        title = variant(method).title
        require(variant(method).on_policy, f"{title} learns offline: a live run has no pairs, its policy samples")
    eos = (start.corpus.tokens.eos,)
    gold = of_examples(of_ids(min_length(len), eos), name="the gold reward")
    lengths = {}
    for method in methods:
        rate = tuned_rate(method) if learning_rate is None else learning_rate
        config = LanguageCell(f"{method}-live", method, "min_length").config(LAPTOP, rate, seed)
        records: list[Mapping[str, Any]] = []
        tune(
            start.reference,
            start.corpus.training,
            dataclasses.replace(config, length_multiple=ROWS),
            reward=gold,
            eos=eos,
            pad=start.corpus.tokens.pad,
            report=records.append,
            progress=told(f"{variant(method).title}, learning rate {rate:g}", say),
        )
        lengths[method] = [0.0 - record["reward"] for record in records if "reward" in record]
    return LiveRuns(lengths)


def recorded_runs(method: str) -> xarray.Dataset | None:
    """What is stored of a method on Min Length."""
    cell = TOGETHER.get((method, "min_length"))
    return None if cell is None else stored([cell]).get(cell)


def tuned_rate(method: str) -> float:
    """The learning rate that a method's recorded runs were tuned to."""
    found = recorded_runs(method)
    return RATE if found is None else float(found.attrs["learning_rate"])


def told(name: str, say: Say) -> Callable[[Any], Any]:
    """A wrapper of a loop's numbers that says at each quarter how far it has come."""

    def wrap(items: Any) -> Iterable[Any]:
        began, most = time.monotonic(), len(items)
        for number, item in enumerate(items, 1):
            yield item
            if 4 * number // most > 4 * (number - 1) // most:
                say(f"{name}: step {number} of {most}, {time.monotonic() - began:z.0f} s")

    return wrap


def _figure(lengths: Mapping[str, Sequence[float]]) -> Any:
    styles = styles_of(list(lengths))
    recorded, here = [], []
    for method, tokens in lengths.items():
        title, line = variant(method).title, styles[variant(method).name]
        if (found := recorded_runs(method)) is not None:
            recorded.append(Curve(title, fresh_runs(found), line))
        values = xarray.Dataset({"tokens": (("seed", "step"), np.array([tokens]))}, {"step": np.arange(len(tokens))})
        here.append(Curve(title, values, line))
    panels = [
        Panel(t, curves, "tokens", reward_axis=False)
        for t, curves in (("recorded", recorded), ("here, one seed", here))
    ]
    figure = panels_figure("Min Length: recorded runs, and yours", [panels])
    for axes in figure.axes:
        axes.set_ylim(-0.5, LAPTOP.sizes.max_response)
    return figure


def _caption(lengths: Mapping[str, Sequence[float]]) -> str:
    """One computed sentence a method."""
    said = []
    for method, tokens in lengths.items():
        first = next((step for step, value in enumerate(tokens) if value <= tokens[0] / 2), None)
        half = f"half of that at step {first}" if first is not None else "never half of that"
        said.append(
            f"{variant(method).title} here: {tokens[0]:z.1f} tokens at first, {half}, {tokens[-1]:z.1f} at last."
        )
    return (
        f"{' '.join(said)} Here: one seed, {LAPTOP.minibatch_size} responses per step, judged by their true length. "
        f"Recorded: mean ± standard error of {LAPTOP.protocol.fresh_seeds} fresh seeds, held-out prompts, trained on a "
        "reward model's judgement."
    )
