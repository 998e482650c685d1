"""Every row of `modeseek theory`, in the order in which it is printed."""

from modeseek.bandit.categorical.lemma_statements import LEMMA_STATEMENTS
from modeseek.bandit.categorical.theorem_statements import THEOREM_STATEMENTS

STATEMENTS = (*THEOREM_STATEMENTS, *LEMMA_STATEMENTS)
