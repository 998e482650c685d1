"""The objectives of `modeseek.bandit.objectives` on language models: models, checkpoints, inference, training steps."""
