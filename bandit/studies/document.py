"""A study as one Markdown text: a summary of all verdicts, then a chapter for each target."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from modeseek.bandit.studies.assess import Assessment, on_most_seeds, verdict_table
from modeseek.bandit.studies.cells import Cell, Results, rates_at_edges, time_spent
from modeseek.bandit.studies.claims import Claim, Trend
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.effects import effects_table
from modeseek.bandit.studies.measures import Measure
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.store import Store, Stored
from modeseek.bandit.studies.study import Study, Target
from modeseek.bandit.studies.verdicts import counted
from modeseek.markdown import Align, markdown_table

SomeCell = TypeVar("SomeCell", bound=Cell)

Words = dict[str, dict[str, str]]
"""Name of a claim or trend → condition → the verdict in a word, with its marks."""

Extra = Callable[[Target[SomeCell], Results], list[str]]
"""Lines that a study says of a target besides, each table with an empty line behind it."""


def document(
    study: Study[SomeCell],
    store: Store[SomeCell],
    head: str,
    *,
    picture: Callable[[Target[SomeCell], str, Stored], str],
    command: Callable[[Target[SomeCell], str], str],
    extra: Extra[SomeCell] = lambda target, results: [],
) -> str:
    """The whole text.

    Args:
        study: what is told.
        store: where its results are; the fullest protocol that is there is shown.
        head: the title, how the results were made, how verdicts are to be read.
        picture: draws a target's figure under a condition, and returns the Markdown that shows it.
        command: what a reader types to make a target's results under a condition.
        extra: what stands under a target's verdicts.
    """
    words: Words = {name: {} for name in (*study.claims, *study.trends)}
    chapters = []
    for target in study.targets:
        lines = [f"## {target.name}", "", target.about, "", *deviations(target)]
        for condition in study.conditions_of(target):
            found = store.fullest(target, condition)
            if not found:
                lines += [f"### {study.condition} `{condition}`", ""] if study.condition else []
                lines += [f"Not stored yet: `{command(target, condition)}` makes it.", ""]
            best: dict[str, Assessment] = {}  # of several protocols the one with the most seeds
            for there in found:
                run = set(target.cells_under(there.protocol))
                judged = [a for a in study.assess(target, there.results) if run.issuperset(a.claim.contrast.cells)]
                mark = f" ({there.protocol.name})" if there.protocol in study.provisional else ""
                for name, a in (newer := on_most_seeds(best, judged)).items():
                    words[name][condition] = a.word + mark + a.mark
                best |= newer
                for trend in target.trends:
                    words[trend.name][condition] = trend_word(trend, list(best.values())) + mark
                under = f"{study.condition} `{condition}`, protocol" if study.condition else "Protocol"
                lines += [f"### {under} `{there.protocol.name}`", ""]
                absent = [cell.name for cell in target.cells_under(there.protocol) if cell not in there.results]
                if absent:
                    lines += [f"Not run yet: {', '.join(absent)}. `{command(target, condition)}` makes them.", ""]
                lines += [picture(target, condition, there), "", *chapter(study, target, there.results, judged)]
                lines += extra(target, there.results)
        chapters.append("\n".join(lines))
    return "\n".join([head, "## All claims\n", summary(study, words), "", *chapters]).rstrip() + "\n"


def deviations(target: Target[Cell]) -> list[str]:
    """What a target says of them, with an empty line behind it; nothing if there are none."""
    return [target.deviations, ""] if target.deviations else []


def summary(study: Study[Cell], words: Words) -> str:
    """A table of all claims: where each is made, and its verdict under each condition."""
    columns: list[tuple[str, Align]] = [(title, "left") for title in ("claim", "source", *study.conditions.values())]
    said: list[Claim | Trend] = [*study.claims.values(), *study.trends.values()]
    return markdown_table(
        columns,
        [
            (
                each.text,
                each.source,
                *(words[each.name].get(condition, "not run yet") for condition in study.conditions),
            )
            for each in said
        ],
    )


def chapter(study: Study[Cell], target: Target[Cell], results: Results, assessments: Sequence[Assessment]) -> list[str]:
    """The lines that stand under a target's figure: how much was computed, effects of changes, verdicts."""
    lines = []
    if results:
        machines = sorted({str(dataset.attrs["machine"]) for dataset in results.values()})
        minutes = time_spent(results.values(), digits=0)
        computed = f"{len(results)} cells, {minutes} of computation ({'; '.join(machines)})."
        tuned_by = sorted({str(d.attrs["tuned_by"]) for d in results.values() if "tuned_by" in d.attrs})
        if tuned_by:
            computed += f" Their learning rates were tuned by the protocol `{'`, `'.join(tuned_by)}`."
        lines += [f"{computed} {rates_at_edges(results)}".rstrip(), ""]
    return [*lines, *tables(study, target, results, assessments)]


def tables(study: Study[Cell], target: Target[Cell], results: Results, assessments: Sequence[Assessment]) -> list[str]:
    """Effects of changes and verdicts, as far as a target has them, each with an empty line behind it."""
    lines = []
    if target.changes:
        lines += [effects_table(target.changes, results, study.least_seeds), ""]
    if assessments:
        lines += [verdict_table(assessments, study.neighbours), ""]
    for trend in target.trends:
        lines += [f'{trend.text} {trend.source}: "{trend.quote}". **{trend_word(trend, assessments)}**.', ""]
    return lines


def trend_word(trend: Trend, assessments: Sequence[Assessment]) -> str:
    """The word on a trend, from the words on its steps."""
    return trend.word({a.claim.name: a.verdict.word if a.verdict else "undecided" for a in assessments})


def numbers_table(results: Results, measure: Measure, title: str) -> str:
    """A measure of every cell: tuned rate, mean over fresh seeds, standard error."""
    rows = []
    for cell, dataset in results.items():
        values = fresh_values(level(measure, cell), results)
        finite = values[np.isfinite(values)]
        error = finite.std(ddof=1) / np.sqrt(len(finite)) if len(finite) > 1 else np.nan
        mean = finite.mean() if len(finite) else np.nan
        seeds = counted(len(finite), len(values) - len(finite))
        rows.append((cell.name, f"{dataset.attrs['learning_rate']:g}", f"{mean:.3f} ± {error:.3f}", seeds))
    return markdown_table((("cell", "left"), ("rate", "right"), (title, "right"), ("seeds", "right")), rows)


def note_of(protocol: Protocol, condition: str, results: Results) -> str:
    """For titles: the condition, tuning and fresh seeds, and whether runs were cut short."""
    named = condition.replace("_", " ")
    if not results:
        return named
    seeds = f"{protocol.tuning_seeds} + {protocol.fresh_seeds} seeds"
    steps = max(int(dataset["step"].values[-1]) for dataset in results.values())
    rates = f"{len(protocol.learning_rates)} learning rates, at most {steps} steps"
    size = "" if protocol.most_steps is None else f"; {protocol.name.upper()}: {rates}"
    return f"{named}; {seeds}{size}"
