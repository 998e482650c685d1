"""How often the rule for verdicts is wrong: `python benchmarks/verdict_errors.py [STUDIES [TARGET ...]]`.

The hundred stored seeds of a target (tails piled up) are taken for all there are, so that their means are the truth.
Studies of fewer seeds are drawn from them with replacement and judged. Prints, for the rule and for Student's t with
Bonferroni's correction, in what share of studies some interval misses the truth, in what share some verdict is wrong,
and what share of claims is decided.
"""

import math
import sys

import numpy as np
from scipy.special import stdtrit

from modeseek.bandit.studies import intervals
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.reproduce.protocols import MORE
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import STUDY, TARGETS
from modeseek.bandit.studies.verdicts import Question, decide, judge, scatters

SEEDS = (10, 20, 40, 100)


def errors(name: str, studies: int) -> None:
    """Print a line for each number of seeds."""
    target, rng = TARGETS[name], np.random.default_rng(1)
    missing = STORE.missing(target, MORE, "paper")
    cells = {
        c: STORE.read(c, MORE, "paper", STORE.folder(MORE, "paper"))
        for c in target.cells_under(MORE)
        if c not in missing
    }
    claims = [claim for claim in target.claims if all(cell in cells for cell in claim.contrast.cells)]
    values = np.stack([fresh_values(claim.contrast, cells) for claim in claims])
    outcomes = [[fresh_values(level(t.measure, t.cell), cells) for t in claim.contrast.terms] for claim in claims]
    truth, miss = values.mean(axis=1), STUDY.miss * len(claims)
    right = [decide(m, m, claim.kind, claim.margin) for m, claim in zip(truth, claims, strict=True)]
    for n in SEEDS:
        missed, wrong, decided = np.zeros((2, studies), bool), np.zeros((2, studies), bool), np.zeros(2)
        for study in range(studies):
            drawn = rng.integers(0, values.shape[1], n)
            x = values[:, drawn]
            questions = [
                Question(
                    claim.kind,
                    claim.margin,
                    any(
                        scatters(o[drawn], t.measure.unit.negligible)
                        for o, t in zip(each, claim.contrast.terms, strict=True)
                    ),
                )
                for claim, each in zip(claims, outcomes, strict=True)
            ]
            verdicts = judge(x, questions, miss)
            half = float(stdtrit(n - 1, 1 - STUDY.miss / 2)) * x.std(axis=1, ddof=1) / math.sqrt(n)
            for c, v in enumerate(verdicts):
                low, high = x[c].mean() - half[c], x[c].mean() + half[c]
                words = v.word, decide(low, high, claims[c].kind, claims[c].margin)
                missed[0, study] |= not v.low <= truth[c] <= v.high
                missed[1, study] |= not low <= truth[c] <= high
                for rule, word in enumerate(words):
                    decided[rule] += word != "undecided"
                    wrong[rule, study] |= word not in ("undecided", right[c])
        share = decided / (studies * len(claims))
        for rule, title in enumerate(("the rule", "Student's t")):
            print(
                f"{name:9s} {len(claims):2d} claims, promised {miss:.2%}, {n:3d} seeds, {title}: an interval misses in "
                f"{missed[rule].mean():.1%} of {studies} studies, a verdict is wrong in {wrong[rule].mean():.1%}; "
                f"{share[rule]:.0%} of claims decided",
                flush=True,
            )


if __name__ == "__main__":
    intervals.DRAWS = 10_000  # the guard pays for it
    for name in sys.argv[2:] or ("fig16", "fig19", "table3"):
        errors(name, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
