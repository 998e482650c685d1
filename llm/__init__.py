"""The objectives of `bandit.objectives` on language models (so far: the models and their weights)."""
