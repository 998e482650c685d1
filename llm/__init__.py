"""The objectives of `modeseek.bandit.objectives` on language models (so far: the models and their weights)."""
