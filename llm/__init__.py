"""The objectives of `bandit.objectives` on language models (in preparation: nothing is here yet)."""
