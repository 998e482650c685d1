"""The paper's Table 1 in words: the registry's rows, and what the paper's framework places and no row runs."""

from typing import NamedTuple

from modeseek.bandit.objectives.registry import METHODS, Variant

METHOD_COLUMNS = (
    "name",
    "title",
    "on-policy",
    "sample reuse",
    "negative gradient",
    "seeks",
    "hyper-parameters",
    "needs",
    "source",
)
"""Titles of the columns of `method_rows`."""


class NotRun(NamedTuple):
    """A method that has a place among the others and no row in the registry.

    Attributes:
        title: how the literature calls it.
        on_policy: as in a row of the registry.
        sample_reuse: as there.
        negative_gradient: as there.
        needs: what it would need that no batch holds.
        source: where it is defined.
    """

    title: str
    on_policy: bool
    sample_reuse: bool | None
    negative_gradient: bool
    needs: str
    source: str


_READS_A_LABEL = "a policy that reads a label: not run here"

NOT_RUN = (
    NotRun("Quark", True, True, False, _READS_A_LABEL, "Lu et al., 2022"),
    NotRun("Reward conditioning", False, None, False, _READS_A_LABEL, "Dubois et al., 2024"),
)
"""Supervised on all responses, each under a label for its reward; one asks for the best label. Named in appendix C.

A policy that learns each label apart has, under the best one, the gradient of `rest` or `pref_ft`, which have rows.
"""


def _word(mark: bool | None) -> str:
    return {True: "yes", False: "no", None: "-"}[mark]


def method_rows() -> list[tuple[str, ...]]:
    """The table: a row of words for each method of the registry, under `METHOD_COLUMNS`, then for those not run."""
    marks = lambda row: (_word(row.on_policy), _word(row.sample_reuse), _word(row.negative_gradient))
    registered: list[tuple[str, ...]] = [
        (
            method.name,
            method.title,
            *marks(method),
            Variant(method, method.on_policy).seeking or "-",
            ", ".join(method.own_hyper),
            ", ".join(sorted(method.needs)),
            method.source,
        )
        for method in METHODS.values()
    ]
    return registered + [("-", row.title, *marks(row), "-", "", row.needs, row.source) for row in NOT_RUN]
