"""How much is run for a figure of the paper: the paper's own protocol, more seeds than it has, or minutes of it."""

import dataclasses

from modeseek.bandit.studies.protocol import Protocol

PAPER_LEARNING_RATES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003, 0.00001)
"""The grid of paper I.3."""

TEN = Protocol("ten", PAPER_LEARNING_RATES, tuning_seeds=5, fresh_seeds=10)
"""What was run first: too few seeds for any verdict. Its tuning is the full protocol's."""

FULL = Protocol("full", PAPER_LEARNING_RATES, tuning_seeds=5, fresh_seeds=20, first_fresh_seed=15)
"""Twenty other seeds, the least that a verdict takes: those ten have been looked at, and judge no more."""

MORE = dataclasses.replace(FULL, name="more", fresh_seeds=100)
"""A hundred, the least where outcomes are bimodal."""

QUICK = Protocol("quick", (0.01, 0.003, 0.001), tuning_seeds=1, fresh_seeds=2, most_steps=200)

SHORT = Protocol("short", (0.01, 0.003, 0.001), tuning_seeds=2, fresh_seeds=6, most_steps=500)
"""Three rates that win, half the steps, and fresh seeds enough for verdicts: a tenth to a fifth of the work."""

MORE_OF_SHORT = dataclasses.replace(SHORT, name="more", fresh_seeds=20, first_fresh_seed=8)
"""The same with twenty other fresh seeds; what `more` is for targets whose whole protocol is `short`."""

EVERY = frozenset({TEN, FULL, MORE, SHORT, MORE_OF_SHORT, QUICK})
