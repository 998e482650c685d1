"""What the bandit teaches, and what becomes of it on language models: claims of both studies side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modeseek.bandit.studies.assess import Assessment
from modeseek.bandit.studies.reproduce import store as bandit_store
from modeseek.bandit.studies.reproduce import targets as bandit_targets
from modeseek.bandit.studies.verdicts import LEAST_SEEDS
from modeseek.llm.explore.recorded import Table, judged
from modeseek.llm.studies import store, targets
from modeseek.llm.studies.scales import LAPTOP
from modeseek.markdown import markdown_table


class Lesson(NamedTuple):
    """One lesson.

    Attributes:
        text: as the paper teaches it.
        bandit: names of the claims that it rests on there, as `modeseek reproduce` has them.
        language: names of those that ask the same of language models, as `modeseek llm reproduce` has them.
    """

    text: str
    bandit: tuple[str, ...]
    language: tuple[str, ...]


LESSONS = (
    Lesson(
        "On-policy: where the reward's peak is far, fresh samples do better than stale ones.",
        ("staleness-reward-R1", "staleness-speed-R1"),
        ("fresh-ppo-final-min", "fresh-rwr-final-min"),
    ),
    Lesson(
        "Negative gradient: offline, and the peak far, pushing down what is bad ends higher than pushing up alone.",
        ("ipo-over-best_of_n-final-R1",),
        ("negative-over-pref_ft-min", "negative-over-pref_ft-skew"),
    ),
    Lesson(
        "Together: on-policy pairs learn faster, or end higher, than either half, offline pairs and on-policy RWR.",
        ("on-policy-ipo-over-ipo-mean-R1", "on-policy-ipo-over-rwr-final-R1"),
        ("on-policy-dpo-over-dpo-mean-min", "on-policy-dpo-over-rwr-mean-min"),
    ),
    Lesson(
        "Where the peak is what the reference writes anyway, the methods differ less, or not at all.",
        ("staleness-milder-on-R2", "offline-gap-smaller-on-R2"),
        ("on-policy-dpo-like-dpo-mode", "on-policy-dpo-like-rwr-mode", "negative-like-pref_ft-mode"),
    ),
)


READINGS = {"paper": "tails piled up", "figure2": "tails discarded"}
"""Conventions of the bandit under which its claims are shown: two readings of the text's word "clip"."""


def carries_over(lessons: Sequence[Lesson] = LESSONS) -> Table:
    """A row for each lesson: the verdicts on the bandit's claims, and on those about language models."""
    asked = {name for lesson in lessons for name in lesson.bandit}
    bandit = {
        words: judged(bandit_targets.STUDY, bandit_store.STORE, conventions, asked)
        for conventions, words in READINGS.items()
    }
    names = {name for lesson in lessons for name in lesson.language}
    language = {"": judged(targets.STUDY, store.STORE, LAPTOP.name, names)}
    rows = [(lesson.text, _said(lesson.bandit, bandit), _said(lesson.language, language)) for lesson in lessons]
    columns = ("the paper teaches", "on the bandit", "on small language models")
    return Table(markdown_table([(title, "left") for title in columns], rows))


def _said(names: Sequence[str], judged_under: Mapping[str, Mapping[str, Assessment]]) -> str:
    """Each claim with its verdict, by reading if there are several."""
    lines = []
    for name in names:
        each = {reading: found[name] for reading, found in judged_under.items()}
        words = [f"{_verdict(a, bool(reading))}{f' ({reading})' if reading else ''}" for reading, a in each.items()]
        lines.append(f"{next(iter(each.values())).claim.text} {', '.join(words)}")
    return "<br>".join(lines)


def _verdict(a: Assessment, of_the_bandit: bool) -> str:
    """In words; what has fewer seeds than the bandit's rule asks for is shown, and not judged."""
    if of_the_bandit and a.verdict is not None and a.seeds < LEAST_SEEDS:
        return f"**shown, not judged**, {a.verdict.effect:+z.2f} on {a.seeds} seeds"
    return f"**{a.word}**{a.mark}"
