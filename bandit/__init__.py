"""The simulator: preference fine-tuning on a bandit small enough to see whole."""
