"""`modeseek recommend`: which method to take for a problem, how sure that is, and which cells say so."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from modeseek.bandit.commands.common import say
from modeseek.checks import require

if TYPE_CHECKING:
    from modeseek.bandit.studies.phase_diagram.recommend import Distance, Query


@dataclasses.dataclass(frozen=True)
class Recommend:
    """Say which method to take, from how far good responses lie: by --kl, or from your own --samples.

    The answer is read off the phase diagram of the bandit: how often each method won in cells like your problem. It
    knows of a problem how far the best response lies from the reference, how far from the policy that wrote the offline
    data, and how many responses may be drawn anew; not the size of your model, and not your reward's noise.

    --samples takes a file with one JSON object a line: prompt, response, reward; several responses of the reference to
    each prompt, a hundred are good. From them it is estimated how many nats a policy needs to earn half of what there
    is to earn. What no sample has earned is not seen unless --best-reward says what the best response earns.

    Attributes:
        fresh: responses that may be drawn from the policy in training, in all; 0 leaves offline methods.
        kl: KL of the best response from the reference, -log π_ref(y*), nats.
        data_kl: the same from the policy that wrote the offline data; without, as from the reference.
        samples: responses of the reference with rewards, instead of --kl.
        data: responses of the policy that wrote the offline data, instead of --data-kl.
        best_reward: what the best response earns, for --samples and --data; without, the most that a sample earned.
        phase: a phase.nc of yours; without, the one that comes with modeseek.
        cells: how many cells are shown.
    """

    fresh: int
    kl: float | None = None
    data_kl: float | None = None
    samples: Path | None = None
    data: Path | None = None
    best_reward: float | None = None
    phase: Path | None = None
    cells: int = 5

    def run(self) -> int:
        """Estimate, look up, print.

        Raises:
            ValueError: neither or both of --kl and --samples; a file of samples without rewards; no problem.
        """
        from modeseek.bandit.studies.phase_diagram.answer import answer
        from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase

        require(
            (self.kl is None) != (self.samples is None),
            "say how far the best response lies: either --kl NATS, or --samples FILE with responses and rewards",
        )
        other_way = self.data_kl if self.kl is None else self.data
        require(
            other_way is None,
            "the reference and the data must be measured alike: --kl with --data-kl, or --samples with --data",
        )
        require(self.cells >= 1, f"cells must be at least 1, got {self.cells}")
        query, distance = self._query()
        query.check()
        print(answer(open_phase(self.phase or STORED), query, distance, shown=self.cells))
        return 0

    def _query(self) -> "tuple[Query, Distance]":
        from modeseek.bandit.studies.phase_diagram.estimate import estimate, read_samples
        from modeseek.bandit.studies.phase_diagram.recommend import Query

        if self.samples is None:
            assert self.kl is not None
            return Query(self.kl, self.kl if self.data_kl is None else self.data_kl, self.fresh), "to_best"
        found = [estimate(read_samples(path), self.best_reward) for path in (self.samples, self.data) if path]
        for each in found:
            say(each.in_words())
        return Query(found[0].halfway, found[-1].halfway, self.fresh), "halfway"
